/* prompteur tokenize: what a tokenizer does, checked without a server. JSON lines of strings in, ids with
 * their tokens and places out; with --decode ids in, text out.
 *
 * A line that cannot be answered gets {"error": "..."} and the next one goes on: the exit code is about the
 * input as a whole, read and answered to its end. */
#define LOG_MODULE "tokenize"
#include "app/commands.h"
#include "app/json_lines.h"
#include "app/load.h"
#include "base/log.h"
#include "text/stream.h"
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE       2
#define LINE_MAX_BYTES   (64u << 20)
#define ANSWER_MAX_BYTES (1u << 30)

struct tokenize_run {
    struct tokenizer *tokenizer;
    unsigned encode_flags;
    bool keep_special, deltas;
    struct buf text; /* of one answer */
};

/* ---- text to ids ---- */

static void write_tokens(struct json_writer *w, const struct tokenizer *t, const struct tokens *tokens)
{
    jw_key(w, "ids");
    jw_array(w);
    for (size_t i = 0; i < tokens->n; i++)
        jw_i64(w, tokens->ids[i]);
    jw_end_array(w);
    jw_key(w, "tokens");
    jw_array(w);
    for (size_t i = 0; i < tokens->n; i++)
        jw_str(w, tokenizer_token_text(t, tokens->ids[i]));
    jw_end_array(w);
    jw_key(w, "offsets");
    jw_array(w);
    for (size_t i = 0; i < tokens->n; i++) {
        jw_array(w);
        jw_u64(w, tokens->start[i]);
        jw_u64(w, tokens->stop[i]);
        jw_end_array(w);
    }
    jw_end_array(w);
}

static enum status answer_text(void *self, const struct json_val *line, size_t n_bytes, struct json_writer *w,
                               struct err *e)
{
    const struct tokenize_run *r = self;
    struct tokens tokens;
    (void)n_bytes;
    struct str text;
    if (!json_str(line, &text))
        return err_set(e, ST_INVALID, "the line is not a string but a %s", json_kind_name(line));
    enum status st = tokenizer_encode(r->tokenizer, text, r->encode_flags, &tokens, e);
    if (st != ST_OK)
        return st;
    write_tokens(w, r->tokenizer, &tokens);
    tokens_fini(&tokens);
    return ST_OK;
}

/* ---- ids to text ---- */

/* Ids too large for any token become -1, which no token has either: decoding passes over both. */
static enum status read_ids(const struct json_val *list, int32_t *ids, struct err *e)
{
    struct json_iter it = json_iter(list);
    const struct json_val *v;
    for (size_t n = 0; (v = json_next(&it, NULL)); n++) {
        uint64_t id;
        if (!json_u64(v, &id))
            return err_set(e, ST_INVALID, "item %zu is no token id", n);
        ids[n] = id > INT32_MAX ? -1 : (int32_t)id;
    }
    return ST_OK;
}

static enum status write_deltas(const struct tokenize_run *r, const int32_t *ids, size_t n,
                                struct json_writer *w)
{
    struct stream s;
    enum status st = stream_init(&s, r->tokenizer, NULL, 0, NULL, 0);
    if (st != ST_OK)
        return st;
    s.skip_special = !r->keep_special;
    jw_key(w, "deltas");
    jw_array(w);
    for (size_t i = 0; i < n && st == ST_OK; i++) {
        struct str delta;
        bool stopped;
        st = stream_push(&s, ids[i], &delta, &stopped);
        jw_str(w, delta);
    }
    jw_end_array(w);
    stream_fini(&s);
    return st;
}

static enum status write_text(struct tokenize_run *r, const int32_t *ids, size_t n, struct json_writer *w,
                              struct err *e)
{
    buf_clear(&r->text);
    tokenizer_decode(r->tokenizer, ids, n, !r->keep_special, &r->text);
    if (r->text.failed)
        return err_set(e, ST_LIMIT, "the text of %zu ids would be too long", n);
    jw_key(w, "text");
    jw_str(w, buf_str(&r->text));
    if (r->deltas && write_deltas(r, ids, n, w) != ST_OK)
        return err_set(e, ST_LIMIT, "no memory for the deltas of %zu ids", n);
    return ST_OK;
}

static enum status answer_ids(void *self, const struct json_val *line, size_t n_bytes, struct json_writer *w,
                              struct err *e)
{
    (void)n_bytes;
    if (!json_is(line, JSON_ARRAY))
        return err_set(e, ST_INVALID, "the line is not an array of ids but a %s", json_kind_name(line));
    size_t n = json_len(line);
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    if (!ids)
        return err_set(e, ST_NO_MEMORY, "no memory for %zu ids", n);
    enum status st = read_ids(line, ids, e);
    if (st == ST_OK)
        st = write_text(self, ids, n, w, e);
    free(ids);
    return st;
}

/* ---- set-up ---- */

/* An option of the other direction would change nothing: that is a mistake worth naming. */
static enum status check_direction(const struct options *o, struct err *e)
{
    bool decode = option_flag(o, OPT_DECODE);
    if (!decode && (option_flag(o, OPT_KEEP_SPECIAL) || option_flag(o, OPT_STREAM)))
        return err_set(e, ST_INVALID, "--keep-special and --stream need --decode");
    if (decode && (option_flag(o, OPT_NO_SPECIAL) || o->value[OPT_OFFSETS].source > OPTION_DEFAULT))
        return err_set(e, ST_INVALID, "--no-special and --offsets have no meaning with --decode");
    return ST_OK;
}

static enum status open_tokenizer(const struct options *o, struct tokenizer **out, struct err *e)
{
    char dir[MODEL_DIR_MAX];
    const char *path = option_text(o, OPT_TOKENIZER);
    if (!path) {
        enum status st = model_dir_find(o, true, dir, e);
        if (st != ST_OK)
            return st;
        path = dir;
    }
    return tokenizer_open_with(path, option_text(o, OPT_TOKENIZER_CONFIG_PATH), out, e);
}

int command_tokenize(const struct options *o)
{
    struct err e = {0};
    struct tokenize_run r = {.keep_special = option_flag(o, OPT_KEEP_SPECIAL),
                             .deltas = option_flag(o, OPT_STREAM)};
    struct json_lines lines = {.answer = option_flag(o, OPT_DECODE) ? answer_ids : answer_text,
                               .self = &r,
                               .max_line_bytes = LINE_MAX_BYTES,
                               .max_answer_bytes = ANSWER_MAX_BYTES};
    if (!option_flag(o, OPT_NO_SPECIAL))
        r.encode_flags |= TOKENIZER_ADD_SPECIAL;
    if (strcmp(option_text(o, OPT_OFFSETS), "chars") == 0)
        r.encode_flags |= TOKENIZER_CHAR_OFFSETS;
    if (check_direction(o, &e) != ST_OK) {
        log_error("%s", e.text);
        return EXIT_USAGE;
    }
    buf_init(&r.text, ANSWER_MAX_BYTES);
    enum status st = open_tokenizer(o, &r.tokenizer, &e);
    if (st == ST_OK)
        st = json_lines_run(&lines, &e);
    if (st != ST_OK)
        log_error("%s", e.text);
    tokenizer_free(r.tokenizer);
    buf_fini(&r.text);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
