"""Random requests, and what a right answer to each looks like."""

import json

from client import BadResponse

WORDS = ("the", "little", "house", "a", "river", "stone", "and", "then", "Anna", "said", "garden", "blue", "ran", "home",
         "old", "cat", "slept", "under", "tree", "one", "day", "über", "日本", "🙂", "\n", "...")
BEGINNINGS = ["Once upon a time", "There was an old garden behind the house. " * 4,
              "You are a friendly teller of small stories. " * 8]
ERROR_TYPES = {422: "validation", 424: "generation", 429: "overloaded", 500: None, 503: None}

# Answered the same whatever runs beside: every kind of sampling, streamed or not, with and without details.
REFERENCES = [(path, {"inputs": inputs, "parameters": {"max_new_tokens": 24, **parameters}}) for path, inputs, parameters in (
    ("/generate", BEGINNINGS[0], {}),
    ("/generate", BEGINNINGS[1] + "A fox came by", {"details": True, "top_n_tokens": 3}),
    ("/generate", BEGINNINGS[2] + "Tell one.", {"do_sample": True, "seed": 7, "top_p": 0.9, "details": True}),
    ("/generate", BEGINNINGS[0] + " there", {"decoder_input_details": True, "max_new_tokens": 4}),
    ("/generate", "The cat", {"seed": 3, "temperature": 1.7, "top_k": 40, "typical_p": 0.9, "details": True}),
    ("/generate", "A", {"repetition_penalty": 1.3, "frequency_penalty": 0.4, "presence_penalty": 0.2, "stop": [" the"]}),
    ("/generate", BEGINNINGS[1], {"watermark": True, "do_sample": True, "seed": 9, "min_p": 0.02, "details": True}),
    ("/generate", BEGINNINGS[0] * 20, {"truncate": 30, "logit_bias": {"261": -3}, "details": True}),
    ("/generate_stream", BEGINNINGS[2] + "And so", {"details": True, "top_n_tokens": 2}),
    ("/generate_stream", BEGINNINGS[0], {"do_sample": True, "seed": 11, "max_new_tokens": 90}),
    ("/", "Hello there", {"max_new_tokens": 12}),
)]
OPENAI_REFERENCES = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "What is prompteur?"}], "max_tokens": 20, "n": 2,
                              "seed": 4, "temperature": 1.2, "logprobs": True, "top_logprobs": 2}),
    ("/v1/completions", {"prompt": [[7, 9, 30], [500]], "max_tokens": 9, "temperature": 0, "echo": True}),
    ("/v1/completions", {"prompt": ["A", BEGINNINGS[1]], "max_tokens": 15, "temperature": 0, "logprobs": 1}),
]


def text(r, most):
    return " ".join(r.choice(WORDS) for _ in range(r.randint(1, most)))


def inputs(r):
    if r.random() < 0.2:  # nearly a reference's, so that a page that is not quite equal would be noticed
        words = r.choice(REFERENCES)[1]["inputs"].split(" ")
        words[r.randrange(len(words))] = r.choice(WORDS)
        return " ".join(words)
    begin = r.choice(BEGINNINGS) if r.random() < 0.7 else ""
    return begin + (text(r, 200) if r.random() < 0.15 else text(r, 12))


def parameters(r, stream):
    p = {"max_new_tokens": r.choice((1, 2, 5, 10, 20, 40, 80, 150))}

    def sometimes(share, name, value):
        if r.random() < share:
            p[name] = value

    sometimes(0.4, "do_sample", True)
    sometimes(0.3, "seed", r.getrandbits(r.choice((3, 64))))
    sometimes(0.3, "temperature", r.choice((0.3, 0.9, 1.5, 4.0)))
    sometimes(0.2, "top_k", r.randint(1, 100))
    sometimes(0.2, "top_p", r.uniform(0.05, 0.99))
    sometimes(0.1, "typical_p", r.uniform(0.05, 0.99))
    sometimes(0.1, "min_p", r.uniform(0, 0.5))
    sometimes(0.2, "repetition_penalty", r.uniform(0.8, 1.6))
    sometimes(0.1, "frequency_penalty", r.uniform(-1, 2))
    sometimes(0.1, "presence_penalty", r.uniform(-1, 2))
    sometimes(0.05, "watermark", True)
    sometimes(0.1, "logit_bias", {str(r.randrange(2048)): r.uniform(-9, 9) for _ in range(r.randint(1, 20))})
    sometimes(0.3, "stop", [r.choice((" the", "e", ".", "said", "qzx", "\n")) for _ in range(r.randint(1, 4))])
    sometimes(0.4, "details", True)
    sometimes(0.2, "top_n_tokens", r.randint(1, 5))
    sometimes(0.2, "return_full_text", r.random() < 0.5)
    sometimes(0.2, "truncate", r.randint(1, 100))
    sometimes(0.2, "cache_salt", r.choice(("a", "b", "")))
    if not stream:
        sometimes(0.15, "decoder_input_details", True)
        if r.random() < 0.15 and "seed" not in p:
            p.update(best_of=2, do_sample=True)
    return p


def openai(r):
    """The same as native() for OpenAI's routes."""
    p = {k: v for k, v in parameters(r, True).items()
         if k not in ("max_new_tokens", "do_sample", "watermark", "details", "top_n_tokens", "return_full_text", "truncate")}
    p["max_tokens"] = r.choice((1, 2, 5, 10, 20, 40))
    p["stream"] = r.random() < 0.5
    if r.random() < 0.3:
        p["n"] = r.randint(1, 3)
    if r.random() < 0.3:
        p["stream_options"] = {"include_usage": True}
    if r.random() < 0.5:
        if r.random() < 0.3:
            p.update(logprobs=True, top_logprobs=r.randint(0, 5))
        roles = ("system",) * r.randint(0, 1) + ("user", "assistant") * r.randint(0, 2) + ("user",)
        return "/v1/chat/completions", {**p, "messages": [{"role": role, "content": text(r, 20)} for role in roles]}
    if r.random() < 0.3:
        p["logprobs"] = r.randint(0, 5)
    prompt = r.choice((inputs(r), [inputs(r) for _ in range(r.randint(1, 4))], [r.randrange(2048) for _ in range(5)]))
    return "/v1/completions", {**p, "prompt": prompt}


def native(r):
    """(path, body) of a request that may only be refused for its length or for want of room."""
    path = r.choice(("/generate", "/generate", "/generate_stream", "/generate_stream", "/"))
    stream = path == "/generate_stream" or (path == "/" and r.random() < 0.5)
    body = {"inputs": inputs(r), "parameters": parameters(r, stream)}
    if path == "/":
        body["stream"] = stream
    return path, body


def bad(r):
    """(path, bytes) of a request that must be refused with 400 or 422."""
    path, body = native(r)
    stream = path == "/generate_stream" or body.get("stream")
    whole = json.dumps(body).encode()
    kind = r.randrange(6)
    if kind == 0:
        return path, whole[:r.randrange(len(whole))]
    if kind == 1:
        return path, b"[" * r.randint(1, 5000)
    if kind == 2:
        return path, json.dumps({"parameters": body["parameters"]}).encode()
    if kind == 3:
        return path, whole + r.choice((b"x", b"}", b"\xff", b"\0"))
    wrong = {"temperature": 0, "top_p": 1.5, "top_k": -1, "max_new_tokens": 0, "best_of": 3, "top_n_tokens": 6,
             "truncate": 0, "stop": ["a"] * 5, "frequency_penalty": 9, "logit_bias": {"x": 1}, "grammar": {"type": "json"},
             "adapter_id": "a", "min_p": 2, "max_new_tokens ": 1}
    name = r.choice([k for k in wrong if not k.endswith(" ")])
    value = wrong[name] if kind == 4 else r.choice(({}, "x", [1]) if name not in ("logit_bias", "grammar", "adapter_id", "stop") else (7,))
    body["parameters"][name] = value
    if stream:
        body["parameters"].pop("decoder_input_details", None)
    return path, json.dumps(body).encode()


# ---- what came back


def check_error(status, body, in_stream=False):
    """A refusal has TGI's shape; which statuses are right is the caller's business."""
    try:
        error = json.loads(body)
    except ValueError as e:
        raise BadResponse(f"error {status} with a body that is no JSON: {body[:200]!r}") from e
    if set(error) != {"error", "error_type"} or not error["error"]:
        raise BadResponse(f"error {status}: {body[:200]!r}")
    if not in_stream and error["error_type"] != ERROR_TYPES.get(status, error["error_type"]):
        raise BadResponse(f"error {status} of type {error['error_type']}")
    return error["error_type"]


def _check_tokens(details, p):
    tokens = details["tokens"]
    if len(tokens) != details["generated_tokens"] or not 1 <= len(tokens) <= p["max_new_tokens"]:
        raise BadResponse(f"{len(tokens)} tokens, {details['generated_tokens']} counted, {p['max_new_tokens']} asked")
    if details["finish_reason"] not in ("length", "eos_token", "stop_sequence"):
        raise BadResponse(f"finish_reason {details['finish_reason']}")
    if details["finish_reason"] == "length" and len(tokens) != p["max_new_tokens"]:
        raise BadResponse("ended for its length and is shorter")
    if p.get("top_n_tokens") and len(details["top_tokens"]) != len(tokens):
        raise BadResponse("top_tokens are not one a token")


def _count_choices(body):
    prompt = body.get("prompt", "")
    return body.get("n", 1) * (len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1)


def _check_choices(body, answer):
    choices = answer["choices"]
    if [c["index"] for c in choices] != list(range(_count_choices(body))):
        raise BadResponse(f"choices {[c['index'] for c in choices]}")
    if any(c["finish_reason"] not in ("length", "stop", "stop_sequence") for c in choices):
        raise BadResponse(f"finish reasons {[c['finish_reason'] for c in choices]}")
    if not len(choices) <= answer["usage"]["completion_tokens"] <= len(choices) * body["max_tokens"]:
        raise BadResponse(f"usage {answer['usage']}")


def check_whole(path, body, answer):
    """The JSON of a 200."""
    if path.startswith("/v1"):
        _check_choices(body, answer)
        return
    p = body["parameters"]
    if path == "/":
        if not isinstance(answer, list) or len(answer) != 1:
            raise BadResponse("/ answers with an array of one")
        answer = answer[0]
    if not isinstance(answer.get("generated_text"), str):
        raise BadResponse(f"no generated_text: {str(answer)[:200]}")
    details = answer.get("details")
    if bool(details) != bool(p.get("details") or p.get("decoder_input_details")):
        raise BadResponse("details where none were asked for, or none where they were")
    if not details:
        return
    _check_tokens(details, p)
    if p.get("decoder_input_details") and not details["prefill"]:
        raise BadResponse("no prefill")
    others = details.get("best_of_sequences", [])
    if len(others) != p.get("best_of", 1) - 1:
        raise BadResponse(f"{len(others)} further answers")
    for other in others:
        _check_tokens(other, p)


class ChunkCheck:
    """StreamCheck for OpenAI's routes."""

    def __init__(self, body):
        self.body, self.rest, self.error, self.done = body, b"", None, False
        self.frames, self.ended = [], set()

    def feed(self, data):
        *frames, self.rest = (self.rest + data).split(b"\n\n")
        for frame in frames:
            if frame != b":":
                self._frame(frame)

    def _frame(self, frame):
        if not frame.startswith(b"data: ") or self.done:
            raise BadResponse(f"frame {frame[:200]!r} " + ("behind the end" if self.done else ""))
        self.frames.append(frame)
        self.done = frame == b"data: [DONE]"
        if self.done:
            return
        chunk = json.loads(frame[6:])
        if "error" in chunk:
            code = chunk["error"]["http_status_code"]
            self.error = ERROR_TYPES.get(code) or f"error {code}"
            return
        for choice in chunk["choices"]:
            if choice["index"] in self.ended:
                raise BadResponse(f"choice {choice['index']} goes on after its end")
            if choice["finish_reason"]:
                self.ended.add(choice["index"])

    def end(self):
        whole = self.error or self.ended == set(range(_count_choices(self.body)))
        if self.rest or not self.done or not whole:
            raise BadResponse(f"a stream that is not whole: {self.ended} have ended, rest {self.rest[:100]!r}")


class StreamCheck:
    """Fed with a stream's bytes; knows whether it is whole."""

    def __init__(self, body):
        self.p, self.rest, self.n, self.last, self.error = body["parameters"], b"", 0, None, None
        self.frames = []

    def feed(self, data):
        *frames, self.rest = (self.rest + data).split(b"\n\n")
        for frame in frames:
            if frame != b":":
                self._frame(frame)

    def _frame(self, frame):
        if not frame.startswith(b"data:") or self.last or self.error:
            raise BadResponse(f"frame {frame[:200]!r} " + ("behind the end" if self.last or self.error else ""))
        self.frames.append(frame)
        try:
            event = json.loads(frame[5:])
        except ValueError as e:
            raise BadResponse(f"an event that is no JSON: {frame[:200]!r}") from e
        if "error" in event:
            self.error = check_error(0, frame[5:], in_stream=True)
            return
        self.n += 1
        if event["index"] != self.n or not isinstance(event["token"]["text"], str):
            raise BadResponse(f"event {self.n} is {frame[:200]!r}")
        if event["generated_text"] is not None:
            self.last = event

    def end(self):
        """Raises unless the stream was whole: a last event, or an error as the last."""
        if self.rest or not (self.last or self.error):
            raise BadResponse(f"a stream without its last event, {self.n} tokens, rest {self.rest[:100]!r}")
        if self.last and (self.n > self.p["max_new_tokens"] or bool(self.last["details"]) != bool(self.p.get("details"))):
            raise BadResponse("a stream with too many tokens, or details that nobody asked for")
