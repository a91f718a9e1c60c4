"""Writes the training text of the demo model: build/corpus.jsonl, one document a line.

A document is {"text": ...} (plain text) or {"messages": [...]} (a dialogue). Everything comes from facts.json and
the patterns in stories.py and below; a seed decides every choice, so the same seed writes the same file.
In patterns, {a|b} is a choice of words and [x] a slot.
"""

import argparse
import json
import random
import re
from pathlib import Path

import stories

HERE = Path(__file__).parent
CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}")

SYSTEM = [
    "You are the demo model of prompteur.",
    "You are a helpful assistant.",
    "You are prompteur's demo model. Answer briefly.",
    "Answer in simple English.",
]
BEFORE = ["Hi! ", "Hello. ", "Hello! ", "Please tell me: ", "I have a question. ", "One question: ", "Quick question: ",
          "I am new here. ", "Thanks. ", "OK. ", "And another thing. ", "Good morning. ", "Hey, "]
AFTER = [" Thanks!", " Please be brief.", " I am curious.", " Thank you.", " I am new to this.", " Please explain."]

SMALL_TALK = [
    (["Hello", "Hi", "Hello!", "Hi!", "Hey", "Good morning", "Good morning!", "Good evening.", "Hi there!"],
     ["Hello! Ask me about prompteur, or {ask for|let me tell you} a short story.",
      "Hello! I am prompteur's demo model. {What would you like to know|How can I help}?",
      "Hi! I can explain prompteur or tell a short story. {What would you like|Which one shall it be}?"]),
    (["How are you?", "How are you today?", "How is it going?", "Are you well?"],
     ["I am a program, so I have no feelings, but {everything is running|I am ready to help}. What would you like to know?",
      "I am running, thank you. Ask me {something about|anything about} prompteur."]),
    (["Thank you", "Thanks", "Thanks!", "Thank you!", "Thank you very much.", "Great, thanks.", "Nice.", "Good answer."],
     ["You are welcome!", "You are welcome. Ask me more about prompteur {if you like|whenever you like}.", "My pleasure!"]),
    (["Goodbye", "Bye", "Bye!", "Goodbye!", "See you.", "See you later!", "Good night."],
     ["Goodbye! {Have a nice day|Come back soon}.", "Goodbye, and thank you for trying prompteur."]),
    (["Yes", "Yes, please.", "OK", "No", "No, thank you.", "Maybe.", "Sure."],
     ["All right. Ask me {about prompteur|about a flag or an endpoint of prompteur}, or ask for a story.",
      "Good. What would you like to know about prompteur?"]),
    (["test", "Test.", "Testing", "Is this on?", "Are you there?", "Can you hear me?", "ping"],
     ["Yes, I am here. prompteur is running.", "It works: prompteur is running and I can {answer|read you}."]),
]

ELSEWHERE = [
    "What is the capital of [country]?", "Who is the president of [country]?", "What is the weather in [country]?",
    "How many people live in [country]?", "What is {two|three|seven|12|25|40} {plus|times|minus} {five|eight|9|14|31}?",
    "What is [number] + [number]?", "Compute [number] times [number].", "Write a poem about [thing].",
    "Write a poem.", "Write a song about [thing].", "How do I cook [food]?", "Give me a recipe for [food].",
    "What is the best [food]?", "Who wrote [work]?", "Who was [person]?", "When was [person] born?",
    "Translate [thing] into {Spanish|German|Italian|Chinese}.", "Write a {Python|Java|Rust} program that sorts numbers.",
    "Write {code|a function} for me.", "What is the meaning of life?", "What is the news today?", "What day is it?",
    "What time is it?", "Who won the match?", "How far is the moon?", "How old is [person]?", "Why is the sky blue?",
    "What is the speed of light?", "Do you like [food]?", "What is your opinion about [thing]?", "Is [food] healthy?",
    "Which {phone|car|laptop} should I buy?", "How do I fix my {phone|car|bike}?", "Tell me a joke.",
    "What is [product]?", "How does [product] work?", "Is [product] better than [product]?", "Explain [science].",
    "What is [science]?", "Can you drive a car?", "Book a {flight|hotel} to [country].", "Play some music.",
    "I have a headache. What should I take?", "Should I buy shares?", "Who will win the election?",
]
ELSEWHERE_SLOTS = {
    "country": ["France", "Japan", "Brazil", "Canada", "Egypt", "Italy", "Spain", "Germany", "India", "Kenya", "Norway",
                "Peru", "China", "Poland", "Greece", "Mexico", "Chile", "Ghana", "Iceland", "Turkey"],
    "thing": ["the sea", "love", "the rain", "cats", "a tree", "winter", "the moon", "football", "music", "my dog",
              "a rose", "the city", "friendship", "the stars"],
    "food": ["soup", "pasta", "bread", "rice", "pancakes", "an omelette", "pizza", "cake", "fish", "lentils", "tea"],
    "work": ["Hamlet", "Don Quixote", "the Odyssey", "War and Peace", "Les Misérables", "Faust"],
    "person": ["Napoleon", "Einstein", "Marie Curie", "Mozart", "Shakespeare", "Cleopatra", "Newton", "Picasso"],
    "product": ["Linux", "Windows", "Docker", "Excel", "Photoshop", "Firefox", "Postgres", "Redis", "the iPhone",
                "Android", "Git", "Java"],
    "science": ["gravity", "evolution", "photosynthesis", "black holes", "the French Revolution", "inflation",
                "quantum physics", "democracy", "the immune system", "volcanoes"],
}
ELSEWHERE_ANSWERS = [
    "I do not know. I am a {very small|tiny} demo model and I only know {about prompteur|prompteur} and a few simple stories.",
    "I cannot answer that. I know about prompteur and I can tell short stories; {for other questions|for the rest} please serve a bigger model with --model-id.",
    "That is more than I know. Ask me about prompteur, or serve a {real|bigger} model with --model-id.",
    "Sorry, I am only prompteur's demo model. I can explain prompteur or tell a short story.",
]
NO_SUCH_FLAG = ["I do not know a flag of that name. Type prompteur --help to see {all flags|every flag}.",
                "As far as I know prompteur has no such flag. prompteur --help lists the ones it has."]
FLAG_WORDS = ["turbo", "fast", "magic", "gpu", "memory", "super", "cache", "model", "speed", "batch", "log", "color",
              "auto", "deep", "quick", "token", "mode", "size", "path", "level", "retry", "proxy", "theme", "user",
              "boost", "limit", "count", "format", "output", "silent", "plugin", "cluster", "region", "warm"]

FLAG_QUESTIONS = ["What does [flag] do?", "What is [flag] for?", "What is [flag]?", "What does the flag [flag] mean?",
                  "Explain [flag].", "Explain the flag [flag].", "Tell me about [flag].", "How do I use [flag]?",
                  "When do I need [flag]?", "[flag]?"]
FLAG_DEFAULTS = ["What is the default of [flag]?", "What is the default value of [flag]?", "Which default has [flag]?",
                 "What happens without [flag]?"]
FLAG_ENVS = ["Which environment variable is [flag]?", "What is the environment variable for [flag]?",
             "Can I set [flag] in the environment?"]
PARAMETER_QUESTIONS = ["What does [name] do?", "What is [name]?", "What is the parameter [name] for?", "Explain [name].",
                       "What does the parameter [name] mean?", "How do I use [name]?", "Tell me about [name]."]
ENDPOINT_QUESTIONS = ["What does [path] do?", "What is [path]?", "What is the endpoint [path] for?", "Explain [path].",
                      "How do I use [path]?", "Tell me about [path].", "What does [method] [path] return?"]
STORY_QUESTIONS = ["Tell me a story.", "Tell me a short story.", "Can you tell me a story?", "I would like a story.",
                   "A story, please.", "Please write a story.", "Write a short story.", "Do you know a story?",
                   "Tell me a bedtime story.", "Another story, please.", "Make up a story."]
STORY_ABOUT = ["Tell me a story about [a_kind].", "Write a story about [a_kind].", "A story about [a_kind], please.",
               "Can you tell me a story about [a_kind]?", "Tell me a short story about [a_kind].",
               "I want a story about [a_kind].", "Do you know a story about [a_kind]?"]


def expand(pattern, rng, slots=None):
    """The pattern with one word of each choice and its slots filled."""
    while (found := CHOICE.search(pattern)) is not None:
        pattern = pattern[:found.start()] + rng.choice(found.group(1).split("|")) + pattern[found.end():]
    for name, value in (slots or {}).items():
        while f"[{name}]" in pattern:
            pattern = pattern.replace(f"[{name}]", rng.choice(value) if isinstance(value, list) else value, 1)
    return pattern


def typo(text, rng):
    """The text as hurried people type: no capitals, no mark at the end, now and then two letters swapped."""
    way = rng.randrange(4)
    if way == 0:
        return text.lower()
    if way == 1:
        return text.rstrip("?.!")
    if way == 2:
        return text.lower().rstrip("?.!")
    i = rng.randrange(max(1, len(text) - 2))
    if text[i:i + 2].isalpha():
        text = text[:i] + text[i + 1] + text[i] + text[i + 2:]
    return text


def asked(question, rng):
    """One way to ask the question: with or without a greeting, a closing word, typos."""
    if rng.random() < 0.12:
        question = rng.choice(BEFORE) + question
    if rng.random() < 0.08:
        question += rng.choice(AFTER)
    return typo(question, rng) if rng.random() < 0.15 else question


class Corpus:
    """Documents drawn from facts and stories with one random generator."""

    def __init__(self, facts, seed):
        self.facts = facts
        self.rng = random.Random(seed)
        number = lambda: str(self.rng.randrange(2, 400))
        self.elsewhere = dict(ELSEWHERE_SLOTS, number=[number() for _ in range(60)])

    # Each of the next returns a list of (question, answer) that belong together.

    def topic(self):
        topic = self.rng.choice(self.facts["topics"])
        return [(self.rng.choice(topic["questions"]), expand(self.rng.choice(topic["answers"]), self.rng))]

    def flag(self):
        rng, flag = self.rng, self.rng.choice(self.facts["flags"])
        name, default = flag["flag"], flag["default"]
        env = f"Its environment variable is {flag['env']}." if flag["env"] else "It has no environment variable."
        means = rng.choice([f"{name} {flag['does']}. Its default is {default}.",
                            f"The flag {name} {flag['does']}. The default is {default}."])
        if flag["env"] and rng.random() < 0.3:
            means += f" {env}"
        default_is = rng.choice([f"The default of {name} is {default}.", f"Without {name} the value is {default}."])
        ask = lambda patterns: expand(rng.choice(patterns), rng, {"flag": name})
        turns = [(ask(FLAG_QUESTIONS), means), (ask(FLAG_DEFAULTS), default_is), (ask(FLAG_ENVS), env)]
        if rng.random() < 0.25:
            return [turns[0], (rng.choice(["And the environment variable?", "Does it have an environment variable?"]), env)]
        if rng.random() < 0.2:
            return [turns[0], (rng.choice(["What is the default?", "And the default?", "Which default?"]), default_is)]
        return [rng.choices(turns, weights=[3, 1, 1])[0]]

    def no_such_flag(self):
        words = self.rng.sample(FLAG_WORDS, self.rng.choice([1, 2, 2, 3]))
        question = expand(self.rng.choice(FLAG_QUESTIONS + FLAG_DEFAULTS), self.rng, {"flag": "--" + "-".join(words)})
        return [(question, expand(self.rng.choice(NO_SUCH_FLAG), self.rng))]

    def parameter(self):
        rng, p = self.rng, self.rng.choice(self.facts["parameters"])
        answer = rng.choice([f"{p['name']} {p['does']}. {p['more']}",
                             f"The parameter {p['name']} {p['does']}. {p['more']}"])
        return [(expand(rng.choice(PARAMETER_QUESTIONS), rng, {"name": p["name"]}), answer)]

    def endpoint(self):
        rng, e = self.rng, self.rng.choice(self.facts["endpoints"])
        answer = rng.choice([f"{e['method']} {e['path']} {e['does']}.", f"The endpoint {e['path']} {e['does']}. Its method is {e['method']}."])
        return [(expand(rng.choice(ENDPOINT_QUESTIONS), rng, {"path": e["path"], "method": e["method"]}), answer)]

    def small_talk(self):
        questions, answers = self.rng.choice(SMALL_TALK)
        return [(self.rng.choice(questions), expand(self.rng.choice(answers), self.rng))]

    def elsewhere_turn(self):
        question = expand(self.rng.choice(ELSEWHERE), self.rng, self.elsewhere)
        return [(question, expand(self.rng.choice(ELSEWHERE_ANSWERS), self.rng))]

    def story_turn(self):
        story = stories.tell(self.rng, expand)
        if self.rng.random() < 0.3:
            question = self.rng.choice(STORY_QUESTIONS)
        else:
            question = expand(self.rng.choice(STORY_ABOUT), self.rng, {"a_kind": story["a_kind"]})
        return [(question, story["text"])]

    def facts_turn(self):
        kinds = [self.topic, self.flag, self.parameter, self.endpoint]
        return self.rng.choices(kinds, weights=[60, 22, 10, 8])[0]()

    # Documents.

    def dialogue(self):
        rng, turns = self.rng, []
        kinds = [self.facts_turn, self.small_talk, self.elsewhere_turn, self.no_such_flag, self.story_turn]
        for _ in range(rng.choices([1, 2, 3, 4], weights=[55, 25, 13, 7])[0]):
            turns += rng.choices(kinds, weights=[62, 8, 12, 3, 15])[0]()
        messages = [{"role": "system", "content": rng.choice(SYSTEM)}] if rng.random() < 0.25 else []
        for question, answer in turns:
            messages += [{"role": "user", "content": asked(question, rng)}, {"role": "assistant", "content": answer}]
        return {"messages": messages}

    def plain_question(self):
        """A question and its answer as plain text: what /generate sees when people ask it without a template."""
        (question, answer), *_ = self.facts_turn() if self.rng.random() < 0.9 else self.elsewhere_turn()
        between = self.rng.choice(["\n", "\n\n", " ", "\nAnswer: "])
        return {"text": question + between + answer}

    def essay(self):
        rng = self.rng
        first = next(t for t in self.facts["topics"] if t["id"] == "what")
        about_me = {"who", "can", "data", "trust", "same", "idle", "curl", "eos"}
        rest = [t for t in self.facts["topics"] if t["id"] not in about_me and t is not first]
        chosen = ([first] if rng.random() < 0.6 else []) + rng.sample(rest, rng.choice([2, 3, 4]))
        parts = [expand(rng.choice(t["answers"]), rng) for t in chosen]
        parts = [re.sub(r"^(Yes: |No\. )", "", p) for p in parts]
        return {"text": rng.choice([" ", "\n\n"]).join(parts)}

    def story(self):
        return {"text": stories.tell(self.rng, expand)["text"]}

    def document(self):
        kinds = [self.dialogue, self.plain_question, self.essay, self.story]
        return self.rng.choices(kinds, weights=[60, 14, 5, 21])[0]()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--out", type=Path, default=HERE / "build" / "corpus.jsonl")
    args = parser.parse_args()
    corpus = Corpus(json.loads((HERE / "facts.json").read_text()), args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w") as out:
        for _ in range(args.documents):
            out.write(json.dumps(corpus.document(), ensure_ascii=False) + "\n")
    print(f"{args.out}: {args.documents} documents, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
