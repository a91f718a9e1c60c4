#!/usr/bin/env python3
"""Makes tests/data/sources: small vocabularies of every kind, trained on words made up here, and cases.jsonl: what
transformers makes of folders with them.

usage: make_sources.py OUT     (needs transformers, tokenizers, sentencepiece, mistral-common, tiktoken)

A line of cases.jsonl: {"name", "files": {name: {"copy": file} or a text or a JSON value}, "special": [[name, text]],
"added": [[id, content, special]], "templates": {name: text}, "texts": [{"text", "ids", "plain", "decoded",
"skipped"}]}. ids: with what post-processing adds; plain: without; decoded: the ids again as text; skipped: without
special tokens, spaces cleaned up when the folder asks for it.
"""
import base64, json, os, random, shutil, sys, tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece as spm
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

transformers.logging.set_verbosity(50)
OUT = Path(sys.argv[1])
rng = random.Random(7)

SYLLABLES = "ka ri to men su lo ve na pri stra don el ish wa que ou fé nö зи ро 日 本 山 ing er tion ly un re th st".split()
WORDS = "the of and to in don't it's we're café naïve Straße 2024 3.14 foo_bar x=y+z HTTP".split()
WORDS += ["".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4))) for _ in range(300)]
CORPUS = [" ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 12))) + rng.choice([".", "!", "?", ""]) for _ in range(1500)]

TEXTS = ["Hello world", "the ishing of kari", " leading and  double  spaces ", "café naïve Straße Ångström", "日本山の夜",
         "привет мир!", "<s>the</s> <unk><pad> <mask> x<mask>y", "don't it's we're, can't . ? !", "a\tb\nc\n\nd",
         "\U0001f600 emoji \U0001f389", "[CLS] The RIVER, Évening [SEP] [MASK]", "", "<usr>a  <ctl>b<usr> ", "x=y+z 3.14 2024",
         "<|endoftext|>foo<|endoftext|>", "ﬁ ① ｆｕｌｌ", "<start_of_turn>user\nhi<end_of_turn>\n", "<extra_id_0>the <extra_id_99>",
         "[INST] hi [/INST]<new1> <new2>  x<new1>", "<image>a <tok0>b<tok1> <tok2> c<tok3> d"]
PLAIN = [t for t in TEXTS if "<" not in t and "[" not in t]


# ---- vocabularies ----

def train_sentencepiece(name, **options):
    rules = OUT / "rules.tsv"
    rules.write_text("FB01\t66 69\n2460\t31\nFF46\t66\nFF55\t75\nFF4C\t6C\n41 30A\tC5\n9\t20\nA\t20\n")
    corpus = OUT / "corpus.txt"
    corpus.write_text("\n".join(CORPUS))
    if options.get("normalization_rule_name") != "identity":
        options["normalization_rule_tsv"] = str(rules)
    spm.SentencePieceTrainer.train(input=str(corpus), model_prefix=str(OUT / name), num_threads=1, minloglevel=2, **options)
    for file in (rules, corpus, OUT / f"{name}.vocab"):
        file.unlink()


def train_all():
    train_sentencepiece("bpe", model_type="bpe", vocab_size=480, byte_fallback=True, character_coverage=0.995,
                        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True)
    train_sentencepiece("bpe_user", model_type="bpe", vocab_size=200, control_symbols=["<ctl>"],
                        user_defined_symbols=["<usr>", "  "], add_dummy_prefix=False)
    train_sentencepiece("gemma", model_type="bpe", vocab_size=480, byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
                        bos_piece="<bos>", eos_piece="<eos>", add_dummy_prefix=False, remove_extra_whitespaces=False,
                        normalization_rule_name="identity", split_digits=True,
                        user_defined_symbols=["<mask>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "▁▁", "▁▁▁"])
    train_sentencepiece("unigram", model_type="unigram", vocab_size=250)
    train_sentencepiece("unigram_bytes", model_type="unigram", vocab_size=420, byte_fallback=True, user_defined_symbols=["<usr>"])
    train_sentencepiece("t5", model_type="unigram", vocab_size=200, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|endoftext|>", "<s>", "</s>", "<pad>", "<unk>", "<mask>"]
    bpe.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                        special_tokens=special, show_progress=False))
    bpe.model.save(str(OUT))
    (OUT / "merges_crlf.txt").write_bytes((OUT / "merges.txt").read_bytes().replace(b"\n", b"\r\n"))
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer, pieces.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    pieces.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, show_progress=False,
                                                                 special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    pieces.model.save(str(OUT))
    write_ranks(special)
    write_tokenizer_json(bpe)


def write_ranks(special):
    byte_of = {c: b for b, c in bytes_to_unicode().items()}
    vocab = json.loads((OUT / "vocab.json").read_text())
    made = [bytes(byte_of[c] for c in token) for token, _ in sorted(vocab.items(), key=lambda x: x[1]) if token not in special]
    ranks = [bytes([b]) for b in range(256)] + [token for token in made if len(token) > 1]
    encoded = [base64.b64encode(token).decode() for token in ranks]
    (OUT / "ranks.tiktoken").write_text("".join(f"{token} {i}\n" for i, token in enumerate(encoded)))
    pattern = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    config = {"pattern": pattern, "num_vocab_tokens": len(ranks), "default_vocab_size": len(ranks) - 10,
              "default_num_special_tokens": 10, "version": "v7"}
    tekken = {"config": config, "vocab": [{"rank": i, "token_bytes": token, "token_str": None} for i, token in enumerate(encoded)],
              "special_tokens": [{"rank": i, "token_str": token, "is_control": True}
                                 for i, token in enumerate(["<unk>", "<s>", "</s>", "[INST]", "[/INST]"])]}
    (OUT / "tekken.json").write_text(json.dumps(tekken))
    del tekken["special_tokens"]
    config |= {"default_num_special_tokens": 30, "default_vocab_size": len(ranks) + 30, "version": "v3"}
    (OUT / "tekken_old.json").write_text(json.dumps(tekken))


def write_tokenizer_json(bpe):
    bpe.decoder = decoders.ByteLevel()
    bpe.add_tokens([AddedToken("<new1>", normalized=False), AddedToken("<tok2>", rstrip=True)])
    bpe.save(str(OUT / "plain.json"))
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bpe.token_to_id("<s>"))])
    bpe.enable_truncation(3)
    bpe.enable_padding(length=8)
    bpe.save(str(OUT / "framed.json"))


# ---- cases ----

def copy(name):
    return {"copy": name}


def token(content, **flags):
    return {"__type": "AddedToken", "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False} | flags


def added(content, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} | flags


def folders():
    """name, files, texts"""
    def case(name, vocabulary, config=None, model_type="llama", texts=TEXTS, **files):
        files = {k.replace("__", "/").replace("_DOT_", "."): v for k, v in files.items()} | vocabulary
        if config is not None:
            files["tokenizer_config.json"] = config
        if model_type:
            files["config.json"] = {"model_type": model_type}
        return name, files, texts

    model = lambda name: {"tokenizer.model": copy(name)}
    llama = lambda **k: {"tokenizer_class": "LlamaTokenizer"} | k
    fast = lambda **k: {"tokenizer_class": "PreTrainedTokenizerFast"} | k
    gpt2 = {"vocab.json": copy("vocab.json"), "merges.txt": copy("merges.txt")}
    own = {"tokenizer.json": copy("plain.json")}
    template = "{{ bos_token }}{{ messages[0].content }}"

    yield case("llama", model("bpe.model"), llama(add_bos_token=True))
    yield case("llama: no bos unless asked for", model("bpe.model"), llama(), None)
    yield case("llama: legacy, both ends", model("bpe.model"), llama(
        legacy=True, add_bos_token=True, add_eos_token=True, pad_token="<pad>", bos_token=token("<s>", normalized=True)))
    yield case("llama: no prefix space", model("bpe.model"), llama(add_prefix_space=False))
    yield case("llama: user-defined and control pieces", model("bpe_user.model"), llama())
    yield case("llama: added_tokens_decoder", model("bpe.model"), llama(
        added_tokens_decoder={"0": added("<unk>"), "1": added("<s>"), "800": added("<new1>", special=False, normalized=True, rstrip=True),
                              "801": added("<new2>", lstrip=True)}, additional_special_tokens=["<tok0>"]))
    yield case("llama: the older files", model("bpe.model"), llama(), special_tokens_map_DOT_json={
        "bos_token": {k: v for k, v in added("<s>", normalized=True).items() if k != "special"}, "eos_token": "</s>", "pad_token": "<pad>",
        "additional_special_tokens": ["<tok1>", "<new1>"]}, added_tokens_DOT_json={"<new1>": 800, "<pad>": 801})
    yield case("mistral: a class without a model of its own", model("bpe.model"), llama(add_bos_token=True), "mistral")
    yield case("backend: BPE", model("bpe_user.model"), fast(), "granite")
    yield case("backend: Unigram", model("unigram.model"), fast(), "granite")
    yield case("backend: Unigram with bytes", model("unigram_bytes.model"), {}, "phi3")
    yield case("backend: a placeholder gets its name", model("gemma.model"), {"added_tokens_decoder": {"5": added("<tok0>")}}, "phi3")
    yield case("gemma", model("gemma.model"), {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True}, "gemma")
    yield case("gemma: by config.json", model("gemma.model"), None, "gemma2")
    yield case("t5", {"spiece.model": copy("t5.model")}, {"tokenizer_class": "T5Tokenizer"}, "t5")
    yield case("t5: its tokens listed", {"spiece.model": copy("t5.model")}, {
        "tokenizer_class": "T5Tokenizer", "extra_ids": 100, "additional_special_tokens": [f"<extra_id_{i}>" for i in range(100)]}, "mt5")
    yield case("xlm-roberta", {"sentencepiece.bpe.model": copy("unigram.model")}, {
        "tokenizer_class": "XLMRobertaTokenizerFast", "mask_token": token("<mask>", lstrip=True, normalized=True),
        "clean_up_tokenization_spaces": True}, "xlm-roberta")
    yield case("camembert", {"sentencepiece.bpe.model": copy("unigram.model")}, {"tokenizer_class": "CamembertTokenizer"}, "camembert")

    yield case("gpt2", gpt2, {"tokenizer_class": "GPT2Tokenizer"}, "gpt2")
    yield case("gpt2: lines end as on Windows, prefix space, bos", {"vocab.json": copy("vocab.json"), "merges.txt": copy("merges_crlf.txt")}, {
        "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "add_bos_token": True}, "gpt2")
    yield case("gpt2: by config.json", gpt2, None, "gpt2")
    yield case("phi", gpt2, {"tokenizer_class": "CodeGenTokenizer"}, "phi")
    yield case("opt", gpt2, {"tokenizer_class": "GPT2Tokenizer", "bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>",
                             "unk_token": "</s>", "add_bos_token": True}, "opt")
    yield case("qwen2", gpt2, {"tokenizer_class": "Qwen2Tokenizer", "bos_token": None, "eos_token": "<tok1>", "pad_token": "<|endoftext|>",
                               "unk_token": None, "additional_special_tokens": ["<tok0>", "<tok1>"],
                               "added_tokens_decoder": {"400": added("<tok0>")}}, "qwen2")
    yield case("roberta", gpt2, {"tokenizer_class": "RobertaTokenizer"}, "roberta")
    yield case("roberta: by config.json, prefix space", gpt2, {"add_prefix_space": True, "mask_token": token("<mask>", lstrip=True)}, "roberta")
    yield case("gpt-neox", gpt2, {"tokenizer_class": "GPTNeoXTokenizer"}, "gpt_neox")
    yield case("starcoder2", gpt2, {"tokenizer_class": "GPT2Tokenizer"}, "starcoder2")
    yield case("bert", {"vocab.txt": copy("vocab.txt")}, {"tokenizer_class": "BertTokenizer"}, "bert")
    yield case("bert: cased, cleaned up", {"vocab.txt": copy("vocab.txt")}, {
        "tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False,
        "clean_up_tokenization_spaces": True}, "bert")
    yield case("distilbert", {"vocab.txt": copy("vocab.txt")}, None, "distilbert")

    yield case("tiktoken", model("ranks.tiktoken"), fast())
    yield case("tiktoken: added tokens", model("ranks.tiktoken"), fast(
        bos_token="<s>", eos_token="</s>", add_bos_token=True, added_tokens_decoder={"500": added("<s>"), "502": added("</s>")},
        extra_special_tokens=["<tok0>", "</s>"]), "granite")
    yield case("tiktoken.model", {"tiktoken.model": copy("ranks.tiktoken")}, fast(), "granite")
    yield case("tekken", {"tekken.json": copy("tekken.json")}, fast(
        bos_token="<s>", eos_token="</s>", unk_token="<unk>", add_bos_token=True), "granite")
    yield case("tekken: the old form", {"tekken.json": copy("tekken_old.json")}, None, "mistral", PLAIN)
    yield case("tekken: named tokens", {"tekken.json": copy("tekken_old.json")}, fast(
        bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", add_bos_token=True, add_eos_token=True), "granite")

    yield case("tokenizer.json alone", own, None)
    yield case("tokenizer.json keeps its frame", {"tokenizer.json": copy("framed.json")}, fast(bos_token="<s>", eos_token="</s>", add_bos_token=False))
    yield case("tokenizer.json gets no frame", own, fast(bos_token="<s>", eos_token="</s>", add_bos_token=True, add_eos_token=True))
    yield case("new special tokens", own, fast(bos_token="<tok0>", eos_token=token("<tok1>", lstrip=True), pad_token="<pad>", unk_token=None,
                                              image_token="<image>", number_token=3))
    yield case("a list of special tokens", own, fast(additional_special_tokens=["<tok0>", token("<tok3>", lstrip=True, rstrip=True), "<new1>"]))
    yield case("two lists", own, fast(extra_special_tokens=["<tok0>"], additional_special_tokens=["<tok1>"]))
    yield case("special tokens with names", own, fast(extra_special_tokens={"image_token": "<image>", "other": "<tok1>"}))
    yield case("added_tokens_decoder has other flags", own, fast(added_tokens_decoder={
        "1": added("<s>", lstrip=True, rstrip=True), "400": added("<new1>"), "899": added("<tok1>", rstrip=True),
        "900": added("<tok0>", special=False, normalized=True)}))
    yield case("a piece becomes an added token", own, fast(eos_token="<tok0>", added_tokens_decoder={
        "7": added("the", special=False, single_word=True), "900": added("<tok0>", special=False, normalized=True)}))
    yield case("special_tokens_map.json", own, fast(eos_token="</s>"), special_tokens_map_DOT_json={
        "eos_token": "<tok0>", "pad_token": added("<pad>", lstrip=True, normalized=True), "additional_special_tokens": ["<tok1>", "<tok3>"]})
    yield case("special_tokens_map.json gives way", own, fast(eos_token="</s>", added_tokens_decoder={}),
               special_tokens_map_DOT_json={"eos_token": "<tok0>"}, added_tokens_DOT_json={"<tok1>": 700})
    yield case("added_tokens.json", own, fast(eos_token="<tok0>"), added_tokens_DOT_json={"<tok1>": 700, "<tok0>": 699, "<tok3>": 400})
    yield case("a class has defaults", own, {"tokenizer_class": "GPT2Tokenizer"}, "gpt2")
    yield case("a class adds them again", own, {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<tok0>", "additional_special_tokens": ["<tok2>"]}, "qwen2")
    yield case("an unknown class", own, {"tokenizer_class": "OtherTokenizer"}, "other")
    yield case("clean-up is not for BPE", own, fast(clean_up_tokenization_spaces=True))
    yield case("but it can be", own, fast(clean_up_tokenization_spaces=True,
                                          clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=True))

    short = TEXTS[:1]
    yield case("template: a text", own, fast(chat_template=template), texts=short)
    yield case("template: a list", own, fast(chat_template=[{"name": "default", "template": template}, {"name": "tool_use", "template": "t"},
                                                            {"name": "default", "template": "again"}]), texts=short)
    yield case("template: an object", own, fast(chat_template={"default": template, "rag": "r"}), texts=short)
    yield case("template: a file", own, fast(chat_template=template), texts=short, chat_template_DOT_jinja="file\r\nof\rlines\n")
    yield case("template: more files", own, fast(chat_template=template), texts=short, chat_template_DOT_jinja="file\n",
               additional_chat_templates__tool_use_DOT_jinja="t", additional_chat_templates__notes_DOT_txt="no")
    yield case("template: only more files", own, fast(chat_template=[{"name": "default", "template": template}]), texts=short,
               additional_chat_templates__rag_DOT_jinja="r")


def write_folder(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, dict) and list(content) == ["copy"]:
            shutil.copy(OUT / content["copy"], path)
        else:
            path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode())


def record(name, files, texts):
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), files)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        out = {"name": name, "files": files, "special": [[k, v] for k, v in tokenizer.special_tokens_map.items()], "texts": []}
        if hasattr(tokenizer, "_tokenizer"):
            out["added"] = [[i, t.content, t.special] for i, t in sorted(tokenizer.added_tokens_decoder.items())]
        template = tokenizer.chat_template
        out["templates"] = template if isinstance(template, dict) else {"default": template} if template else {}
        for text in texts:
            ids, plain = tokenizer.encode(text), tokenizer.encode(text, add_special_tokens=False)
            if "framed.json" in json.dumps(files):  # its truncation and padding are not for prompts
                tokenizer._tokenizer.no_truncation()
                tokenizer._tokenizer.no_padding()
                ids, plain = tokenizer._tokenizer.encode(text).ids, tokenizer._tokenizer.encode(text, add_special_tokens=False).ids
            out["texts"].append({"text": text, "ids": ids, "plain": plain, "skipped": tokenizer.decode(ids, skip_special_tokens=True),
                                 "decoded": tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
                                 if "added" in out else None})
        return out


OUT.mkdir(exist_ok=True)
train_all()
with open(OUT / "cases.jsonl", "w", encoding="utf-8") as f:
    for case in folders():
        f.write(json.dumps(record(*case), ensure_ascii=False, separators=(",", ":")) + "\n")
