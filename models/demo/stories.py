"""Small stories in simple words: plots whose sentences have choices and slots, filled with one cast a story."""

HEROES = {
    "he": [("fox", "Milo"), ("bear", "Bruno"), ("boy", "Tom"), ("boy", "Leo"), ("rabbit", "Pip"), ("dog", "Max"),
           ("mouse", "Nibble"), ("boy", "Sam"), ("frog", "Hugo"), ("hedgehog", "Oscar"), ("badger", "Albert"),
           ("boy", "Ben"), ("cat", "Felix"), ("robot", "Bolt"), ("dragon", "Ember"), ("farmer", "Paul"),
           ("fisherman", "Peter"), ("penguin", "Waddle"), ("sailor", "Jack"), ("baker", "Martin")],
    "she": [("cat", "Luna"), ("girl", "Mia"), ("girl", "Anna"), ("owl", "Olga"), ("duck", "Daisy"), ("girl", "Rose"),
            ("squirrel", "Hazel"), ("mouse", "Molly"), ("girl", "Lily"), ("deer", "Fern"), ("otter", "Nora"),
            ("girl", "Zoe"), ("dog", "Bella"), ("robot", "Ada"), ("bird", "Wren"), ("gardener", "Clara"),
            ("queen", "Elena"), ("fox", "Ruby"), ("baker", "Sofia"), ("turtle", "Tilda")],
}
FRIENDS = ["an old owl", "a kind neighbour", "a friendly duck", "a small mouse", "a cheerful bird", "a wise turtle",
           "an old woman", "a tall boy", "a little girl", "a quiet cat", "a busy bee", "a young goat", "a grey horse",
           "a funny frog", "a shy rabbit"]
PLACES = ["near a forest", "by the sea", "in a small village", "on a green hill", "beside a river", "in a quiet town",
          "at the edge of a wood", "in a little house", "near a lake", "in the mountains", "on a farm"]
SPOTS = ["under the big tree", "behind the house", "by the river", "in the garden", "on the hill", "under the bridge",
         "beside the path", "near the old wall", "in the tall grass", "at the market", "by the well"]
THINGS = ["a red ball", "a blue hat", "a small key", "a silver bell", "a wooden boat", "a warm scarf", "a yellow kite",
          "a shiny coin", "a green book", "a little lamp", "a golden ring", "a toy train", "a music box"]
TREATS = ["an apple", "a piece of cake", "some bread and honey", "a bowl of soup", "some berries", "a warm pie",
          "a cup of tea", "some nuts", "a slice of cheese", "a big pancake"]
FEARS = ["the dark", "thunder", "deep water", "loud noises", "high places", "the old wood", "the wind"]
PLANTS = ["a sunflower", "an apple tree", "a rose", "a pumpkin", "a bean", "a cherry tree", "a strawberry plant"]
BUILDS = ["a kite", "a small boat", "a tree house", "a little bridge", "a sledge", "a bird house", "a cart", "a raft"]
LOST = ["duckling", "kitten", "puppy", "chick", "lamb", "baby bird", "little mouse", "young hedgehog"]
WEATHERS = ["sunny", "rainy", "cold", "windy", "warm", "foggy", "bright", "cloudy", "snowy"]
ADJECTIVES = ["little", "small", "young", "kind", "curious", "clever", "shy", "brave", "happy", "quiet", "cheerful"]

OPENING = [
    "Once upon a time there was [a_hero] named [name]. [He] lived [place].",
    "Once upon a time, [place], there lived [a_hero] {called|named} [name].",
    "There was once [a_hero] named [name], who lived [place].",
    "[name] was [a_hero] who lived [place].",
    "Long ago, [a_hero] {called|named} [name] lived [place].",
    "[name] was [a_hero]. [He] lived [place] and {had many friends|liked the mornings best|knew every path there}.",
]
ONE_DAY = ["One [weather] morning", "One [weather] day", "One day", "One [weather] afternoon", "Early one morning"]
ENDING = [
    "From that day on, [name] and [the_friend] were {good friends|the best of friends}.",
    "[name] went home {happy|tired but happy} and slept well that night.",
    "That evening [name] {sat by the window and smiled|told everyone what had happened}.",
    "And [name] never forgot that day.",
    "\"{What a day|What a good day}!\" said [name], and [he] {laughed|smiled}.",
]

PLOTS = {
    "lost": [
        ["[one_day] [he] {could not find [thing_the]|noticed that [thing_the] was gone}.", "[one_day] [he] lost [thing_the]."],
        ["[He] had {got|been given} it {from [his] grandmother|for [his] birthday}, and [he] {loved it very much|took it everywhere}.", "It was [thing], and [he] {loved it very much|was very fond of it}."],
        ["[name] looked [spot], but it was not there.", "First [he] looked [spot]. Nothing!"],
        ["Then [he] looked [spot2], but [he] found only {leaves|stones|a sleeping snail}.", "Then [he] {ran|walked} to look [spot2], and there was nothing {either|there either}."],
        ["[He] sat down and {wanted to cry|felt sad}.", "\"I will never find it,\" said [name] {sadly|in a small voice}."],
        ["Just then [friend] came by. \"{What is wrong|Why are you sad}?\" asked [the_friend].", "[friend_cap] heard [him] and {stopped|came closer}. \"Can I help you?\" asked [the_friend]."],
        ["\"I lost [thing_the],\" said [name]. \"Then let us look together,\" said [the_friend].", "[name] told [the_friend] everything, and they began to look together."],
        ["They looked {everywhere|high and low}, and at last they found it [spot3]!", "After a while [the_friend] called, \"Here it is!\" It was [spot3]."],
        ["[name] was so {happy|glad} that [he] {danced|jumped in the air}. \"Thank you!\" [he] said.", "\"Thank you, thank you!\" said [name], and [he] gave [the_friend] [treat]."],
    ],
    "fear": [
        ["[name] was {brave|not afraid of much}, but [he] was afraid of [fear].", "There was only one thing that [name] did not like: [he] was afraid of [fear]."],
        ["[one_day] [friend] {came to visit|knocked at the door}. \"{Come with me|Come outside},\" said [the_friend]. \"I want to show you something.\"", "[one_day] [name] met [friend] [spot] and told [the_friend] about it."],
        ["\"I cannot,\" said [name]. \"I am afraid of [fear].\"", "\"Everybody is afraid of something,\" said [the_friend]. \"{I was afraid of [fear] too|It is nothing to be ashamed of}.\""],
        ["\"Then we will go {together|slowly},\" said [the_friend], \"one small step at a time.\"", "\"Take my hand,\" said [the_friend], \"and {count to ten|breathe slowly}.\""],
        ["So [name] took one step, and then another.", "[name] closed [his] eyes, took a deep breath and {counted to ten|went on}."],
        ["It was not as bad as [he] had thought.", "Nothing bad happened. [name] opened [his] eyes and {looked around|smiled}."],
        ["\"Look!\" said [the_friend]. \"You {did it|are very brave}!\"", "\"I am still a little afraid,\" said [name], \"but {not so much|now I know what to do}.\""],
        ["After that, [name] was not so afraid of [fear] any more.", "Being brave, [name] learned, means to {be afraid and go on|take one small step}."],
    ],
    "build": [
        ["[one_day] [name] wanted to build [build].", "[name] had a dream: [he] wanted to build [build]."],
        ["[He] took some wood, {a hammer and nails|some paper and string} and began to work.", "[He] found {old boards|sticks and rope} [spot] and carried them home."],
        ["But the first one {broke|fell apart} at once.", "[He] worked all day, but in the evening it {broke|fell apart}."],
        ["\"I will try again,\" said [name].", "[name] was {sad|angry}, but [he] did not give up."],
        ["[friend_cap] watched [him]. \"{Work slowly|Take your time},\" said [the_friend], \"and measure twice before you cut.\"", "[friend_cap] came to help. \"Two can do more than one,\" said [the_friend]."],
        ["They worked together {until the sun went down|for three days}, and this time it held.", "The second one was better, and the third one was {strong|just right}."],
        ["Everyone came to see it. \"How {beautiful|fine} it is!\" they said.", "[name] looked at it and was very proud."],
        ["\"{The first try is only the first try|Good things take time},\" said [name].", "They shared [treat] and {looked at their work|laughed about the first one}."],
    ],
    "share": [
        ["[one_day] [name] had [treat].", "[one_day] [name] {made|found} [treat] for lunch."],
        ["[He] sat down [spot] to eat it.", "It {smelled|looked} very good, and [he] was hungry."],
        ["Then [friend] came along. \"I have not eaten {all day|since yesterday},\" said [the_friend].", "Then [he] saw [friend], who {looked tired|looked hungry}."],
        ["[name] {thought about it|thought for a moment}. [He] was hungry too.", "[name] looked at [his] food. It was not very much."],
        ["\"Let us share,\" said [name], and [he] gave [the_friend] {half|the bigger half}.", "\"Sit down with me,\" said [name]. \"There is enough for two.\""],
        ["They ate together and talked about {the weather|the summer|old times}.", "\"It tastes better with a friend,\" said [the_friend]."],
        ["The next day [the_friend] came back with {a basket of apples|a jar of honey|fresh bread}. \"This is for you,\" said [the_friend].", "A week later it was [name] who was hungry, and [the_friend] shared [his] {supper|lunch} with [him]."],
    ],
    "garden": [
        ["[one_day] [name] found a small seed [spot].", "[one_day] [friend] gave [name] a small seed."],
        ["\"What will it be?\" [he] {wondered|asked}.", "[He] put it in the ground and gave it some water."],
        ["Every morning [name] {watered it|brought it water}, but nothing happened.", "[He] waited one day, two days, three days. Nothing could be seen."],
        ["\"{It does not grow|Nothing is happening},\" said [name]. \"Be patient,\" said [friend]. \"It is growing under the ground.\"", "[name] wanted to {dig it up|give up}, but [he] waited {one more day|a little longer}."],
        ["Then, after the rain, a small green leaf came out.", "One morning there was a tiny green {leaf|shoot}."],
        ["It grew {taller and taller|a little every day}, and in the summer it was [plant].", "Week after week it grew, and at last it was [plant]."],
        ["[name] {showed it to all [his] friends|was very proud of it}.", "\"I am glad that I waited,\" said [name]."],
    ],
    "rescue": [
        ["[one_day] [name] heard a small sound [spot].", "[one_day] [name] was walking [spot] when [he] heard someone crying."],
        ["It was a [lost], all alone.", "There sat a [lost], {cold and wet|small and afraid}."],
        ["\"I have lost my mother,\" said the [lost].", "\"I do not know the way home,\" said the [lost]."],
        ["\"Do not cry,\" said [name]. \"I will {help you|take you home}.\"", "[name] gave the [lost] [treat] and said, \"We will find your home.\""],
        ["They went {over the hill and across the bridge|along the river and through the wood}.", "First they asked [friend], who {pointed to the river|knew the way}."],
        ["At last they heard a voice. \"{My child|My little one}!\" It was the mother.", "Behind the last {tree|house} the mother was waiting."],
        ["\"Thank you, [name],\" she said. \"You have a good heart.\"", "The [lost] ran to her, and everyone was {glad|happy}."],
    ],
    "rain": [
        ["[one_day] it began to rain, and it did not stop.", "[one_day] the rain came down so hard that nobody could go out."],
        ["[name] looked out of the window. \"What can I do all day?\" [he] asked.", "[name] had wanted to play outside, and now [he] was {bored|cross}."],
        ["Then [he] {found|remembered} [thing] in a box under the bed.", "[friend_cap] knocked at the door, wet from head to foot. \"{May I come in|Can I wait here}?\""],
        ["They made a {fire|tent of blankets} and told each other stories.", "[He] built a castle of {chairs and blankets|boxes} and was the king of it."],
        ["They ate [treat] and listened to the rain on the roof.", "Then there was [treat], warm and sweet."],
        ["When the rain stopped, there was a rainbow over the {hills|houses}.", "In the evening the clouds went away and the {stars|moon} came out."],
        ["\"I hope that it rains tomorrow,\" said [name].", "It had been the best rainy day of all."],
    ],
    "neighbour": [
        ["[one_day] someone new moved into the house next door. It was [friend].", "[one_day] [name] had a new neighbour: [friend]."],
        ["[name] wanted to say hello, but [he] was too shy.", "At first they did not talk. They only looked at each other."],
        ["So [he] {made|brought} [treat] and put it in front of the door.", "Then [name] had an idea. [He] wrote a letter: \"Welcome!\""],
        ["The next morning there was [thing] in front of [name]'s door.", "The next day there was an answer: \"Thank you. Do you want to play?\""],
        ["\"Who could that be?\" {thought|wondered} [name], and [he] smiled.", "[name] ran outside as fast as [he] could."],
        ["There stood [the_friend]. \"I was too shy to say hello,\" said [the_friend]. \"Me too!\" said [name].", "They played [spot] until it was dark."],
    ],
    "server": [
        ["[one_day] [name] found a small computer [spot].", "[name] had a small computer that could write."],
        ["It had no hands and no eyes, but it {knew many words|was good with words}.", "When somebody asked it something, it {answered|wrote an answer}, one word after another."],
        ["\"How do you know the next word?\" asked [name].", "\"Where do your words come from?\" asked [name]."],
        ["\"I read what is there,\" said the computer, \"and then I {guess|choose} what comes next.\"", "\"I have read many sentences,\" said the computer, \"and I remember how they go on.\""],
        ["\"Are you always right?\" asked [name]. \"No,\" said the computer. \"That is why you should {check|look yourself}.\"", "Soon [friend] came, and then the whole village, and everyone had a question."],
        ["It answered them all at the same time, a word for each, and then the next word for each.", "[name] asked for a story, and the computer {began|wrote}: \"Once upon a time...\""],
        ["When nobody asked, it slept and {was very quiet|used no power at all}.", "In the evening it was quiet again, and the computer {rested|slept} until the next question."],
    ],
    "trip": [
        ["[one_day] [name] decided to go to the {sea|lake|top of the hill|city}.", "[one_day] [name] packed a {small bag|basket} with [treat] and went on a trip."],
        ["The way was long, but the {sun was shining|birds were singing}.", "[He] walked {past the mill and over the bridge|through fields and along a stream}."],
        ["On the way [he] met [friend]. \"Where are you going?\" asked [the_friend].", "[spot_cap] [he] met [friend], who was {going the same way|resting}."],
        ["\"I do not know yet,\" said [name]. \"May I come with you?\" asked [the_friend]. \"Of course!\"", "\"Two are better than one,\" said [the_friend], and they went on together."],
        ["When they were tired, they sat down [spot2] and ate [treat].", "They sang a song and {did not notice how far they had come|forgot that they were tired}."],
        ["In the afternoon they arrived, and the view was {wonderful|beautiful}.", "At last they were there. They looked around and {said nothing for a while|were very happy}."],
        ["They came home when the {first stars were|moon was} in the sky.", "The way home seemed much shorter."],
    ],
}


def with_article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def tell(rng, expand):
    """One story: {"text", "a_kind"}; a_kind is what it is about, such as "a fox"."""
    pronoun = rng.choice(["he", "she"])
    kind, name = rng.choice(HEROES[pronoun])
    friend = rng.choice([f for f in FRIENDS if f.split()[-1] != kind])
    thing = rng.choice(THINGS)
    spots = rng.sample(SPOTS, 3)
    plot = PLOTS[rng.choice(list(PLOTS))]
    him, his = ("him", "his") if pronoun == "he" else ("her", "her")
    slots = {
        "one_day": rng.choice(ONE_DAY), "weather": rng.choice(WEATHERS), "name": name, "he": pronoun,
        "He": pronoun.capitalize(), "him": him, "his": his, "place": rng.choice(PLACES),
        "a_hero": with_article(f"{rng.choice(ADJECTIVES)} {kind}"), "friend": friend,
        "friend_cap": friend[0].upper() + friend[1:], "the_friend": "the " + friend.split(" ", 1)[1],
        "thing": thing, "thing_the": his + " " + thing.split(" ", 1)[1], "treat": rng.choice(TREATS),
        "fear": rng.choice(FEARS), "plant": rng.choice(PLANTS), "build": rng.choice(BUILDS), "lost": rng.choice(LOST),
        "spot": spots[0], "spot2": spots[1], "spot3": spots[2], "spot_cap": spots[0].capitalize(),
    }
    sentences = [rng.choice(OPENING)]
    for step, ways in enumerate(plot):
        if 2 < step < len(plot) - 1 and rng.random() < 0.1:
            continue
        sentences.append(rng.choice(ways))
    has_friend = any("[friend" in s for s in sentences)
    sentences.append(rng.choice(ENDING if has_friend else ENDING[1:]))
    sentences = [s if has_friend else s.replace("[the_friend]", "[friend]") for s in sentences]
    text = expand(" ".join(sentences), rng, slots)
    return {"text": text, "a_kind": with_article(kind)}
