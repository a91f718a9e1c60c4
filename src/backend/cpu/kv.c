/* The KV store: pages of 16 positions in one lazily touched mapping, keys laid out as panels.
 *
 * Inside a page the tokens are a panel's columns, so that scores need no horizontal sum and use the linear
 * tiles; values lie row by row, as the weighted sum reads them. Element type f32 in f32 compute, bf16 in bf16
 * compute. */
#include "backend/cpu/cpu_int.h"
#include "quant/convert.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static enum elem_type kv_type(const struct backend *b)
{
    return ((const struct cpu *)b)->compute == COMPUTE_BF16 ? ELEM_BF16 : ELEM_F32;
}

static size_t value_bytes(enum elem_type type, uint32_t d_head)
{
    return round_up(d_head, PANEL_COLS) * PANEL_COLS * (type == ELEM_BF16 ? 2 : 4);
}

uint64_t cpu_kv_page_bytes(const struct backend *b, const struct kv_desc *d)
{
    enum elem_type type = kv_type(b);
    return (uint64_t)d->n_layer * d->n_kv_head *
           (panel_bytes(type, d->d_head) + value_bytes(type, d->d_head));
}

enum status cpu_kv_new(struct backend *b, const struct kv_desc *d, struct kv **out, struct err *e)
{
    uint64_t page_bytes = cpu_kv_page_bytes(b, d);
    if (d->n_page == 0 || page_bytes == 0 || page_bytes > SIZE_MAX / 2 / d->n_page)
        return err_set(e, ST_LIMIT, "a KV store of %u pages of %llu bytes cannot be made", d->n_page,
                       (unsigned long long)page_bytes);
    struct kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        return err_set(e, ST_NO_MEMORY, "no memory for a KV store");
    enum elem_type type = kv_type(b);
    *kv = (struct kv){.desc = *d,
                      .type = type,
                      .d_value = (uint32_t)round_up(d->d_head, PANEL_COLS),
                      .key_bytes = panel_bytes(type, d->d_head),
                      .block_bytes = panel_bytes(type, d->d_head) + value_bytes(type, d->d_head),
                      .map_bytes = (size_t)page_bytes * d->n_page};
    /* Touched page by page as positions are written: reserving costs nothing. */
    kv->base =
        mmap(NULL, kv->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (kv->base == MAP_FAILED) {
        size_t bytes = kv->map_bytes;
        free(kv);
        return err_set(e, ST_NO_MEMORY, "no address space for a KV store of %zu bytes", bytes);
    }
    *out = kv;
    return ST_OK;
}

void cpu_kv_free(struct backend *b, struct kv *kv)
{
    (void)b;
    if (kv) {
        munmap(kv->base, kv->map_bytes);
        free(kv);
    }
}

void kv_write(const struct cpu *cpu, struct kv *kv, uint32_t layer, uint32_t page, uint32_t head,
              uint32_t slot, const float *k, const float *v)
{
    uint8_t *block = kv_block(kv, layer, page, head), *values = block + kv->key_bytes;
    uint32_t d = kv->desc.d_head;
    if (kv->type == ELEM_F32) {
        float *keys = (float *)block;
        for (uint32_t i = 0; i < d; i++)
            keys[(size_t)i * PANEL_COLS + slot] = k[i];
        memcpy((float *)values + (size_t)slot * kv->d_value, v, d * sizeof *v);
        return;
    }
    uint16_t *keys = (uint16_t *)block;
    for (uint32_t i = 0; i < d; i++)
        keys[((size_t)(i / 2) * PANEL_COLS + slot) * 2 + i % 2] = bf16_from_f32(k[i]);
    cpu->level->elementwise->bf16_from_f32((uint16_t *)values + (size_t)slot * kv->d_value, v, d);
}
