"""The same request gives the same bytes: alone, among strangers, in other chunks, with its beginning in the cache, set
back and computed again, with one or two threads, with guesses. Whole answers with their logprobs are compared as JSON
texts, over HTTP, for several architectures, weight formats and each type of KV cache; only `cached_tokens` is left out.
"""

import concurrent.futures
import itertools
import os
import random
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "api"))
from conftest import Server  # noqa: E402

TESTDATA = os.environ.get("PROMPTEUR_TESTDATA")
pytestmark = pytest.mark.skipif(not TESTDATA, reason="PROMPTEUR_TESTDATA is not set: no checkpoints here")

# Checkpoint and flags: bf16, f32 and f16 weights; full and windowed attention; biases; each type of KV cache.
CASES = [
    ("llama",),
    ("mistral",),
    ("llama-bias",),
    ("llama-f32",),
    ("llama-q-base",),
    ("llama-q-base", "--compute", "f32"),
    ("llama", "--kv-cache-dtype", "float16"),
    ("llama", "--compute", "f32", "--kv-cache-dtype", "bfloat16"),
    ("mistral", "--kv-cache-dtype", "fp8_e4m3fn"),
    ("llama", "--kv-cache-dtype", "fp8_e5m2"),
    ("mistral", "--kv-cache-dtype", "int8"),
    ("llama-f32", "--kv-cache-dtype", "int8"),
]

WORDS = "the a one cat dog tree house river walked saw under over and then big small green old of to".split()


def text(seed, n_words):
    return " ".join(random.Random(seed).choices(WORDS, k=n_words))


# The second prompt is longer than a split of 256 positions, the last repeats itself.
REQUESTS = [
    ("Once upon a time", {"max_new_tokens": 24}),
    (text(1, 110), {"max_new_tokens": 40, "top_n_tokens": 3}),
    (text(2, 50), {"max_new_tokens": 24, "do_sample": True, "seed": 7, "temperature": 1.3, "top_p": 0.9}),
    (text(3, 30), {"max_new_tokens": 16, "repetition_penalty": 1.3, "decoder_input_details": True}),
    ("the old cat saw the dog " * 8, {"max_new_tokens": 48}),
]


def ask(server, request):
    """The answer's text without the part that the cache's state decides, and that part."""
    r = server.generate(request[0], details=True, **request[1])
    assert r.status_code == 200, r.text
    cached = r.json()["details"]["cached_tokens"]
    tail = f',"cached_tokens":{cached}'
    assert r.text.count(tail) == 1
    return r.text.replace(tail, ""), cached


def ask_among_strangers(server, n_strangers, at_least):
    """Each request while so many sequences run; strangers keep coming."""
    done = threading.Event()

    def stranger(i):
        for k in itertools.count():
            if done.is_set():
                return
            prompt = text(1000 * i + k, 4 + i * 3 % 40)
            r = server.generate(prompt, max_new_tokens=80 + i, do_sample=True, seed=i)
            assert r.status_code == 200, r.text

    def ask_in_company(request):
        deadline = time.monotonic() + 60
        while server.metric("tgi_batch_current_size") < at_least:
            assert time.monotonic() < deadline, "the strangers never ran together"
        return ask(server, request)[0]

    with concurrent.futures.ThreadPoolExecutor(n_strangers) as pool:
        strangers = [pool.submit(stranger, i) for i in range(n_strangers)]
        try:
            answers = [ask_in_company(request) for request in REQUESTS]
        finally:
            done.set()
        for s in strangers:
            s.result()
    return answers


@pytest.fixture
def start(tmp_path):
    started = []

    def make(case, *flags):
        checkpoint, *own = case
        s = Server(tmp_path / f"log{len(started)}", *own, "--enable-prefill-logprobs", *flags,
                   model=Path(TESTDATA, "checkpoints", checkpoint))
        started.append(s)
        return s

    yield make
    for s in started:
        assert s.stop() == 0, s.log()


@pytest.mark.parametrize("case", CASES, ids="_".join)
def test_a_request_gives_the_same_bytes_in_any_company(case, start):
    alone = start(case, "--threads", "1", "--prefix-caching", "false")
    want = [ask(alone, request)[0] for request in REQUESTS]
    assert len(set(want)) == len(REQUESTS)

    shared = start(case, "--threads", "2")
    cold = [ask(shared, request) for request in REQUESTS]
    warm = [ask(shared, request) for request in REQUESTS]
    assert [answer for answer, _ in cold] == want and [answer for answer, _ in warm] == want
    assert cold[1][1] == 0 and warm[1][1] > 0
    assert ask_among_strangers(shared, 32, 24) == want

    tight = start(case, "--threads", "2", "--prefix-caching", "false", "--max-batch-prefill-tokens", "24",
                  "--max-batch-total-tokens", "1024")
    assert [ask(tight, request)[0] for request in REQUESTS] == want
    assert ask_among_strangers(tight, 12, 3) == want
    assert tight.metric("prompteur_sequences_set_back_total") > 0

    guessing = start(case, "--threads", "1", "--speculate", "4")
    assert [ask(guessing, request)[0] for request in REQUESTS] == want
    assert ask_among_strangers(guessing, 32, 24) == want
    assert guessing.metric("prompteur_speculation_accepted_tokens_total") > 0
