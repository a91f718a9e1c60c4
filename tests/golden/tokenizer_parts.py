"""Small tokenizers made on the spot: models filled from tokenizer_texts.TRAINING, every other stage as its JSON.

A part is the JSON object that tokenizer.json has for it. pipeline() puts parts together; the reference library gives
added tokens their ids."""

import base64
import collections
import functools
import json
import re
import struct

from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from tokenizer_texts import TRAINING

# ---- models ----

BYTE_LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
BYTE_TOKENS = [f"<0x{b:02X}>" for b in range(256)]


@functools.cache
def byte_letter():
    """byte -> its letter: the printable ones stand for themselves, the others follow from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def word_symbols(kind):
    """The words of TRAINING as lists of first symbols, in the spelling of one kind of BPE."""
    if kind == "bytes":
        words = re.findall(r" ?\w+|[^\w]+", TRAINING)
        return [[byte_letter()[b] for b in word.encode()] for word in words]
    if kind == "metaspace":
        return [list("▁" + word) for word in TRAINING.split()]
    words = re.findall(r"\w+|[^\w\s]+", TRAINING.lower())
    if kind == "suffix":
        return [[*word[:-1], word[-1] + "</w>"] for word in words]
    if kind == "prefix":
        return [[word[0], *("##" + c for c in word[1:])] for word in words]
    return [list(word) for word in words]


@functools.cache
def trained_merges(kind, n_merge=260):
    """Byte pair encoding as it is taught: join the most frequent pair, again and again."""
    words = word_symbols(kind)
    strip = 2 if kind == "prefix" else 0
    merges = []
    for _ in range(n_merge):
        pairs = collections.Counter(pair for word in words for pair in zip(word, word[1:]))
        if not pairs:
            break
        (a, b), n = max(pairs.items(), key=lambda item: (item[1], item[0]))
        if n < 2:
            break
        merges.append((a, b))
        joined = a + b[strip:]
        for word in words:
            i = 0
            while i + 1 < len(word):
                if word[i] == a and word[i + 1] == b:
                    word[i:i + 2] = [joined]
                i += 1
    return merges


def bpe(kind="plain", unk=None, byte_fallback=False, fuse_unk=False, ignore_merges=False, merges_as_text=False, whole=(),
        drop=lambda symbol: False):
    """`whole`: tokens that no merge makes. `drop`: symbols left out, which the texts will then miss."""
    merges = trained_merges(kind)
    symbols = sorted({s for word in word_symbols(kind) for s in word} | (set(BYTE_LETTERS) if kind == "bytes" else set()))
    strip = 2 if kind == "prefix" else 0
    tokens = ([unk] if unk else []) + (BYTE_TOKENS if byte_fallback else []) + [s for s in symbols if not drop(s)]
    have = dict.fromkeys(tokens)
    kept = []
    for a, b in merges:
        if a in have and b in have:
            have[a + b[strip:]] = None
            kept.append([a, b])
    have.update(dict.fromkeys(whole))
    return {"type": "BPE", "dropout": None, "unk_token": unk, "continuing_subword_prefix": "##" if strip else None,
            "end_of_word_suffix": "</w>" if kind == "suffix" else None, "fuse_unk": fuse_unk, "byte_fallback": byte_fallback,
            "ignore_merges": ignore_merges, "vocab": {token: i for i, token in enumerate(have)},
            "merges": [" ".join(m) for m in kept] if merges_as_text else kept}


@functools.cache
def frequent_pieces(n=400):
    """Substrings of TRAINING's words with how often they occur."""
    count = collections.Counter()
    for word in TRAINING.split():
        word = "▁" + word
        count.update(word[i:j] for i in range(len(word)) for j in range(i + 1, min(len(word), i + 8) + 1))
    letters = [(p, c) for p, c in count.items() if len(p) == 1]
    longer = sorted(((p, c) for p, c in count.items() if len(p) > 1 and c > 1), key=lambda x: (-x[1] * len(x[0]), x[0]))
    return sorted(letters + longer[:n])


def unigram(byte_fallback=False, unk=True, extra=(), drop=lambda piece: False):
    vocab = ([["<unk>", 0.0]] if unk else []) + ([[t, 0.0] for t in BYTE_TOKENS] if byte_fallback else [])
    vocab += [[p, round(-12 + 0.37 * min(c, 16) + 0.6 * len(p), 4)] for p, c in frequent_pieces() if not drop(p)]
    vocab += [list(x) for x in extra]
    return {"type": "Unigram", "unk_id": 0 if unk else None, "vocab": vocab, "byte_fallback": byte_fallback}


def wordpiece(unk="[UNK]", prefix="##", max_chars=100, drop=lambda piece: False):
    pieces = collections.Counter()
    for word in re.findall(r"\w+|[^\w\s]", TRAINING + TRAINING.lower()):
        pieces.update((word[i:j] if i == 0 else prefix + word[i:j]) for i in range(len(word)) for j in range(i + 1, len(word) + 1))
    kept = sorted(p for p, n in pieces.items() if (n > 2 or len(p.removeprefix(prefix)) == 1) and not drop(p))
    vocab = dict.fromkeys([unk, "[CLS]", "[SEP]", *kept])
    return {"type": "WordPiece", "unk_token": unk, "continuing_subword_prefix": prefix, "max_input_chars_per_word": max_chars,
            "vocab": {token: i for i, token in enumerate(vocab)}}


def wordlevel(unk="<unk>"):
    words = sorted(set(re.findall(r"\w+|[^\w\s]+", TRAINING)) | set(" \n.,!"))
    return {"type": "WordLevel", "unk_token": unk, "vocab": {token: i for i, token in enumerate([unk, *words])}}


# ---- the other stages ----

def part(type_, **fields):
    return {"type": type_, **fields}


def regex(text):
    return {"Regex": text}


def string(text):
    return {"String": text}


def sequence(stage, *parts):
    key = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "post_processor": "processors", "decoder": "decoders"}
    return {"type": "Sequence", key[stage]: list(parts)}


def split(pattern, behavior="Isolated", invert=False):
    return part("Split", pattern=pattern, behavior=behavior, invert=invert)


def byte_level(prefix=False, use_regex=True, trim=True):
    return part("ByteLevel", add_prefix_space=prefix, trim_offsets=trim, use_regex=use_regex)


def metaspace(scheme="always", split_=True, replacement="▁"):
    return part("Metaspace", replacement=replacement, prepend_scheme=scheme, split=split_)


def bert_normalizer(clean=True, chinese=True, accents=None, lower=True):
    return part("BertNormalizer", clean_text=clean, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower)


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def template(single, *names):
    """`single` as "<s> $A </s>:1"; `names`: the special tokens in it."""
    def pieces(text, side):
        out = []
        for word in text.split():
            name, _, type_id = word.partition(":")
            kind = "Sequence" if name in ("$A", "$B") else "SpecialToken"
            out.append({kind: {"id": name.lstrip("$") if kind == "Sequence" else name, "type_id": int(type_id or side)}})
        return out

    def build(id_of):
        special = {n: {"id": n, "ids": [id_of(n)], "tokens": [n]} for n in names}
        return part("TemplateProcessing", single=pieces(single, 0), pair=pieces(single, 0) + pieces("$B:1", 1), special_tokens=special)
    return build


def bert_processing(sep="[SEP]", cls="[CLS]"):
    return lambda id_of: part("BertProcessing", sep=[sep, id_of(sep)], cls=[cls, id_of(cls)])


def roberta_processing(trim=True, prefix=True, sep="</s>", cls="<s>"):
    return lambda id_of: part("RobertaProcessing", sep=[sep, id_of(sep)], cls=[cls, id_of(cls)], trim_offsets=trim, add_prefix_space=prefix)


def processors(*builders):
    return lambda id_of: sequence("post_processor", *(b(id_of) if callable(b) else b for b in builders))


# ---- a Precompiled normalizer, made by hand ----

def double_array(entries):
    """`entries`: bytes -> value. The trie as darts-clone stores it: a child of node i with label c sits at i ^ offset ^ c."""
    root = {}
    for key, value in entries.items():
        node = root
        for byte in key:
            node = node.setdefault(byte, {})
        node[None] = value
    units, used = {0: 0}, {0}
    queue = [(0, root)]
    while queue:
        at, node = queue.pop(0)
        labels = [0 if k is None else k for k in node]
        offset = next(o for o in range(1, 1 << 21) if all((at ^ o ^ c) not in used for c in labels))
        units[at] |= offset << 10 | (1 << 8 if None in node else 0)
        for key, child in node.items():
            place = at ^ offset ^ (0 if key is None else key)
            used.add(place)
            if key is None:
                units[place] = 1 << 31 | child
            else:
                units[place] = key
                queue.append((place, child))
    size = -(-(max(units) + 1) // 256) * 256
    return [units.get(i, 0) for i in range(size)]


@functools.cache
def precompiled():
    """Some of what NFKC does, a letter that goes away, one that grows, and pairs of letters that become one."""
    pairs = {"ﬁ": "fi", "①": "1", "㎏": "kg", "e\u0301": "é", "A\u030a": "Å", "\u00a0": " ", "\u3000": " ", "\u200b": "", "…": "...",
             "ｆ": "f", "が": "か\u3099", "か\u3099": "が", "\u1100\u1161": "가", "👍🏽": "👍", "\r\n": "\n", "İ": "i\u0307", "ﷺ": "صلى الله عليه وسلم",
             "\x01": "", "\ufeff": "", "ab": "X", "\u0301": "´"}
    text, entries = b"", {}
    for source, target in pairs.items():
        entries[source.encode()] = len(text)
        text += target.encode() + b"\0"
    units = double_array(entries)
    trie = struct.pack(f"<{len(units)}I", *units)
    return part("Precompiled", precompiled_charsmap=base64.b64encode(struct.pack("<I", len(trie)) + trie + text).decode())


# ---- together ----

def added(content, special=False, single_word=False, lstrip=False, rstrip=False, normalized=None):
    return AddedToken(content, special=special, single_word=single_word, lstrip=lstrip, rstrip=rstrip,
                      normalized=not special if normalized is None else normalized)


def pipeline(model, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None, tokens=()):
    """tokenizer.json as text. `post_processor`: an object, or a function that gets a token's id by its name."""
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
             "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": decoder, "model": model}
    t = Tokenizer.from_str(json.dumps(whole))
    for token in tokens:
        (t.add_special_tokens if token.special else t.add_tokens)([token])
    whole["added_tokens"] = json.loads(t.to_str())["added_tokens"]
    whole["post_processor"] = post_processor(t.token_to_id) if callable(post_processor) else post_processor
    return json.dumps(whole, ensure_ascii=False)
