"""One tokenizer file, many texts: what the reference library does and what `prompteur tokenize` does.

compare() runs the program once for each direction and setting, however many texts there are."""

import dataclasses
import itertools
import json
import os
import subprocess
from pathlib import Path

from tokenizers import Tokenizer

PROGRAM = os.environ.get("PROMPTEUR_PROGRAM", str(Path(__file__).resolve().parents[2] / "build/release/bin/prompteur"))
MAX_STREAMED = 200  # ids; a longer list is not streamed


@dataclasses.dataclass
class Difference:
    what: str      # "ids", "offsets in bytes", "deltas with special tokens", ...
    given: object  # the text, or the list of ids
    want: object
    got: object

    def __str__(self):
        return f"{self.what} of {self.given!r}:\n  want {self.want!r}\n  got  {self.got!r}"


class Refused(Exception):
    """The program does not load the file."""


def start(path, lines, *args):
    """Starts the program; its input is written by finish()."""
    data = "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines).encode()
    command = [PROGRAM, "tokenize", "--tokenizer", str(path), *args]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE), data, len(lines)


def finish(started):
    process, data, n = started
    out, err = process.communicate(data)
    if process.returncode == 1:
        raise Refused(err.decode(errors="replace").strip())
    answers = [json.loads(x) for x in out.decode().split("\n")[:-1]]
    assert process.returncode == 0 and len(answers) == n, (process.returncode, len(answers), n, err.decode(errors="replace"))
    return answers


def run(path, lines, *args):
    return finish(start(path, lines, *args))


def byte_offsets(text, offsets):
    """Offsets in bytes from those in characters."""
    at = [0, *itertools.accumulate(len(c.encode()) for c in text)]
    # Offsets that lead behind the text are in bytes there: the library finds no character for them. Ours stay inside.
    end = at[-1]
    return [[min(b, e, end), min(e, end)] if max(b, e) > len(text) else [at[b], at[e]] for b, e in offsets]


def stream(tokenizer, ids, skip_special):
    """The text that each id releases. Two windows start at `prefix`: one up to `read`, which has been released, one up
    to the newest id. What the second has beyond the first is released once it ends in a whole character."""
    prefix = read = 0
    deltas = []
    for end in range(1, len(ids) + 1):
        old = tokenizer.decode(ids[prefix:read], skip_special_tokens=skip_special)
        new = tokenizer.decode(ids[prefix:end], skip_special_tokens=skip_special)
        if len(new) <= len(old) or new.endswith("\ufffd"):
            deltas.append("")
            continue
        deltas.append(new[len(old):])
        prefix, read = read, end
    return deltas


PANIC = {}  # the library has a defect of its own: any answer will do, as long as the program lives


def attempt(make):
    """What make() returns; an {"error": ...} when the library refuses; PANIC."""
    try:
        return make()
    except Exception as error:
        return {"error": str(error)}
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return PANIC


def encode(tokenizer, text, special):
    """The reference's answer in the program's form."""
    e = tokenizer.encode(text, add_special_tokens=special)
    return {"ids": e.ids, "tokens": [tokenizer.id_to_token(i) for i in e.ids], "offsets": [list(o) for o in e.offsets]}


def decode(tokenizer, ids, keep, streamed):
    answer = {"text": tokenizer.decode(ids, skip_special_tokens=not keep)}
    if streamed:
        answer["deltas"] = stream(tokenizer, ids, not keep)
    return answer


def answers_differ(given, want, got, suffix):
    """The members of one answer that are not equal. Where the library refuses, so must the program."""
    if want is PANIC or ("error" in want and "error" in got):
        return []
    if "error" in want or "error" in got:
        return [Difference("answer" + suffix, given, want, got)]
    return [Difference(name + suffix, given, want[name], got[name]) for name in want if want[name] != got[name]]


def trims_offsets(source):
    """Then offsets in bytes do not follow from those in characters: trimming takes off 1 for each space of a token."""
    return '"trim_offsets": true' in json.dumps(json.loads(source)["post_processor"])


def compare(path, texts, id_lists=(), n_streamed=None):
    """All differences. Decodes the texts' own ids and `id_lists`; streams the first n_streamed of both."""
    source = Path(path).read_text()
    tokenizer = Tokenizer.from_str(source)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts, trimmed = list(texts), trims_offsets(source)
    runs = [start(path, texts, "--offsets", "chars"), start(path, texts, "--no-special")]
    framed = [attempt(lambda: encode(tokenizer, text, True)) for text in texts]
    plain = [attempt(lambda: encode(tokenizer, text, False)) for text in texts]
    try:
        got_framed, got_plain = map(finish, runs)
    finally:
        for process, _, _ in runs:
            process.kill()
    found = []
    for text, want, got in zip(texts, framed, got_framed):
        found += answers_differ(text, want, got, "")
    for text, want, got in zip(texts, plain, got_plain):
        if "offsets" in want:
            offsets = want.pop("offsets")
            if text.isascii() or not trimmed:
                want["offsets"] = byte_offsets(text, offsets)
        found += answers_differ(text, want, got, " in bytes, without special tokens")
    lists = [*id_lists, *(w["ids"] for w in framed if "ids" in w)]
    few = [ids for ids in lists if len(ids) <= MAX_STREAMED][:n_streamed]
    for keep in (False, True):
        flags = ["--keep-special"] if keep else []
        suffix = " with special tokens" if keep else ""
        for which, extra in ((lists, []), (few, ["--stream"])):
            want = [attempt(lambda: decode(tokenizer, ids, keep, bool(extra))) for ids in which]
            for ids, w, g in zip(which, want, run(path, which, "--decode", *flags, *extra)):
                found += answers_differ(ids, w, g, suffix)
    return found
