#!/usr/bin/env python3
"""Writes steps.jsonl: small tokenizers of every step, texts of ours, and what the `tokenizers` library (0.23.3) makes of
them. Each line: {"tok": a tokenizer.json, "cases": [[text, ids, offsets in characters, decoded], ...]}.

    tests/data/make_steps.py > tests/data/steps.jsonl
"""
import base64
import json
import struct

from tokenizers import Tokenizer

TEXTS = ["Hello  wörld's\n", "İß e\u0301\u0323 ﬁ①", "中文 かナ 12³ é", "a<s> b <S>ll", " \u00a0x\u200d\u3000", "가\u1100\u1161 😀👍🏽\r\n"]
LETTERS = sorted(set("".join(TEXTS) + "abcdefghijklmnopqrstuvwxyz ▁ĠĊÃ¶#-x"))
VOCAB = {c: i for i, c in enumerate(["?", "xy", "##l", "<0xC3>", "<0xB6>", "ll", "o</w>", " n't"] + LETTERS)}
MODEL = {"type": "BPE", "dropout": None, "unk_token": "?", "continuing_subword_prefix": None, "end_of_word_suffix": None,
         "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": VOCAB, "merges": []}


def charsmap():
    """One rule: `a` becomes `xy`; another: `b` goes."""
    units = [0] * 512
    units[0] = 1 << 10
    for letter, leaf, place in (("a", 256, 0), ("b", 257, 2)):
        at = 1 ^ ord(letter)
        units[at] = ord(letter) | 1 << 8 | (at ^ leaf) << 10
        units[leaf] = 1 << 31 | place
    blob = struct.pack("<I", 4 * len(units)) + struct.pack("<512I", *units) + b"xy\0"
    return base64.b64encode(blob).decode()


def step(name, **options):
    return {"type": name, **options}


def split(pattern, behavior, invert=False):
    kind = "String" if pattern in ("l", "", " ") else "Regex"
    return {"pre_tokenizer": step("Split", pattern={kind: pattern}, behavior=behavior, invert=invert)}


def pipelines():
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"):
        yield {"normalizer": step(name)}
    for accents in (None, True, False):
        yield {"normalizer": step("BertNormalizer", clean_text=accents is not False, handle_chinese_chars=accents is None,
                                  strip_accents=accents, lowercase=accents is not True)}
    yield {"normalizer": step("Precompiled", precompiled_charsmap=charsmap())}
    yield {"normalizer": step("Strip", strip_left=True, strip_right=True)}
    for content in ("▁", ""):
        yield {"normalizer": step("Prepend", prepend=content)}
        yield {"normalizer": step("Replace", pattern={"Regex": "l*"}, content=content)}
    yield {"normalizer": step("Sequence", normalizers=[step("Prepend", prepend="▁"),
                                                       step("Replace", pattern={"String": " "}, content="▁")])}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        yield split("l", behavior)
        yield split(r"\s", behavior, True)
        yield {"pre_tokenizer": step("Punctuation", behavior=behavior)}
    for pattern in (r"", r"x*", r"^.", r".$", r"(?m).+", r"[\p{L}&&[^a-z]]+", r"[a-f[0-9]]", r"[^\S\n]+", r"\h", r"\b",
                    r"\p{Han}+", r"\p{^L}", r"[[:punct:]]", r"l{1}+", r"a(?i)B|<S>", r"(?i:'S|'t)|\p{N}{1,3}", r"\w+",
                    r"\s+(?!\S)|\s+", r"(l)\1", r"(?<c>l)\k<c>", r"\u0061|\x{f6}"):
        yield split(pattern, "Isolated")
    for scheme in ("always", "first", "never"):
        yield {"pre_tokenizer": step("Metaspace", replacement="▁", prepend_scheme=scheme, split=scheme != "never")}
    for spaced in (True, False):
        yield {"pre_tokenizer": step("ByteLevel", add_prefix_space=spaced, trim_offsets=True, use_regex=spaced),
               "post_processor": step("ByteLevel", add_prefix_space=spaced, trim_offsets=True, use_regex=True)}
        yield {"pre_tokenizer": step("Digits", individual_digits=spaced)}
    for name in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts"):
        yield {"pre_tokenizer": step(name)}
    yield {"pre_tokenizer": step("CharDelimiterSplit", delimiter="l")}
    yield {"pre_tokenizer": step("FixedLength", length=3)}
    template = step("TemplateProcessing", single=[{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                                                  {"Sequence": {"id": "A", "type_id": 0}}],
                    pair=[{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                    special_tokens={"B": {"id": "B", "ids": [1, 2], "tokens": ["xy", "##l"]}})
    bert = step("BertProcessing", sep=["ll", 5], cls=["xy", 1])
    roberta = step("RobertaProcessing", sep=["ll", 5], cls=["xy", 1], trim_offsets=True, add_prefix_space=False)
    for processor in (template, bert, roberta, step("Sequence", processors=[roberta, bert]),
                      step("Sequence", processors=[bert, template])):
        yield {"post_processor": processor}
    for decoder in (step("ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True), step("ByteFallback"),
                    step("Fuse"), step("WordPiece", prefix="##", cleanup=True), step("BPEDecoder", suffix="</w>"),
                    step("Metaspace", replacement="▁", prepend_scheme="always", split=True),
                    step("CTC", pad_token="l", word_delimiter_token="o", cleanup=True),
                    step("Strip", content=" ", start=1, stop=0), step("Replace", pattern={"Regex": "l|$"}, content="-"),
                    step("Sequence", decoders=[])):
        yield {"decoder": decoder}
    for flags in range(32):
        option = dict(zip(("single_word", "lstrip", "rstrip", "normalized", "special"), (bool(flags >> i & 1) for i in range(5))))
        yield {"normalizer": step("Lowercase"), "added_tokens": [{"id": len(VOCAB), "content": "<S>", **option},
                                                                {"id": 5, "content": "ll", **option}]}


def main():
    for parts in pipelines():
        tok = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
               "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": MODEL, **parts}
        reference = Tokenizer.from_str(json.dumps(tok))
        texts = TEXTS + (["".join(VOCAB)] if "decoder" in parts else [])
        cases = []
        for text in texts if "decoder" in parts else TEXTS[:4] if "added_tokens" in parts else TEXTS:
            got = reference.encode(text)
            cases.append([text, got.ids, [x for pair in got.offsets for x in pair],
                          reference.decode(got.ids, skip_special_tokens=True)])
        ids = [3, 4, 7, 5, 2, 6, 8, 8]
        if "decoder" in parts:
            cases.append([None, ids, [], reference.decode(ids)])
        tok = {k: v for k, v in tok.items() if v and k not in ("version", "model")}
        print(json.dumps({"tok": tok, "cases": cases}, ensure_ascii=False, separators=(",", ":")))


def head():
    print(json.dumps({"model": MODEL}, ensure_ascii=False, separators=(",", ":")))


head()
main()
