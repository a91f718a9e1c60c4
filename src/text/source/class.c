/* Tokenizer classes: which pipeline stands around a vocabulary, as transformers' classes of that name build
 * it.
 *
 * A class is data: the texts of its stages as they stand in a tokenizer.json, with places for the few options
 * that tokenizer_config.json may set. Never a guess: a class that is not here is refused by name. */
#include "text/source/source_int.h"
#include <string.h>

#define META                 "\xe2\x96\x81"
#define REPLACE_SPACE        "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" META "\"}"
#define REPLACE_META         "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" META "\"},\"content\":\" \"}"
#define FALLBACK             "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}"
#define SEQUENCE(key, items) "{\"type\":\"Sequence\",\"" key "\":[" items "]}"
#define METASPACE(split)                                                                                     \
    "{\"type\":\"Metaspace\",\"replacement\":\"" META "\",\"prepend_scheme\":\"$scheme\",\"split\":" split "}"
#define WORDS_METASPACE SEQUENCE("pretokenizers", "{\"type\":\"WhitespaceSplit\"}," METASPACE("true"))
#define BYTE_LEVEL(prefix, regex)                                                                            \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix ",\"trim_offsets\":true,\"use_regex\":" regex "}"
#define NFC "{\"type\":\"NFC\"}"
#define SPLIT(regex)                                                                                         \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define QWEN_SPLIT(letters, in_class)                                                                        \
    SPLIT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" letters                              \
          "+|\\\\p{N}| ?[^\\\\s" in_class                                                                    \
          "\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+")
#define QWEN_ROW(letters, in_class)                                                                          \
    .vocab_file = "vocab.json", .model = CLASS_BPE, .options = BYTE_BPE, .normalizer = NFC,                  \
    .pre_tokenizer =                                                                                         \
        SEQUENCE("pretokenizers", QWEN_SPLIT(letters, in_class) "," BYTE_LEVEL("$prefix", "false")),         \
    .decoder = BYTE_LEVEL("true", "true"),                                                                   \
    .special = {"unk_token", END_OF_TEXT, "eos_token", END_OF_TEXT, "pad_token", END_OF_TEXT}
#define END_OF_TEXT "<|endoftext|>"

#define BYTE_BPE ",\"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"\",\"fuse_unk\":false"

static const struct tokenizer_class classes[] = {
    {.name = "TokenizersBackend",
     .model = CLASS_ANY,
     .normalizer = SEQUENCE("normalizers", "$charsmap_item" REPLACE_SPACE),
     .decoder = SEQUENCE("decoders", REPLACE_META "$fallback_items")},
    {.name = "LlamaTokenizer",
     .vocab_file = "tokenizer.model",
     .model = CLASS_BPE,
     .options = ",\"fuse_unk\":true,\"byte_fallback\":true",
     .normalizer = "null",
     .pre_tokenizer = METASPACE("false"),
     .decoder = SEQUENCE("decoders", REPLACE_META "," FALLBACK "$strip_item"),
     .special = {"unk_token", "<unk>", "bos_token", "<s>", "eos_token", "</s>"}},
    {.name = "GemmaTokenizer",
     .model = CLASS_BPE,
     .options = ",\"unk_token\":$unk,\"fuse_unk\":true,\"byte_fallback\":true",
     .normalizer = REPLACE_SPACE,
     .pre_tokenizer =
         "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"MergedWithPrevious\","
         "\"invert\":false}",
     .decoder = SEQUENCE("decoders", REPLACE_META "," FALLBACK),
     .special = {"unk_token", "<unk>", "bos_token", "<bos>", "eos_token", "<eos>", "pad_token", "<pad>",
                 "mask_token", "<mask>"}},
    {.name = "T5Tokenizer",
     .vocab_file = "spiece.model",
     .model = CLASS_UNIGRAM,
     .normalizer = "$charsmap",
     .pre_tokenizer = WORDS_METASPACE,
     .decoder = METASPACE("true"),
     .special = {"eos_token", "</s>", "unk_token", "<unk>", "pad_token", "<pad>"},
     .n_extra_ids = 100,
     .behind = "eos_token"},
    {.name = "XLMRobertaTokenizer",
     .vocab_file = "sentencepiece.bpe.model",
     .model = CLASS_UNIGRAM,
     .normalizer = "$charsmap",
     .pre_tokenizer = WORDS_METASPACE,
     .decoder = METASPACE("true"),
     .special = {"bos_token", "<s>", "eos_token", "</s>", "sep_token", "</s>", "cls_token", "<s>",
                 "unk_token", "<unk>", "pad_token", "<pad>", "mask_token", "<mask>"},
     .head = {"@bos_token", "@pad_token", "@eos_token", "@unk_token"},
     .tail = {"@mask_token"},
     .n_skip = 3,
     .unk = "3",
     .before = "bos_token",
     .behind = "eos_token"},
    {.name = "CamembertTokenizer",
     .vocab_file = "sentencepiece.bpe.model",
     .model = CLASS_UNIGRAM,
     .normalizer = "$charsmap",
     .pre_tokenizer = WORDS_METASPACE,
     .decoder = METASPACE("true"),
     .special = {"bos_token", "<s>", "eos_token", "</s>", "sep_token", "</s>", "cls_token", "<s>",
                 "unk_token", "<unk>", "pad_token", "<pad>", "mask_token", "<mask>"},
     .head = {"<s>NOTUSED", "@pad_token", "</s>NOTUSED", "@unk_token", "<unk>NOTUSED"},
     .tail = {"@mask_token"},
     .n_skip = 1,
     .unk = "3",
     .before = "bos_token",
     .behind = "eos_token",
     .mask_strips_left = true},
    {.name = "GPT2Tokenizer",
     .vocab_file = "vocab.json",
     .model = CLASS_BPE,
     .options = BYTE_BPE,
     .normalizer = "null",
     .pre_tokenizer = BYTE_LEVEL("$prefix", "true"),
     .decoder = BYTE_LEVEL("true", "true"),
     .special = {"unk_token", END_OF_TEXT, "bos_token", END_OF_TEXT, "eos_token", END_OF_TEXT, "pad_token",
                 ""}},
    {.name = "Qwen2Tokenizer", QWEN_ROW("\\\\p{L}", "\\\\p{L}"), .special_again = true},
    {.name = "Qwen3_5Tokenizer", QWEN_ROW("[\\\\p{L}\\\\p{M}]", "\\\\p{L}\\\\p{M}")},
    {.name = "RobertaTokenizer",
     .vocab_file = "vocab.json",
     .model = CLASS_BPE,
     .options = BYTE_BPE,
     .normalizer = "null",
     .pre_tokenizer = BYTE_LEVEL("$prefix", "true"),
     .decoder = BYTE_LEVEL("true", "true"),
     .special = {"bos_token", "<s>", "eos_token", "</s>", "sep_token", "</s>", "cls_token", "<s>",
                 "unk_token", "<unk>", "pad_token", "<pad>", "mask_token", "<mask>"},
     .before = "cls_token",
     .behind = "sep_token",
     .trim_offsets = true},
    {.name = "GPTNeoXTokenizer",
     .vocab_file = "vocab.json",
     .model = CLASS_BPE,
     .options = BYTE_BPE,
     .normalizer = NFC,
     .pre_tokenizer = BYTE_LEVEL("$prefix", "true"),
     .decoder = BYTE_LEVEL("true", "true"),
     .special = {"unk_token", END_OF_TEXT, "bos_token", END_OF_TEXT, "eos_token", END_OF_TEXT, "pad_token",
                 "<|padding|>"}},
    {.name = "BertTokenizer",
     .vocab_file = "vocab.txt",
     .model = CLASS_WORDPIECE,
     .options = ",\"unk_token\":$unk,\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100",
     .normalizer = "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":$chinese,"
                   "\"strip_accents\":$accents,\"lowercase\":$lower}",
     .pre_tokenizer = "{\"type\":\"BertPreTokenizer\"}",
     .decoder = "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}",
     .special = {"unk_token", "[UNK]", "sep_token", "[SEP]", "pad_token", "[PAD]", "cls_token", "[CLS]",
                 "mask_token", "[MASK]"},
     .before = "cls_token",
     .behind = "sep_token"},
};

/* Classes that are another one under their own name. */
static const char *const aliases[][2] = {
    {"PreTrainedTokenizerFast", "TokenizersBackend"},
    {"PreTrainedTokenizer", "TokenizersBackend"},
    {"BloomTokenizer", "TokenizersBackend"},
    {"Phi3Tokenizer", "LlamaTokenizer"},
    {"BartTokenizer", "RobertaTokenizer"},
    {"LongformerTokenizer", "RobertaTokenizer"},
    {"DistilBertTokenizer", "BertTokenizer"},
    {"ElectraTokenizer", "BertTokenizer"},
    {"MobileBertTokenizer", "BertTokenizer"},
    {"CodeGenTokenizer", "GPT2Tokenizer"},
};

/* Which class transformers takes for a model type, whatever the files say (`sure`) or when they say nothing.
 */
static const struct {
    const char *model_type, *class_name;
    bool sure;
} model_types[] = {
    {"bart", "RobertaTokenizer", false},
    {"bert", "BertTokenizer", false},
    {"camembert", "CamembertTokenizer", false},
    {"data2vec-text", "RobertaTokenizer", false},
    {"distilbert", "BertTokenizer", false},
    {"electra", "BertTokenizer", false},
    {"falcon_mamba", "GPTNeoXTokenizer", false},
    {"gemma", "GemmaTokenizer", false},
    {"gemma2", "GemmaTokenizer", false},
    {"gemma3", "GemmaTokenizer", false},
    {"gemma3_text", "GemmaTokenizer", false},
    {"gemma3n", "GemmaTokenizer", false},
    {"glm", "TokenizersBackend", true},
    {"glm4", "TokenizersBackend", true},
    {"gpt2", "GPT2Tokenizer", false},
    {"gpt_bigcode", "TokenizersBackend", true},
    {"gpt_neo", "GPT2Tokenizer", false},
    {"gpt_neox", "GPTNeoXTokenizer", false},
    {"gptj", "GPT2Tokenizer", false},
    {"granite", "TokenizersBackend", true},
    {"granitemoe", "TokenizersBackend", true},
    {"internlm2", "TokenizersBackend", true},
    {"internlm3", "TokenizersBackend", true},
    {"mamba", "GPTNeoXTokenizer", false},
    {"mamba2", "GPTNeoXTokenizer", false},
    {"minicpm3", "TokenizersBackend", true},
    {"ministral", "TokenizersBackend", true},
    {"ministral3", "TokenizersBackend", true},
    {"mistral", "TokenizersBackend", true},
    {"mistral3", "TokenizersBackend", true},
    {"mixtral", "TokenizersBackend", true},
    {"modernbert", "TokenizersBackend", true},
    {"mpt", "GPTNeoXTokenizer", false},
    {"mt5", "T5Tokenizer", false},
    {"nemotron", "TokenizersBackend", true},
    {"olmo", "GPTNeoXTokenizer", false},
    {"olmo2", "TokenizersBackend", true},
    {"olmo3", "TokenizersBackend", true},
    {"olmoe", "GPTNeoXTokenizer", false},
    {"opt", "GPT2Tokenizer", false},
    {"persimmon", "TokenizersBackend", true},
    {"phi", "GPT2Tokenizer", false},
    {"phi3", "TokenizersBackend", true},
    {"phimoe", "TokenizersBackend", true},
    {"qwen2", "Qwen2Tokenizer", true},
    {"qwen2_5_vl", "Qwen2Tokenizer", false},
    {"qwen2_moe", "Qwen2Tokenizer", false},
    {"qwen2_vl", "Qwen2Tokenizer", false},
    {"qwen3", "Qwen2Tokenizer", false},
    {"qwen3_5", "Qwen3_5Tokenizer", true},
    {"qwen3_5_moe", "Qwen3_5Tokenizer", true},
    {"qwen3_moe", "Qwen2Tokenizer", false},
    {"qwen3_next", "Qwen2Tokenizer", false},
    {"qwen3_vl", "Qwen2Tokenizer", false},
    {"roberta", "RobertaTokenizer", false},
    {"rwkv", "GPTNeoXTokenizer", false},
    {"stablelm", "TokenizersBackend", true},
    {"starcoder2", "GPT2Tokenizer", false},
    {"t5", "T5Tokenizer", false},
    {"umt5", "TokenizersBackend", true},
    {"xlm-roberta", "XLMRobertaTokenizer", false},
    {"xlm-roberta-xl", "TokenizersBackend", true},
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- choosing ---- */

const struct tokenizer_class *tokenizer_class_find(struct str name)
{
    if (str_has_suffix(name, STR("Fast")) && !str_eq(name, STR("PreTrainedTokenizerFast")))
        name.n -= 4;
    for (size_t i = 0; i < COUNT(aliases); i++)
        if (str_eq(name, str_from(aliases[i][0])))
            name = str_from(aliases[i][1]);
    for (size_t i = 0; i < COUNT(classes); i++)
        if (str_eq(name, str_from(classes[i].name)))
            return &classes[i];
    return NULL;
}

const struct tokenizer_class *tokenizer_class_of(const struct tokenizer_config *c, struct str *name)
{
    *name = c->class_name;
    for (size_t i = 0; i < COUNT(model_types); i++)
        if (str_eq(c->model_type, str_from(model_types[i].model_type)) &&
            (c->class_name.n == 0 || model_types[i].sure))
            *name = str_from(model_types[i].class_name);
    return tokenizer_class_find(*name);
}

/* ---- filling in ---- */

struct str class_token(const struct class_values *v, const char *name)
{
    const struct named_token *named = tokenizer_config_named(v->config, str_from(name));
    if (named)
        return named->token.content;
    for (size_t i = 0; i < COUNT(v->class->special) && v->class->special[i]; i += 2)
        if (strcmp(v->class->special[i], name) == 0)
            return str_from(v->class->special[i + 1]);
    return STR("");
}

static bool option(const struct class_values *v, const char *name, bool otherwise)
{
    json_bool(tokenizer_config_option(v->config, name), &otherwise);
    return otherwise;
}

static void put_bool(struct buf *out, bool value)
{
    buf_put_str(out, value ? STR("true") : STR("false"));
}

static void put_scheme(const struct class_values *v, struct buf *out)
{
    bool always = v->class->model != CLASS_BPE || option(v, "legacy", false);
    buf_printf(out, "%s", !option(v, "add_prefix_space", true) ? "never" : always ? "always" : "first");
}

static void put_prefix(const struct class_values *v, struct buf *out)
{
    put_bool(out, option(v, "add_prefix_space", false));
}

static void put_lower(const struct class_values *v, struct buf *out)
{
    put_bool(out, option(v, "do_lower_case", true));
}

static void put_chinese(const struct class_values *v, struct buf *out)
{
    put_bool(out, option(v, "tokenize_chinese_chars", true));
}

static void put_accents(const struct class_values *v, struct buf *out)
{
    bool strip;
    if (json_bool(tokenizer_config_option(v->config, "strip_accents"), &strip))
        put_bool(out, strip);
    else
        buf_put_str(out, STR("null"));
}

static void put_unk(const struct class_values *v, struct buf *out)
{
    write_json_str(out, class_token(v, "unk_token"));
}

static void put_charsmap(const struct class_values *v, struct buf *out)
{
    if (v->charsmap.n == 0) {
        buf_put_str(out, STR("null"));
        return;
    }
    buf_put_str(out, STR("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\""));
    write_base64(out, v->charsmap);
    buf_put_str(out, STR("\"}"));
}

static void put_charsmap_item(const struct class_values *v, struct buf *out)
{
    if (v->charsmap.n == 0)
        return;
    put_charsmap(v, out);
    buf_put_char(out, ',');
}

static void put_fallback_items(const struct class_values *v, struct buf *out)
{
    if (v->byte_fallback)
        buf_put_str(out, STR("," FALLBACK));
}

static void put_strip_item(const struct class_values *v, struct buf *out)
{
    if (option(v, "add_prefix_space", true))
        buf_put_str(out, STR(",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"));
}

static const struct {
    const char *name;
    void (*put)(const struct class_values *v, struct buf *out);
} places[] = {
    {"$scheme", put_scheme},                 /* add_prefix_space and legacy, as Metaspace spells them */
    {"$prefix", put_prefix},                 /* add_prefix_space */
    {"$lower", put_lower},                   /* do_lower_case */
    {"$chinese", put_chinese},               /* tokenize_chinese_chars */
    {"$accents", put_accents},               /* strip_accents */
    {"$unk", put_unk},                       /* unk_token */
    {"$charsmap_item", put_charsmap_item},   /* the normalizer of a SentencePiece model, in a list */
    {"$charsmap", put_charsmap},             /* alone */
    {"$fallback_items", put_fallback_items}, /* when the model falls back to bytes */
    {"$strip_item", put_strip_item},         /* when a space was put in front */
};

static void fill(const struct class_values *v, const char *text, struct buf *out)
{
    struct str s = str_from(text ? text : "null");
    for (size_t at = 0; at < s.n;) {
        struct str rest = {s.p + at, s.n - at};
        size_t i = 0;
        while (i < COUNT(places) && !str_has_prefix(rest, str_from(places[i].name)))
            i++;
        if (i == COUNT(places)) {
            buf_put_char(out, s.p[at++]);
            continue;
        }
        places[i].put(v, out);
        at += strlen(places[i].name);
    }
}

void class_write_stages(const struct class_values *v, struct buf *out)
{
    buf_put_str(out, STR("\"normalizer\":"));
    fill(v, v->class->normalizer, out);
    buf_put_str(out, STR(",\"pre_tokenizer\":"));
    fill(v, v->class->pre_tokenizer, out);
    buf_put_str(out, STR(",\"post_processor\":null,\"decoder\":"));
    fill(v, v->class->decoder, out);
}

void class_write_options(const struct class_values *v, struct buf *out)
{
    if (v->class->options)
        fill(v, v->class->options, out);
}
