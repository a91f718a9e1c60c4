"""TGI's generation routes: shapes, defaults, framing, refusals."""

import concurrent.futures
import json
import socket
import time

import pytest
import requests
from huggingface_hub import InferenceClient

PROMPT = "Once upon a time"


def events(response):
    """The JSON of each event; the framing is checked byte by byte."""
    text = response.content.decode()
    assert text.endswith("\n\n")
    frames = text[:-2].split("\n\n")
    assert all(f.startswith("data: ") and "\n" not in f for f in frames)
    return [json.loads(f[6:]) for f in frames]


def answer(response):
    """The answer without what depends on earlier requests: how much of the prompt was in the cache."""
    body = response.json()
    body["details"].pop("cached_tokens")
    return body


def test_generate_answers_in_tgis_shape(server):
    r = server.generate(PROMPT, max_new_tokens=8)
    assert r.status_code == 200 and r.headers["content-type"] == "application/json"
    assert list(r.json()) == ["generated_text"] and r.json()["generated_text"]
    for name in ("x-compute-type", "x-compute-time", "x-compute-characters", "x-total-time", "x-validation-time",
                 "x-queue-time", "x-inference-time", "x-time-per-token", "x-prompt-tokens", "x-generated-tokens"):
        assert name in r.headers
    assert r.headers["x-compute-characters"] == str(len(PROMPT))
    assert r.headers["x-generated-tokens"] == "8"


def test_details(server):
    body = server.generate(PROMPT, max_new_tokens=8, details=True).json()
    details = body["details"]
    assert list(details) == ["finish_reason", "generated_tokens", "seed", "prefill", "tokens", "cached_tokens"]
    assert details["finish_reason"] == "length" and details["generated_tokens"] == 8
    assert details["seed"] is None and details["prefill"] == []
    assert [list(t) for t in details["tokens"]] == [["id", "text", "logprob", "special"]] * 8
    assert "".join(t["text"] for t in details["tokens"]) == body["generated_text"]
    assert all(t["logprob"] <= 0 for t in details["tokens"])


def test_greedy_without_parameters_samples(server):
    """TGI: no parameters at all means sampling, present ones mean greedy."""
    texts = {server.post("/generate", {"inputs": PROMPT, "parameters": {"max_new_tokens": 12}}).json()["generated_text"]
             for _ in range(3)}
    assert len(texts) == 1


def test_the_same_seed_gives_the_same_answer(server):
    def ask(seed):
        return answer(server.generate(PROMPT, max_new_tokens=24, do_sample=True, temperature=1.3, seed=seed, details=True))
    assert ask(7) == ask(7)
    assert ask(7)["details"]["seed"] == 7
    assert len({ask(s)["generated_text"] for s in range(8)}) > 1
    assert server.generate(PROMPT, max_new_tokens=2, do_sample=True, details=True).json()["details"]["seed"] is not None


def test_a_top_k_of_one_is_greedy(server):
    greedy = server.generate(PROMPT, max_new_tokens=16).json()
    assert server.generate(PROMPT, max_new_tokens=16, top_k=1, temperature=2.0).json() == greedy


def tokens_of(server, **parameters):
    r = server.generate(PROMPT, max_new_tokens=24, details=True, **parameters)
    assert r.status_code == 200, r.text
    return r.json()["details"]["tokens"]


@pytest.mark.parametrize("parameters", [
    {"repetition_penalty": 2.5}, {"frequency_penalty": 2.0}, {"presence_penalty": 2.0}, {"watermark": True},
    {"typical_p": 0.2, "seed": 1}, {"min_p": 0.5, "seed": 1}, {"logit_bias": {"5": 100}},
])
def test_each_sampling_parameter_reaches_the_sampler(server, parameters):
    plain, asked = tokens_of(server), tokens_of(server, **parameters)
    assert asked != plain and asked == tokens_of(server, **parameters)


def test_penalties_mean_what_they_say(server):
    plain = tokens_of(server)
    ids = [t["id"] for t in plain]
    assert {t["id"] for t in tokens_of(server, logit_bias={str(ids[0]): 100})} == {ids[0]}
    assert ids[0] not in {t["id"] for t in tokens_of(server, logit_bias={str(ids[0]): -100})}
    assert tokens_of(server, logit_bias={"999999999": 100}) == plain  # a token that the model does not have
    assert len({t["id"] for t in tokens_of(server, repetition_penalty=100.0)}) >= len(set(ids))
    assert tokens_of(server, min_p=1.0, temperature=1.0, seed=1)[0]["id"] == ids[0]
    assert all(t["logprob"] == 0 for t in tokens_of(server, min_p=1.0, seed=1))


def test_watermark_flags(start):
    s = start("--watermark-gamma", "0", env={"WATERMARK_DELTA": "50"})
    assert tokens_of(s) == tokens_of(s, watermark=True)  # no token is green
    strong = start("--watermark-delta", "50", "--watermark-gamma", "0.25")
    assert [t["id"] for t in tokens_of(strong, watermark=True)] != [t["id"] for t in tokens_of(strong)]


def test_top_tokens(server):
    body = server.generate(PROMPT, max_new_tokens=6, details=True, top_n_tokens=3).json()["details"]
    assert list(body) == ["finish_reason", "generated_tokens", "seed", "prefill", "tokens", "top_tokens",
                          "cached_tokens"]
    assert len(body["top_tokens"]) == 6
    for token, top in zip(body["tokens"], body["top_tokens"]):
        assert len(top) >= 3 and all(list(t) == ["id", "text", "logprob", "special"] for t in top)
        assert [t["logprob"] for t in top] == sorted((t["logprob"] for t in top), reverse=True)
        assert top[0]["id"] == token["id"] and top[0]["logprob"] == token["logprob"]
    r = server.post("/generate_stream", {"inputs": PROMPT, "parameters": {"max_new_tokens": 6, "top_n_tokens": 3}})
    got = events(r)
    assert all(list(e) == ["index", "token", "top_tokens", "generated_text", "details"] for e in got)
    assert [e["top_tokens"] for e in got] == body["top_tokens"]
    filtered = server.generate(PROMPT, max_new_tokens=6, details=True, top_n_tokens=3, top_k=1).json()["details"]
    assert all(len(top) == 1 and top[0]["logprob"] == 0 for top in filtered["top_tokens"])


def test_return_full_text(server):
    plain = server.generate(PROMPT, max_new_tokens=4).json()["generated_text"]
    assert server.generate(PROMPT, max_new_tokens=4, return_full_text=True).json()["generated_text"] == PROMPT + plain
    compat = server.generate(PROMPT, path="/", max_new_tokens=4).json()
    assert compat == [{"generated_text": PROMPT + plain}]
    compat = server.generate(PROMPT, path="/", max_new_tokens=4, return_full_text=False).json()
    assert compat == [{"generated_text": plain}]


def test_a_stop_string_ends_the_answer_and_stays(server):
    whole = server.generate(PROMPT, max_new_tokens=30).json()["generated_text"]
    stop = whole[9:14]  # not on a token boundary in general
    body = server.generate(PROMPT, max_new_tokens=30, stop=[stop], details=True).json()
    assert body["details"]["finish_reason"] == "stop_sequence"
    assert stop in body["generated_text"] and whole.startswith(body["generated_text"])
    assert len(body["generated_text"]) < len(whole)


def test_truncate_keeps_the_end(server):
    long = "word " * 50 + PROMPT
    r = server.generate(long, max_new_tokens=4, truncate=4)
    assert r.status_code == 200 and r.headers["x-prompt-tokens"] == "4"


def test_stream(server):
    r = server.post("/generate_stream", {"inputs": PROMPT, "parameters": {"max_new_tokens": 6, "details": True}})
    assert r.status_code == 200 and r.headers["content-type"] == "text/event-stream"
    assert r.headers["cache-control"] == "no-cache" and r.headers["x-accel-buffering"] == "no"
    got = events(r)
    assert [e["index"] for e in got] == [1, 2, 3, 4, 5, 6]
    assert all(list(e) == ["index", "token", "generated_text", "details"] for e in got)
    assert all(e["generated_text"] is None and e["details"] is None for e in got[:-1])
    whole = server.generate(PROMPT, max_new_tokens=6).json()["generated_text"]
    assert got[-1]["generated_text"] == whole == "".join(e["token"]["text"] for e in got)
    assert got[-1]["details"]["finish_reason"] == "length" and got[-1]["details"]["generated_tokens"] == 6
    assert got[-1]["details"]["input_length"] > 0


def test_stream_on_the_compat_route(server):
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 3}, "stream": True}
    got = events(server.post("/", body))
    assert len(got) == 3 and got[-1]["generated_text"].startswith(PROMPT) and got[-1]["details"] is None


def test_stream_errors_are_events(server):
    r = server.post("/generate_stream", {"inputs": "", "parameters": {"max_new_tokens": 3}})
    assert r.status_code == 200
    assert events(r) == [{"error": "Input validation error: `inputs` cannot be empty", "error_type": "validation"}]


@pytest.mark.parametrize("parameters,text", [
    ({"temperature": 0}, "`temperature` must be strictly positive"),
    ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"top_k": 0}, "`top_k` must be strictly positive"),
    ({"typical_p": 2}, "`typical_p` must be > 0.0 and < 1.0"),
    ({"repetition_penalty": 0}, "`repetition_penalty` must be strictly positive"),
    ({"frequency_penalty": 3}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ({"temperature": 1e39}, "`temperature` must be strictly positive"),
    ({"min_p": -0.1}, "`min_p` must be >= 0.0 and <= 1.0"),
    ({"presence_penalty": -2.5}, "`presence_penalty` must be >= -2.0 and <= 2.0"),
    ({"temperature": 0, "top_p": 1.0, "top_k": 0}, "`temperature` must be strictly positive"),  # TGI's order
    ({"top_p": 1.0, "top_k": 0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"logit_bias": {"x": 1}}, "`logit_bias` must give up to 1024 token ids a number >= -100 and <= 100"),
    ({"logit_bias": {"5": 101}}, "`logit_bias` must give up to 1024 token ids a number >= -100 and <= 100"),
    ({"logit_bias": {"5": 1, "05": 1}}, "`logit_bias` must give up to 1024 token ids a number >= -100 and <= 100"),
    ({"logit_bias": {str(i): 1 for i in range(1025)}},
     "`logit_bias` must give up to 1024 token ids a number >= -100 and <= 100"),
    ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    ({"stop": ["a"] * 5}, "`stop` supports up to 4 stop sequences. Given: 5"),
    ({"best_of": 3}, "`best_of` must be > 0 and <= 2. Given: 3"),
    ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
    ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    ({"truncate": 0}, "`truncate` must be strictly positive and less than 1023. Given: 0"),
    ({"best_of": 2, "do_sample": True, "seed": 1}, "`seed` must not be set when `best_of` > 1"),
    # what TGI serves and this version does not
    ({"grammar": {"type": "regex", "value": "a"}}, "`grammar` is not supported by this version"),
    ({"adapter_id": "x"}, "`adapter_id` is not supported by this version"),
])
def test_validation(server, parameters, text):
    r = server.generate(PROMPT, **parameters)
    assert r.status_code == 422
    assert r.json() == {"error": "Input validation error: " + text, "error_type": "validation"}


def test_defaults_of_parameters_not_served_are_accepted(server):
    r = server.generate(PROMPT, max_new_tokens=2, best_of=1, repetition_penalty=1.0, frequency_penalty=0.0, top_k=None,
                        top_p=None, typical_p=None, stop=[], truncate=None, watermark=False, details=False,
                        decoder_input_details=False, seed=None, top_n_tokens=0, grammar=None, adapter_id=None,
                        return_full_text=None, temperature=None, something_unknown={"a": [1]})
    assert r.status_code == 200, r.text


@pytest.mark.parametrize("body,status,text", [
    (b'{"inputs": "a"', 400, "Failed to parse the request body as JSON: "),
    (b'{"inputs": "a"} x', 400, "Failed to parse the request body as JSON: "),
    (b'{"inputs": "a", "inputs": "b"}', 400, "duplicate field `inputs`"),
    (b"{}", 422, "missing field `inputs`"),
    (b'{"inputs": 1}', 422, "inputs: invalid type: integer `1`, expected a string"),
    (b'{"inputs": "a", "parameters": null}', 422, "parameters: invalid type: null"),
    (b'{"inputs": "a", "parameters": {"max_new_tokens": 1.5}}', 422,
     "parameters.max_new_tokens: invalid type: floating point `1.5`, expected u32"),
    (b'{"inputs": "a", "parameters": {"stop": "x"}}', 422, "parameters.stop: invalid type: string \"x\""),
    (b'{"inputs": "a", "parameters": {"do_sample": null}}', 422, "parameters.do_sample: invalid type: null"),
    (b"[" * 100000, 400, "Failed to parse the request body as JSON: "),
])
def test_bodies_of_another_shape(server, body, status, text):
    r = requests.post(server.url + "/generate", data=body, headers={"content-type": "application/json"}, timeout=10)
    assert r.status_code == status and text in r.text
    assert r.headers["content-type"] == "text/plain; charset=utf-8"


def test_best_of(server):
    body = server.generate(PROMPT, max_new_tokens=12, do_sample=True, temperature=1.5, best_of=2, details=True).json()
    others = body["details"]["best_of_sequences"]
    assert len(others) == 1
    assert list(others[0]) == ["generated_text", "finish_reason", "generated_tokens", "seed", "prefill", "tokens"]
    assert others[0]["seed"] != body["details"]["seed"]

    def mean(details):
        return sum(t["logprob"] for t in details["tokens"]) / len(details["tokens"])
    assert mean(body["details"]) >= mean(others[0])
    for seed, text in ((body["details"]["seed"], body["generated_text"]), (others[0]["seed"], others[0]["generated_text"])):
        again = server.generate(PROMPT, max_new_tokens=12, do_sample=True, temperature=1.5, seed=seed)
        assert again.json()["generated_text"] == text
    r = server.generate(PROMPT, path="/generate_stream", max_new_tokens=2, do_sample=True, best_of=2)
    assert "not supported when streaming" in events(r)[0]["error"]


def test_best_of_takes_a_permit_for_each_answer(start):
    s = start("--max-concurrent-requests", "1")
    assert s.generate(PROMPT, max_new_tokens=2, do_sample=True, best_of=2).status_code == 429
    assert s.generate(PROMPT, max_new_tokens=2).status_code == 200
    s = start("--max-concurrent-requests", "2")
    for _ in range(3):  # all permits come back
        assert s.generate(PROMPT, max_new_tokens=2, do_sample=True, best_of=2).status_code == 200


def test_decoder_input_details(server, start):
    body = server.generate(PROMPT, max_new_tokens=2, decoder_input_details=True).json()
    assert body["details"]["prefill"] == []  # as TGI without --enable-prefill-logprobs
    s = start("--enable-prefill-logprobs")
    long = "Once upon a time there was a cat who lived in a house. " * 8
    for _ in range(2):  # the second time the prompt is in the cache, which must not matter
        details = s.generate(long, max_new_tokens=3, decoder_input_details=True).json()["details"]
        tokens = s.post("/tokenize", {"inputs": long}).json()
        assert [p["id"] for p in details["prefill"]] == [t["id"] for t in tokens]
        assert details["prefill"][0]["logprob"] is None and details["cached_tokens"] == 0
        assert all(p["logprob"] < 0 for p in details["prefill"][1:])
    # A token's logprob in a prompt is the one it has as an answer.
    for n in (1, 2):
        body = s.generate(PROMPT, max_new_tokens=n, details=True).json()
        more = s.generate(PROMPT + body["generated_text"], max_new_tokens=1, decoder_input_details=True).json()
        made, read = body["details"]["tokens"], more["details"]["prefill"][-n:]
        if [t["id"] for t in made] == [t["id"] for t in read]:  # else the text is tokenized otherwise
            assert [t["logprob"] for t in made] == [t["logprob"] for t in read]


def test_equal_beginnings_are_computed_once(start):
    s = start()
    prompt = "Once upon a time there was a cat who lived in a house with many rooms. " * 4
    first = s.generate(prompt, max_new_tokens=8, details=True)
    again = s.generate(prompt, max_new_tokens=8, details=True)
    assert first.json()["details"]["cached_tokens"] == 0
    cached = again.json()["details"]["cached_tokens"]
    assert cached % 16 == 0 and cached > len(s.post("/tokenize", {"inputs": prompt}).json()) - 32
    assert answer(first) == answer(again)
    assert s.metric("prompteur_prefix_cache_hit_tokens_total") == cached
    salted = s.generate(prompt, max_new_tokens=8, details=True, cache_salt="mine")
    assert salted.json()["details"]["cached_tokens"] == 0
    key = {"authorization": "Bearer somebody"}
    body = {"inputs": prompt, "parameters": {"max_new_tokens": 8, "details": True}}
    assert s.post("/generate", body, headers=key).json()["details"]["cached_tokens"] == 0
    assert s.post("/generate", body, headers=key).json()["details"]["cached_tokens"] == cached
    s = start(env={"PREFIX_CACHING": "false"})
    for _ in range(2):
        off = s.generate(prompt, max_new_tokens=8, details=True)
        assert off.json()["details"]["cached_tokens"] == 0
        assert answer(off) == answer(first)


@pytest.mark.parametrize("flags", [["--speculate", "4"], ["--max-batch-prefill-tokens", "7"], ["--threads", "1"],
                                   ["--kv-memory", "2"]])
def test_the_same_bytes_whatever_the_server_does(server, start, flags):
    """Guesses, chunks of prompts, threads, and so little memory that sequences step back for older ones."""
    prompts = [PROMPT, "What is prompteur?", "The cat sat. The cat sat. The cat sat.", "One sunny day, Tom", "a"] * 4
    s = start(*flags)

    def ask(server, i):
        return answer(server.generate(prompts[i], max_new_tokens=60, details=True, do_sample=i % 2 == 1, seed=i))
    alone = [ask(server, i) for i in range(len(prompts))]
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        assert list(pool.map(lambda i: ask(s, i), range(len(prompts)))) == alone


def test_too_long(server):
    info = requests.get(server.url + "/info", timeout=10).json()
    total, most = info["max_total_tokens"], info["max_input_tokens"]
    r = server.generate("a b c d " * total, max_new_tokens=1)
    assert r.status_code == 422 and f"`inputs` tokens + `max_new_tokens` must be <= {total}" in r.json()["error"]
    assert most == total - 1
    assert server.generate(PROMPT, max_new_tokens=total).status_code == 422


def test_tokenize(server):
    text = "Hello, wörld! 🙂"
    tokens = server.post("/tokenize", {"inputs": text}).json()
    assert all(list(t) == ["id", "text", "start", "stop"] for t in tokens)
    raw = text.encode()
    assert all(t["text"] == raw[t["start"]:t["stop"]].decode(errors="replace") for t in tokens)
    assert tokens[-1]["stop"] == len(raw)


def test_concurrent_requests_get_the_bytes_they_get_alone(server):
    prompts = [PROMPT, "What is prompteur?", "The cat", "One sunny day, Tom", "a", "Tell me"] * 6
    alone = {p: answer(server.generate(p, max_new_tokens=40, details=True)) for p in set(prompts)}
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        together = list(pool.map(lambda p: answer(server.generate(p, max_new_tokens=40, details=True)), prompts))
    assert together == [alone[p] for p in prompts]


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_client_that_goes_away_frees_its_sequence(server):
    dropped = server.metric("tgi_request_failure")
    host, port = server.url[7:].split(":")
    body = json.dumps({"inputs": PROMPT, "parameters": {"max_new_tokens": 900, "do_sample": True, "seed": 1}}).encode()
    with socket.create_connection((host, int(port))) as s:
        s.sendall(b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: "
                  + str(len(body)).encode() + b"\r\n\r\n" + body)
        wait_for(lambda: server.metric("tgi_batch_current_size") >= 1, 2)
    assert wait_for(lambda: server.metric("tgi_batch_current_size") == 0)
    assert wait_for(lambda: server.metric("tgi_request_failure") in (dropped, dropped + 1))


def test_huggingface_hub_client(server):
    client = InferenceClient(base_url=server.url)
    text = client.text_generation(PROMPT, max_new_tokens=8)
    assert text
    details = client.text_generation(PROMPT, max_new_tokens=8, details=True)
    assert details.details.generated_tokens == 8
    streamed = "".join(client.text_generation(PROMPT, max_new_tokens=8, stream=True))
    assert streamed == server.generate(PROMPT, max_new_tokens=8).json()["generated_text"]
