/* prompteur logits: numbers a person can check. JSON lines of prompts in, logprobs and greedy tokens out.
 *
 * One sequence at a time through the same model code as the server: the prompt in chunks of CHUNK_ROWS tokens
 * with logits for every row, then one token a step. EOS does not stop it. */
#define LOG_MODULE "logits"
#include "app/commands.h"
#include "app/load.h"
#include "app/logits_file.h"
#include "base/log.h"
#include "sample/sample.h"
#include "text/tokenizer.h"
#include "json/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_ROWS     64
#define LINE_MAX_BYTES (64u << 20)
#define NAME_MAX_BYTES 32

struct logits_run {
    struct loaded_model lm;
    struct tokenizer *tokenizer; /* opened when the first text prompt comes */
    const char *dir, *tokenizer_config;
    struct logits_file *save; /* NULL: not asked for */
    uint32_t n_new, max_tokens, n_vocab, page_tokens;
    uint32_t *page; /* 0, 1, 2, ...: the only sequence owns all pages */
};

/* What is computed for one prompt. */
struct answer {
    int32_t *ids; /* prompt, then greedy tokens */
    uint32_t n_prompt;
    float *prefill_logprob; /* [n_prompt], [0] unused */
    float *greedy_logprob;  /* [n_new] */
};

/* ---- one step ---- */

static enum status step(struct logits_run *r, const int32_t *ids, uint32_t first, uint32_t n,
                        const float **logits, struct err *e)
{
    uint32_t pos[CHUNK_ROWS], out_row[CHUNK_ROWS];
    for (uint32_t i = 0; i < n; i++) {
        pos[i] = first + i;
        out_row[i] = i;
    }
    struct batch b = {.n_tok = n,
                      .n_seq = 1,
                      .n_out = n,
                      .id = ids + first,
                      .pos = pos,
                      .row_begin = (uint32_t[]){0, n},
                      .page_begin = (uint32_t[]){0, (first + n + r->page_tokens - 1) / r->page_tokens},
                      .page = r->page,
                      .out_row = out_row};
    return model_step(r->lm.model, &b, logits, e);
}

static int32_t argmax(const float *row, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (row[i] > row[best])
            best = i;
    return (int32_t)best;
}

/* The greedy token after `row`, stored as token number `at` of the sequence. */
static void take_greedy(const struct logits_run *r, struct answer *a, uint32_t at, const float *row)
{
    uint32_t k = at - a->n_prompt;
    if (k >= r->n_new)
        return;
    a->ids[at] = argmax(row, r->n_vocab);
    a->greedy_logprob[k] = sample_logprob(row, r->n_vocab, a->ids[at]);
}

static enum status compute(struct logits_run *r, struct answer *a, struct err *e)
{
    const float *logits;
    enum status st = ST_OK;
    for (uint32_t at = 0; at < a->n_prompt && st == ST_OK; at += CHUNK_ROWS) {
        uint32_t n = a->n_prompt - at < CHUNK_ROWS ? a->n_prompt - at : CHUNK_ROWS;
        st = step(r, a->ids, at, n, &logits, e);
        if (st != ST_OK)
            break;
        for (uint32_t i = 0; i < n; i++) {
            const float *row = logits + (size_t)i * r->n_vocab;
            if (at + i + 1 < a->n_prompt)
                a->prefill_logprob[at + i + 1] = sample_logprob(row, r->n_vocab, a->ids[at + i + 1]);
            else
                take_greedy(r, a, a->n_prompt, row);
        }
        if (r->save)
            st = logits_file_rows(r->save, logits, n, e);
    }
    for (uint32_t k = 1; k < r->n_new && st == ST_OK; k++) {
        uint32_t at = a->n_prompt + k;
        st = step(r, a->ids, at - 1, 1, &logits, e);
        if (st == ST_OK)
            take_greedy(r, a, at, logits);
    }
    return st;
}

/* ---- input ---- */

static enum status read_ids(const struct logits_run *r, const struct json_val *list, struct answer *a,
                            struct err *e)
{
    struct json_iter it = json_iter(list);
    const struct json_val *v;
    while ((v = json_next(&it, NULL))) {
        uint64_t id;
        if (!json_u64(v, &id) || id >= r->n_vocab)
            return err_set(e, ST_INVALID, "`ids` holds something that is no token id below %u", r->n_vocab);
        a->ids[a->n_prompt++] = (int32_t)id;
    }
    return ST_OK;
}

static enum status read_text(struct logits_run *r, struct str text, struct tokens *out, struct err *e)
{
    if (!r->tokenizer) {
        enum status st = tokenizer_open_with(r->dir, r->tokenizer_config, &r->tokenizer, e);
        if (st != ST_OK)
            return st;
    }
    return tokenizer_encode(r->tokenizer, text, TOKENIZER_ADD_SPECIAL, out, e);
}

static void answer_fini(struct answer *a)
{
    free(a->ids);
    free(a->prefill_logprob);
    free(a->greedy_logprob);
}

static enum status answer_init(const struct logits_run *r, size_t n_prompt, struct answer *a, struct err *e)
{
    *a = (struct answer){0};
    if (n_prompt == 0)
        return err_set(e, ST_INVALID, "the prompt is empty");
    if (n_prompt + r->n_new > r->max_tokens)
        return err_set(e, ST_LIMIT,
                       "%zu prompt tokens and %u new ones are more than the model's %u positions", n_prompt,
                       r->n_new, r->max_tokens);
    a->ids = malloc((n_prompt + r->n_new) * sizeof *a->ids);
    a->prefill_logprob = malloc(n_prompt * sizeof *a->prefill_logprob);
    a->greedy_logprob = malloc((r->n_new + 1) * sizeof *a->greedy_logprob);
    if (!a->ids || !a->prefill_logprob || !a->greedy_logprob) {
        answer_fini(a);
        return err_set(e, ST_NO_MEMORY, "no memory for %zu tokens", n_prompt + r->n_new);
    }
    return ST_OK;
}

static enum status read_prompt(struct logits_run *r, struct str line, struct answer *a, struct err *e)
{
    struct json_doc *doc = NULL;
    struct tokens tokens = {0};
    struct str text;
    *a = (struct answer){0};
    enum status st = json_parse(line, 0, &doc, e);
    if (st != ST_OK)
        return st;
    const struct json_val *ids = json_get(json_root(doc), STR("ids"));
    if (json_is(ids, JSON_ARRAY)) {
        st = answer_init(r, json_len(ids), a, e);
        if (st == ST_OK)
            st = read_ids(r, ids, a, e);
    } else if (json_str(json_get(json_root(doc), STR("text")), &text)) {
        st = read_text(r, text, &tokens, e);
        if (st == ST_OK)
            st = answer_init(r, tokens.n, a, e);
        for (size_t i = 0; st == ST_OK && i < tokens.n; i++)
            a->ids[a->n_prompt++] = tokens.ids[i];
    } else {
        st = err_set(e, ST_INVALID, "neither {\"ids\": [...]} nor {\"text\": \"...\"}");
    }
    tokens_fini(&tokens);
    json_free(doc);
    return st;
}

/* ---- output ---- */

static void write_ids(struct json_writer *w, const char *key, const int32_t *ids, uint32_t n)
{
    jw_key(w, key);
    jw_array(w);
    for (uint32_t i = 0; i < n; i++)
        jw_i64(w, ids[i]);
    jw_end_array(w);
}

static enum status write_answer(const struct logits_run *r, const struct answer *a, struct buf *out,
                                struct err *e)
{
    struct json_writer w;
    buf_clear(out);
    jw_init(&w, out);
    jw_object(&w);
    write_ids(&w, "ids", a->ids, a->n_prompt);
    jw_key(&w, "prefill_logprobs");
    jw_array(&w);
    jw_null(&w);
    for (uint32_t i = 1; i < a->n_prompt; i++)
        jw_f32(&w, a->prefill_logprob[i]);
    jw_end_array(&w);
    write_ids(&w, "greedy_ids", a->ids + a->n_prompt, r->n_new);
    jw_key(&w, "greedy_logprobs");
    jw_array(&w);
    for (uint32_t i = 0; i < r->n_new; i++)
        jw_f32(&w, a->greedy_logprob[i]);
    jw_end_array(&w);
    jw_end_object(&w);
    buf_put_char(out, '\n');
    if (out->failed)
        return err_set(e, ST_NO_MEMORY, "no memory for the answer's text");
    if (fwrite(out->p, 1, out->n, stdout) != out->n || fflush(stdout))
        return err_set(e, ST_IO, "cannot write to standard output: %m");
    return ST_OK;
}

static enum status run_line(struct logits_run *r, struct str line, unsigned number, struct buf *out,
                            struct err *e)
{
    struct answer a;
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "logits_%u", number);
    enum status st = read_prompt(r, line, &a, e);
    if (st == ST_OK && r->save)
        st = logits_file_begin(r->save, name, a.n_prompt, r->n_vocab, e);
    if (st == ST_OK)
        st = compute(r, &a, e);
    if (st == ST_OK)
        st = write_answer(r, &a, out, e);
    answer_fini(&a);
    return st;
}

static enum status run_lines(struct logits_run *r, struct err *e)
{
    struct buf out;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    unsigned number = 0, n_prompt = 0;
    enum status st = ST_OK;
    buf_init(&out, 1u << 30);
    while (st == ST_OK && (n = getline(&line, &cap, stdin)) > 0) {
        struct str s = str_trim((struct str){line, (size_t)n});
        number++;
        if (s.n == 0)
            continue;
        if (s.n > LINE_MAX_BYTES)
            st = err_set(e, ST_LIMIT, "longer than %u bytes", LINE_MAX_BYTES);
        else
            st = run_line(r, s, n_prompt++, &out, e);
        if (st != ST_OK)
            err_prefix(e, "standard input, line %u", number);
    }
    free(line);
    buf_fini(&out);
    return st;
}

/* ---- set-up ---- */

static enum status reserve(struct logits_run *r, const struct options *o, struct err *e)
{
    const struct model_config *cfg = model_config(r->lm.model);
    const struct backend_caps *caps = &model_backend(r->lm.model)->caps;
    r->n_new = (uint32_t)option_u64(o, OPT_MAX_NEW_TOKENS, 32);
    r->n_vocab = cfg->n_vocab;
    r->max_tokens = cfg->max_position;
    r->page_tokens = caps->page_tokens;
    uint32_t n_page = (r->max_tokens + r->page_tokens - 1) / r->page_tokens;
    r->page = malloc(n_page * sizeof *r->page);
    if (!r->page)
        return err_set(e, ST_NO_MEMORY, "no memory for %u pages", n_page);
    for (uint32_t i = 0; i < n_page; i++)
        r->page[i] = i;
    const atomic_bool never = false;
    enum status st = model_reserve(r->lm.model, n_page, CHUNK_ROWS, CHUNK_ROWS, e);
    if (st == ST_OK && model_quant(r->lm.model)->on_the_fly)
        st = model_settle(r->lm.model, &never, NULL, NULL, e);
    return st;
}

int command_logits(const struct options *o)
{
    struct logits_run r = {.tokenizer_config = option_text(o, OPT_TOKENIZER_CONFIG_PATH)};
    struct err e = {0};
    char dir[MODEL_DIR_MAX];
    enum status st = model_dir_find(o, false, dir, &e);
    if (st == ST_OK)
        st = loaded_model_open(o, dir, &r.lm, &e);
    if (st == ST_OK)
        st = reserve(&r, o, &e);
    if (st == ST_OK && option_text(o, OPT_SAVE))
        st = logits_file_create(option_text(o, OPT_SAVE), &r.save, &e);
    r.dir = dir;
    if (st == ST_OK)
        st = run_lines(&r, &e);
    if (r.save) {
        if (st == ST_OK)
            st = logits_file_finish(r.save, &e);
        logits_file_free(r.save);
    }
    if (st != ST_OK)
        log_error("%s", e.text);
    tokenizer_free(r.tokenizer);
    free(r.page);
    loaded_model_close(&r.lm);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
