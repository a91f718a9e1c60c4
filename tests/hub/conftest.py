"""A hub of its own for every test, and the program with an environment in which it knows no other."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fake_hub import Hub

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("PROMPTEUR_PROGRAM", str(ROOT / "build/release/bin/prompteur"))
DEMO = ROOT / "models/demo/export"
ID = "some-owner/some.model_1"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def safetensors(n_bytes, name="weight", seed=1):
    """A file of one tensor."""
    header = json.dumps({name: {"dtype": "F32", "shape": [n_bytes // 4], "data_offsets": [0, n_bytes]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + random.Random(seed).randbytes(n_bytes)


CONFIG = json.dumps({"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1,
                     "intermediate_size": 128, "vocab_size": 64, "max_position_embeddings": 64,
                     "rms_norm_eps": 1e-5, "torch_dtype": "float32"}).encode()


def single(n_bytes=400_000):
    return {"config.json": CONFIG, "tokenizer_config.json": b"{}", "README.md": b"read me", "training_args.bin": b"no",
            "pytorch_model.bin": b"no", ".gitattributes": b"no", "original/consolidated.00.pth": b"no",
            "additional_chat_templates/rag.jinja": b"{{ x }}", "empty.txt": b"",
            "model.safetensors": safetensors(n_bytes)}


def sharded():
    index = {"weight_map": {f"w{i}": f"model-0000{i % 2 + 1}-of-00002.safetensors" for i in range(2)}}
    return {"config.json": CONFIG, "model.safetensors.index.json": json.dumps(index).encode(),
            "model-00001-of-00002.safetensors": safetensors(300_000, "w0", 2),
            "model-00002-of-00002.safetensors": safetensors(200_000, "w1", 3), "unrelated.safetensors": b"no"}


def environment(hub, cache, **more):
    keep = {k: v for k, v in os.environ.items()
            if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS", "MODEL_ID", "REVISION", "PROMPTEUR_EXPECT"))
            and k.lower() not in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
            and k not in ("HOSTNAME", "PORT", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")}
    return {**keep, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache.parent / "home"),
            "HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2", "XDG_CACHE_HOME": str(cache.parent / "xdg"),
            "HF_HUB_DISABLE_XET": "1", **more}


class Client:
    """Runs the program against a hub, with a cache."""

    def __init__(self, hub, cache):
        self.hub, self.cache, self.env = hub, cache, {}

    def start(self, *args, env=None, **kwargs):
        return subprocess.Popen([PROGRAM, *args], env=environment(self.hub, self.cache, **{**self.env, **(env or {})}),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)

    def run(self, *args, env=None):
        p = self.start(*args, env=env)
        out, err = p.communicate(timeout=100)
        assert "Sanitizer" not in err, err
        return subprocess.CompletedProcess(args, p.returncode, out, err)

    def get(self, id=ID, *args, env=None):
        return self.run("download-weights", id, *args, env=env)

    def good(self, *args, **kwargs):
        r = self.get(*args, **kwargs)
        assert r.returncode == 0, r.stderr
        return r

    def bad(self, *args, **kwargs):
        r = self.get(*args, **kwargs)
        assert r.returncode == 1, r.stderr
        return r.stderr

    def repo_dir(self, id=ID):
        return self.cache / ("models--" + id.replace("/", "--"))

    def check(self, files, names, id=ID, commit=COMMIT):
        """The snapshot holds exactly these files with the hub's bytes, all by relative links, and nothing is left over."""
        snapshot = self.repo_dir(id) / "snapshots" / commit
        found = sorted(str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if not p.is_dir())
        assert found == sorted(names)
        for name in names:
            p = snapshot / name
            assert p.is_symlink() and not os.path.isabs(os.readlink(p)) and p.read_bytes() == files[name], name
        left = [p.name for p in (self.repo_dir(id) / "blobs").iterdir() if "incomplete" in p.name]
        assert left == []
        return snapshot


SINGLE = ["config.json", "tokenizer_config.json", "additional_chat_templates/rag.jinja", "empty.txt",
          "model.safetensors"]
SHARDED = ["config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors",
           "model-00002-of-00002.safetensors"]


@pytest.fixture
def hub():
    h = Hub()
    h.files = single()
    h.repo = h.add(ID, h.files, COMMIT)
    yield h
    h.stop()


@pytest.fixture
def client(hub, tmp_path):
    return Client(hub, tmp_path / "cache")


@pytest.fixture
def python(hub, client):
    """huggingface_hub's snapshot_download in a process of its own; returns what it printed."""
    def call(env=None, **kwargs):
        text = f"from huggingface_hub import snapshot_download as d; print(d({ID!r}, **{kwargs!r}))"
        r = subprocess.run([sys.executable, "-c", text], env=environment(hub, client.cache, **(env or {})),
                           capture_output=True, text=True, timeout=100)
        assert r.returncode == 0, r.stderr
        return r.stdout.strip()
    return call


def kill(process, number=signal.SIGKILL):
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode
