"""The server while its model is being fetched, and weights that are pinned."""

import json
import re
import shutil
import signal

import pytest
import requests

from conftest import COMMIT, DEMO, ID, kill


@pytest.fixture
def model(hub):
    hub.files = {p.name: p.read_bytes() for p in DEMO.iterdir() if p.is_file()}
    hub.repo = hub.add(ID, hub.files, COMMIT)


@pytest.fixture
def serve(client):
    """Starts a server; wait_url() once it listens and is ready."""
    started = []

    def start(*args, env=None, port="0"):
        p = client.start("serve", "--hostname", "127.0.0.1", "--port", port, *args, env=env)
        p.text = ""
        started.append(p)
        return p
    yield start
    for p in started:
        if p.poll() is None:
            kill(p)


def ready(p):
    for line in p.stderr:
        p.text += line
        found = re.search(r"listening on (http://[^;]+);", line)
        if found:
            return found.group(1)
    raise AssertionError(p.text)


def stop(p):
    p.send_signal(signal.SIGTERM)
    rest = p.communicate(timeout=60)[1]
    p.text += rest
    return p.returncode


def generate(url):
    return requests.post(url + "/generate", json={"inputs": "Once", "parameters": {"max_new_tokens": 4}}, timeout=60)


def test_a_model_of_the_hub_is_served(hub, model, serve):
    p = serve("--model-id", ID)
    url = ready(p)
    assert generate(url).status_code == 200
    info = requests.get(url + "/info", timeout=10).json()
    assert info["model_id"] == ID and info["model_sha"] == COMMIT
    assert stop(p) == 0


def free_port():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as s:
        return str(s.getsockname()[1])


def test_it_answers_503_while_it_fetches_and_ends_when_told(hub, model, serve):
    hub.pace = 0.2
    port = free_port()
    p = serve("--model-id", ID, port=port)
    hub.wait_for(lambda: any(w == "store" for w, *_ in hub.requests))
    assert requests.get(f"http://127.0.0.1:{port}/health", timeout=10).status_code == 503
    assert generate(f"http://127.0.0.1:{port}").status_code == 503
    assert stop(p) == 0, p.text
    assert "the download was cancelled" in p.text and "ERROR" not in p.text
    hub.pace = 0
    p = serve("--model-id", ID)
    ready(p)
    assert stop(p) == 0


def test_a_failure_ends_it(hub, serve):
    p = serve("--model-id", "nobody/nothing")
    assert p.wait(60) == 1
    assert "no such model" in p.stderr.read()


def test_wrong_names_end_it_before_it_listens(hub, serve):
    p = serve("--model-id", "a b/c")
    assert p.wait(60) == 1 and hub.connections == 0


def test_it_starts_from_the_cache_when_the_hub_is_gone(hub, model, client, serve):
    client.good()
    p = serve("--model-id", ID, env={"HF_ENDPOINT": "http://127.0.0.1:9"})
    ready(p)
    assert "could not be asked whether there is a newer" in p.text
    before = hub.connections
    p = serve("--model-id", ID, env={"HF_HUB_OFFLINE": "1"})
    ready(p)
    assert hub.connections == before


# ---- pinned weights ----

def change_weights(hub):
    data = bytearray(hub.files["model.safetensors"])
    data[-1] ^= 1
    hub.repo.refs["main"] = other = "b" * 40
    hub.repo.commits[other] = {**hub.files, "model.safetensors": bytes(data)}
    return other


def digest_of(client):
    return re.search(r"digest +([0-9a-f]{64})", client.run("info", ID).stdout).group(1)


def test_expect_digest(hub, model, client, serve):
    client.good()
    digest = digest_of(client)
    p = serve("--model-id", ID, "--expect-digest", digest)
    url = ready(p)
    assert requests.get(url + "/info", timeout=10).json()["weights_sha256"] == digest
    change_weights(hub)
    p = serve("--model-id", ID, "--expect-digest", digest)
    assert p.wait(60) == 1
    text = p.stderr.read()
    assert "refused: the weights' digest is" in text and "listening" not in text
    assert client.good(ID, "--revision", COMMIT, "--expect-digest", digest)
    assert "refused" in client.bad(ID, "--expect-digest", digest)
    assert "64 hexadecimal digits" in client.bad(ID, "--expect-digest", "abc")


def test_a_changed_file_is_found_whatever_its_date_says(hub, model, client, serve):
    import os
    client.good()
    digest = digest_of(client)  # remembered, with size and date
    blob = (client.repo_dir() / "snapshots" / COMMIT / "model.safetensors").resolve()
    was = blob.stat()
    with open(blob, "r+b") as f:
        f.seek(-1, 2)
        f.write(b"\x01" if hub.files["model.safetensors"][-1] != 1 else b"\x02")
    os.utime(blob, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert "refused" in client.bad(ID, "--expect-digest", digest)


def test_a_lock_file(hub, model, client, serve, tmp_path):
    lock = tmp_path / "prompteur.lock"
    assert client.run("lock", ID, "--output", str(lock)).returncode == 0
    assert json.loads(lock.read_text()) == {"version": 1, "model_id": ID, "revision": COMMIT,
                                            "weights_sha256": digest_of(client)}
    change_weights(hub)
    p = serve("--lock-file", str(lock))
    url = ready(p)
    info = requests.get(url + "/info", timeout=10).json()
    assert (info["model_id"], info["model_sha"]) == (ID, COMMIT)
    shutil.rmtree(client.cache)  # fetched anew: the commit of the lock, not the newest
    client.good(ID, "--lock-file", str(lock))
    assert "is about" in client.bad("other/model", "--lock-file", str(lock))
    assert "is about commit" in client.bad(ID, "--revision", "main", "--lock-file", str(lock))
    assert "different digests" in client.bad(ID, "--expect-digest", "0" * 64, "--lock-file", str(lock))
    for text in ("", "{}", '{"version": 2}', lock.read_text().replace('":"', '":"x', 3), "[" * 1000):
        lock.write_text(text)
        assert "lock file" in client.bad(ID, "--lock-file", str(lock))


def test_a_folders_lock(client, hub, tmp_path):
    folder, lock = tmp_path / "folder", tmp_path / "lock"
    shutil.copytree(DEMO, folder)
    assert client.run("lock", str(folder), "--output", str(lock)).returncode == 0
    client.good(str(folder), "--lock-file", str(lock))
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    assert "refused" in client.bad(str(folder), "--lock-file", str(lock))
    assert hub.connections == 0
