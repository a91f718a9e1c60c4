#!/usr/bin/env python3
"""Random tokenizers over random texts, compared with the reference library until the first difference.

usage: pipelines.py [--seconds N] [--seed N] [--keep-going]

Each round makes a tokenizer.json of random parts with random parameters, and texts of awkward pieces. A difference is
made small before it is shown: parts and added tokens are taken away and the text is cut as long as it stays."""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tokenizers import Tokenizer

import tokenizer_cases
from tokenizer_compare import Refused, attempt, compare
from tokenizer_parts import *
from tokenizer_texts import TEXTS

TEXTS_A_ROUND = 60
STAGES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")

ALPHABETS = [
    "abcABC", "the cat", " \t\n\r", " ", "0123456789", ".,!?'\"-_()[]|", "'s't're've'm'll'd", "éèüßñøİıŁſ", "\u0301\u0308\u0323\u0327\u034f\u20e3", "▁Ġ#</w>@", "中文字本日カなが",
    "가각\u1100\u1161\u11a8", "אבּ\u05b0مرحבא", "कष\u094dि", "ไทำ", "ΣσςΆάᾳ", "Привет", "👩👍🏽\u200d🇩🇪\ufe0f🦙", "\u00a0\u0085\u2028\u3000\u200b\ufeff\u00ad", "\x00\x01\x1b\x7f\x9f\ufffd", "ﬁ①㎏½ⅧＡ…",
    "𝐀𝟘𠀀\U0010ffff", "$+<=>^`~©", "\x0b\x0c\x1c\u1680\u180e",
]
CONTENTS = ["cat", "the", " sat", "ИВ", "é", "e\u0301", "Straße", "12", "1", "▁a", "▁", "a b", "…", "🦙", "[X]", "本", "<s>", "</s>", "ABC", "İ", "ﬁ", " ", "\n", "'s", "<|im_start|>", "x", "  ", "##a", "Σ", "."]
PATTERNS = [r"\s+", r"\S+", r"\w+", r"\W", r"\d", r"\d{1,3}", r"\p{L}+", r"\p{N}", r"\p{P}", r"[^\s\p{L}\p{N}]+", r"a", r"[a-z]+", r"(?i:the|cat)", r"(?i)s", r" ?\w+", r"\s+(?!\S)", 
            r"^.", r".$", r".", r"(\w)\1", r"[\r\n]+", r"\p{Han}", r"[^\x00-\x7f]", r"\p{M}", r"\s*[\r\n]", r"[一-龥]", r"\p{Lu}\p{Ll}*", r"x|the", r"(?:\r\n|\n)", GPT2, LLAMA3]
MATCH_NOTHING = [r"(?<=a)b?", r"(?=[A-Z])", r"\b", r"a*"]
STRINGS = ["a", " ", "  ", "the", "▁", ".", "é", "\n", "aa", "🦙", "中", "e", "\u0301", "'"]
REPLACEMENTS = ["", " ", "▁", "x", "bb", "é", "◌", "  ", "\n"]


def flip(rng):
    return rng.random() < 0.5


def pattern(rng, patterns=PATTERNS + MATCH_NOTHING):
    return regex(rng.choice(patterns)) if rng.random() < 0.6 else string(rng.choice(STRINGS))


def random_model(rng):
    some = rng.sample("abestи中é가世1.", 3)
    drop = (lambda s: any(c in s for c in some)) if rng.random() < 0.4 else (lambda s: False)
    kind = rng.randrange(10)
    if kind < 3:
        return bpe("bytes", unk=rng.choice([None, None, "<unk>"]), ignore_merges=flip(rng), whole=["Ġworld", "Ġunaffable", "cats"], merges_as_text=flip(rng), fuse_unk=flip(rng),
                   drop=drop if rng.random() < 0.2 else lambda s: False)
    if kind < 6:
        spelling = rng.choice(["plain", "metaspace", "suffix", "prefix"])
        # The bytes of an affix would lead offsets out of the text, where those in bytes do not follow from characters.
        return bpe(spelling, unk=rng.choice([None, "<unk>"]), byte_fallback=flip(rng) and spelling in ("plain", "metaspace"), fuse_unk=flip(rng),
                   ignore_merges=flip(rng), drop=drop)
    if kind < 8:
        ties = [["the▁cat", -3.0], ["aa", -4.0], ["aaa", -6.0], ["aaaa", -8.0], [" ", -2.5], ["  ", -5.0]]
        return unigram(byte_fallback=flip(rng), unk=rng.random() < 0.9, extra=rng.sample(ties, rng.randrange(len(ties))), drop=drop)
    if kind < 9:
        return wordpiece(prefix=rng.choice(["##", "##", "", "@"]), max_chars=rng.choice([3, 10, 100]), drop=drop)
    return wordlevel()


def random_list(rng, stage, one, most):
    n = rng.choice([0, 1, 1, 1, 2, 2, 3])
    if n == 0:
        return None
    parts = [one(rng) for _ in range(min(n, most))]
    return parts[0] if len(parts) == 1 else sequence(stage, *parts)


def one_normalizer(rng):
    kind = rng.randrange(9)
    if kind < 4:
        return part(rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]))
    if kind == 4:
        return bert_normalizer(flip(rng), flip(rng), rng.choice([None, True, False]), flip(rng))
    if kind == 5:
        return precompiled()
    if kind == 6:
        return part("Strip", strip_left=flip(rng), strip_right=flip(rng))
    if kind == 7:
        return part("Prepend", prepend=rng.choice(["▁", " ", "x", "aé"]))
    # What is put in where nothing was confuses the library's own offsets.
    return part("Replace", pattern=pattern(rng, PATTERNS), content=rng.choice(REPLACEMENTS))


def one_pre_tokenizer(rng):
    kind = rng.randrange(10)
    if kind < 3:
        return split(pattern(rng), rng.choice(tokenizer_cases.BEHAVIORS), flip(rng))
    if kind < 5:
        return byte_level(flip(rng), flip(rng), flip(rng))
    if kind == 5:
        return metaspace(rng.choice(["first", "always", "never"]), flip(rng), rng.choice(["▁", "▁", "_", "🦙"]))
    if kind == 6:
        return part("Punctuation", behavior=rng.choice(tokenizer_cases.BEHAVIORS))
    if kind == 7:
        return part("Digits", individual_digits=flip(rng))
    if kind == 8:
        return rng.choice([part("CharDelimiterSplit", delimiter=rng.choice("a |é")), part("FixedLength", length=rng.randint(1, 5))])
    return part(rng.choice(["Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts"]))


def one_decoder(rng):
    kind = rng.randrange(10)
    if kind == 0:
        return part("WordPiece", prefix=rng.choice(["##", "", "@"]), cleanup=flip(rng))
    if kind == 1:
        return metaspace(rng.choice(["first", "always", "never"]), flip(rng), rng.choice(["▁", "_"]))
    if kind == 2:
        return part("BPEDecoder", suffix=rng.choice(["</w>", "t"]))
    if kind == 3:
        return part("CTC", pad_token=rng.choice(["<pad>", "a"]), word_delimiter_token=rng.choice(["|", " ", "▁"]), cleanup=flip(rng))
    if kind == 4:
        return part("Strip", content=rng.choice(" ▁ta"), start=rng.randrange(3), stop=rng.randrange(3))
    if kind == 5:
        return part("Replace", pattern=pattern(rng), content=rng.choice(REPLACEMENTS))
    return rng.choice([part("ByteFallback"), byte_level(), part("Fuse")])


def random_post_processor(rng, may_trim):
    """Offsets are trimmed by the white space of a token as it was found, of which the program knows the vocabulary's
    spelling: only for byte-level models, where both are the same."""
    def one(kind):
        if kind == 0:
            return template(rng.choice(["<s> $A </s>", "<s> $A", "$A </s>", "$A", "$A:1 </s>:1 </s>", "<s> <s> $A"]), "<s>", "</s>")
        if kind == 1:
            return bert_processing("</s>", "<s>")
        if kind == 2:
            return roberta_processing(may_trim and flip(rng), flip(rng))
        return byte_level(flip(rng), flip(rng), may_trim and flip(rng))
    parts = [one(rng.randrange(4)) for _ in range(rng.choice([0, 1, 1, 2]))]
    return None if not parts else parts[0] if len(parts) == 1 else processors(*parts)


def distinct(tokens, normalize):
    """Without tokens that normalize to nothing, which match everywhere so that the library never ends, and without those
    that normalize to the same, of which it picks another one each time."""
    seen, kept = {"", "<s>", "</s>"}, []
    for token in tokens:
        texts = {token.content, normalize(token.content)}
        if not texts & seen:
            kept.append(token)
            seen |= texts
    return kept


def random_pipeline(rng):
    frame = [added("<s>", True), added("</s>", True)]
    contents = rng.sample(CONTENTS, rng.choice([0, 0, 1, 2, 4, 8]))
    tokens = [added(c, flip(rng), rng.random() < 0.3, rng.random() < 0.3, rng.random() < 0.3, flip(rng)) for c in contents if c not in ("<s>", "</s>")]
    normalizer = random_list(rng, "normalizer", one_normalizer, 3)
    if normalizer:
        tokens = distinct(tokens, Tokenizer.from_str(pipeline(wordlevel(), normalizer)).normalizer.normalize_str)
    model = random_model(rng)
    may_trim = BYTE_LETTERS[-1] in model["vocab"] and not any(t.normalized for t in tokens)
    return pipeline(model, normalizer, random_list(rng, "pre_tokenizer", one_pre_tokenizer, 3),
                    random_post_processor(rng, may_trim), random_list(rng, "decoder", one_decoder, 3), frame + tokens)


def random_text(rng):
    out = []
    for _ in range(rng.choice([1, 2, 3, 5, 8])):
        kind = rng.randrange(12)
        if kind < 6:
            alphabet = rng.choice(ALPHABETS)
            out.append("".join(rng.choice(alphabet) for _ in range(rng.randint(1, 6))))
        elif kind < 8:
            out.append(rng.choice(TEXTS))
        elif kind < 10:
            out.append(rng.choice(CONTENTS))
        elif kind == 10:
            out.append(rng.choice(rng.choice(ALPHABETS)) * rng.randint(1, 20))
        else:
            out.append("".join(chr(c) for c in (rng.randrange(rng.choice([0x250, 0x3000, 0x11_0000])) for _ in range(3)) if not 0xD800 <= c < 0xE000))
    return "".join(out)


# ---- making a difference small ----

def compare_source(source, texts, lists, folder):
    path = Path(folder, "tokenizer.json")
    path.write_text(source)
    try:
        return compare(path, texts, lists)
    except Refused:
        return []


def simpler(source):
    """The same file with one thing less, again and again."""
    whole = json.loads(source)
    for stage in STAGES:
        if whole[stage]:
            yield {**whole, stage: None}
        for key in ("normalizers", "pretokenizers", "processors", "decoders"):
            parts = (whole[stage] or {}).get(key, [])
            for i in range(len(parts)):
                rest = parts[:i] + parts[i + 1:]
                yield {**whole, stage: rest[0] if len(rest) == 1 else {**whole[stage], key: rest}}
    for i in range(len(whole["added_tokens"])):
        yield {**whole, "added_tokens": whole["added_tokens"][:i] + whole["added_tokens"][i + 1:]}


def renumbered(whole):
    """As text, with the ids that the library gives added tokens on loading: those in the file are not its choice."""
    tokenizer = attempt(lambda: Tokenizer.from_str(json.dumps(whole)))
    if not isinstance(tokenizer, Tokenizer):
        return None
    return json.dumps({**whole, "added_tokens": json.loads(tokenizer.to_str())["added_tokens"]}, ensure_ascii=False)


def shorter(items):
    size = len(items) // 2
    while size:
        for i in range(0, len(items), size):
            yield items[:i] + items[i + size:]
        size //= 2


def still_differs(source, given, what, folder):
    texts, lists = ([given], []) if isinstance(given, str) else ([], [given])
    try:
        found = compare_source(source, texts, lists, folder)
    except Exception:  # what is simpler may not be a tokenizer
        return None
    return next((d for d in found if d.what == what and d.given == given), None)


def shrink(source, difference, folder):
    smaller = True
    while smaller:
        smaller = False
        for candidate in map(renumbered, simpler(source)):
            if candidate and (found := still_differs(candidate, difference.given, difference.what, folder)):
                source, difference, smaller = candidate, found, True
                break
        for given in shorter(difference.given):
            if found := still_differs(source, given, difference.what, folder):
                difference, smaller = found, True
                break
    return source, difference


def show(source, difference):
    whole = json.loads(source)
    model = {k: v for k, v in whole["model"].items() if k not in ("vocab", "merges")}
    print(json.dumps({**{k: whole[k] for k in ("added_tokens", *STAGES)}, "model": model}, ensure_ascii=False))
    print(difference, flush=True)


def silence_panics():
    """The library writes its panics to file descriptor 2; Python's own errors stay visible."""
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-going", action="store_true", help="show every round's first difference")
    options = parser.parse_args()
    silence_panics()
    end, n, bad, refused, seed = time.monotonic() + options.seconds, 0, 0, {}, options.seed
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end and (options.keep_going or not bad):
            rng = random.Random(seed)
            source = attempt(lambda: random_pipeline(rng))
            if not isinstance(source, str):  # nothing that the library loads
                seed += 1
                continue
            texts = [random_text(rng) for _ in range(TEXTS_A_ROUND)]
            size = Tokenizer.from_str(source).get_vocab_size()
            lists = [[rng.randrange(size + 2) for _ in range(rng.randrange(12))] for _ in range(30)]
            path = Path(folder, "tokenizer.json")
            path.write_text(source)
            try:
                found = compare(path, texts, lists)
            except Refused as e:
                why = str(e).split("tokenizer.json: ")[-1]
                refused[why] = refused.get(why, 0) + 1
                found = []
            if found:
                print(f"seed {seed}:")
                small, difference = shrink(source, found[0], folder)
                show(small, difference)
                Path(f"pipeline-{seed}.json").write_text(small)
                bad += 1
            n, seed = n + 1, seed + 1
    print(f"{n} pipelines, {n * TEXTS_A_ROUND} texts, {bad} with a difference; refused: {refused}")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
