/* A checkpoint of random weights in the Hugging Face layout, so that the bench runs the code that real models
 * run.
 *
 * Numbers are uniform with the variance that keeps activations near one; the text such a model writes is
 * noise. */
#include "base/rng.h"
#include "bench.h"
#include "quant/convert.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shape {
    const char *name;
    unsigned d_model, n_layer, n_head, n_kv_head, d_ff, n_vocab;
    bool tied;
};

static const struct shape shapes[] = {
    {"S", 576, 30, 9, 3, 1536, 32000, true},
    {"M", 2048, 22, 32, 4, 5632, 32000, false},
    {"E16", 16, 1, 1, 1, 16, 16, true},
    {"E32000", 16, 1, 1, 1, 16, 32000, true},
};

#define HEADER_MAX  (256 << 10)
#define BLOCK       (1 << 16) /* numbers made at a time, then repeated with another offset */
#define BLOCK_SHIFT 977

struct writer {
    char *header;
    size_t header_n;
    uint64_t offset;
    FILE *f;         /* NULL while the header is made */
    uint16_t *noise; /* [2 * BLOCK] of unit variance */
    struct err *e;
    enum status status;
};

static void header_add(struct writer *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void header_add(struct writer *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(w->header + w->header_n, HEADER_MAX - w->header_n, fmt, args);
    va_end(args);
    BUG_ON(n < 0 || w->header_n + (size_t)n >= HEADER_MAX);
    w->header_n += (size_t)n;
}

static void write_numbers(struct writer *w, size_t n, float mean, float spread)
{
    uint16_t *block = malloc(2 * BLOCK * sizeof *block);
    for (size_t i = 0; block && i < 2 * BLOCK; i++)
        block[i] = bf16_from_f32(mean + spread * f32_from_bf16(w->noise[i]));
    for (size_t i = 0, b = 0; i < n && w->status == ST_OK; i += BLOCK, b++) {
        size_t count = n - i < BLOCK ? n - i : BLOCK;
        if (!block || fwrite(block + b * BLOCK_SHIFT % BLOCK, sizeof *block, count, w->f) != count)
            w->status = err_set(w->e, ST_IO, "cannot write the synthetic weights: %s", strerror(errno));
    }
    free(block);
}

/* Called once for the header and once for the data. */
static void tensor(struct writer *w, unsigned n_row, unsigned n_col, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void tensor(struct writer *w, unsigned n_row, unsigned n_col, const char *fmt, ...)
{
    char name[128], dims[32];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    size_t n = (size_t)(n_row ? n_row : 1) * n_col;
    if (w->f) {
        write_numbers(w, n, n_row ? 0 : 1, n_row ? 1 / sqrtf((float)n_col) : 0.05f);
        return;
    }
    if (n_row)
        snprintf(dims, sizeof dims, "%u,%u", n_row, n_col);
    else
        snprintf(dims, sizeof dims, "%u", n_col);
    header_add(w, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%s],\"data_offsets\":[%llu,%llu]}",
               w->header_n > 1 ? "," : "", name, dims, (unsigned long long)w->offset,
               (unsigned long long)(w->offset + 2 * n));
    w->offset += 2 * n;
}

static void tensors(struct writer *w, const struct shape *s)
{
    unsigned d_kv = s->d_model / s->n_head * s->n_kv_head;
    tensor(w, s->n_vocab, s->d_model, "model.embed_tokens.weight");
    for (unsigned i = 0; i < s->n_layer; i++) {
        tensor(w, 0, s->d_model, "model.layers.%u.input_layernorm.weight", i);
        tensor(w, s->d_model, s->d_model, "model.layers.%u.self_attn.q_proj.weight", i);
        tensor(w, d_kv, s->d_model, "model.layers.%u.self_attn.k_proj.weight", i);
        tensor(w, d_kv, s->d_model, "model.layers.%u.self_attn.v_proj.weight", i);
        tensor(w, s->d_model, s->d_model, "model.layers.%u.self_attn.o_proj.weight", i);
        tensor(w, 0, s->d_model, "model.layers.%u.post_attention_layernorm.weight", i);
        tensor(w, s->d_ff, s->d_model, "model.layers.%u.mlp.gate_proj.weight", i);
        tensor(w, s->d_ff, s->d_model, "model.layers.%u.mlp.up_proj.weight", i);
        tensor(w, s->d_model, s->d_ff, "model.layers.%u.mlp.down_proj.weight", i);
    }
    tensor(w, 0, s->d_model, "model.norm.weight");
    if (!s->tied)
        tensor(w, s->n_vocab, s->d_model, "lm_head.weight");
}

static enum status write_config(const struct shape *s, const char *dir, struct err *e)
{
    char path[512];
    snprintf(path, sizeof path, "%s/config.json", dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return err_set(e, ST_IO, "cannot write %s: %s", path, strerror(errno));
    fprintf(
        f,
        "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":%u,"
        "\"num_hidden_layers\":%u,\"num_attention_heads\":%u,\"num_key_value_heads\":%u,"
        "\"intermediate_size\":%u,\"vocab_size\":%u,\"max_position_embeddings\":8192,\"rms_norm_eps\":1e-5,"
        "\"rope_theta\":10000.0,\"hidden_act\":\"silu\",\"tie_word_embeddings\":%s,\"torch_dtype\":"
        "\"bfloat16\","
        "\"bos_token_id\":1,\"eos_token_id\":2}\n",
        s->d_model, s->n_layer, s->n_head, s->n_kv_head, s->d_ff, s->n_vocab, s->tied ? "true" : "false");
    if (fclose(f) != 0)
        return err_set(e, ST_IO, "cannot write %s: %s", path, strerror(errno));
    return ST_OK;
}

static const struct shape *find_shape(const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

static void make_noise(uint16_t *noise)
{
    for (size_t i = 0; i < 2 * BLOCK; i++)
        noise[i] = bf16_from_f32((float)((rng_unit(1, 0, i) - 0.5) * sqrt(12)));
}

enum status synthetic_write(const char *shape, const char *dir, struct err *e)
{
    const struct shape *s = find_shape(shape);
    char path[512];
    if (!s)
        return err_set(e, ST_INVALID, "unknown shape `%s`; there are: S, M", shape);
    struct writer w = {.header = malloc(HEADER_MAX), .noise = malloc(2 * BLOCK * sizeof *w.noise), .e = e};
    FILE *f = NULL;
    enum status st = w.header && w.noise ? write_config(s, dir, e) : err_set(e, ST_NO_MEMORY, "no memory");
    if (st != ST_OK)
        goto done;
    make_noise(w.noise);
    header_add(&w, "{");
    tensors(&w, s);
    header_add(&w, "}");
    while (w.header_n % 8)
        header_add(&w, " ");
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    f = fopen(path, "w");
    uint64_t header_bytes = w.header_n;
    if (!f || fwrite(&header_bytes, sizeof header_bytes, 1, f) != 1 ||
        fwrite(w.header, w.header_n, 1, f) != 1) {
        st = err_set(e, ST_IO, "cannot write %s: %s", path, strerror(errno));
        goto done;
    }
    w.f = f;
    tensors(&w, s);
    st = w.status;
done:
    if (f && fclose(f) != 0 && st == ST_OK)
        st = err_set(e, ST_IO, "cannot write %s: %s", path, strerror(errno));
    free(w.header);
    free(w.noise);
    return st;
}

enum status synthetic_dir(char *dir, size_t n, struct err *e)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, n, "%s/prompteur-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    return mkdtemp(dir) ? ST_OK : err_set(e, ST_IO, "cannot make a folder like %s", dir);
}

void synthetic_remove(const char *dir)
{
    static const char *const names[] = {"config.json", "model.safetensors"};
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}
