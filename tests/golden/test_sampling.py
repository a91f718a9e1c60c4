"""The sampler against a reference in NumPy: whole distributions, not only the tokens chosen.

The reference says TGI's rules as src/sample/sample.h does, in the plainest form: full sorts, double precision. The
sampler keeps logits in float32 and edits them there, as TGI does; so does the reference. From then on the sampler
works in double precision and reports float32, so log-probabilities may differ by the rounding of a float32
(2^-24 of their size) and by the sampler's exponential (3e-10): 1e-6 + 2e-7 * |logprob| allows both and no more.

A filter's threshold is a sum, and sums in another order differ by 1e-13 or so: a case in which an entry lies that
near to a threshold would be a coin's toss, and is drawn again (with random rows there is none).
"""

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

PROGRAM = os.environ.get("PROMPTEUR_SAMPLING_LINES", "build/release/tests/sampling_lines")
EDGE = 1e-9

pytestmark = pytest.mark.skipif(not Path(PROGRAM).exists(), reason="sampling_lines is not built here")


# ---- the reference ----

def philox(key, counter):
    """Philox 4x32-10 of a 64-bit key and a 128-bit counter: four 32-bit numbers."""
    mask = 2**32 - 1
    c = [counter >> s & mask for s in (0, 32, 64, 96)]
    k = [key & mask, key >> 32 & mask]
    for _ in range(10):
        a, b = 0xd2511f53 * c[0], 0xcd9e8d57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & mask, (a >> 32) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9e3779b9) & mask, (k[1] + 0xbb67ae85) & mask]
    return c


def uniform(seed, choice, position):
    r = philox(seed, choice << 64 | position)
    return ((r[1] << 32 | r[0]) >> 12) * 2.0**-52 + 2.0**-53


def edit(row, case):
    """Steps 1 to 6, in float32."""
    f = np.float32
    x = row.astype(f).copy()
    ids, n_prompt = np.array(case.get("ids", []), dtype=int), case.get("n_prompt", 0)
    counts = np.bincount(ids, minlength=len(x))
    made = np.bincount(ids[n_prompt:], minlength=len(x)) > 0
    if case.get("watermark") and len(ids):
        numbers = [n for i in range((len(x) + 3) // 4) for n in philox(15485863 * int(ids[-1]), i)][:len(x)]
        order = sorted(range(len(x)), key=lambda i: (numbers[i], i))
        x[order[:int(case["watermark_gamma"] * len(x))]] += f(case["watermark_delta"])
    if "repetition_penalty" in case:
        r = f(case["repetition_penalty"])
        x = np.where(counts > 0, np.where(x < 0, x * r, x / r), x)
    if "frequency_penalty" in case and len(ids):
        x = x - counts.astype(f) / f(len(ids)) * f(case["frequency_penalty"])
    if "presence_penalty" in case:
        x = np.where(made, x - f(case["presence_penalty"]), x)
    for token, bias in case.get("bias", []):
        if token < len(x):
            x[token] += f(bias)
    if "allowed" in case:
        keep = np.zeros(len(x), dtype=bool)
        keep[case["allowed"]] = True
        x[~keep] = -np.inf
    assert x.dtype == f
    return x


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


class OnTheEdge(Exception):
    """A threshold and an entry are nearer than sums in another order."""


def far(values, threshold):
    values = np.asarray(values)
    if np.any(np.abs(values - threshold) < EDGE):
        raise OnTheEdge
    return threshold


def filtered(x, case):
    """Steps 7 to 11: logits over temperature, -inf where filtered."""
    z = x.astype(float)
    if "temperature" in case:
        z = (z - z.max()) / float(np.float32(case["temperature"]))
    if "top_k" in case:
        z = np.where(z >= np.sort(z)[::-1][min(case["top_k"], len(z)) - 1], z, -np.inf)
    if "top_p" in case:
        p = softmax(z)
        order = sorted(range(len(z)), key=lambda i: (z[i], -i))
        below = np.cumsum(p[order])
        gone = below <= far(below[:-1], 1 - float(np.float32(case["top_p"])))
        gone[-1] = False
        z[np.array(order)[gone]] = -np.inf
    if "min_p" in case:
        p = softmax(z)
        z = np.where(p / p.max() >= far((p / p.max())[p < p.max()], float(np.float32(case["min_p"]))), z, -np.inf)
    if "typical_p" in case:
        p = softmax(z)
        alive = p > 0
        surprise = np.where(alive, -np.log(np.where(alive, p, 1)), np.inf)
        score = np.abs(surprise - (p[alive] * surprise[alive]).sum()).astype(np.float32)
        order = np.argsort(score, kind="stable")
        reached = np.cumsum(p[order])
        last = (reached < far(reached[:-1], float(np.float32(case["typical_p"])))).sum()
        z = np.where(score <= score[order[min(last, len(z) - 1)]], z, -np.inf)
    return z


def is_random(case):
    return bool(case.get("do_sample")) or any(k in case for k in ("temperature", "top_k", "top_p", "typical_p", "min_p"))


def reference(case, row):
    """(log-probabilities, the chosen token)"""
    z = filtered(edit(row, case), case)
    with np.errstate(divide="ignore"):
        logprob = z - z.max() - np.log(np.exp(z - z.max()).sum())
    if not is_random(case):
        return logprob, int(np.argmax(z))
    cumulative = np.cumsum(np.exp(logprob))
    u = far(cumulative, uniform(case["seed"], case.get("choice", 0), case.get("position", 0)))
    return logprob, int(np.searchsorted(cumulative, u, side="right"))


# ---- the sampler ----

def ask(cases):
    lines = []
    for case, row in cases:
        lines.append(json.dumps({**case, "bits": row.astype(np.float32).view(np.uint32).tolist()}))
    result = subprocess.run([PROGRAM], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(cases)
    return answers


def compare(case, row, answer, want):
    logprob, chosen = want
    assert "error" not in answer, (case, answer)
    got = np.full(len(row), -np.inf)
    for token, value in answer["top"]:
        got[token] = -np.inf if value is None else value
    left = [t for t, _ in answer["top"]]
    assert len(set(left)) == len(left)
    seen = np.isfinite(logprob) & (logprob > -700)  # exp() of less is no number of double precision here
    assert np.all(np.isfinite(got) == np.isfinite(logprob)), case
    tolerance = 1e-6 + 2e-7 * np.abs(np.where(seen, logprob, 0))
    assert np.all(np.abs(got[seen] - logprob[seen]) <= tolerance[seen]), case
    assert abs(np.exp(got).sum() - 1) < 1e-5
    assert answer["id"] == chosen, case
    assert answer["logprob"] == got[chosen]
    edited = edit(row, case)
    assert left == sorted(left, key=lambda t: (-edited[t], t)), case


# ---- random rows, random mixes ----

def random_row(rng):
    n = int(rng.choice([1, 2, 3, 17, 63, 64, 65, 200, 500, 1000]))
    row = rng.normal(0, rng.choice([0.1, 1, 3, 10]), n).astype(np.float32)
    kind = rng.integers(5)
    if kind == 1:  # ties
        row = np.round(row * 2).astype(np.float32) / 2
    elif kind == 2:  # holes
        row[rng.random(n) < 0.3] = -np.inf
    elif kind == 3:  # a few tokens are nearly certain
        row[rng.integers(n, size=3)] += 15
    if not np.isfinite(row).any():
        row[0] = 0
    return row


def random_values(rng, n):
    ids = rng.integers(0, max(1, n // 2), int(rng.integers(1, 60))).tolist()
    return {
        "repetition_penalty": float(rng.choice([0.5, 1.1, 1.3, 3])),
        "frequency_penalty": float(rng.choice([-2, -0.3, 0.7, 2])),
        "presence_penalty": float(rng.choice([-2, 0.4, 2])),
        "temperature": float(rng.choice([0.05, 0.5, 0.9, 1.5, 10])),
        "top_k": int(rng.choice([1, 2, 5, 40, 3000])),
        "top_p": float(rng.choice([0.01, 0.3, 0.9, 0.999])),
        "min_p": float(rng.choice([0.003, 0.07, 0.6])),
        "typical_p": float(rng.choice([0.05, 0.5, 0.95])),
        "do_sample": True,
        "watermark": {"watermark": True, "watermark_gamma": float(rng.choice([0.1, 0.5])), "watermark_delta": 2.0},
        "bias": sorted([int(t), float(rng.uniform(-10, 10))] for t in set(rng.integers(0, n + 3, 5).tolist())),
        "allowed": sorted(set(rng.integers(0, n, n).tolist())),
    }, ids


def random_case(rng, names=None):
    row = random_row(rng)
    values, ids = random_values(rng, len(row))
    if names is None:
        names = [k for k in values if rng.random() < 0.3]
    case = {"ids": ids, "n_prompt": int(rng.integers(0, len(ids) + 1)), "seed": int(rng.integers(2**63)),
            "choice": int(rng.integers(4)), "position": int(rng.integers(5000)), "top_n": 1024}
    if "allowed" in names:
        row = np.where(np.isfinite(row), row, np.float32(0))
    for name in names:
        case.update(values[name] if name == "watermark" else {name: values[name]})
    return case, row


def check(n, seed, names=None):
    """How many of n random cases stand on no edge; each of them must equal the reference."""
    rng = np.random.default_rng(seed)
    cases = [random_case(rng, names) for _ in range(n)]
    compared = 0
    for (case, row), answer in zip(cases, ask(cases)):
        try:
            want = reference(case, row)
        except OnTheEdge:
            continue
        compare(case, row, answer, want)
        compared += 1
    return compared


PARAMETERS = sorted(random_values(np.random.default_rng(0), 10)[0])


@pytest.mark.parametrize("name", PARAMETERS)
def test_one_parameter(name):
    assert check(60, 1 + PARAMETERS.index(name), [name]) > 50


def test_no_parameter():
    assert check(60, 100, []) == 60


@pytest.mark.parametrize("seed", range(8))
def test_mixes(seed):
    assert check(100, 1000 + seed) > 85


def test_a_large_vocabulary():
    rng = np.random.default_rng(5)
    cases = []
    for n in (32000, 128256):
        for name in ("top_k", "top_p", "typical_p", "min_p", "temperature"):
            row = rng.normal(0, 2.5, n).astype(np.float32)
            row[rng.integers(n, size=100)] += 8
            cases.append(({"seed": 3, "top_n": 1000, name: 0.9 if name != "top_k" else 60}, row))
    for (case, row), answer in zip(cases, ask(cases)):
        logprob, chosen = reference(case, row)
        assert answer["id"] == chosen
        best = np.argsort(-logprob, kind="stable")[:1000]
        best = best[np.isfinite(logprob[best])]
        assert [t for t, _ in answer["top"]] == best.tolist()
        np.testing.assert_allclose([p for _, p in answer["top"]], logprob[best], rtol=2e-7, atol=1e-6)


# ---- frequencies ----

def chi_square_bound(freedom):
    """Exceeded once in ten thousand (Wilson and Hilferty's approximation)."""
    return freedom * (1 - 2 / (9 * freedom) + 3.719 * math.sqrt(2 / (9 * freedom))) ** 3


@pytest.mark.parametrize("case", [
    {"do_sample": True}, {"temperature": 0.7}, {"top_k": 12, "temperature": 1.4}, {"top_p": 0.8}, {"typical_p": 0.7},
    {"min_p": 0.1, "repetition_penalty": 1.5}, {"do_sample": True, "choice": 3},
], ids=str)
def test_sampled_frequencies(case):
    """Draws at 100,000 positions fall as the distribution says. Seeds are fixed: it passes always or never."""
    rng = np.random.default_rng(9)
    row = rng.normal(0, 1.5, 40).astype(np.float32)
    case = {**case, "ids": [1, 2, 3, 3], "seed": 12345, "draws": 100000, "top_n": 40}
    answer = ask([(case, row)])[0]
    p = np.exp(reference({**case, "position": 1}, row)[0])
    seen = np.bincount(answer["draws"], minlength=40)
    assert np.all(seen[p == 0] == 0)
    often = p * 100000 > 5
    chi = ((seen - p * 100000)[often] ** 2 / (p[often] * 100000)).sum()
    assert chi < chi_square_bound(often.sum() - 1)


def test_neighbouring_positions_choices_and_seeds_are_independent():
    row = np.zeros(8, dtype=np.float32)
    base = {"do_sample": True, "seed": 7, "draws": 50001}
    first, choice, seed = [a["draws"] for a in ask([(base, row), ({**base, "choice": 1}, row), ({**base, "seed": 8}, row)])]
    for a, b in ((first[:-1], first[1:]), (first, choice), (first, seed)):
        pairs = np.bincount(np.array(a) * 8 + np.array(b), minlength=64)
        expected = len(a) / 64
        assert ((pairs - expected) ** 2 / expected).sum() < chi_square_bound(63)


# ---- rows that are none ----

def test_numeric():
    row = np.zeros(70, dtype=np.float32)
    bad = []
    for value in (np.nan, np.inf):
        for at in (0, 69):
            bad.append(row.copy())
            bad[-1][at] = value
    bad.append(np.full(70, -np.inf, dtype=np.float32))
    assert all(a == {"error": "numeric"} for a in ask([({"do_sample": True}, r) for r in bad]))
    assert ask([({"allowed": []}, row)]) == [{"error": "numeric"}]
