"""GET /health after answers that failed: one token is asked for, and the response is what becomes of it."""

import json
import struct

import pytest
import requests

from conftest import DEMO

POISON = 1000


@pytest.fixture
def poisoned(tmp_path):
    """The demo model with one token whose embedding is no number; `head`: its row of the head, too, so that every
    answer fails."""
    def make(head):
        folder = tmp_path / "model"
        folder.mkdir()
        for f in DEMO.iterdir():
            if f.name not in ("config.json", "model.safetensors"):
                (folder / f.name).symlink_to(f)
        config = json.loads((DEMO / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
        data = (DEMO / "model.safetensors").read_bytes()
        n = struct.unpack("<Q", data[:8])[0]
        tensors, values = json.loads(data[8:8 + n]), bytearray(data[8 + n:])
        embedding = tensors["model.embed_tokens.weight"]
        begin, end = embedding["data_offsets"]
        row = (end - begin) // embedding["shape"][0]
        values += values[begin:end]
        tensors["lm_head.weight"] = {**embedding, "data_offsets": [len(values) - (end - begin), len(values)]}
        for at in [begin] + head * [len(values) - (end - begin)]:
            values[at + POISON * row:at + (POISON + 1) * row] = b"\xff\x7f" * (row // 2)
        header = json.dumps(tensors).encode()
        header += b" " * (-len(header) % 8)
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + values)
        return folder
    return make


def status(server):
    return requests.get(server.url + "/health", timeout=10).status_code


def test_one_bad_answer_leaves_a_well_server(start, poisoned):
    s = start(model=poisoned(head=False))
    assert status(s) == 200
    r = s.post("/v1/completions", {"prompt": [[POISON], [5]], "max_tokens": 4})
    assert r.status_code == 424 and r.json()["error_type"] == "generation"
    assert status(s) == 200
    assert s.generate("Once", max_new_tokens=2).status_code == 200
    assert s.metric("tgi_request_failure") == 1


def test_a_server_that_only_fails_is_unwell(start, poisoned):
    s = start(model=poisoned(head=True))
    assert status(s) == 200
    assert s.generate("Once", max_new_tokens=2).status_code == 424
    for _ in range(3):
        r = requests.get(s.url + "/health", timeout=10)
        assert (r.status_code, r.json()) == (503, {"error": "unhealthy", "error_type": "healthcheck"})
