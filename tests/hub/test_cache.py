"""The cache is huggingface_hub's too: what it writes we find, what we write it finds; processes share it; one that is
killed leaves nothing that is wrong."""

import os
import random
import shutil
import signal

import pytest

from conftest import COMMIT, CONFIG, ID, SHARDED, SINGLE, kill, safetensors, sharded
from fake_hub import git_sha1, sha256

WANTED = ["*.json", "*.txt", "*.jinja", "model.safetensors"]


def tree(client):
    """Every name in the cache but locks and the notes that only huggingface_hub makes, with its kind and content."""
    found = {}
    for p in sorted(client.cache.rglob("*")):
        name = str(p.relative_to(client.cache))
        if name.startswith(".locks") or "/trees" in name or name == "CACHEDIR.TAG":
            continue
        found[name] = os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else None
    return found


def interrupt(hub, client, blocks=32, number=signal.SIGKILL):
    """A download that is ended when some of the weights are on disk; the hub is quick again after it."""
    hub.pace = 0.03
    p = client.start("download-weights", ID)
    blobs = client.repo_dir() / "blobs"
    parts = blobs / (sha256(hub.files["model.safetensors"]) + ".parts.incomplete")
    hub.wait_for(lambda: parts.exists() and parts.stat().st_blocks > blocks)
    kill(p, number)
    hub.pace = 0
    return blobs


def test_python_finds_ours(hub, client, python):
    client.good()
    before = hub.connections
    snapshot = python(local_files_only=True)
    assert snapshot == str(client.repo_dir() / "snapshots" / COMMIT)
    assert python(env={"HF_HUB_OFFLINE": "1"}) == snapshot
    assert hub.connections == before


def test_we_find_pythons(hub, client, python):
    python(allow_patterns=WANTED)
    before = hub.connections
    client.good(env={"HF_HUB_OFFLINE": "1"})
    client.good(ID, "--revision", COMMIT)
    assert hub.connections == before
    hub.requests.clear()
    client.good()
    assert len(hub.requests) == 1


def test_both_write_the_same_to_the_byte(hub, client, python):
    client.good()
    ours = tree(client)
    shutil.rmtree(client.cache)
    python(allow_patterns=WANTED)
    assert tree(client) == ours
    assert (client.cache / ".locks/models--some-owner--some.model_1" / (sha256(hub.files["model.safetensors"]) + ".lock")).exists()


def test_we_complete_what_python_began(hub, client, python):
    python(allow_patterns=["*.json"])
    hub.requests.clear()
    client.good()
    client.check(hub.files, SINGLE)
    assert not [p for _, m, p, _ in hub.requests if m == "GET" and p.endswith("config.json")]


def test_python_completes_what_we_began(hub, client, python):
    interrupt(hub, client)
    python(allow_patterns=WANTED)
    assert (client.repo_dir() / "snapshots" / COMMIT / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


def test_a_plain_beginning_of_older_versions_is_gone_on_from(hub, client):
    data = hub.files["model.safetensors"]
    blobs = client.repo_dir() / "blobs"
    blobs.mkdir(parents=True)
    (blobs / (sha256(data) + ".incomplete")).write_bytes(data[:300_000])
    r = client.good()
    assert "going on after 300000 of" in r.stderr
    client.check(hub.files, SINGLE)


def test_a_wrong_beginning_does_no_harm(hub, client):
    data = hub.files["model.safetensors"]
    blobs = client.repo_dir() / "blobs"
    blobs.mkdir(parents=True)
    (blobs / (sha256(data) + ".incomplete")).write_bytes(b"x" * 300_000)
    client.good()
    client.check(hub.files, SINGLE)


@pytest.mark.parametrize("harm", ["map_garbage", "map_claims_all", "map_short", "parts_gone", "parts_short"])
def test_damaged_notes_do_no_harm(hub, client, harm):
    blobs = interrupt(hub, client)
    map_file, parts = next(blobs.glob("*.map.incomplete")), next(blobs.glob("*.parts.incomplete"))
    text = map_file.read_bytes()
    if harm == "map_garbage":
        map_file.write_bytes(random.randbytes(len(text)))
    elif harm == "map_claims_all":  # as after a power failure
        n = len(hub.files["model.safetensors"])
        done = b"".join(min(65536, n - at).to_bytes(4, "little") for at in range(0, n, 65536))
        map_file.write_bytes(text[:64] + done)
    elif harm == "map_short":
        map_file.write_bytes(text[:70])
    elif harm == "parts_gone":
        parts.unlink()
    else:
        os.truncate(parts, 1000)
    client.good()
    client.check(hub.files, SINGLE)


def test_killed_at_any_moment_and_started_again(hub, client):
    files = {**sharded(), "model-00001-of-00002.safetensors": safetensors(1_500_000, "w0", 5)}
    hub.add(ID, files, COMMIT)
    hub.pace = 0.004
    for _ in range(12):
        asked = len(hub.requests) + random.randrange(0, 12)
        p = client.start("download-weights", ID)
        hub.wait_for(lambda: len(hub.requests) >= asked or p.poll() is not None)
        hub.released.wait(random.random() * 0.05)
        kill(p)
        snapshot = client.repo_dir() / "snapshots" / COMMIT
        for f in snapshot.glob("*") if snapshot.exists() else []:  # whatever has its name is right
            assert f.read_bytes() == files[f.name]
    hub.pace = 0
    client.good()
    client.check(files, SHARDED)


def test_what_was_there_is_not_fetched_again(hub, client):
    interrupt(hub, client, blocks=200)
    hub.requests.clear()
    client.good()
    spans = [h["Range"][6:].split("-") for w, m, _, h in hub.requests if w == "store" and m == "GET"]
    assert 0 < sum(int(b) - int(a) + 1 for a, b in spans) < len(hub.files["model.safetensors"]) - 60_000
    client.check(hub.files, SINGLE)


def test_an_interrupt_leaves_what_it_has(hub, client):
    interrupt(hub, client, number=signal.SIGINT)
    assert "going on after" in client.good().stderr
    client.check(hub.files, SINGLE)


def test_two_processes_fetch_once(hub, client):
    hub.pace = 0.02
    both = [client.start("download-weights", ID) for _ in range(2)]
    texts = [p.communicate(timeout=60)[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], texts
    client.check(hub.files, SINGLE)
    fetched = [h["Range"] for w, m, _, h in hub.requests if w == "store" and m == "GET"]
    assert len(fetched) == len(set(fetched))


def test_a_lock_of_another_process_is_waited_for(hub, client):
    import fcntl
    lock = client.cache / ".locks/models--some-owner--some.model_1" / (sha256(hub.files["model.safetensors"]) + ".lock")
    lock.parent.mkdir(parents=True)
    with open(lock, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        p = client.start("download-weights", ID)
        for line in p.stderr:
            if "another process fetches it" in line:
                break
        assert not [w for w, *_ in hub.requests if w == "store"]
        blob = client.repo_dir() / "blobs" / sha256(hub.files["model.safetensors"])
        blob.write_bytes(hub.files["model.safetensors"])  # it has finished
    p.communicate(timeout=60)
    assert p.returncode == 0 and not [w for w, *_ in hub.requests if w == "store"]
    client.check(hub.files, SINGLE)


def test_a_blob_of_another_size_is_fetched_again(hub, client):
    blob = client.repo_dir() / "blobs" / sha256(hub.files["model.safetensors"])
    blob.parent.mkdir(parents=True)
    blob.write_bytes(hub.files["model.safetensors"][:-1])
    client.good()
    client.check(hub.files, SINGLE)


def test_a_link_that_leads_nowhere_is_made_anew(hub, client):
    client.good()
    for p in (client.repo_dir() / "blobs").iterdir():
        p.unlink()
    client.good()
    client.check(hub.files, SINGLE)


def test_a_cache_that_cannot_be_written_serves_what_it_has(hub, client):
    client.good()
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    for p in client.cache.rglob("*"):
        if not p.is_symlink():
            p.chmod(0o555)
    try:
        client.good()
    finally:
        for p in client.cache.rglob("*"):
            if not p.is_symlink():
                p.chmod(0o755)


# ---- commands ----

def test_list_info_rm(hub, client):
    r = client.run("list")
    assert r.returncode == 0 and r.stdout == "" and "no models in" in r.stderr
    client.good()
    hub.add("another", {"config.json": CONFIG, "model.safetensors": safetensors(4000)}, COMMIT)
    client.good("another")
    before = hub.connections
    lines = client.run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["MODEL", "another", ID] and lines[2].split()[-1] == "main"
    text = client.run("info", ID).stdout
    for word in (ID, COMMIT, "llama", "1 layers", "float32", "in 1 tensors", "digest"):
        assert word in text, text
    assert client.run("info", "not/there").returncode == 1
    (client.cache / "precious").mkdir()
    (client.repo_dir() / "snapshots" / COMMIT / "outside").symlink_to(client.cache / "precious")
    r = client.run("rm", ID)
    assert r.returncode == 0 and "removed" in r.stdout
    assert sorted(os.listdir(client.cache)) == [".locks", "models--another", "precious"]
    assert client.run("rm", ID).returncode == 1
    assert client.run("rm", str(client.cache)).returncode == 1 and client.run("rm").returncode == 1
    assert hub.connections == before


def test_one_revision_is_removed(hub, client):
    client.good()
    hub.repo.refs["v2"] = hub.repo.refs["refs/pr/2"] = other = "b" * 40
    hub.repo.commits[other] = {**hub.files, "model.safetensors": safetensors(8000, seed=9)}
    client.good(ID, "--revision", "v2")
    client.good(ID, "--revision", "refs/pr/2")
    listed = client.run("list").stdout.split("GB")[1].strip().split(", ")
    assert sorted(listed) == ["main", "refs/pr/2", "v2"]
    assert client.run("rm", ID, "--revision", other).returncode == 1  # branches stand for it
    assert client.run("rm", ID, "--revision", "v3").returncode == 1
    assert client.run("rm", ID, "--revision", "../../x").returncode == 1
    for revision, left in (("v2", True), ("refs/pr/2", False)):
        assert client.run("rm", ID, "--revision", revision).returncode == 0
        assert (client.repo_dir() / "snapshots" / other).exists() == left
        client.check(hub.files, SINGLE)
    assert not (client.repo_dir() / "blobs" / sha256(hub.repo.commits[other]["model.safetensors"])).exists()


def test_list_shows_what_is_unfinished(hub, client):
    interrupt(hub, client)
    assert "unfinished: 1 files" in client.run("list").stdout
