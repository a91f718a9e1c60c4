"""`prompteur tokenize` against the reference library: its goldens for published tokenizers, and small tokenizers made
here, one for every part of the format. tokenizer_compare.py says what is compared."""

import gzip
import json
import os
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

import tokenizer_cases
from tokenizer_compare import byte_offsets, compare, run
from tokenizer_texts import LONG, TEXTS

TESTDATA = os.environ.get("PROMPTEUR_TESTDATA")
CASES = tokenizer_cases.cases()
# One model of each kind is enough for texts that take the library long.
LONG_CASES = ("bpe bytes", "bpe like llama 2", "bpe, end of word", "unigram", "bert", "wordlevel")


def published():
    folder = Path(TESTDATA or "", "goldens/tokenizers")
    return sorted(p.name.removesuffix(".jsonl.gz") for p in folder.glob("*.jsonl.gz")) if TESTDATA else []


def report(differences):
    return f"{len(differences)} differences, the first of them:\n" + "\n".join(map(str, differences[:5]))


# ---- made here ----

@pytest.mark.parametrize("name", CASES)
def test_equal_to_the_library(name, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(CASES[name])
    size = Tokenizer.from_str(CASES[name]).get_vocab_size()
    rng = random.Random(name)
    id_lists = [[rng.randrange(size + 2) for _ in range(rng.randrange(12))] for _ in range(150)]
    differences = compare(path, TEXTS, id_lists)
    assert not differences, report(differences)


@pytest.mark.parametrize("name", LONG_CASES)
def test_long_texts_are_equal_too(name, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(CASES[name])
    differences = compare(path, LONG)
    assert not differences, report([d.what for d in differences])


# ---- published ----

@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """name -> the folder of a published tokenizer."""
    def folder(name):
        out = tmp_path_factory.mktemp(name)
        source = Path(TESTDATA, "tokenizers", name)
        (out / "tokenizer.json").write_bytes(gzip.decompress((source / "tokenizer.json.gz").read_bytes()))
        (out / "tokenizer_config.json").write_bytes((source / "tokenizer_config.json").read_bytes())
        return out
    return folder


def golden(name):
    lines = gzip.decompress(Path(TESTDATA, "goldens/tokenizers", name + ".jsonl.gz").read_bytes()).decode().split("\n")
    header, *records = (json.loads(line) for line in lines if line)
    return header, [r for r in records if "t" in r], records


@pytest.mark.skipif(not TESTDATA, reason="PROMPTEUR_TESTDATA is not set: no reference goldens here")
@pytest.mark.parametrize("name", published())
def test_golden(name, unpacked):
    folder = unpacked(name)
    header, texts, records = golden(name)
    strings = [r["t"] for r in texts]
    chars = run(folder, strings, "--no-special", "--offsets", "chars")
    in_bytes = run(folder, strings, "--no-special")
    framed = run(folder, strings)
    for r, c, b, f in zip(texts, chars, in_bytes, framed):
        assert c["ids"] == b["ids"] == r["ids"], r["t"]
        assert c["offsets"] == r["off"], r["t"]
        assert b["offsets"] == byte_offsets(r["t"], r["off"]), r["t"]
        assert f["ids"] == header["prefix_ids"] + r["ids"] + header["suffix_ids"], r["t"]
    lists = [r.get("ids", r.get("d")) for r in records]
    kept = run(folder, lists, "--decode", "--keep-special")
    streamed = [r for r in records if "inc" in r]
    deltas = run(folder, [r.get("ids", r.get("d")) for r in streamed], "--decode", "--stream")
    for r, plain, raw in zip(records, run(folder, lists, "--decode"), kept):
        assert plain["text"] == r["dec"] and raw["text"] == r.get("raw", r["dec"]), r
    for r, d in zip(streamed, deltas):
        assert d["deltas"] == r["inc"], r
    assert len(texts) == header["strings"] and len(records) == len(texts) + header["random_id_lists"]
