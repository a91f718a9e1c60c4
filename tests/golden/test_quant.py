"""Quantised checkpoints, and plain ones quantised while loading, against float32 computations by transformers with the
dequantised weights.

In f32 compute only the order of sums differs: logits within 1e-4 of the largest, the same greedy tokens. In bf16
compute test_logits.py's reasoning holds with one more rounding for each linear, that of its weights to bf16: 10 in a
row for a layer, 2 for the head.

Formats that no golden has (group sizes, odd columns, act-order, 8 bits, zeros, blocks) are made here and unpacked by
NumPy into a float32 checkpoint; both checkpoints must give the same logits.
"""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from test_logits import DEVICES, TESTDATA, first_close_call, needs_testdata, run_logits

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
    tolerance = 5 * 2**-9 * math.sqrt((10 * layers + 2) / 3)
    largest = 0
    for k, want in golden_logits(case[1]).items():
        largest = max(largest, np.abs(want).max())
        error = np.abs(logits[k] - want).max() / np.abs(want).max()
        assert error <= tolerance, f"{k}: {error:.2e} of the largest logit, {tolerance:.2e} allowed"
    for prompt, answer in zip(prompts, answers):
        n = first_close_call(prompt, tolerance * largest)
        assert answer["greedy_ids"][:n] == prompt["greedy_ids"][:n]
