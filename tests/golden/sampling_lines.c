/* The sampler as a program: lines of JSON in and out, for tests/golden/test_sampling.py.
 *
 * In: "bits" (each logit as the uint32 of its float), and what may be absent: "ids", "n_prompt", "position",
 * "choice", "allowed" (ids), "bias" (pairs of id and bias), "do_sample", "watermark", "watermark_gamma",
 * "watermark_delta", "seed", "top_n", the names of params.def, and "draws". Out: "id", "logprob", "top"
 * (pairs of id and logprob), "draws" (the ids at that many positions from "position" on); or "error". */
#include "app/json_lines.h"
#include "sample/sample.h"
#include <stdlib.h>
#include <string.h>

#define MAX_VOCAB 200000u

struct case_line {
    const struct json_val *line;
    struct sampler *sampler;
    struct sample_params params;
    struct sample_context context;
    float logits[MAX_VOCAB];
    int32_t ids[MAX_VOCAB];
    uint64_t allowed[MAX_VOCAB / 64 + 1];
    struct sample_bias bias[MAX_VOCAB];
    uint32_t n_vocab, n_ids, n_bias;
};

static double number(const struct case_line *c, const char *name, double absent)
{
    double x = absent;
    json_f64(json_get(c->line, str_from(name)), &x);
    return x;
}

static uint64_t integer(const struct json_val *v)
{
    uint64_t x = 0;
    json_u64(v, &x);
    return x;
}

static bool flag(const struct case_line *c, const char *name)
{
    bool x = false;
    json_bool(json_get(c->line, str_from(name)), &x);
    return x;
}

static struct json_iter items(const struct case_line *c, const char *name)
{
    return json_iter(json_get(c->line, str_from(name)));
}

static void read_params(struct case_line *c)
{
    struct sample_params *p = &c->params;
    *p = sample_params_default();
#define PARAM(type, name, ...) p->name = (SAMPLE_TYPE_##type)number(c, #name, p->name);
#include "sample/params.def"
#undef PARAM
    p->do_sample = flag(c, "do_sample");
    p->watermark = flag(c, "watermark");
    p->watermark_gamma = number(c, "watermark_gamma", p->watermark_gamma);
    p->watermark_delta = (float)number(c, "watermark_delta", p->watermark_delta);
    p->seed = integer(json_get(c->line, STR("seed")));
    p->top_n = (uint32_t)number(c, "top_n", 0);
    p->bias = c->bias;
    p->n_bias = c->n_bias;
}

static void read_arrays(struct case_line *c)
{
    const struct json_val *v;
    c->n_vocab = c->n_ids = c->n_bias = 0;
    for (struct json_iter it = items(c, "bits"); c->n_vocab < MAX_VOCAB && (v = json_next(&it, NULL));) {
        uint32_t bits = (uint32_t)integer(v);
        memcpy(&c->logits[c->n_vocab++], &bits, sizeof bits);
    }
    for (struct json_iter it = items(c, "ids"); c->n_ids < MAX_VOCAB && (v = json_next(&it, NULL));)
        c->ids[c->n_ids++] = (int32_t)integer(v);
    memset(c->allowed, 0, sizeof c->allowed);
    for (struct json_iter it = items(c, "allowed"); (v = json_next(&it, NULL));)
        c->allowed[integer(v) % MAX_VOCAB / 64] |= 1ull << integer(v) % 64;
    for (struct json_iter it = items(c, "bias"); c->n_bias < MAX_VOCAB && (v = json_next(&it, NULL));) {
        double x = 0;
        json_f64(json_at(v, 1), &x);
        c->bias[c->n_bias++] = (struct sample_bias){(int32_t)integer(json_at(v, 0)), (float)x};
    }
    c->context = (struct sample_context){.ids = c->ids,
                                         .n_prompt = (uint32_t)number(c, "n_prompt", c->n_ids),
                                         .n_ids = c->n_ids,
                                         .allowed = json_get(c->line, STR("allowed")) ? c->allowed : NULL};
}

static enum status write_pick(struct case_line *c, struct json_writer *w, struct err *e)
{
    uint32_t choice = (uint32_t)number(c, "choice", 0), position = (uint32_t)number(c, "position", 0);
    struct sampled got;
    enum status st = sampler_pick(c->sampler, c->logits, &c->params, &c->context, choice, position, &got);
    if (st != ST_OK)
        return err_set(e, st, "%s", status_name(st));
    jw_key(w, "id");
    jw_i64(w, got.id);
    jw_key(w, "logprob");
    jw_f32(w, got.logprob);
    jw_key(w, "top");
    jw_array(w);
    for (uint32_t i = 0; i < got.n_top; i++) {
        jw_array(w);
        jw_i64(w, got.top[i].id);
        jw_f32(w, got.top[i].logprob);
        jw_end_array(w);
    }
    jw_end_array(w);
    jw_key(w, "draws");
    jw_array(w);
    c->params.top_n = 0;
    for (uint32_t i = 0; i < (uint32_t)number(c, "draws", 0) && st == ST_OK; i++) {
        st = sampler_pick(c->sampler, c->logits, &c->params, &c->context, choice, position + i, &got);
        jw_i64(w, got.id);
    }
    jw_end_array(w);
    return st;
}

static enum status answer(void *self, const struct json_val *line, size_t n_bytes, struct json_writer *w,
                          struct err *e)
{
    (void)n_bytes;
    struct case_line *c = self;
    c->line = line;
    read_arrays(c);
    read_params(c);
    if (c->n_vocab == 0)
        return err_set(e, ST_INVALID, "no logits");
    enum status st = sample_params_check(&c->params, 0, e);
    if (st == ST_OK)
        st = sampler_new(c->n_vocab, &c->sampler, e);
    if (st != ST_OK)
        return st;
    st = write_pick(c, w, e);
    sampler_free(c->sampler);
    return st;
}

int main(void)
{
    struct err e;
    struct case_line *c = malloc(sizeof *c);
    const struct json_lines lines = {
        .answer = answer, .self = c, .max_line_bytes = 64u << 20, .max_answer_bytes = 64u << 20};
    enum status st = c ? json_lines_run(&lines, &e) : ST_NO_MEMORY;
    free(c);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
