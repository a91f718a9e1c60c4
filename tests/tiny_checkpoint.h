/* A tiny checkpoint in a temporary folder, for tests: random weights, every tensor under the test's control.
 */
#ifndef TESTS_TINY_CHECKPOINT_H
#define TESTS_TINY_CHECKPOINT_H

#include "base/rng.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tiny_shape {
    const char *model_type;
    unsigned n_layer, n_head, n_kv_head, d_head, d_model, d_ff, n_vocab, window;
    bool tie;
    /* Damage: this tensor is left out, or one row short. NULL: none. */
    const char *leave_out, *cut_short;
};

static const struct tiny_shape tiny_default = {.model_type = "llama",
                                               .n_layer = 2,
                                               .n_head = 4,
                                               .n_kv_head = 2,
                                               .d_head = 16,
                                               .d_model = 48,
                                               .d_ff = 80,
                                               .n_vocab = 96};

struct tiny_file {
    FILE *header, *data;
    char *header_text, *data_bytes;
    size_t header_len, data_len;
    unsigned n_tensor;
    const struct tiny_shape *shape;
};

static inline void tiny_tensor(struct tiny_file *f, const char *name, unsigned n_row, unsigned n_col)
{
    if (f->shape->leave_out && strcmp(name, f->shape->leave_out) == 0)
        return;
    bool vector = n_row == 0;
    unsigned rows = vector ? 1 : n_row;
    if (f->shape->cut_short && strcmp(name, f->shape->cut_short) == 0)
        rows--;
    fflush(f->data);
    size_t begin = f->data_len, end = begin + (size_t)rows * n_col * sizeof(float);
    fprintf(f->header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", f->n_tensor ? "," : "", name);
    if (!vector)
        fprintf(f->header, "%u,", rows);
    fprintf(f->header, "%u],\"data_offsets\":[%zu,%zu]}", n_col, begin, end);
    for (size_t i = 0; i < (size_t)rows * n_col; i++) {
        float x = (float)(rng_unit(7, f->n_tensor, i) - 0.5) / (vector ? 4 : 2) + (vector ? 1 : 0);
        fwrite(&x, sizeof x, 1, f->data);
    }
    fflush(f->data);
    f->n_tensor++;
}

static inline void tiny_layer(struct tiny_file *f, unsigned i)
{
    const struct tiny_shape *s = f->shape;
    static const char *const parts[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                        "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                        "mlp.down_proj"};
    unsigned q = s->n_head * s->d_head, kv = s->n_kv_head * s->d_head;
    unsigned dims[7][2] = {{q, s->d_model},      {kv, s->d_model},      {kv, s->d_model},
                           {s->d_model, q},      {s->d_ff, s->d_model}, {s->d_ff, s->d_model},
                           {s->d_model, s->d_ff}};
    char name[128];
    for (unsigned k = 0; k < 7; k++) {
        snprintf(name, sizeof name, "model.layers.%u.%s.weight", i, parts[k]);
        tiny_tensor(f, name, dims[k][0], dims[k][1]);
    }
    snprintf(name, sizeof name, "model.layers.%u.input_layernorm.weight", i);
    tiny_tensor(f, name, 0, s->d_model);
    snprintf(name, sizeof name, "model.layers.%u.post_attention_layernorm.weight", i);
    tiny_tensor(f, name, 0, s->d_model);
}

static inline void tiny_write_config(const char *dir, const struct tiny_shape *s)
{
    char path[256];
    snprintf(path, sizeof path, "%s/config.json", dir);
    FILE *f = fopen(path, "w");
    fprintf(f,
            "{\"model_type\":\"%s\",\"vocab_size\":%u,\"hidden_size\":%u,\"intermediate_size\":%u,"
            "\"num_hidden_layers\":%u,\"num_attention_heads\":%u,\"num_key_value_heads\":%u,\"head_dim\":%u,"
            "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-5,\"hidden_act\":\"silu\","
            "\"tie_word_embeddings\":%s,\"rope_theta\":10000.0,\"bos_token_id\":1,\"eos_token_id\":2,"
            "\"sliding_window\":",
            s->model_type, s->n_vocab, s->d_model, s->d_ff, s->n_layer, s->n_head, s->n_kv_head, s->d_head,
            s->tie ? "true" : "false");
    if (s->window)
        fprintf(f, "%u}", s->window);
    else
        fprintf(f, "null}");
    fclose(f);
}

/* Fills `dir` (at least 64 bytes) with the folder's name. */
static inline void tiny_checkpoint(char *dir, const struct tiny_shape *s)
{
    struct tiny_file f = {.shape = s};
    char path[256];
    strcpy(dir, "/tmp/prompteur-test-XXXXXX");
    if (!mkdtemp(dir))
        abort();
    tiny_write_config(dir, s);
    f.header = open_memstream(&f.header_text, &f.header_len);
    f.data = open_memstream(&f.data_bytes, &f.data_len);
    fputc('{', f.header);
    tiny_tensor(&f, "model.embed_tokens.weight", s->n_vocab, s->d_model);
    for (unsigned i = 0; i < s->n_layer; i++)
        tiny_layer(&f, i);
    tiny_tensor(&f, "model.norm.weight", 0, s->d_model);
    if (!s->tie)
        tiny_tensor(&f, "lm_head.weight", s->n_vocab, s->d_model);
    fputc('}', f.header);
    fflush(f.header);
    while (f.header_len % 8) {
        fputc(' ', f.header);
        fflush(f.header);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    FILE *out = fopen(path, "wb");
    uint64_t n = f.header_len;
    fwrite(&n, sizeof n, 1, out);
    fwrite(f.header_text, 1, f.header_len, out);
    fwrite(f.data_bytes, 1, f.data_len, out);
    fclose(out);
    fclose(f.header);
    fclose(f.data);
    free(f.header_text);
    free(f.data_bytes);
}

static inline void tiny_remove(const char *dir)
{
    static const char *const names[] = {"config.json", "model.safetensors"};
    char path[256];
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

#endif
