"""The pipelines that test_tokenizers.py tries: every part of the format, in company that shows what it does."""

from tokenizer_parts import *

WHITE = part("WhitespaceSplit")
BYTES = bpe("bytes")
LETTERS = bpe("plain", unk="<unk>", byte_fallback=True, drop=lambda s: s in "zйу")
SENTENCE_PIECE = sequence("decoder", part("Replace", pattern=string("▁"), content=" "), part("ByteFallback"), part("Fuse"),
                          part("Strip", content=" ", start=1, stop=0))
LLAMA2 = dict(model=bpe("metaspace", unk="<unk>", byte_fallback=True, fuse_unk=True),
              normalizer=sequence("normalizer", part("Prepend", prepend="▁"), part("Replace", pattern=string(" "), content="▁")),
              decoder=SENTENCE_PIECE)
FRAME = template("<s> $A </s>", "<s>", "</s>")
SPECIAL = [added("<s>", True), added("</s>", True)]
BERT = dict(model=wordpiece(), pre_tokenizer=part("BertPreTokenizer"), post_processor=bert_processing(), decoder=part("WordPiece", prefix="##", cleanup=True),
            tokens=[added("[UNK]", True), added("[CLS]", True), added("[SEP]", True)])


def add(cases, name, *args, **kwargs):
    assert name not in cases
    cases[name] = pipeline(*args, **kwargs)


def models():
    c = {}
    add(c, "bpe bytes", BYTES, None, byte_level(), byte_level(), byte_level())
    add(c, "bpe bytes with prefix, merges as text", bpe("bytes", merges_as_text=True), None, byte_level(True), byte_level(True), byte_level(True))
    add(c, "bpe bytes, some missing", bpe("bytes", drop=lambda s: s in "zÃđ"), None, byte_level(), None, byte_level())
    add(c, "bpe bytes, some missing, unknown", bpe("bytes", unk="<unk>", drop=lambda s: s in "zÃđ"), None, byte_level(), None, byte_level())
    split_llama3 = sequence("pre_tokenizer", split(regex(LLAMA3)), byte_level(use_regex=False))
    add(c, "bpe bytes like llama 3", bpe("bytes", ignore_merges=True, whole=["Ġworld", "ĠunÃ¤", "unaffable"]), None, split_llama3,
        processors(byte_level(trim=False), template("<s> $A", "<s>")), byte_level(), SPECIAL)
    add(c, "bpe like llama 2", post_processor=template("<s> $A", "<s>"), tokens=SPECIAL, **LLAMA2)
    for scheme in ("first", "always", "never"):
        for cut in (True, False):
            add(c, f"bpe, metaspace {scheme} {cut}", LLAMA2["model"], None, metaspace(scheme, cut), FRAME, metaspace(scheme, cut), SPECIAL)
    add(c, "bpe, no unknown", bpe("plain", drop=lambda s: s in "aез世"), None, WHITE)
    add(c, "bpe, unknown", bpe("plain", unk="<unk>", drop=lambda s: s in "aез世"), None, WHITE)
    add(c, "bpe, unknown fused", bpe("plain", unk="<unk>", fuse_unk=True, drop=lambda s: s in "aез世"), None, WHITE)
    add(c, "bpe, bytes but no unknown", bpe("plain", byte_fallback=True), None, None, None, sequence("decoder", part("ByteFallback"), part("Fuse")))
    half = bpe("plain", unk="<unk>", fuse_unk=True, byte_fallback=True, drop=lambda s: s == "z")
    half["vocab"] = {("<gone>" if token == "<0x98>" else token): i for token, i in half["vocab"].items()}
    add(c, "bpe, one byte missing", half, None, None, None, sequence("decoder", part("ByteFallback"), part("Fuse")))
    add(c, "bpe, end of word", bpe("suffix", unk="<unk>"), part("Lowercase"), part("Whitespace"), None, part("BPEDecoder", suffix="</w>"))
    add(c, "bpe, continuing prefix", bpe("prefix", unk="<unk>"), part("Lowercase"), part("Whitespace"), None, part("WordPiece", prefix="##", cleanup=False))
    add(c, "unigram", unigram(), precompiled(), metaspace(), template("$A </s>", "</s>"), metaspace(), [added("</s>", True)])
    add(c, "unigram, everything is one piece", unigram(), None, None, None, metaspace())
    add(c, "unigram, byte fallback", unigram(True, drop=lambda p: "世" in p), None, metaspace("first"), FRAME, SENTENCE_PIECE, SPECIAL)
    add(c, "unigram, ties and whole pieces", unigram(extra=[["the▁cat", -3.0], ["aa", -4.0], ["aaa", -6.0], ["aaaa", -8.0]]), None, metaspace(split_=False), None, metaspace())
    add(c, "bert", normalizer=bert_normalizer(), **BERT)
    add(c, "bert cased", normalizer=bert_normalizer(lower=False), **BERT)
    add(c, "wordpiece, short words only", wordpiece(max_chars=6), None, part("Whitespace"), None, part("WordPiece", prefix="##", cleanup=False))
    add(c, "wordpiece, another prefix", wordpiece(prefix="@@@"), part("Lowercase"), part("Whitespace"), None, part("WordPiece", prefix="@@@", cleanup=True))
    add(c, "wordpiece, no prefix", wordpiece(prefix=""), part("Lowercase"), WHITE, None, part("WordPiece", prefix="", cleanup=True))
    add(c, "wordlevel", wordlevel(), None, part("Whitespace"), FRAME, None, SPECIAL)
    missing = wordlevel()
    missing["unk_token"] = "<gone>"
    add(c, "wordlevel, unknown missing", missing, None, part("Whitespace"))
    return c


NORMALIZERS = {
    **{form: part(form) for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")},
    "Precompiled": precompiled(),
    "Prepend": part("Prepend", prepend="▁x"),
    "Strip": part("Strip", strip_left=True, strip_right=True),
    "Strip left": part("Strip", strip_left=True, strip_right=False),
    "Strip right": part("Strip", strip_left=False, strip_right=True),
    "Replace string": part("Replace", pattern=string("a"), content="bb"),
    "Replace by nothing": part("Replace", pattern=regex(r"\s+"), content=""),
    "Replace regex": part("Replace", pattern=regex(r"(\w)\1+|[^\x00-\x7f]"), content="◌"),
    "Replace runs of spaces": part("Replace", pattern=regex(" {2,}"), content="▁"),
    "Bert all": bert_normalizer(),
    "Bert none": bert_normalizer(False, False, False, False),
    "Bert clean": bert_normalizer(True, False, False, False),
    "Bert chinese": bert_normalizer(False, True, False, False),
    "Bert accents": bert_normalizer(False, False, True, False),
    "Bert lower, accents kept": bert_normalizer(False, False, False, True),
    "NFD, StripAccents": sequence("normalizer", part("NFD"), part("StripAccents")),
    "NFKD, StripAccents, Lowercase, NFC": sequence("normalizer", part("NFKD"), part("StripAccents"), part("Lowercase"), part("NFC")),
    "Lowercase, NFKC, Strip, Replace": sequence("normalizer", part("Lowercase"), part("NFKC"), part("Strip", strip_left=True, strip_right=True),
                                                part("Replace", pattern=string("  "), content=" ")),
    "Strip, Prepend": sequence("normalizer", part("Strip", strip_left=True, strip_right=True), part("Prepend", prepend="▁")),
    "empty Sequence": sequence("normalizer"),
}

BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")

PRE_TOKENIZERS = {
    **{f"Split {name} {behavior}{' inverted' if invert else ''}": split(pattern, behavior, invert)
       for name, pattern in (("regex", regex(r"\p{P}|\s\w")), ("string", string("a")))
       for behavior in BEHAVIORS for invert in (False, True)},
    "Split spaces": split(string(" "), "MergedWithNext"),
    "Split GPT-2": split(regex(GPT2)),
    "Split behind": split(regex(r"(?<=[a-z])(?=[A-Z])|\d(?=\d)")),
    "ByteLevel": byte_level(),
    "ByteLevel prefix, no regex": byte_level(True, False),
    **{f"Punctuation {b}": part("Punctuation", behavior=b) for b in BEHAVIORS},
    "Digits": part("Digits", individual_digits=False),
    "Digits one by one": part("Digits", individual_digits=True),
    "Whitespace": part("Whitespace"),
    "WhitespaceSplit": WHITE,
    "BertPreTokenizer": part("BertPreTokenizer"),
    "UnicodeScripts": part("UnicodeScripts"),
    "CharDelimiterSplit": part("CharDelimiterSplit", delimiter="|"),
    "FixedLength": part("FixedLength", length=3),
    "Metaspace other letter": metaspace("always", True, "_"),
    "Sequence of splits": sequence("pre_tokenizer", WHITE, part("Punctuation", behavior="Isolated"), part("Digits", individual_digits=True)),
    "Sequence with Metaspace": sequence("pre_tokenizer", part("UnicodeScripts"), metaspace("first")),
    "Sequence, prefix twice": sequence("pre_tokenizer", part("Digits", individual_digits=False), byte_level(True)),
    "Whitespace, Metaspace": sequence("pre_tokenizer", part("Whitespace"), metaspace("always")),
}

POST_PROCESSORS = {
    "template twice around": template("<s>:1 </s> $A:2 </s>", "<s>", "</s>"),
    "template without the text": template("<s>", "<s>"),
    "Bert": bert_processing("</s>", "<s>"),
    "Roberta": roberta_processing(),
    "Roberta, no prefix": roberta_processing(prefix=False),
    "Roberta, no trim": roberta_processing(trim=False),
    "ByteLevel, no prefix": byte_level(prefix=False),
    "ByteLevel, template": processors(byte_level(prefix=True), FRAME),
    "template, ByteLevel": processors(FRAME, byte_level(prefix=True)),
}

DECODERS = {
    "none": None,
    "ByteLevel": byte_level(),
    "ByteFallback": part("ByteFallback"),
    "Fuse": part("Fuse"),
    "WordPiece": part("WordPiece", prefix="##", cleanup=True),
    "WordPiece, no cleanup": part("WordPiece", prefix="##", cleanup=False),
    "Metaspace": metaspace(),
    "Metaspace never": metaspace("never"),
    "BPEDecoder": part("BPEDecoder", suffix="</w>"),
    "BPEDecoder, letter": part("BPEDecoder", suffix="t"),
    "CTC": part("CTC", pad_token="<pad>", word_delimiter_token="|", cleanup=True),
    "CTC, no cleanup": part("CTC", pad_token="<pad>", word_delimiter_token="|", cleanup=False),
    "Strip": part("Strip", content="t", start=1, stop=1),
    "Strip more": part("Strip", content=" ", start=3, stop=0),
    "Replace string": part("Replace", pattern=string("▁"), content=" "),
    "Replace regex": part("Replace", pattern=regex(r"[aeiou]"), content="<>"),
    "Sequence": SENTENCE_PIECE,
    "Replace, Fuse, Strip both": sequence("decoder", part("Replace", pattern=string("##"), content=""), part("Fuse"), part("Strip", content=" ", start=1, stop=2)),
    "WordPiece, ByteFallback": sequence("decoder", part("WordPiece", prefix="##", cleanup=True), part("ByteFallback"), part("Fuse")),
    "Fuse, ByteLevel": sequence("decoder", part("Fuse"), byte_level()),
    "empty Sequence": sequence("decoder"),
}

# A vocabulary for decoders: letters that each of them has an eye on.
ODD_TOKENS = ["the", "##the", "▁the", "the</w>", "Ġthe", "t", "tt", "ttt", "▁", "▁▁", "##", "</w>", "|", "||", "a|b", "<pad>", " ", "  ", "   x ", "Ã", "©", "Ã©", "é", "ðŁ", "ĺĢ", ".", " .", "n't",
              " n't", "'s", "?", "!", ",", "'", " ' ", "do", "not", " do not", "'m", "'ve", "'re", "🦙", "Ġ", "Ċ", "\ufffd", "<0x1>", "<0xgg>", "<0xe9>", "e", "\u0301", *BYTE_TOKENS]
ODD = {"type": "WordLevel", "unk_token": "the", "vocab": {t: i for i, t in enumerate(ODD_TOKENS)}}


def flags(special):
    """One token for each combination of the other flags, with contents that touch each other and the texts."""
    contents = ["cat", "the", " sat", "ИВ", "é", "Straße", "12", "▁a", "a b", "…", "🦙", "[X]", "本", "<s>", "</s>", "ABC"]
    return [added(content, special, bool(i & 1), bool(i & 2), bool(i & 4), bool(i & 8)) for i, content in enumerate(contents)]


def cases():
    c = models()
    for name, p in NORMALIZERS.items():
        add(c, "normalizer " + name, LETTERS, p, None, None, sequence("decoder", part("ByteFallback"), part("Fuse")), [added("cat"), added("<s>", True)])
    for name, p in PRE_TOKENIZERS.items():
        add(c, "pre-tokenizer " + name, BYTES if "ByteLevel" in name or "prefix" in name else LETTERS, None, p, None, None, [added("<s>", True)])
    for name, p in POST_PROCESSORS.items():
        add(c, "post-processor " + name, BYTES, None, byte_level(True), p, byte_level(), SPECIAL)
    add(c, "post-processor trims words", wordlevel(), None, split(regex(r"\s+"), "MergedWithPrevious"), byte_level())
    add(c, "post-processor trims pieces", unigram(), None, None, roberta_processing(), None, SPECIAL)
    for name, p in DECODERS.items():
        add(c, "decoder " + name, ODD, None, WHITE, None, p, [added("<s>", True), added(" x ", False), added("Ġsp", True)])
    lower = sequence("normalizer", part("NFC"), part("Lowercase"))
    for special in (False, True):
        name = "special" if special else "added"
        add(c, f"{name} tokens", BYTES, None, byte_level(), byte_level(), byte_level(), flags(special))
        add(c, f"{name} tokens, lower case", LETTERS, lower, None, None, None, flags(special))
        add(c, f"{name} tokens, metaspace", LLAMA2["model"], None, metaspace("first"), FRAME, metaspace(), flags(special))
        add(c, f"{name} tokens like llama 2", tokens=flags(special), **LLAMA2)
        add(c, f"{name} tokens, bert", normalizer=bert_normalizer(), **{**BERT, "tokens": BERT["tokens"] + flags(special)})
    return c
