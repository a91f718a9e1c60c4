"""`prompteur logits` on the demo model: its shape, its agreement with the server, its errors."""

import json
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load_file

from conftest import DEMO, PROGRAM

PROMPT = "Once upon a time"


def logits(lines, *args):
    return subprocess.run([PROGRAM, "logits", "--model-id", str(DEMO), *args], input=lines, capture_output=True,
                          text=True, timeout=120)


def test_text_and_ids_are_the_same_prompt_and_the_server_agrees(server):
    r = logits(json.dumps({"text": PROMPT}) + "\n", "--max-new-tokens", "12")
    assert r.returncode == 0, r.stderr
    answer = json.loads(r.stdout)
    assert list(answer) == ["ids", "prefill_logprobs", "greedy_ids", "greedy_logprobs"]
    assert len(answer["prefill_logprobs"]) == len(answer["ids"]) and answer["prefill_logprobs"][0] is None
    again = json.loads(logits(json.dumps({"ids": answer["ids"]}) + "\n", "--max-new-tokens", "12").stdout)
    assert again == answer
    served = server.generate(PROMPT, max_new_tokens=12, details=True).json()["details"]["tokens"]
    assert [t["id"] for t in served] == answer["greedy_ids"][:len(served)]
    assert [t["logprob"] for t in served] == answer["greedy_logprobs"][:len(served)]


def test_save_keeps_all_logits(tmp_path):
    file = tmp_path / "logits.safetensors"
    ids = [5] + list(range(100, 300))  # longer than one chunk
    r = logits(json.dumps({"ids": ids}) + "\n" + json.dumps({"ids": [7]}) + "\n", "--save", str(file))
    assert r.returncode == 0, r.stderr
    tensors = load_file(file)
    vocab = json.loads((DEMO / "config.json").read_text())["vocab_size"]
    assert tensors["logits_0"].shape == (len(ids), vocab) and tensors["logits_1"].shape == (1, vocab)
    row = tensors["logits_0"][10].astype(np.float64)
    want = row[ids[11]] - row.max() - np.log(np.exp(row - row.max()).sum())
    got = json.loads(r.stdout.splitlines()[0])["prefill_logprobs"][11]
    assert abs(got - want) < 1e-5
    assert not (tmp_path / "logits.safetensors.part").exists()


def test_threads_do_not_change_a_bit():
    one, three = (logits('{"text":"What is prompteur?"}\n', "--threads", n).stdout for n in ("1", "3"))
    assert one == three and one


@pytest.mark.parametrize("line,text", [
    ('{"ids":[]}', "the prompt is empty"),
    ('{"ids":[999999]}', "no token id below"),
    ('{"ids":[1.5]}', "no token id below"),
    ('{"tokens":[1]}', "neither"),
    ("nonsense", "line 1"),
    ('{"ids":[' + "1," * 2000 + "1]}", "positions"),
])
def test_a_bad_line_ends_with_its_number(line, text):
    r = logits(line + "\n")
    assert r.returncode == 1 and text in r.stderr and "standard input, line 1" in r.stderr
