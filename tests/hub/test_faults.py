"""A hub, or what lies between, that breaks, lies or dawdles: the final bytes are right or there are none."""

import json
import random
import time

import pytest

from conftest import COMMIT, CONFIG, ID, SINGLE, safetensors
from fake_hub import Hub

WEIGHTS = {"where": "store", "match": "model.safetensors"}
SMALL = {"where": "hub", "match": "resolve/" + COMMIT + "/config.json", "method": "GET"}


def fetches(hub):
    return [h.get("Range") for w, m, p, h in hub.requests if w == "store" and m == "GET"]


# ---- things that pass ----

@pytest.mark.parametrize("where", [WEIGHTS, SMALL], ids=["weights", "config"])
@pytest.mark.parametrize("at", [0, 1, -1, "random"])
def test_connections_that_break(hub, client, where, at):
    if at == "random":
        at = random.randrange(2, 50)
    hub.faults.append({**where, "kind": "cut", "at": at})
    client.good()
    client.check(hub.files, SINGLE)


def test_every_first_connection_breaks_somewhere(hub, client):
    hub.files["model.safetensors"] = hub.repo.commits[COMMIT]["model.safetensors"] = safetensors(1_200_000)
    hub.faults += [{**WEIGHTS, "kind": "cut", "at": random.randrange(0, 60_000)} for _ in range(16)]
    client.good()
    client.check(hub.files, SINGLE)


@pytest.mark.parametrize("kind", [{"kind": "hang_up"}, {"kind": "status", "status": 500}, {"kind": "status", "status": 503},
                                  {"kind": "status", "status": 504},
                                  {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}])
@pytest.mark.parametrize("where", [{"where": "hub", "match": "/api/"}, {"where": "hub", "match": "config.json"}, SMALL, WEIGHTS],
                         ids=["api", "head", "config", "weights"])
def test_trouble_that_passes(hub, client, kind, where):
    hub.faults.append({**where, **kind})
    began = time.monotonic()
    client.good()
    if "headers" in kind:
        assert time.monotonic() - began >= 1
    client.check(hub.files, SINGLE)


def test_an_address_of_the_store_that_has_expired(hub, client):
    hub.faults.append({**WEIGHTS, "kind": "status", "status": 403, "times": 7})
    client.good()
    client.check(hub.files, SINGLE)
    assert [p for w, m, p, _ in hub.requests if w == "hub" and m == "GET" and p.endswith("model.safetensors")]


def test_a_store_that_knows_no_ranges(hub, client):
    hub.knows_ranges = False
    hub.faults.append({**WEIGHTS, "kind": "cut", "at": 100_000, "times": 3})
    client.good()
    client.check(hub.files, SINGLE)


def test_bytes_that_changed_on_their_way_are_fetched_again(hub, client):
    hub.faults.append({**WEIGHTS, "kind": "corrupt"})
    r = client.good()
    assert "the bytes are not what the hub promises: fetched again" in r.stderr
    client.check(hub.files, SINGLE)


def test_several_connections_at_once(hub, client):
    hub.pace = 0.01
    client.good()
    ranges = fetches(hub)
    assert len(ranges) == len(set(ranges)) == 7 and None not in ranges  # 400 kB in pieces of 64 KiB


@pytest.mark.parametrize("silent", [{"kind": "silence"}, {"kind": "drip"}])
def test_a_connection_that_brings_next_to_nothing_is_made_anew(hub, client, silent):
    hub.faults.append({**WEIGHTS, **silent})
    client.good(env={"HF_HUB_DOWNLOAD_TIMEOUT": "1"})
    client.check(hub.files, SINGLE)


# ---- lies ----

@pytest.mark.parametrize("fault,said", [
    ({"kind": "corrupt"}, "twice other bytes came"),
    ({"kind": "other_range"}, "another range than it was asked for"),
    ({"kind": "total", "total": 5}, "differ about its size"),
    ({"kind": "compressed"}, "sends it compressed"),
    ({"kind": "cut", "at": 0}, "the connection to"),
    ({"kind": "status", "status": 416}, "answers 416"),
    ({"kind": "status", "status": 404}, "does not have it"),
])
def test_a_store_that_lies_for_ever(hub, client, fault, said, fast):
    hub.faults.append({**WEIGHTS, **fault, "times": 10_000})
    text = client.bad(env=fast)
    assert said in text
    assert not (client.repo_dir() / "snapshots" / COMMIT / "model.safetensors").exists()


@pytest.fixture
def fast():
    return {"PROMPTEUR_DOWNLOAD_TRIES": "2"}


def test_bodies_without_an_end(hub, client):
    hub.faults.append({**WEIGHTS, "kind": "endless", "times": 3})
    hub.faults.append({**SMALL, "kind": "endless"})
    client.good()
    client.check(hub.files, SINGLE)


@pytest.mark.parametrize("name,value", [("X-Linked-Size", "399999"), ("X-Linked-Size", "100"), ("X-Linked-Etag", '"' + "0" * 64 + '"'),
                                        ("X-Linked-Etag", '"../../x"'), ("X-Linked-Size", "-1"), ("X-Repo-Commit", "f" * 40)])
def test_a_hub_that_lies_about_a_file(hub, client, name, value, fast):
    hub.faults.append({"where": "hub", "match": "model.safetensors", "kind": "meta", "headers": {name: value}, "times": 99})
    client.bad(env=fast)
    assert not (client.repo_dir() / "snapshots" / COMMIT / "model.safetensors").exists()


def test_circles(hub, client):
    hub.faults.append({"where": "hub", "match": "/api/", "kind": "redirect", "to": "/api/models/x", "times": 99})
    assert "in a circle" in client.bad()
    hub.faults[:] = [{**WEIGHTS, "kind": "redirect", "to": "/again/model.safetensors", "times": 99}]
    assert "in a circle" in client.bad()


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"])
def test_redirects_to_other_kinds_of_address(hub, client, to):
    hub.faults.append({"where": "hub", "match": "/api/", "kind": "redirect", "to": to, "times": 99})
    assert "neither https:// nor http://" in client.bad()


@pytest.mark.parametrize("name", ["../escape.json", "/etc/x.json", "a/../../b.json", "a//b.json", "./a.json", "..", "",
                                  "x\u0000.json", "tab\t.json", "back\\slash.json", "n" * 600 + ".json"])
def test_names_that_lead_elsewhere(hub, client, name, tmp_path):
    hub.repo.raw_answer = json.dumps({"sha": COMMIT, "siblings": [{"rfilename": "config.json"}, {"rfilename": name}]}).encode()
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert "no plain relative path" in client.bad()
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "not-listed.safetensors", 7])
def test_an_index_that_leads_elsewhere(hub, client, name):
    index = json.dumps({"weight_map": {"w": name}}).encode()
    hub.add(ID, {"config.json": CONFIG, "model.safetensors.index.json": index}, COMMIT)
    text = client.bad()
    assert "no plain relative path" in text or "does not list" in text or "no string" in text


@pytest.mark.parametrize("answer,said", [
    (b"", "no JSON"), (b"<html>", "no JSON"), (b"[1]", "names no commit"), (b"{}", "names no commit"),
    (b'{"sha": "main", "siblings": []}', "names no commit"), (b'{"sha": "%s"}' % COMMIT.encode(), "lists no files"),
    (b'{"sha": "%s", "siblings": [{}]}' % COMMIT.encode(), "without a name"), (b"[" * 100_000, "no JSON"),
    (b" " * (65 << 20), "longer than 64 MiB"),
])
def test_answers_that_are_none(hub, client, answer, said):
    hub.repo.raw_answer = answer
    assert said in client.bad()


def test_heads_without_an_end(hub, client):
    hub.faults.append({"where": "hub", "match": "/api/", "kind": "status", "status": 200, "times": 99,
                       "headers": {f"X-{i}": "x" * 1000 for i in range(300)}})
    assert "too long" in client.bad(env={"PROMPTEUR_DOWNLOAD_TRIES": "2"})


def test_a_wait_that_is_too_long(hub, client):
    hub.faults.append({"where": "hub", "match": "/api/", "kind": "status", "status": 429, "times": 99,
                       "headers": {"Retry-After": "100000"}})
    text = client.bad()
    assert "wants us to wait 100000 s" in text and "HF_TOKEN" in text


def test_a_question_that_is_answered_by_drops(hub, client):
    hub.faults.append({"where": "hub", "match": "/api/", "kind": "silence", "times": 1})
    client.good(env={"HF_HUB_ETAG_TIMEOUT": "1"})


def test_one_etag_for_two_files(hub, client):
    hub.faults.append({"where": "hub", "match": "config.json", "kind": "meta", "headers": {"ETag": '"x"'}, "times": 9})
    assert "the same etag" in client.bad()
    hub.faults.clear()
    hub.files["second.safetensors"] = hub.files["first.safetensors"] = hub.files.pop("model.safetensors")
    hub.add(ID, {**hub.files, "vocab.json": b"{}"}, COMMIT)  # as tokenizer_config.json
    r = client.get()
    assert "no weights: looked for" in r.stderr and "another process" not in r.stderr
    names = [n for n in SINGLE if n != "model.safetensors"] + ["vocab.json", "first.safetensors", "second.safetensors"]
    client.check({**hub.files, "vocab.json": b"{}"}, names)


def test_a_mirror_with_etags_of_its_own(hub, client):
    """Only the size of its files can be checked, and that is said."""
    hub.faults.append({"where": "hub", "match": "/config.json", "kind": "meta", "headers": {"ETag": '"W-17_x"'}, "times": 9})
    r = client.good()
    assert "promises no hash" in r.stderr and (client.repo_dir() / "blobs/W-17_x").exists()


def test_another_hub_is_a_mirror(hub, client):
    mirror = Hub()
    mirror.add(ID, hub.files, COMMIT)
    client.good(env={"HF_ENDPOINT": mirror.url + "/"})
    assert hub.connections == 0
    mirror.stop()
