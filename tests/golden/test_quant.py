"""Quantised checkpoints, and plain ones quantised while loading, against float32 computations by transformers with the
dequantised weights.

In f32 compute only the order of sums differs: logits within 1e-4 of the largest, the same greedy tokens. In bf16
compute test_logits.py's reasoning holds with one more rounding for each linear, that of its weights to bf16: 10 in a
row for a layer, 2 for the head.

Formats that no golden has (group sizes, odd columns, act-order, 8 bits, zeros, blocks) are made here and unpacked by
NumPy into a float32 checkpoint; both checkpoints must give the same logits.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from quant_checkpoints import KINDS, MADE, write_made, write_pair
from test_logits import DEVICES, PROGRAM, TESTDATA, assert_within_rounding, needs_testdata, run_logits

STORED = ("gptq", "awq", "fp8", "bnb")
ON_THE_FLY = {"bnb-nf4": "bitsandbytes-nf4", "bnb-fp4": "bitsandbytes-fp4", "bnb-int8": "bitsandbytes",
              "eetq-int8": "eetq"}


def cases():
    """(checkpoint, golden, flags)"""
    if not TESTDATA:
        return []
    stored = [p.stem for p in sorted(Path(TESTDATA, "goldens/quant").glob("llama-*.json"))
              if any(s in p.stem for s in STORED) and "q-base" not in p.stem]
    return [(n, n, ()) for n in stored] + [
        ("llama-q-base", f"llama-q-base.{n}", ("--quantize", method)) for n, method in ON_THE_FLY.items()]


def golden_logits(golden):
    return {k: v for k, v in load_file(Path(TESTDATA, "goldens/quant", golden + ".safetensors")).items()
            if k.startswith("logits_") and "w8a8" not in k}


def run(case, compute, device, isa, tmp_path):
    name, golden, flags = case
    # .json is added by with_suffix(), which would cut a golden's name at its dot
    return run_logits(name, compute, device, isa, tmp_path, *flags, golden=f"quant/{golden}.json")


@needs_testdata
@pytest.mark.parametrize("device,isa", DEVICES)
@pytest.mark.parametrize("case", cases(), ids=lambda c: c[1])
def test_f32_equals_the_reference(case, device, isa, tmp_path):
    prompts, answers, logits, _ = run(case, "f32", device, isa, tmp_path)
    for k, want in golden_logits(case[1]).items():
        error = np.abs(logits[k] - want).max() / np.abs(want).max()
        assert error <= 1e-4, f"{k}: {error:.2e} of the largest logit"
    for prompt, answer in zip(prompts, answers):
        assert answer["greedy_ids"] == prompt["greedy_ids"]


@needs_testdata
@pytest.mark.parametrize("device,isa", DEVICES)
@pytest.mark.parametrize("case", cases(), ids=lambda c: c[1])
def test_bf16_is_within_its_arithmetic(case, device, isa, tmp_path):
    prompts, answers, logits, layers = run(case, "bf16", device, isa, tmp_path)
    assert_within_rounding(10 * layers + 2, golden_logits(case[1]), prompts, answers, logits)


# ---- formats that no golden has ----

IDS = [5, 1, 44, 63, 0, 17, 9, 9, 30, 2, 58, 21]


def logits_of(folder, tmp_path, device, isa, compute, *flags):
    save = tmp_path / "logits.safetensors"
    command = [PROGRAM, "logits", "--model-id", folder, "--compute", compute, "--backend", device, "--save", save,
               "--max-new-tokens", "4", *flags]
    result = subprocess.run(command + (["--isa", isa] if isa else []), input=json.dumps({"ids": IDS}) + "\n",
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert len(answer["greedy_ids"]) == 4
    return load_file(save)["logits_0"]


def assert_same_numbers(one, other, tmp_path, *flags):
    """The two checkpoints mean the same numbers: on one device, in either compute, they give the same bytes."""
    for device, isa in DEVICES:
        for compute in ("f32", "bf16"):
            got = logits_of(one, tmp_path, device, isa, compute, *flags)
            want = logits_of(other, tmp_path, device, isa, compute)
            assert np.isfinite(want).all() and want.std() > 0.1
            assert np.array_equal(got, want), f"{device} {isa} {compute}: {np.abs(got - want).max()}"


@pytest.mark.parametrize("kind", KINDS)
def test_codes_mean_the_numbers_of_their_format(kind, tmp_path):
    coded, plain = write_pair(kind, len(kind), tmp_path)
    assert_same_numbers(coded, plain, tmp_path)


@pytest.mark.parametrize("method", MADE)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_numbers_made_while_loading(method, dtype, tmp_path):
    source, made = write_made(method, dtype, 3, tmp_path)
    assert_same_numbers(source, made, tmp_path, "--quantize", method)


def test_modules_may_be_left_alone_and_heads_quantised(tmp_path):
    for i, kind in enumerate(["gptq", "awq", "packed4", "fp8-block", "nf4"]):
        (tmp_path / kind).mkdir()
        coded, plain = write_pair(kind, 2 * i, tmp_path / kind, left_alone=("self_attn.k_proj", "mlp.down_proj"),
                                  head=True)
        got, want = (logits_of(f, tmp_path, "cpu", None, "f32") for f in (coded, plain))
        assert np.array_equal(got, want), kind


# ---- what was asked for and what the checkpoint is ----

def refusal(folder, *flags):
    r = subprocess.run([PROGRAM, "logits", "--model-id", folder, *flags], input="", capture_output=True, text=True)
    return r.stderr if r.returncode == 1 else ""


def test_quantize_must_agree_with_the_checkpoint(tmp_path):
    for name in ("gptq", "awq", "plain"):
        (tmp_path / name).mkdir()
    gptq, plain = write_pair("gptq", 1, tmp_path / "gptq")
    awq, _ = write_pair("awq", 1, tmp_path / "awq")
    assert "quantised already, with gptq; leave the option out or say gptq" in refusal(gptq, "--quantize", "awq")
    assert "quantised already, with gptq" in refusal(gptq, "--quantize", "bitsandbytes-nf4")
    assert "quantised already, with awq" in refusal(awq, "--quantize", "eetq")
    for method in ("gptq", "awq", "compressed-tensors"):
        assert f"--quantize {method}: the checkpoint is not quantised" in refusal(plain, "--quantize", method)
    want = logits_of(gptq, tmp_path, "cpu", None, "bf16")
    assert np.array_equal(logits_of(gptq, tmp_path, "cpu", None, "bf16", "--quantize", "gptq"), want)
    want = logits_of(awq, tmp_path, "cpu", None, "bf16")
    for method in ("awq", "gptq"):  # TGI repacks AWQ's tensors for gptq
        assert np.array_equal(logits_of(awq, tmp_path, "cpu", None, "bf16", "--quantize", method), want)


def test_damage_is_named(tmp_path):
    """A tensor of a module that is not there, or of the wrong size, and a configuration that says something else."""
    coded, _ = write_pair("gptq", 1, tmp_path)
    config = json.loads((coded / "config.json").read_text())

    def refused_with(**changes):
        (coded / "config.json").write_text(
            json.dumps({**config, "quantization_config": {**config["quantization_config"], **changes}}))
        return refusal(coded)

    name = "model.layers.0.self_attn.q_proj"
    assert f"tensor `{name}.qzeros`: expected shape [6, 12], found [3, 12]" in refused_with(group_size=16)
    assert f"tensor `{name}.qweight`: expected shape [24, 96], found [12, 96]" in refused_with(bits=8)
    assert f"tensor `{name}.weight_packed` is missing" in refused_with(quant_method="compressed-tensors")
    assert f"tensor `{name}.weight` is missing" in refused_with(quant_method="fp8")
    assert "is not served" in refused_with(checkpoint_format="marlin")
