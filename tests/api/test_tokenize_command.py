"""`prompteur tokenize`: strings to tokens and back, one JSON line each; what it refuses and how it goes on."""

import json
import os
import pty
import subprocess

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from conftest import DEMO, PROGRAM

TEXT = "Once upon a time, a café 🦙."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Byte-level, one token a byte, with a special token in front: a folder's path."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    t = Tokenizer(models.BPE({c: i for i, c in enumerate(letters)}, []))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken("<s>", special=True)])
    t.add_tokens([AddedToken("<tool>", special=False)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", t.token_to_id("<s>"))])
    folder = tmp_path_factory.mktemp("tokenizer")
    t.save(str(folder / "tokenizer.json"))
    return folder


def run(lines, *args, env=None):
    return subprocess.run([PROGRAM, "tokenize", *map(str, args)], input=lines, capture_output=True, timeout=60,
                          env={**os.environ, **(env or {})})


def answers(lines, *args):
    r = run("".join(json.dumps(x) + "\n" for x in lines).encode(), *args)
    assert r.returncode == 0, r.stderr
    return [json.loads(x) for x in r.stdout.decode().splitlines()]


def test_a_broken_file_beside_the_tokenizer_is_named(tokenizer, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((tokenizer / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text("{")
    r = run(b"", "--tokenizer", tmp_path)
    assert r.returncode == 1 and "tokenizer_config.json" in r.stderr.decode()


def test_text_to_tokens_and_back(tokenizer):
    reference = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    want = reference.encode(TEXT)
    for path in (tokenizer, tokenizer / "tokenizer.json"):
        got, = answers([TEXT], "--tokenizer", path, "--offsets", "chars")
        assert list(got) == ["ids", "tokens", "offsets"]
        assert got == {"ids": want.ids, "tokens": want.tokens, "offsets": [list(o) for o in want.offsets]}
    plain, = answers([TEXT], "--tokenizer", tokenizer, "--no-special")
    raw = TEXT.encode()
    assert plain["ids"] == want.ids[1:] and len(plain["ids"]) == len(raw)
    assert [raw[b:e].decode() for b, e in plain["offsets"]] == [c for c in TEXT for _ in c.encode()]
    back, = answers([want.ids], "--tokenizer", tokenizer, "--decode")
    assert back == {"text": TEXT}


def test_special_tokens_are_kept_on_request_and_deltas_are_whole_characters(tokenizer):
    ids, = (a["ids"] for a in answers(["é<tool>"], "--tokenizer", tokenizer))
    plain, = answers([ids], "--tokenizer", tokenizer, "--decode", "--stream")
    kept, = answers([ids], "--tokenizer", tokenizer, "--decode", "--stream", "--keep-special")
    assert plain == {"text": "é<tool>", "deltas": ["", "", "é", "<tool>"]}
    assert kept == {"text": "<s>é<tool>", "deltas": ["<s>", "", "é", "<tool>"]}


def test_ids_that_no_token_has_are_passed_over(tokenizer):
    t = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    a = t.token_to_id("a")
    ids = [a, 10**6, a, 2**31, a, 2**40]
    got, = answers([ids], "--tokenizer", tokenizer, "--decode", "--stream")
    assert got == {"text": "aaa", "deltas": ["a", "", "a", "", "a", ""]}


def test_without_a_name_it_is_the_demo_models_tokenizer(server):
    named, = answers([TEXT], "--model-id", DEMO)
    environment = run(json.dumps(TEXT).encode(), env={"MODEL_ID": str(DEMO)})
    assert json.loads(environment.stdout) == named
    served = server.post("/tokenize", {"inputs": TEXT}).json()
    assert named["ids"] == [t["id"] for t in served]
    assert named["offsets"] == [[t["start"], t["stop"]] for t in served]


@pytest.mark.parametrize("args,line,text", [
    ([], b"nonsense", "expected"),
    ([], b"[1]", "not a string but a sequence"),
    ([], b'"\\ud800"', "surrogate"),
    ([], b'"\xff"', "UTF-8"),
    (["--decode"], b'"text"', "not an array of ids but a string"),
    (["--decode"], b"[1,-1]", "item 1 is no token id"),
    (["--decode"], b"[1.0]", "item 0 is no token id"),
    (["--decode"], b'["1"]', "item 0 is no token id"),
    (["--decode", "--stream"], b"[[1]]", "item 0 is no token id"),
])
def test_a_bad_line_is_answered_and_the_next_goes_on(tokenizer, args, line, text):
    r = run(line + b"\n\n" + (b"[]" if args else b'""'), "--tokenizer", tokenizer, *args)
    first, second = map(json.loads, r.stdout.splitlines())
    assert list(first) == ["error"] and text in first["error"]
    assert "error" not in second and r.returncode == 0 and not r.stderr


@pytest.mark.parametrize("args,code,text", [
    (["--stream"], 2, "need --decode"),
    (["--keep-special"], 2, "need --decode"),
    (["--decode", "--no-special"], 2, "no meaning with --decode"),
    (["--decode", "--offsets", "bytes"], 2, "no meaning with --decode"),
    (["--offsets", "words"], 2, "none of: bytes,chars"),
    (["--tokenizer", "does-not-exist"], 1, "does-not-exist"),
])
def test_usage(args, code, text):
    r = run(b"", *args)
    assert r.returncode == code and text in r.stderr.decode() and not r.stdout


def on_terminal(line, env):
    """What the command prints when its standard output is a terminal."""
    try:
        ours, theirs = pty.openpty()
    except OSError as e:
        pytest.skip(f"no terminal can be made here: {e}")
    r = subprocess.Popen([PROGRAM, "tokenize", "--model-id", str(DEMO)], stdin=subprocess.PIPE, stdout=theirs, env=env)
    os.close(theirs)
    r.communicate(line)
    out = b""
    try:
        while chunk := os.read(ours, 65536):
            out += chunk
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    return out.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_unless_it_wants_none():
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    line = json.dumps(TEXT).encode() + b"\n"
    plain = run(line, "--model-id", DEMO).stdout.decode()
    assert on_terminal(line, {**env, "NO_COLOR": "1"}) == plain
    coloured = on_terminal(line, env)
    assert "\x1b[" in coloured and coloured != plain
    while "\x1b[" in coloured:
        before, _, rest = coloured.partition("\x1b[")
        coloured = before + rest.partition("m")[2]
    assert coloured == plain
