"""OpenAI's routes on the wire: objects and chunks member by member, framing, defaults, refusals, headers, counts."""

import concurrent.futures
import json
import random
import time

import pytest
import requests

from conftest import DEMO, Server, eventually, openai_chunks

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
USER = [{"role": "user", "content": "What is prompteur?"}]
FRAME = ["object", "id", "created", "model", "system_fingerprint"]
USAGE = ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"]


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("strict") / "log", "--strict-openai")
    yield s
    assert s.stop() == 0
    assert "Sanitizer" not in s.log(), s.log()


def chat(server, messages=USER, **more):
    return server.post(CHAT, {"messages": messages, "temperature": 0, "max_tokens": 8, **more})


def complete(server, prompt="Once upon a time", **more):
    return server.post(COMPLETIONS, {"prompt": prompt, "temperature": 0, "max_tokens": 8, **more})


def text_of(response):
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    return choice["text"] if "text" in choice else choice["message"]["content"]


def check_usage(usage, n_prompt, n_made):
    assert list(usage) == USAGE and list(usage["prompt_tokens_details"]) == ["cached_tokens"]
    assert usage["prompt_tokens"] == n_prompt and usage["completion_tokens"] == n_made
    assert usage["total_tokens"] == n_prompt + n_made
    assert 0 <= usage["prompt_tokens_details"]["cached_tokens"] < n_prompt


def check_frame(body, members, kind, model=str(DEMO)):
    assert list(body) == FRAME + members
    assert body["object"] == kind and body["model"] == model and body["system_fingerprint"].startswith("fp_")
    assert body["id"].startswith("chatcmpl-" if kind.startswith("chat") else "cmpl-")
    assert isinstance(body["created"], int) and abs(body["created"] - time.time()) < 60


# ---- shapes ----

def test_a_chat_completion_member_by_member(server):
    r = chat(server)
    assert r.status_code == 200 and r.headers["content-type"] == "application/json"
    body = r.json()
    check_frame(body, ["choices", "usage"], "chat.completion")
    [choice] = body["choices"]
    assert list(choice) == ["index", "message", "logprobs", "finish_reason"]
    assert choice["index"] == 0 and choice["logprobs"] is None and choice["finish_reason"] == "length"
    assert list(choice["message"]) == ["role", "content"] and choice["message"]["role"] == "assistant"
    check_usage(body["usage"], int(r.headers["x-prompt-tokens"]), 8)


def test_a_chat_stream_member_by_member(server):
    r = chat(server, stream=True)
    chunks = openai_chunks(r)
    assert len(chunks) == 8 and len({(c["id"], c["created"]) for c in chunks}) == 1
    for i, chunk in enumerate(chunks):
        check_frame(chunk, ["choices", "usage"], "chat.completion.chunk")
        assert chunk["usage"] is None
        [choice] = chunk["choices"]
        assert list(choice) == ["index", "delta", "logprobs", "finish_reason"]
        assert choice["index"] == 0 and choice["logprobs"] is None
        assert choice["finish_reason"] == ("length" if i == 7 else None)
        assert list(choice["delta"]) == ["role", "content"] and choice["delta"]["role"] == "assistant"
    assert "".join(c["choices"][0]["delta"]["content"] for c in chunks) == text_of(chat(server))


def test_the_usage_of_a_stream_is_a_chunk_of_its_own(server):
    whole = chat(server, n=2, seed=1, temperature=1.5).json()["usage"]
    chunks = openai_chunks(chat(server, n=2, seed=1, temperature=1.5, stream=True, stream_options={"include_usage": True}))
    assert all(c["usage"] is None and len(c["choices"]) == 1 for c in chunks[:-1])
    check_frame(chunks[-1], ["choices", "usage"], "chat.completion.chunk")
    assert chunks[-1]["choices"] == []
    check_usage(chunks[-1]["usage"], whole["prompt_tokens"], whole["completion_tokens"])
    for options in (None, {}, {"include_usage": False}, {"include_usage": None}):
        assert all(c["choices"] for c in openai_chunks(chat(server, stream=True, stream_options=options)))
    chunks = openai_chunks(complete(server, ["Once", "Hello"], stream=True, stream_options={"include_usage": True}))
    assert chunks[-1]["choices"] == [] and all("usage" not in c for c in chunks[:-1])
    check_usage(chunks[-1]["usage"], 4, 16)


def test_a_completion_member_by_member(server):
    r = complete(server)
    assert r.status_code == 200 and r.headers["content-type"] == "application/json"
    body = r.json()
    check_frame(body, ["choices", "usage"], "text_completion")
    [choice] = body["choices"]
    assert list(choice) == ["index", "text", "logprobs", "finish_reason"]
    assert choice["index"] == 0 and choice["logprobs"] is None and choice["finish_reason"] == "length"
    check_usage(body["usage"], int(r.headers["x-prompt-tokens"]), 8)
    assert choice["text"] == server.generate("Once upon a time", max_new_tokens=8).json()["generated_text"]


def test_a_completion_stream_member_by_member(server):
    chunks = openai_chunks(complete(server, stream=True))
    assert len(chunks) == 8
    for i, chunk in enumerate(chunks):
        check_frame(chunk, ["choices", "usage"] if i == 7 else ["choices"], "text_completion")
        [choice] = chunk["choices"]
        assert list(choice) == ["index", "text", "logprobs", "finish_reason"] and choice["logprobs"] is None
        assert choice["finish_reason"] == ("length" if i == 7 else "")
    check_usage(chunks[-1]["usage"], complete(server).json()["usage"]["prompt_tokens"], 8)
    assert "".join(c["choices"][0]["text"] for c in chunks) == text_of(complete(server))


def test_several_prompts_are_answered_each_on_its_own(server):
    prompts = ["Once upon a time", "Hello", "What is prompteur?", "Once"]
    alone = [complete(server, p) for p in prompts]
    r = complete(server, prompts)
    body = r.json()
    assert [c["index"] for c in body["choices"]] == [0, 1, 2, 3]
    assert [c["text"] for c in body["choices"]] == [text_of(a) for a in alone]
    check_usage(body["usage"], sum(a.json()["usage"]["prompt_tokens"] for a in alone), 32)
    assert r.headers["x-generated-tokens"] == "32" and "x-compute-time" not in r.headers
    assert int(r.headers["x-prompt-tokens"]) == body["usage"]["prompt_tokens"]
    assert r.headers["x-compute-characters"] == str(sum(map(len, prompts)))

    texts, ended = {i: "" for i in range(4)}, []
    chunks = openai_chunks(complete(server, prompts, stream=True))
    for chunk in chunks:
        [choice] = chunk["choices"]
        assert choice["index"] not in ended
        texts[choice["index"]] += choice["text"]
        if choice["finish_reason"]:
            ended.append(choice["index"])
            check_usage(chunk["usage"], alone[choice["index"]].json()["usage"]["prompt_tokens"], 8)
    assert sorted(ended) == [0, 1, 2, 3] and [texts[i] for i in range(4)] == [text_of(a) for a in alone]
    order = [c["choices"][0]["index"] for c in chunks]
    assert order != sorted(order)  # none waits for another


def test_models(server):
    body = requests.get(server.url + "/v1/models", timeout=10).json()
    assert body == {"object": "list",
                    "data": [{"id": str(DEMO), "object": "model", "created": 0, "owned_by": str(DEMO)}]}


def test_headers(server):
    times = {"x-total-time", "x-validation-time", "x-queue-time", "x-inference-time", "x-time-per-token"}
    counts = {"x-prompt-tokens", "x-generated-tokens"}
    for ask in (chat, complete):
        r = ask(server)
        assert all(r.headers[h].isdigit() for h in times | counts)
        assert float(r.headers["x-compute-time"]) > 0 and r.headers["x-compute-type"]
        assert r.headers["x-compute-characters"].isdigit() and "x-accel-buffering" not in r.headers
        r = ask(server, stream=True)
        assert r.headers["content-type"] == "text/event-stream" and r.headers["cache-control"] == "no-cache"
        assert r.headers["x-accel-buffering"] == "no" and r.headers["x-compute-type"]
        assert r.headers["x-compute-characters"].isdigit()
        assert not set(r.headers) & (times | counts | {"x-compute-time"})
    assert complete(server, "Grüße").headers["x-compute-characters"] == "5"


# ---- requests ----

def test_any_model_name_is_served_and_comes_back(server):
    for name, shown in ((None, str(DEMO)), ("tgi", str(DEMO)), ("dummy", "dummy"), ("gpt-4ö", "gpt-4ö"), ("", "")):
        assert chat(server, model=name).json()["model"] == shown
        assert {c["model"] for c in openai_chunks(chat(server, model=name, stream=True))} == {shown}
        assert complete(server, model=name).json()["model"] == str(DEMO)
    r = chat(server, model="x" * 513)
    assert r.status_code == 422 and r.text.endswith("model: a name has at most 512 bytes")


def test_unset_members_may_be_null(server):
    names = ["model", "frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias", "max_tokens", "n",
             "seed", "stop", "stream", "stream_options", "temperature", "top_p", "top_k", "min_p", "user"]
    more = {CHAT: ["logprobs", "top_logprobs", "max_completion_tokens", "tools", "tool_choice", "tool_prompt",
                   "response_format", "chat_template_kwargs"], COMPLETIONS: ["suffix", "echo", "best_of", "logprobs"]}
    null = {CHAT: {"messages": [{"role": "user", "content": "Hi", "name": None, "tool_calls": None, "tool_call_id": None}]},
            COMPLETIONS: {"prompt": "Hi"}}
    for path, body in null.items():
        r = server.post(path, {**body, **dict.fromkeys(names + more[path]), "max_tokens": 4})
        assert r.status_code == 200, r.text


def test_values_that_mean_off(server):
    """OpenAI's clients send them; TGI's own routes go on refusing them."""
    plain = text_of(chat(server))
    for off in ({"top_p": 1}, {"top_p": 1.0, "n": 1}, {"top_k": 0}, {"top_k": -1}, {"typical_p": 1}, {"top_p": 0.3},
                {"presence_penalty": 0, "frequency_penalty": 0}, {"logit_bias": {}}, {"stop": []}, {"stop": ""}):
        assert text_of(chat(server, **off)) == plain
    assert server.generate("Once", top_p=1.0).status_code == 422
    sampled = {text_of(server.post(CHAT, {"messages": USER, "max_tokens": 8, "top_p": 1, "seed": s, "temperature": 2}))
               for s in range(6)}
    assert len(sampled) > 1  # an absent temperature samples, a top_p of 1 filters nothing


def test_unknown_members_are_ignored(server):
    more = {"parallel_tool_calls": True, "store": False, "metadata": {"a": "b"}, "service_tier": "auto", "user": "me",
            "reasoning_effort": "low", "tool_choice": "auto", "guided_json": None, "x": [1, {"y": None}]}
    assert text_of(chat(server, **more)) == text_of(chat(server))
    assert text_of(complete(server, **more)) == text_of(complete(server))


def test_either_name_bounds_the_answer(server):
    for limit in ({"max_tokens": 3}, {"max_tokens": None, "max_completion_tokens": 3}):
        assert chat(server, **limit).json()["usage"]["completion_tokens"] == 3
    whole = server.post(CHAT, {"messages": USER, "temperature": 0}).json()  # to the end of the answer
    assert whole["choices"][0]["finish_reason"] == "stop" and whole["usage"]["completion_tokens"] > 8


def test_several_answers(server):
    body = chat(server, n=3, seed=5, temperature=1.5, max_tokens=16).json()
    texts = [c["message"]["content"] for c in body["choices"]]
    assert [c["index"] for c in body["choices"]] == [0, 1, 2] and len(set(texts)) > 1
    assert body["usage"]["completion_tokens"] > 16 and body["usage"]["prompt_tokens"] == 17
    assert texts == [c["message"]["content"] for c in chat(server, n=3, seed=5, temperature=1.5, max_tokens=16).json()["choices"]]
    streamed = [""] * 3
    for chunk in openai_chunks(chat(server, n=3, seed=5, temperature=1.5, max_tokens=16, stream=True)):
        streamed[chunk["choices"][0]["index"]] += chunk["choices"][0]["delta"]["content"]
    assert streamed == texts
    assert text_of(chat(server, seed=5, temperature=1.5, max_tokens=16)) == texts[0]
    two = complete(server, ["Once", "Hello"], n=2, seed=5, temperature=1.5).json()
    assert [c["index"] for c in two["choices"]] == [0, 1, 2, 3] and two["usage"]["prompt_tokens"] == 4
    each = [complete(server, p, n=2, seed=5, temperature=1.5).json()["choices"] for p in ("Once", "Hello")]
    assert [c["text"] for c in two["choices"]] == [c["text"] for e in each for c in e]


@pytest.mark.parametrize("ask", [chat, complete])
def test_stop_strings(server, strict, ask):
    whole = text_of(ask(server, max_tokens=30))
    stop = whole[20:25]
    end = whole.index(stop)
    for given in (stop, [stop], ["never seen", stop], [stop, stop, "", "x" * 500]):
        r = ask(server, max_tokens=30, stop=given)
        assert r.json()["choices"][0]["finish_reason"] == "stop_sequence"
        assert text_of(r).startswith(whole[:end] + stop) and len(text_of(r)) < end + 20
        r = ask(strict, max_tokens=30, stop=given)
        assert r.json()["choices"][0]["finish_reason"] == "stop" and text_of(r) == whole[:end]
        chunks = openai_chunks(ask(strict, max_tokens=30, stop=given, stream=True))
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert all(c["choices"][0]["finish_reason"] is None for c in chunks[:-1])
    assert text_of(ask(strict, max_tokens=30, stop=whole[-3:] + "never")) == whole  # what was held back is given out


def test_the_end_has_many_names(server, strict):
    messages = [{"role": "user", "content": "What is prompteur?"}]
    body = {"messages": messages, "temperature": 0}
    prompt = server.post("/chat_tokenize", {"messages": messages}).json()["templated_text"]
    prompt = {"prompt": prompt.removeprefix("<|begin_of_text|>"), "temperature": 0}
    for path, whole, streamed in ((CHAT, "stop", "stop"), (COMPLETIONS, "stop", "eos_token")):
        for s, expected in ((server, streamed), (strict, "stop")):
            asked = body if path == CHAT else prompt
            r = s.post(path, asked)
            assert r.json()["choices"][0]["finish_reason"] == whole and "<|" not in text_of(r)
            last = openai_chunks(s.post(path, {**asked, "stream": True}))[-1]["choices"][0]
            assert last["finish_reason"] == expected
            assert (last["delta"]["content"] if path == CHAT else last["text"]) == ""  # the end's token is no text


def test_echo_and_token_ids(server):
    plain = text_of(complete(server, "Grüße, once"))
    ids = [t["id"] for t in server.post("/tokenize", {"inputs": "Grüße, once"}).json()]
    assert text_of(complete(server, "Grüße, once", echo=True)) == "Grüße, once" + plain
    assert text_of(complete(server, ids)) == plain
    assert text_of(complete(server, [ids])) == plain
    echoed = text_of(complete(server, ids, echo=True))
    assert echoed.endswith("Grüße, once" + plain)
    both = complete(server, [ids, ids], echo=True).json()
    assert [c["text"] for c in both["choices"]] == [echoed] * 2
    assert complete(server, ["Grüße, once", ids]).json()["choices"][1]["text"] == plain
    chunks = openai_chunks(complete(server, ["Grüße, once", "Hello"], echo=True, stream=True))
    texts = ["", ""]
    for c in chunks:
        texts[c["choices"][0]["index"]] += c["choices"][0]["text"]
    assert texts[0] == "Grüße, once" + plain and texts[1].startswith("Hello")
    long = "a\x01" * 300
    assert "".join(c["choices"][0]["text"] for c in openai_chunks(complete(server, long, echo=True, stream=True))).startswith(long)


# ---- logprobs ----

def bytes_of(content):
    return b"".join(bytes(t["bytes"] or []) for t in content)


@pytest.mark.parametrize("seed", range(6))
def test_the_logprobs_of_a_chat_add_up_to_its_text(server, seed):
    ask = dict(seed=seed, temperature=[0, 1, 3][seed % 3], max_tokens=40, logprobs=True, top_logprobs=seed % 4)
    body = chat(server, **ask).json()
    content = body["choices"][0]["logprobs"]["content"]
    assert list(body["choices"][0]["logprobs"]) == ["content"] and len(content) == body["usage"]["completion_tokens"]
    assert bytes_of(content).decode() == body["choices"][0]["message"]["content"]
    for t in content:
        assert list(t) == ["token", "logprob", "bytes", "top_logprobs"] and t["logprob"] <= 0
        assert t["bytes"] is None or bytes(t["bytes"]).decode() == t["token"] or t["token"].startswith("<|")
        assert len(t["top_logprobs"]) >= seed % 4 and all(list(x) == ["token", "logprob", "bytes"] for x in t["top_logprobs"])
        logprobs = [x["logprob"] for x in t["top_logprobs"]]
        assert logprobs == sorted(logprobs, reverse=True)
    streamed = []
    for c in openai_chunks(chat(server, **ask, stream=True)):
        [choice] = c["choices"]
        assert bytes_of(choice["logprobs"]["content"]).decode() == choice["delta"]["content"]
        streamed += choice["logprobs"]["content"]
    assert streamed == content


@pytest.mark.parametrize("seed", range(6))
def test_the_logprobs_of_a_completion_add_up_to_its_text(server, seed):
    ask = dict(seed=seed, temperature=[0, 1, 3][seed % 3], max_tokens=40, logprobs=seed % 4)
    choice = complete(server, **ask).json()["choices"][0]
    told = choice["logprobs"]
    assert list(told) == ["tokens", "token_logprobs", "top_logprobs", "text_offset"]
    assert len({len(x) for x in told.values()}) == 1
    assert "".join(t for t in told["tokens"] if not t.startswith("<|")) == choice["text"]
    for token, logprob, top, offset in zip(*told.values()):
        assert token.startswith("<|") or choice["text"][offset:].startswith(token)
        assert logprob <= 0 and len(top) <= max(len(top), seed % 4)
    streamed = {name: [] for name in told}
    for c in openai_chunks(complete(server, **ask, stream=True)):
        for name, values in c["choices"][0]["logprobs"].items():
            streamed[name] += values
    assert streamed == told


def test_the_end_is_a_token_without_bytes(server):
    content = chat(server, max_tokens=None, logprobs=True, top_logprobs=2).json()["choices"][0]["logprobs"]["content"]
    assert content[-1]["token"] == "<|im_end|>" and content[-1]["bytes"] is None
    assert content[-1]["top_logprobs"][0] == {k: content[-1][k] for k in ("token", "logprob", "bytes")}


def test_an_objects_members_have_one_value_each(server):
    """Several tokens that are parts of characters read alike."""
    def pairs(members):
        assert len({k for k, _ in members}) == len(members), members
        return dict(members)
    for seed in range(8):
        r = complete(server, "Grü", temperature=50, seed=seed, logprobs=5, max_tokens=60)
        json.loads(r.text, object_pairs_hook=pairs)


# ---- refusals ----

PREFIX = "Failed to deserialize the JSON body into the target type: "
VALIDATION = "Input validation error: "
SHAPES = [
    (CHAT, {}, "missing field `messages`"),
    (CHAT, [], "invalid type: sequence, expected struct ChatRequest"),
    (CHAT, {"messages": "x"}, 'messages: invalid type: string "x", expected a sequence'),
    (CHAT, {"messages": [{"content": "x"}]}, "messages[0]: missing field `role`"),
    (CHAT, {"messages": [{"role": "user"}]}, "messages[0]: a message needs `content` or `tool_calls`"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "audio"}]}]},
     "messages[0].content[0]: unknown variant `audio`, expected `text` or `image_url`"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]: missing field `text`"),
    (CHAT, {"messages": USER, "temperature": "hot"}, 'temperature: invalid type: string "hot", expected f32'),
    (CHAT, {"messages": USER, "max_tokens": -1}, "max_tokens: invalid type: integer `-1`, expected u32"),
    (CHAT, {"messages": USER, "stop": [1]}, "stop[0]: invalid type: integer `1`, expected a string"),
    (CHAT, {"messages": USER, "stream_options": 1}, "stream_options: invalid type: integer `1`, expected struct StreamOptions"),
    (CHAT, {"messages": USER, "stream_options": {"include_usage": 1}},
     "stream_options.include_usage: invalid type: integer `1`, expected a boolean"),
    (CHAT, {"messages": USER, "tools": {}}, "tools: invalid type: map, expected a sequence"),
    (CHAT, {"messages": USER, "response_format": "json"}, 'response_format: invalid type: string "json", expected a map'),
    (CHAT, {"messages": USER, "response_format": {}}, "response_format: missing field `type`"),
    (CHAT, {"messages": USER, "chat_template_kwargs": []}, "chat_template_kwargs: invalid type: sequence, expected a map"),
    (COMPLETIONS, {}, "missing field `prompt`"),
    (COMPLETIONS, {"prompt": []}, "Empty array detected. Do not use an empty array for the prompt."),
    (COMPLETIONS, {"prompt": 5}, "prompt: invalid type: integer `5`, expected a string or a list"),
    (COMPLETIONS, {"prompt": None}, "prompt: invalid type: null, expected a string or a list"),
    (COMPLETIONS, {"prompt": [None]}, "prompt: invalid type: null, expected a token id"),
    (COMPLETIONS, {"prompt": [1, "a"]}, 'prompt: invalid type: string "a", expected a token id'),
    (COMPLETIONS, {"prompt": [[]]}, "prompt: expected a string, or a list of strings or of token ids"),
    (COMPLETIONS, {"prompt": ["a", 1]}, "prompt: expected a string, or a list of strings or of token ids"),
    (COMPLETIONS, {"prompt": [-1]}, "prompt: invalid type: integer `-1`, expected a token id"),
    (COMPLETIONS, {"prompt": "x", "n": 1.5}, "n: invalid type: floating point `1.5`, expected u32"),
]
VALUES = [
    (CHAT, {"messages": USER, "max_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    (CHAT, {"messages": USER, "temperature": -1}, "`temperature` must be strictly positive"),
    (CHAT, {"messages": USER, "top_p": 0}, "`top_p` must be > 0.0 and < 1.0"),
    (CHAT, {"messages": USER, "top_p": 2, "temperature": 0}, "`top_p` must be > 0.0 and < 1.0"),
    (CHAT, {"messages": USER, "n": 0}, "`n` must be > 0 and <= 128. Given: 0"),
    (CHAT, {"messages": USER, "top_logprobs": 6, "logprobs": True}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    (CHAT, {"messages": USER, "stop": ["a"] * 5}, "`stop` supports up to 4 stop sequences. Given: 5"),
    (CHAT, {"messages": USER, "presence_penalty": 3}, "`presence_penalty` must be >= -2.0 and <= 2.0"),
    (CHAT, {"messages": USER, "logit_bias": {"x": 1}},
     "`logit_bias` must give up to 1024 token ids a number >= -100 and <= 100"),
    (CHAT, {"messages": [{"role": "user", "content": "word " * 2000}], "max_tokens": 8}, "`inputs` tokens + `max_new_tokens` must be <= 1024"),
    (COMPLETIONS, {"prompt": ""}, "`inputs` cannot be empty"),
    (COMPLETIONS, {"prompt": ["Once", ""]}, "`inputs` cannot be empty"),
    (COMPLETIONS, {"prompt": [5, 2048], "max_tokens": 2}, "token 2048 is not one of the model's 2048"),
    (COMPLETIONS, {"prompt": [[5], [2**31 - 1]], "max_tokens": 2}, "token 2147483647 is not one of the model's 2048"),
]
# found before a permit is taken: the status is the true one even for streams
EARLY = [
    (COMPLETIONS, {"prompt": "x", "suffix": ""}, "suffix not supported",
     "Suffix is not supported and can be achieved by preprocessing the prompt."),
    (COMPLETIONS, {"prompt": ["x"] * 5}, "batch size exceeded", "Number of prompts exceeds the maximum allowed batch size of 4"),
    (CHAT, {"messages": USER, "tools": [{}]}, "tool_error",
     'Tool error: calling tools (`tool_choice` other than "none") is not supported by this version'),
    (CHAT, {"messages": USER, "tools": [], "response_format": {"type": "json_object"}}, "tool_error",
     "Tool error: Grammar and tools are mutually exclusive"),
]
LATE = [
    (CHAT, {"messages": USER, "response_format": {"type": "json_object"}},
     "a `response_format` other than text is not supported by this version"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
     "messages[0].content[0]: image modality is not supported by this model"),
    (COMPLETIONS, {"prompt": "x", "best_of": 2}, "`best_of` is not supported on this route: ask for `n` answers"),
    (COMPLETIONS, {"prompt": "x", "echo": True, "logprobs": 1}, "`echo` with `logprobs` is not supported by this version"),
]


@pytest.mark.parametrize("stream", [False, True])
def test_bodies_of_another_shape(server, strict, stream):
    for path, body, text in SHAPES:
        asked = {**body, "stream": stream} if isinstance(body, dict) else body
        r = server.post(path, asked)
        assert (r.status_code, r.text) == (422, PREFIX + text)
        assert r.headers["content-type"] == "text/plain; charset=utf-8"
        r = strict.post(path, asked)
        assert r.status_code == 422 and r.headers["content-type"] == "application/json"
        assert r.json() == {"error": {"message": PREFIX + text, "type": "invalid_request_error", "param": None, "code": None}}
    for path in (CHAT, COMPLETIONS):
        r = requests.post(server.url + path, data=b"{", headers={"content-type": "application/json"}, timeout=10)
        assert r.status_code == 400 and r.text.startswith("Failed to parse the request body as JSON: ")
        r = requests.post(server.url + path, data=b"{}", headers={"content-type": "text/plain"}, timeout=10)
        assert (r.status_code, r.text) == (415, "Expected request with `Content-Type: application/json`")


def test_values_out_of_range(server, strict):
    for path, body, text in VALUES + LATE:
        r = server.post(path, body)
        assert r.status_code == 422 and r.json()["error"].startswith(VALIDATION + text), r.text
        assert list(r.json()) == ["error", "error_type"] and r.json()["error_type"] == "validation"
        r = server.post(path, {**body, "stream": True})
        [event] = openai_chunks(r)
        assert list(event) == ["error"] and list(event["error"]) == ["message", "http_status_code"]
        assert event["error"]["message"].startswith(VALIDATION + text) and event["error"]["http_status_code"] == 422
        for stream in (False, True):
            r = strict.post(path, {**body, "stream": stream})
            assert r.status_code == 422 and r.json()["error"]["message"].startswith(VALIDATION + text)
            assert r.json()["error"]["code"] == "validation" and r.json()["error"]["type"] == "invalid_request_error"


def test_what_is_refused_early_is_refused_with_its_status(server, strict):
    for path, body, kind, text in EARLY:
        for stream in (False, True):
            r = server.post(path, {**body, "stream": stream})
            assert r.status_code == 422 and r.json() == {"error": text, "error_type": kind}
            r = strict.post(path, {**body, "stream": stream})
            assert r.status_code == 422
            assert r.json()["error"] == {"message": text, "type": "invalid_request_error", "param": None, "code": kind}


def test_what_asks_for_nothing_special_is_served(server):
    plain = text_of(chat(server))
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    for more in ({"tools": [tool], "tool_choice": "none"}, {"tools": []}, {"tool_choice": "required"},
                 {"response_format": {"type": "text"}}, {"tools": [tool], "tool_choice": "none", "response_format": {"type": "text"}}):
        assert text_of(chat(server, **more)) == plain


def test_overload(start):
    s = start("--max-concurrent-requests", "1")
    strict = start("--max-concurrent-requests", "1", "--strict-openai")
    for path, body in ((CHAT, {"messages": USER}), (COMPLETIONS, {"prompt": "Once"})):
        two = {**body, "n": 2}
        r = s.post(path, two)
        assert (r.status_code, r.json()) == (429, {"error": "Model is overloaded", "error_type": "overloaded"})
        r = s.post(path, {**two, "stream": True})
        assert openai_chunks(r) == [{"error": {"message": "Model is overloaded", "http_status_code": 429}}]
        for stream in (False, True):
            r = strict.post(path, {**two, "stream": stream})
            assert (r.status_code, r.json()) == (429, {"error": {"message": "Model is overloaded", "type": "rate_limit_error",
                                                                 "param": None, "code": "overloaded"}})
        assert s.post(path, {**body, "max_tokens": 1}).status_code == 200
    assert s.post(COMPLETIONS, {"prompt": ["a", "b"]}).status_code == 429
    assert s.metric("tgi_request_failure") == 5


# ---- counts ----

def test_the_call_and_its_prompts_are_counted(start):
    s = start()
    counted = 0
    for ask, n in ((lambda: chat(s), 2), (lambda: chat(s, stream=True, n=2), 2), (lambda: complete(s), 2),
                   (lambda: complete(s, ["a", "b", "c"]), 4), (lambda: complete(s, ["a", "b"], stream=True), 3)):
        assert ask().status_code == 200
        counted += n
        assert s.metric("tgi_request_count") == counted
    assert s.metric("tgi_request_success") == 1 + 1 + 1 + 3 + 2
    assert s.metric("tgi_request_generated_tokens_sum") == 8 + 16 + 8 + 24 + 16
    assert s.metric("tgi_request_failure") == 0


def test_a_client_that_goes_frees_its_permits(start):
    s = start("--max-concurrent-requests", "3")
    for i, (path, body) in enumerate((
            (CHAT, {"messages": USER, "n": 3, "logit_bias": {"3": -100, "1": -100}}),
            (COMPLETIONS, {"prompt": ["Once", "Hello", "a"], "logit_bias": {"3": -100, "1": -100}}))):
        r = s.post(path, {**body, "stream": True, "logprobs": 5 if path == COMPLETIONS else True}, stream=True)
        next(r.iter_lines(1))
        r.close()
        eventually(lambda: s.post(path, {**body, "max_tokens": 1}).status_code == 200)
        assert 'tgi_request_failure{err="dropped"} %d' % (i + 1) in requests.get(s.url + "/metrics", timeout=10).text


# ---- whole and stream are one ----

def random_request(rng):
    """Of either route; what decides how the text is cut: seeds, heat (parts of characters), stop strings, ends."""
    body = {"seed": rng.randrange(2**40), "temperature": rng.choice([0, 0.7, 1, 2, 8]), "max_tokens": rng.randint(1, 60)}
    words = ["the", " a", "e", "\n", ".", " t", "é", "prompteur is", "\ufffd", "st", "aa", ", ", "is a server for"]
    body["stop"] = [rng.choice(words) + rng.choice(["", "", rng.choice(words)]) for _ in range(rng.choice([0, 0, 1, 2, 4]))]
    if rng.random() < 0.3:
        body["n"] = 2
    if rng.random() < 0.3:
        body["top_p"] = 0.9
    if rng.random() < 0.5:
        return CHAT, {**body, "messages": [{"role": "user", "content": rng.choice(["What is prompteur?", "Tell a story", "Grüße 🎉"])}]}
    return COMPLETIONS, {**body, "prompt": rng.choice(["Once upon a time", ["Hello", "Grü"], "🎉", [5, 6, 300]])}


def ends_and_texts(choices):
    return [(c["index"], c["text"] if "text" in c else c["message"]["content"], c["finish_reason"]) for c in choices]


def check_one(server, is_strict, number):
    path, body = random_request(random.Random(number))
    whole = server.post(path, body)
    assert whole.status_code == 200, whole.text
    whole = ends_and_texts(json.loads(whole.content.decode())["choices"])
    streamed = {}
    for chunk in openai_chunks(server.post(path, {**body, "stream": True})):
        [c] = chunk["choices"]
        text, reason = streamed.get(c["index"], ("", None))
        assert not reason
        streamed[c["index"]] = (text + (c["text"] if "text" in c else c["delta"]["content"]), c["finish_reason"])
    assert [(i, text) for i, text, _ in whole] == [(i, streamed[i][0]) for i in sorted(streamed)], (path, body)
    for i, text, reason in whole:
        assert {"eos_token": "stop"}.get(streamed[i][1], streamed[i][1]) == reason, (path, body)
        found = [s for s in body["stop"] if s in text]
        assert not found if is_strict else bool(found) == (reason == "stop_sequence"), (path, body, text)


@pytest.mark.parametrize("is_strict", [False, True])
def test_a_stream_is_the_whole_answer(server, strict, is_strict):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: check_one(strict if is_strict else server, is_strict, number), range(100)))
