"""From a name to a snapshot: which files, what layout, who is asked."""

import contextlib
import json
import os
import pty
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from conftest import COMMIT, CONFIG, ID, PROGRAM, SHARDED, SINGLE, environment, safetensors, sharded
from fake_hub import Hub, git_sha1, sha256


def test_a_snapshot_with_what_a_server_needs_and_nothing_else(hub, client):
    r = client.good()
    client.check(hub.files, SINGLE)
    repo = client.repo_dir()
    assert (repo / "refs/main").read_text() == COMMIT
    assert sorted(p.name for p in (repo / "blobs").iterdir()) == sorted(
        {sha256(hub.files[n]) if n.endswith(".safetensors") else git_sha1(hub.files[n]) for n in SINGLE})
    assert "Download: [1/1]" in r.stderr and "The model is ready" in r.stderr


def test_shards_are_those_of_the_index(hub, client):
    files = sharded()
    hub.add(ID, files, COMMIT)
    client.good()
    client.check(files, SHARDED)


@pytest.mark.parametrize("names,chosen", [
    (["model-q4.safetensors", "training_args.safetensors"], ["model-q4.safetensors"]),
    (["pytorch_model.bin", "optimizer.bin", "training_args.bin"], ["pytorch_model.bin"]),
    (["pytorch_model.bin", "model.safetensors", "model-00001-of-00001.safetensors"], ["model.safetensors"]),
])
def test_weights_by_name(hub, client, names, chosen):
    hub.add(ID, {"config.json": CONFIG, **{n: safetensors(4000) for n in names}}, COMMIT)
    client.get()  # reading what is no model.safetensors is not this test's business
    snapshot = client.repo_dir() / "snapshots" / COMMIT
    assert sorted(os.listdir(snapshot)) == sorted(["config.json", *chosen])


def test_bin_shards_of_an_index(hub, client):
    index = json.dumps({"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}}).encode()
    hub.add(ID, {"config.json": CONFIG, "pytorch_model.bin.index.json": index, "pytorch_model-1.bin": b"1",
                 "pytorch_model-2.bin": b"2", "other.bin": b"3"}, COMMIT)
    client.get()
    assert sorted(os.listdir(client.repo_dir() / "snapshots" / COMMIT)) == [
        "config.json", "pytorch_model-1.bin", "pytorch_model-2.bin", "pytorch_model.bin.index.json"]


def test_no_weights(hub, client):
    hub.add(ID, {"config.json": CONFIG, "model.gguf": b"x"}, COMMIT)
    assert "no weights that could be served" in client.bad()


def test_a_second_time_nothing_is_fetched(hub, client):
    client.good()
    hub.requests.clear()
    r = client.good()
    assert [(w, m) for w, m, _, _ in hub.requests] == [("hub", "GET")]  # one question: is there a newer one?
    assert "Skipping download" in r.stderr


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/7", "feature/x"])
def test_revisions(hub, client, revision):
    hub.repo.refs[revision] = other = "b" * 40
    hub.repo.commits[other] = {"config.json": CONFIG, "model.safetensors": safetensors(8000, seed=9)}
    client.good(ID, "--revision", revision)
    client.check(hub.repo.commits[other], ["config.json", "model.safetensors"], commit=other)
    assert (client.repo_dir() / "refs" / revision).read_text() == other


def test_a_commit_that_is_there_asks_nobody(hub, client):
    client.good(ID, "--revision", COMMIT)
    assert not (client.repo_dir() / "refs").exists()
    before = hub.connections
    client.good(ID, "--revision", COMMIT)
    assert hub.connections == before


def test_a_new_commit_shares_blobs(hub, client):
    client.good()
    hub.repo.refs["main"] = new = "c" * 40
    hub.repo.commits[new] = {**hub.files, "config.json": CONFIG + b"\n"}
    hub.requests.clear()
    client.good()
    assert not [p for w, _, p, _ in hub.requests if w == "store"]
    client.check(hub.repo.commits[new], SINGLE, commit=new)
    assert (client.repo_dir() / "refs/main").read_text() == new


def test_a_renamed_model(hub, client):
    hub.add("old/name", {}).moved_to = ID
    client.good("old/name")
    client.check(hub.files, SINGLE, id="old/name")


def test_a_bar_on_a_terminal_and_lines_elsewhere(hub, client):
    hub.pace = 0.05
    ours, theirs = pty.openpty()
    p = subprocess.Popen([PROGRAM, "download-weights", ID], env=environment(hub, client.cache), stderr=theirs)
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while part := os.read(ours, 4096):
            text += part
    os.close(ours)
    assert p.wait(60) == 0
    drawn = [x for x in text.decode().split("\r") if "ETA" in x]
    assert len(drawn) > 3 and "100 % [========================]" in drawn[-1] and "Download: [" not in text.decode()
    shutil.rmtree(client.cache)
    r = client.good(ID, "--json-output")
    messages = [json.loads(x)["message"] for x in r.stderr.splitlines()]
    assert any(re.match(r"Download: \[1/1\] -- ETA: 0:00 \(0.4 of 0.4 MB", x) for x in messages) and "\r" not in r.stderr


# ---- tokens ----

@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_API_TOKEN", "file"])
def test_the_token_goes_to_the_hub_alone(hub, client, name, tmp_path):
    hub.repo.token = "hf_secret"
    env = {name: "hf_secret"}
    if name == "file":
        (tmp_path / "home").mkdir()
        (tmp_path / "home/token").write_text("hf_secret\n")
        env = {}
    r = client.good(env=env)
    assert {w for w, *_ in hub.requests} == {"hub", "store"}
    for where, _, _, headers in hub.requests:
        assert headers.get("Authorization") == ("Bearer hf_secret" if where == "hub" else None)
        assert headers["User-Agent"].startswith("prompteur/")
    assert "hf_secret" not in r.stderr


def test_a_token_does_not_follow_a_redirect_of_the_api(hub, client):
    other = Hub()
    other.add(ID, hub.files, COMMIT)
    hub.faults.append({"where": "hub", "kind": "redirect", "to": other.url + "/api/models/x", "times": 1})
    client.get(env={"HF_TOKEN": "hf_secret"})
    assert other.requests and all("Authorization" not in h for *_, h in other.requests)
    other.stop()


# ---- answers with a reason ----

@pytest.mark.parametrize("setting,env,said", [
    ({"token": "t", "is_gated": True, "refuses_with": 401}, {}, ["gated", "ask for access", "HF_TOKEN"]),
    ({"token": "t", "is_gated": True, "refuses_with": 403}, {"HF_TOKEN": "u"}, ["gated", "account that the given token"]),
    ({"token": "t"}, {}, ["no such model, or it is private", "give a token in HF_TOKEN"]),
    ({"token": "t"}, {"HF_TOKEN": "u"}, ["check the name, and that the given token"]),
    ({"token": "t", "message": "Invalid credentials in Authorization header"}, {"HF_TOKEN": "u"},
     ["does not accept the token", "/settings/tokens"]),
])
def test_no_access(hub, client, setting, env, said):
    vars(hub.repo).update(setting)
    text = client.bad(env=env)
    assert all(s in text for s in said), text


def test_no_such_model_and_no_such_revision(hub, client):
    assert "no such model" in client.bad("nobody/nothing")
    text = client.bad(ID, "--revision", "v9")
    assert "has no revision `v9`" in text


@pytest.mark.parametrize("id", ["a/b/c", "a-/b", "a..b/c", "a--b/c", "a/b.git", "a b/c", "../x", "/nowhere", "./x", "a/"])
def test_names_that_can_be_no_model(hub, client, id):
    text = client.bad(id)
    assert "no folder" in text or "no such folder" in text
    assert hub.connections == 0


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a b", "a..b", "x.lock", "a//b", "."])
def test_names_that_can_be_no_revision(hub, client, revision):
    assert "cannot be one of a hub" in client.bad(ID, "--revision", revision)
    assert hub.connections == 0


def test_a_hub_that_cannot_be_reached(hub, client):
    hub.faults.append({"where": "hub", "kind": "status", "status": 503, "times": 99})
    client_env = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    p = client.start("download-weights", ID, env=client_env)
    out = ""
    for line in p.stderr:
        out += line
        if "trying again" in line:
            break
    p.kill()
    p.wait()
    assert "cannot be reached" in out and "HTTPS_PROXY" in out


# ---- without network ----

@pytest.mark.parametrize("name,value", [("HF_HUB_OFFLINE", "1"), ("HF_HUB_OFFLINE", "True"), ("HF_HUB_OFFLINE", "yes"),
                                        ("TRANSFORMERS_OFFLINE", "ON")])
def test_offline_asks_nobody(hub, client, name, value):
    assert "HF_HUB_OFFLINE forbids" in client.bad(env={name: value})
    assert hub.connections == 0
    client.good()
    before = hub.connections
    client.good(env={name: value})
    assert hub.connections == before


def test_a_folder_asks_nobody(hub, client, tmp_path):
    client.good()
    folder = tmp_path / "folder"
    shutil.copytree(client.repo_dir() / "snapshots" / COMMIT, folder)
    before = hub.connections
    client.good(str(folder))
    assert hub.connections == before


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 503}, {"kind": "status", "status": 429},
                                   {"kind": "hang_up"}, {"kind": "status", "status": 401}, {"kind": "status", "status": 418},
                                   {"kind": "status", "status": 200, "body": b"<html>please log in</html>"}])
def test_a_cached_snapshot_when_the_hub_is_in_trouble(hub, client, fault):
    client.good()
    hub.faults.append({"where": "hub", "times": 99, **fault})
    r = client.good()
    assert "could not be asked whether there is a newer" in r.stderr and COMMIT in r.stderr


def test_half_a_snapshot_is_none(hub, client):
    client.good()
    (client.repo_dir() / "snapshots" / COMMIT / "model.safetensors").unlink()
    assert "or not wholly, in the cache" in client.bad(env={"HF_HUB_OFFLINE": "1"})


# ---- the way to the hub ----

@pytest.fixture
def tls(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out",
                    tmp_path / "cert.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    h = Hub(tls=context)
    h.add(ID, {"config.json": CONFIG, "model.safetensors": safetensors(4000)}, COMMIT)
    yield h, str(tmp_path / "cert.pem")
    h.stop()


def test_certificates(hub, client, tls):
    secure, cert = tls
    text = client.bad(env={"HF_ENDPOINT": secure.url})
    assert "cannot be trusted" in text and "SSL_CERT_FILE" in text
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        shutil.rmtree(client.cache, ignore_errors=True)
        client.good(env={"HF_ENDPOINT": secure.url, name: cert})


def test_no_redirect_from_https_to_http(hub, client, tls):
    secure, cert = tls
    secure.store_url = hub.store_url
    text = client.bad(env={"HF_ENDPOINT": secure.url, "SSL_CERT_FILE": cert})
    assert "from https to the unprotected" in text


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy(hub, client, name):
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            connection, _ = listener.accept()
            seen.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nX-Error-Code: RevisionNotFound\r\nContent-Length: 0\r\n\r\n")
            connection.close()
        thread = threading.Thread(target=serve)
        thread.start()
        text = client.bad(env={name: f"http://127.0.0.1:{listener.getsockname()[1]}",
                               "HF_ENDPOINT": "http://hub.invalid"})
        thread.join(20)
    assert seen[0].startswith(b"GET http://hub.invalid/api/models/" + ID.encode())
    assert "has no revision" in text


def test_places_of_the_cache(hub, client, tmp_path):
    def where(*args, **env):
        before = set(tmp_path.rglob("models--*"))
        client.good(ID, *args, env={"HF_HUB_CACHE": "", "HF_HOME": "", **env})
        made = [p for p in set(tmp_path.rglob("models--*")) - before if ".locks" not in str(p)]
        return str(made[0].parent.relative_to(tmp_path)) if made else None
    base = str(tmp_path)
    assert where("--huggingface-hub-cache", base + "/flag", HF_HUB_CACHE=base + "/x") == "flag"
    assert where(HF_HUB_CACHE=base + "/newer", HUGGINGFACE_HUB_CACHE=base + "/older") == "newer"
    assert where(HUGGINGFACE_HUB_CACHE=base + "/older") == "older"
    assert where(HF_HOME=base + "/data") == "data/hub"
    assert where(XDG_CACHE_HOME=base + "/xdg2") == "xdg2/huggingface/hub"
    assert where(HOME=base + "/me", XDG_CACHE_HOME="") == "me/.cache/huggingface/hub"
    shutil.move(base + "/data/hub/models--some-owner--some.model_1", base + "/data")  # as older images had it
    before = hub.connections
    client.good(env={"HF_HUB_CACHE": "", "HF_HOME": base + "/data", "HF_HUB_OFFLINE": "1"})
    assert hub.connections == before


def test_no_room(hub, client):
    hub.faults.append({"where": "hub", "match": "model.safetensors", "kind": "meta", "times": 9,
                       "headers": {"X-Linked-Size": str(1 << 50)}})
    text = client.bad()
    assert "GB more" in text and "--huggingface-hub-cache" in text


def test_weights_from_another_folder(hub, client, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/model.safetensors").write_bytes(safetensors(4000))
    client.good(ID, env={"WEIGHTS_CACHE_OVERRIDE": str(tmp_path / "weights")})
    assert not (client.repo_dir() / "snapshots" / COMMIT / "model.safetensors").exists()
