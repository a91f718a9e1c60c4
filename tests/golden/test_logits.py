"""`prompteur logits` against goldens of the reference library, for every llama and mistral checkpoint.

The goldens are float32 computations by transformers. In f32 compute only the order of sums differs: logits within
1e-4 of the largest absolute logit, and the same 32 greedy tokens. In bf16 compute a linear's inputs and the KV cache
are rounded to bf16 (weights are bf16 already): each rounding has a relative error of at most u = 2^-9, u/sqrt(3) in
the mean square. Roundings are independent, and a dot product of independent errors keeps their relative size, so
that n of them in a row add up to u * sqrt(n / 3) in the mean square. A layer has n = 6 in a row (input of q/k/v, K, V,
input of o, input of gate/up, input of down), the head one more. The largest of the many errors is taken as 5 times
the mean square. Greedy tokens are compared up to the first step whose best two logits are closer than that error.

A KV cache of fewer bits in f32 compute rounds K and V and nothing else: n = 2 a layer, u half of a number's last place.
The mean square of the logits' error is compared with u * sqrt(n / 3), doubled for what softmax and norms may add; and
it must not be below u / 4, or the cache holds something finer than it says.
"""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

PROGRAM = os.environ.get("PROMPTEUR_PROGRAM", "build/release/bin/prompteur")
TESTDATA = os.environ.get("PROMPTEUR_TESTDATA")
ISAS = ["scalar", "avx2", "avx512", "avx512_bf16"]
FAMILIES = ("llama", "mistral", "stories")
NOT_SERVED = ("gptq", "awq", "fp8", "bnb", "-bin")


def checkpoints():
    if not TESTDATA:
        return []
    goldens = sorted(Path(TESTDATA, "goldens/forward").glob("*.json"))
    names = [g.stem for g in goldens]
    return [n for n in names if n.startswith(FAMILIES) and not any(s in n for s in NOT_SERVED)]


def machine_isas():
    """The levels that this machine has: the program names them when asked for one that does not exist."""
    with open("/proc/cpuinfo") as f:
        flags = set(next(line for line in f if line.startswith("flags")).split())
    has = {
        "scalar": True,
        "avx2": {"avx2", "fma", "f16c"} <= flags,
        "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= flags,
        "avx512_bf16": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16"} <= flags,
    }
    return [isa for isa in ISAS if has[isa]]


DEVICES = [("ref", None)] + [("cpu", isa) for isa in machine_isas()]

needs_testdata = pytest.mark.skipif(not TESTDATA, reason="PROMPTEUR_TESTDATA is not set: no reference goldens here")


def run_logits(name, compute, device, isa, tmp_path, *flags, folder=None, golden=None):
    """The golden's prompts, the program's answers and logits, and the number of layers."""
    folder = folder or Path(TESTDATA, "checkpoints", name)
    golden = json.loads(Path(TESTDATA, "goldens", golden or f"forward/{name}").with_suffix(".json").read_text())
    lines = "".join(json.dumps({"ids": p["ids"]}) + "\n" for p in golden["prompts"])
    save = tmp_path / "logits.safetensors"
    n_new = len(golden["prompts"][0]["greedy_ids"])
    command = [PROGRAM, "logits", "--model-id", folder, "--compute", compute, "--backend", device, "--save", save,
               "--max-new-tokens", str(n_new), *flags]
    if isa:
        command += ["--isa", isa]
    result = subprocess.run(command, input=lines, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(golden["prompts"])
    layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    return golden["prompts"], answers, load_file(save), layers


def reference_logits(name):
    return load_file(Path(TESTDATA, "goldens/forward", name + ".safetensors"))


@needs_testdata
@pytest.mark.parametrize("device,isa", DEVICES)
@pytest.mark.parametrize("name", checkpoints())
def test_f32_equals_the_reference(name, device, isa, tmp_path):
    prompts, answers, logits, _ = run_logits(name, "f32", device, isa, tmp_path)
    for k, want in reference_logits(name).items():
        error = np.abs(logits[k] - want).max() / np.abs(want).max()
        assert error <= 1e-4, f"{k}: {error:.2e} of the largest logit"
    for prompt, answer in zip(prompts, answers):
        assert answer["ids"] == prompt["ids"]
        assert answer["greedy_ids"] == prompt["greedy_ids"]
        np.testing.assert_allclose(answer["greedy_logprobs"], prompt["greedy_logprobs"], atol=2e-3)
        assert answer["prefill_logprobs"][0] is None
        np.testing.assert_allclose(answer["prefill_logprobs"][1:], prompt["prefill_logprobs"][1:], atol=2e-3)


def first_close_call(prompt, error):
    """The first greedy step whose two best logprobs are closer than two logits' errors."""
    for step, top in enumerate(prompt["top5"]):
        best = sorted((logprob for _, logprob in top), reverse=True)
        if best[0] - best[1] < 2 * error:
            return step
    return len(prompt["greedy_ids"])


def assert_within_rounding(n_rounding, reference, prompts, answers, logits):
    """The error that so many roundings to bf16 in a row may make."""
    tolerance = 5 * 2**-9 * math.sqrt(n_rounding / 3)
    largest = 0
    for k, want in reference.items():
        largest = max(largest, np.abs(want).max())
        error = np.abs(logits[k] - want).max() / np.abs(want).max()
        assert error <= tolerance, f"{k}: {error:.2e} of the largest logit, {tolerance:.2e} allowed"
    for prompt, answer in zip(prompts, answers):
        n = first_close_call(prompt, tolerance * largest)
        assert answer["greedy_ids"][:n] == prompt["greedy_ids"][:n]


@needs_testdata
@pytest.mark.parametrize("device,isa", DEVICES)
@pytest.mark.parametrize("name", checkpoints())
def test_bf16_is_within_its_arithmetic(name, device, isa, tmp_path):
    prompts, answers, logits, layers = run_logits(name, "bf16", device, isa, tmp_path)
    assert_within_rounding(6 * layers + 1, reference_logits(name), prompts, answers, logits)


# Half of the last place of a number in [1, 2); int8 counts in the row's largest number / 127, about three times the
# row's mean square.
KV_ROUNDING = {"float16": 2**-11, "bfloat16": 2**-8, "int8": 3 / 254, "fp8_e4m3fn": 2**-4, "fp8_e5m2": 2**-3}


@needs_testdata
@pytest.mark.parametrize("kv", KV_ROUNDING)
@pytest.mark.parametrize("name", checkpoints())
def test_kv_types_round_as_they_say(name, kv, tmp_path):
    _, _, logits, layers = run_logits(name, "f32", "cpu", None, tmp_path, "--kv-cache-dtype", kv)
    u = KV_ROUNDING[kv]
    errors = [np.sqrt(np.square(logits[k] - want).mean() / np.square(want).mean())
              for k, want in reference_logits(name).items()]
    assert u / 4 <= max(errors) <= 2 * u * math.sqrt(2 * layers / 3)


def with_kv_scales(name, scale, folder):
    """A copy of the checkpoint that brings one scale for the keys and one for the values of each layer."""
    folder.mkdir()
    tensors = load_file(Path(TESTDATA, "checkpoints", name, "model.safetensors"))
    shutil.copy(Path(TESTDATA, "checkpoints", name, "config.json"), folder)
    layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
    for i in range(layers):
        for which in "kv":
            tensors[f"model.layers.{i}.self_attn.{which}_scale"] = np.array(scale, np.float32)
    save_file(tensors, folder / "model.safetensors")
    return folder


@needs_testdata
def test_fp8_scales_of_a_checkpoint_count(tmp_path):
    name = "llama-f32"  # numpy has no bfloat16

    def logits(kv, scale=None):
        folder = with_kv_scales(name, scale, tmp_path / f"{kv}{scale}") if scale is not None else None
        return run_logits(name, "f32", "cpu", None, tmp_path, "--kv-cache-dtype", kv, folder=folder)[2]["logits_3"]

    plain = logits("fp8_e4m3fn")
    assert np.array_equal(logits("fp8_e4m3fn", 1.0), plain)
    assert not np.array_equal(logits("fp8_e4m3fn", 0.7), plain)
    error = np.square(logits("fp8_e4m3fn", 2.0**-20) - plain).mean() / np.square(plain).mean()
    assert error > 0.01  # every key and value saturates
    assert np.array_equal(logits("int8", 2.0**-20), logits("int8"))  # only fp8 is counted in them
    folder = with_kv_scales(name, 0.0, tmp_path / "zero")
    result = subprocess.run([PROGRAM, "logits", "--model-id", folder, "--kv-cache-dtype", "fp8_e5m2"], input="",
                            capture_output=True, text=True)
    assert result.returncode == 1 and "self_attn.k_scale: expected one number above 0" in result.stderr


@needs_testdata
def test_stories_tells_its_published_text():
    folder = Path(TESTDATA, "checkpoints/stories260K")
    result = subprocess.run(
        [PROGRAM, "logits", "--model-id", folder, "--compute", "f32", "--max-new-tokens", "64"],
        input='{"text":"Once upon a time"}\n', capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["ids"][0] == 1 and len(answer["greedy_ids"]) == 64
