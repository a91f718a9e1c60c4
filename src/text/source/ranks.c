/* Byte-level ranks: vocabularies that list the bytes of each token in base64 and let the rank decide which
 * pair is joined first. tiktoken.model (or a tokenizer.model of that form) has a line a token, tekken.json an
 * object. Both become a byte-level BPE whose merges follow from the ranks. */
#include "text/source/source_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILLER_MAX 100000 /* special tokens that no file spells out */

/* The pattern that transformers assumes for a file that has none. */
#define TIKTOKEN_REGEX                                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"  \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The special tokens of tekken files that do not list them. */
static const char *const old_special[] = {"<unk>",
                                          "<s>",
                                          "</s>",
                                          "[INST]",
                                          "[/INST]",
                                          "[AVAILABLE_TOOLS]",
                                          "[/AVAILABLE_TOOLS]",
                                          "[TOOL_RESULTS]",
                                          "[/TOOL_RESULTS]",
                                          "[TOOL_CALLS]",
                                          "[IMG]",
                                          "<pad>",
                                          "[IMG_BREAK]",
                                          "[IMG_END]",
                                          "[PREFIX]",
                                          "[MIDDLE]",
                                          "[SUFFIX]",
                                          "[SYSTEM_PROMPT]",
                                          "[/SYSTEM_PROMPT]",
                                          "[TOOL_CONTENT]"};
#define BYTE_LEVEL_ONLY                                                                                      \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":false,\"use_regex\":true}"
/* mistral-common, which transformers uses for these files, puts <s> (which has id 1) in front of a text. */
#define BOS_FIRST                                                                                            \
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"        \
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],"  \
    "\"tokens\":[\"<s>\"]}}}"
#define N_OLD (sizeof old_special / sizeof *old_special)

/* ---- what both share ---- */

/* The pieces' texts lie in p->memory, which moves while it grows: they are set once it is complete. */
struct ranks {
    struct pieces pieces;
    struct buf bytes; /* of one token */
};

static enum status ranks_put(struct ranks *r, struct str base64, int32_t id, struct err *e)
{
    size_t begin = r->pieces.memory.n;
    buf_clear(&r->bytes);
    if (!read_base64(&r->bytes, base64) || r->bytes.n == 0)
        return err_set(e, ST_INVALID, "token %d is not base64", (int)id);
    pieces_put_byte_level(&r->pieces, buf_str(&r->bytes));
    if (r->pieces.memory.failed || r->bytes.failed)
        return err_set(e, ST_NO_MEMORY, "no memory for a vocabulary");
    return pieces_add(&r->pieces, (struct str){NULL, r->pieces.memory.n - begin}, id, e);
}

static enum status ranks_finish(struct ranks *r, struct err *e)
{
    const char *at = r->pieces.memory.p;
    for (size_t i = 0; i < r->pieces.n; i++) {
        r->pieces.text[i].p = at;
        at += r->pieces.text[i].n;
    }
    if (r->pieces.n == 0)
        return err_set(e, ST_INVALID, "no tokens");
    return pieces_index(&r->pieces, e);
}

static void ranks_init(struct ranks *r)
{
    *r = (struct ranks){0};
    buf_init(&r->pieces.memory, SOURCE_MAX_BYTES);
    buf_init(&r->bytes, 1u << 20);
}

static void ranks_fini(struct ranks *r)
{
    pieces_fini(&r->pieces);
    buf_fini(&r->bytes);
}

/* The stages around the model, up to the model's vocabulary. */
static enum status write_pipeline(const struct pieces *p, struct str regex, const char *post_processor,
                                  struct buf *out, struct err *e)
{
    buf_put_str(out, STR("\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
                         "{\"type\":\"Split\",\"pattern\":{\"Regex\":"));
    write_json_str(out, regex);
    buf_put_str(out, STR("},\"behavior\":\"Isolated\",\"invert\":false},"
                         "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
                         "\"use_regex\":false}]},\"post_processor\":"));
    buf_put_str(out, str_from(post_processor));
    buf_put_str(out,
                STR(",\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
                    "\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"fuse_unk\":false,"
                    "\"ignore_merges\":true,\"merges\":"));
    return pieces_write_merges(p, MERGE_BY_ID, out, e);
}

static void write_added(struct buf *out, struct str content, uint64_t id)
{
    write_comma(out, '[');
    buf_printf(out, "{\"id\":%llu,\"content\":", (unsigned long long)id);
    write_json_str(out, content);
    buf_put_str(out, STR(",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
                         "\"special\":true}"));
}

/* ---- tiktoken ---- */

static enum status read_lines(struct ranks *r, struct str file, struct err *e)
{
    struct str line;
    uint64_t rank;
    enum status st = ST_OK;
    for (unsigned number = 1; st == ST_OK && read_line(&file, &line); number++) {
        line = str_trim(line);
        if (line.n == 0)
            continue;
        size_t space = str_find(line, STR(" "), 0);
        if (space == SIZE_MAX || !str_to_u64(str_trim((struct str){line.p + space, line.n - space}), &rank) ||
            rank > INT32_MAX)
            return err_set(e, ST_INVALID, "line %u is not a token in base64 and its rank", number);
        st = ranks_put(r, (struct str){line.p, space}, (int32_t)rank, e);
    }
    return st == ST_OK ? ranks_finish(r, e) : st;
}

/* Added tokens behind the ranks: those that the config numbers, with fillers between. */
static enum status write_numbered(const struct tokenizer_config *c, uint64_t *next, struct map *written,
                                  struct buf *out, struct err *e)
{
    uint64_t last = c->n_decoder ? (uint64_t)c->decoder[c->n_decoder - 1].id : 0;
    enum status st = ST_OK;
    if (last >= *next + FILLER_MAX)
        return err_set(e, ST_LIMIT, "added_tokens_decoder: id %llu is far beyond the vocabulary",
                       (unsigned long long)last);
    for (size_t i = 0; *next <= last && c->n_decoder && st == ST_OK; ++*next) {
        char filler[48];
        while (i < c->n_decoder && (uint64_t)c->decoder[i].id < *next)
            i++;
        int n = snprintf(filler, sizeof filler, "<|reserved_token_%llu|>", (unsigned long long)*next);
        bool named = i < c->n_decoder && (uint64_t)c->decoder[i].id == *next;
        write_added(out, named ? c->decoder[i].content : (struct str){filler, (size_t)n}, *next);
        if (named && map_put(written, c->decoder[i].content, *next) != ST_OK)
            st = err_set(e, ST_NO_MEMORY, "no memory for added tokens");
    }
    return st;
}

/* Then those that it only lists. */
static enum status write_tiktoken_added(const struct tokenizer_config *c, const struct pieces *p,
                                        struct buf *out, struct err *e)
{
    uint64_t next = p->n, at;
    struct map written;
    enum status st = map_init(&written, c->n_decoder + c->n_extra) == ST_OK
                         ? write_numbered(c, &next, &written, out, e)
                         : err_set(e, ST_NO_MEMORY, "no memory for added tokens");
    for (size_t i = 0; c->has_extra && i < c->n_extra && st == ST_OK; i++) {
        struct str text = c->extra[i].content;
        if (map_get(&written, text, &at))
            continue;
        write_added(out, text, map_get(&p->map, text, &at) ? (uint64_t)p->id[at] : next++);
        if (map_put(&written, text, 0) != ST_OK)
            st = err_set(e, ST_NO_MEMORY, "no memory for added tokens");
    }
    map_fini(&written);
    return st;
}

enum status tiktoken_write(struct source_input *in, struct str file, struct buf *out, struct err *e)
{
    struct ranks r;
    ranks_init(&r);
    enum status st = read_lines(&r, file, e);
    if (!in->class)
        in->class = tokenizer_class_find(STR("TokenizersBackend"));
    buf_put_str(out, STR("{\"added_tokens\":["));
    if (st == ST_OK)
        st = write_tiktoken_added(in->config, &r.pieces, out, e);
    buf_put_str(out, STR("],"));
    if (st == ST_OK)
        st = write_pipeline(&r.pieces, STR(TIKTOKEN_REGEX), BYTE_LEVEL_ONLY, out, e);
    if (st == ST_OK) {
        buf_put_str(out, STR(",\"vocab\":"));
        pieces_write_vocab(&r.pieces, out);
        buf_put_str(out, STR("}}"));
    }
    ranks_fini(&r);
    return st == ST_OK ? st : err_prefix(e, "%s", in->path);
}

/* ---- tekken ---- */

struct tekken {
    struct ranks ranks;
    struct str *special; /* [n_listed] by rank */
    size_t n_listed;
    struct str regex;
    uint64_t n_special; /* ids in front of the ranks */
};

/* The special tokens by rank: listed ones without gaps, or the old list. */
static enum status read_tekken_specials(struct tekken *t, const struct json_val *list, struct err *e)
{
    bool listed = json_is(list, JSON_ARRAY);
    struct json_iter it = json_iter(listed ? list : NULL);
    const struct json_val *item;
    uint64_t rank;
    t->n_listed = listed ? json_len(list) : N_OLD;
    t->special = calloc(t->n_listed + 1, sizeof *t->special);
    if (!t->special)
        return err_set(e, ST_NO_MEMORY, "no memory for special tokens");
    for (size_t i = 0; i < N_OLD && !listed; i++)
        t->special[i] = str_from(old_special[i]);
    while ((item = json_next(&it, NULL)))
        if (!json_u64(json_get(item, STR("rank")), &rank) || rank >= t->n_listed || t->special[rank].p ||
            !json_str(json_get(item, STR("token_str")), &t->special[rank]))
            return err_set(e, ST_INVALID, "special_tokens: an entry has no text, or the ranks have gaps");
    return ST_OK;
}

static enum status read_tekken_config(struct tekken *t, const struct json_val *root, uint64_t *n_vocab,
                                      struct err *e)
{
    const struct json_val *config = json_get(root, STR("config"));
    uint64_t total;
    enum status st = read_tekken_specials(t, json_get(root, STR("special_tokens")), e);
    if (st != ST_OK)
        return st;
    if (!json_str(json_get(config, STR("pattern")), &t->regex))
        return err_set(e, ST_INVALID, "`config.pattern` is not a string");
    if (!json_u64(json_get(config, STR("default_num_special_tokens")), &t->n_special))
        t->n_special = t->n_listed;
    if (t->n_special > FILLER_MAX || t->n_listed > t->n_special)
        return err_set(e, ST_INVALID, "`default_num_special_tokens` does not fit the special tokens");
    *n_vocab = json_len(json_get(root, STR("vocab")));
    if (json_u64(json_get(config, STR("default_vocab_size")), &total) && total >= t->n_special &&
        total - t->n_special < *n_vocab)
        *n_vocab = total - t->n_special;
    return ST_OK;
}

static enum status read_tekken_ranks(struct tekken *t, const struct json_val *vocab, uint64_t n,
                                     struct err *e)
{
    struct json_iter it = json_iter(vocab);
    const struct json_val *item;
    struct str bytes;
    enum status st = ST_OK;
    for (uint64_t i = 0; i < n && st == ST_OK && (item = json_next(&it, NULL)); i++) {
        if (!json_str(json_get(item, STR("token_bytes")), &bytes))
            return err_set(e, ST_INVALID, "vocab entry %llu has no `token_bytes`", (unsigned long long)i);
        st = ranks_put(&t->ranks, bytes, (int32_t)(t->n_special + i), e);
    }
    return st == ST_OK ? ranks_finish(&t->ranks, e) : st;
}

static void write_tekken_specials(const struct tekken *t, bool as_vocab, struct buf *out)
{
    for (uint64_t rank = 0; rank < t->n_special; rank++) {
        char filler[48];
        int n = snprintf(filler, sizeof filler, "<SPECIAL_%llu>", (unsigned long long)rank);
        struct str text = rank < t->n_listed ? t->special[rank] : (struct str){filler, (size_t)n};
        if (!as_vocab) {
            write_added(out, text, rank);
            continue;
        }
        buf_put_char(out, ',');
        write_json_str(out, text);
        buf_printf(out, ":%llu", (unsigned long long)rank);
    }
}

/* The names that mistral-common gives to some of them. */
static void write_tekken_names(const struct tekken *t, struct buf *out)
{
    static const char *const names[][2] = {
        {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        size_t rank = 0;
        while (rank < t->n_listed && !str_eq(t->special[rank], str_from(names[k][1])))
            rank++;
        if (rank == t->n_listed)
            continue;
        write_comma(out, '{');
        buf_printf(out, "\"%s\":\"%s\"", names[k][0], names[k][1]);
    }
}

static enum status write_tekken(struct tekken *t, const struct json_val *root, struct buf *out, struct err *e)
{
    uint64_t n = 0;
    enum status st = read_tekken_config(t, root, &n, e);
    if (st == ST_OK)
        st = read_tekken_ranks(t, json_get(root, STR("vocab")), n, e);
    if (st != ST_OK)
        return st;
    bool has_bos = t->n_listed > 1 && str_eq(t->special[1], STR("<s>"));
    buf_put_str(out, STR("{\"special_tokens\":{"));
    write_tekken_names(t, out);
    buf_put_str(out, STR("},\"added_tokens\":["));
    write_tekken_specials(t, false, out);
    buf_put_str(out, STR("],"));
    st = write_pipeline(&t->ranks.pieces, t->regex, has_bos ? BOS_FIRST : BYTE_LEVEL_ONLY, out, e);
    if (st != ST_OK)
        return st;
    buf_put_str(out, STR(",\"vocab\":"));
    pieces_write_vocab(&t->ranks.pieces, out);
    if (out->failed)
        return err_set(e, ST_NO_MEMORY, "no memory for a vocabulary");
    out->n--; /* the object goes on */
    write_tekken_specials(t, true, out);
    buf_put_str(out, STR("}}}"));
    return ST_OK;
}

enum status tekken_write(struct source_input *in, struct str file, struct buf *out, struct err *e)
{
    struct json_doc *doc;
    struct tekken t = {0};
    enum status st = json_parse(file, JSON_ALLOW_DUPLICATES, &doc, e);
    if (st != ST_OK)
        return err_prefix(e, "%s", in->path);
    if (!in->class)
        in->class = tokenizer_class_find(STR("TokenizersBackend"));
    ranks_init(&t.ranks);
    st = write_tekken(&t, json_root(doc), out, e);
    ranks_fini(&t.ranks);
    free(t.special);
    json_free(doc);
    return st == ST_OK ? st : err_prefix(e, "%s", in->path);
}
