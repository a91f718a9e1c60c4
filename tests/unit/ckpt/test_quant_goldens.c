/* Dequantised weights equal those of the reference libraries, to the last bit, for every quantised checkpoint
 * and for the plain one quantised while loading. */
#include "ckpt/ckpt.h"
#include "ckpt/safetensors_int.h"
#include "testdata.h"
#include <string.h>

#define NAME_BYTES 512

struct golden {
    char *bytes;
    struct arena arena;
    struct safetensors_list tensors;
};

static struct golden golden_open(const char *name)
{
    struct golden g = {0};
    char path[NAME_BYTES];
    size_t n;
    struct err e;
    snprintf(path, sizeof path, "goldens/quant/%s.safetensors", name);
    g.bytes = testdata_read(path, &n);
    arena_init(&g.arena, 1 << 24);
    if (safetensors_parse(g.bytes, n, "golden", &g.arena, &g.tensors, &e) != ST_OK)
        fail_msg("%s: %s", name, e.text);
    return g;
}

static void golden_close(struct golden *g)
{
    arena_fini(&g->arena);
    free(g->bytes);
}

static void check_tensor(const struct ckpt *c, const struct quant_config *config,
                         const struct ckpt_tensor *want)
{
    const struct quant_source source = ckpt_quant_source(c);
    struct quant_matrix *m;
    struct err e;
    char prefix[NAME_BYTES];
    uint32_t n_row = (uint32_t)want->dim[0], n_col = (uint32_t)want->dim[1];
    snprintf(prefix, sizeof prefix, "%.*s", (int)(want->name.n - strlen("deq.") - strlen(".weight")),
             want->name.p + strlen("deq."));
    if (quant_matrix_open(config, &source, prefix, n_row, n_col, &m, &e) != ST_OK)
        fail_msg("%s: %s", prefix, e.text);
    assert_non_null(m);
    void *memory = malloc(quant_rows_bytes(m, n_row));
    struct quant_rows rows = quant_rows_place(m, n_row, memory);
    float *y = malloc(want->n_bytes);
    quant_matrix_rows(m, 0, n_row, &rows);
    quant_rows_decode(m, &rows, n_row, y);
    for (size_t i = 0; i < (size_t)n_row * n_col; i++)
        if (y[i] != ((const float *)want->data)[i])
            fail_msg("%s: number %zu is %.9g, not %.9g", prefix, i, (double)y[i],
                     (double)((const float *)want->data)[i]);
    free(y);
    free(memory);
    quant_matrix_close(m);
}

/* `method` QUANT_NONE: as the checkpoint says. */
static void check_golden(const char *checkpoint, const char *golden, enum quant_method method)
{
    char dir[NAME_BYTES];
    struct ckpt *c;
    struct err e;
    unsigned n = 0;
    snprintf(dir, sizeof dir, "%s/checkpoints/%s", testdata_dir(), checkpoint);
    if (ckpt_open(dir, &c, &e) != ST_OK)
        fail_msg("%s", e.text);
    struct quant_config config = ckpt_config(c)->quant;
    if (method != QUANT_NONE)
        config = (struct quant_config){.method = method, .on_the_fly = true};
    struct golden g = golden_open(golden);
    for (size_t i = 0; i < g.tensors.n; i++)
        if (str_has_prefix(g.tensors.entry[i].t.name, STR("deq."))) {
            check_tensor(c, &config, &g.tensors.entry[i].t);
            n++;
        }
    assert_int_equal(n, 7);
    golden_close(&g);
    ckpt_close(c);
}

static void test_stored(void **state)
{
    (void)state;
    static const char *const names[] = {
        "llama-gptq-sym",   "llama-gptq-asym",  "llama-gptq-actorder",     "llama-gptq-nogroup",
        "llama-gptq-8bit",  "llama-awq",        "llama-awq-g128-legacy",   "llama-fp8-ct",
        "llama-fp8-fbgemm", "llama-fp8-static", "llama-bnb-nf4-serialized"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_golden(names[i], names[i], QUANT_NONE);
}

static void test_made_while_loading(void **state)
{
    (void)state;
    check_golden("llama-q-base", "llama-q-base.bnb-nf4", QUANT_BITSANDBYTES_NF4);
    check_golden("llama-q-base", "llama-q-base.bnb-fp4", QUANT_BITSANDBYTES_FP4);
    check_golden("llama-q-base", "llama-q-base.bnb-int8", QUANT_BITSANDBYTES);
    check_golden("llama-q-base", "llama-q-base.eetq-int8", QUANT_EETQ);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_made_while_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
