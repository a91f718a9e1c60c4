/* The KV store: pages of 16 positions in one lazily touched mapping, keys laid out as panels.
 *
 * Inside a page the tokens are a panel's columns, so that scores need no horizontal sum and use the linear
 * tiles; values lie row by row, as the weighted sum reads them. float32 and bf16 are multiplied as they lie,
 * all other types are made float32 a block at a time (attention.c). */
#include "backend/cpu/cpu_int.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK 64

static uint32_t padded(uint32_t d_head)
{
    return (uint32_t)round_up(d_head, PANEL_COLS);
}

static size_t value_bytes(enum elem_type type, uint32_t d_head)
{
    return (size_t)padded(d_head) * CPU_PAGE_TOKENS * elem_format_get(type)->elem_bytes;
}

static size_t block_bytes(enum elem_type type, uint32_t d_head)
{
    return panel_bytes(type, d_head) + value_bytes(type, d_head) +
           (kv_has_row_scales(type) ? sizeof(struct block_scales) : 0);
}

uint64_t cpu_kv_page_bytes(const struct backend *b, const struct kv_desc *d)
{
    return (uint64_t)d->n_layer * d->n_kv_head * block_bytes(b->caps.kv, d->d_head);
}

static enum status set_layer_scales(struct kv *kv, struct err *e)
{
    kv->layer_scales = calloc(kv->desc.n_layer, sizeof *kv->layer_scales);
    if (!kv->layer_scales)
        return err_set(e, ST_NO_MEMORY, "no memory for the scales of %u layers", kv->desc.n_layer);
    for (uint32_t l = 0; l < kv->desc.n_layer; l++) {
        struct kv_scale scale = kv_layer_scale(kv->type, &kv->desc, l);
        for (uint32_t t = 0; t < CPU_PAGE_TOKENS; t++) {
            kv->layer_scales[l].key[t] = scale.k;
            kv->layer_scales[l].value[t] = scale.v;
        }
    }
    kv->desc.scale = NULL; /* borrowed until here */
    return ST_OK;
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
    enum elem_type type = b->caps.kv;
    *kv = (struct kv){.desc = *d,
                      .type = type,
                      .d_value = padded(d->d_head),
                      .key_bytes = panel_bytes(type, d->d_head),
                      .value_bytes = value_bytes(type, d->d_head),
                      .block_bytes = block_bytes(type, d->d_head)};
    enum status st = set_layer_scales(kv, e);
    /* Touched page by page as positions are written: reserving costs nothing. */
    if (st == ST_OK) {
        size_t bytes = (size_t)page_bytes * d->n_page;
        kv->base =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (kv->base == MAP_FAILED)
            st = err_set(e, ST_NO_MEMORY, "no address space for a KV store of %zu bytes", bytes);
        else
            kv->map_bytes = bytes;
    }
    if (st != ST_OK) {
        cpu_kv_free(b, kv);
        return st;
    }
    *out = kv;
    return ST_OK;
}

void cpu_kv_free(struct backend *b, struct kv *kv)
{
    (void)b;
    if (!kv)
        return;
    if (kv->map_bytes)
        munmap(kv->base, kv->map_bytes);
    free(kv->layer_scales);
    free(kv);
}

static void encode(const struct cpu *cpu, enum elem_type type, void *codes, const float *x, uint32_t n,
                   float scale)
{
    if (type == ELEM_BF16)
        cpu->level->elementwise->bf16_from_f32(codes, x, n);
    else
        kv_row_encode(type, codes, x, n, scale);
}

/* Codes k .. k + n - 1 of a key into its column of the panel. */
static void spread_key(enum elem_type type, void *panel, uint32_t slot, uint32_t k, uint32_t n,
                       const void *codes)
{
    switch (elem_format_get(type)->elem_bytes) {
    case 1:
        for (uint32_t i = 0; i < n; i++)
            ((uint8_t *)panel)[panel_index(type, k + i, slot)] = ((const uint8_t *)codes)[i];
        break;
    case 2:
        for (uint32_t i = 0; i < n; i++)
            ((uint16_t *)panel)[panel_index(type, k + i, slot)] = ((const uint16_t *)codes)[i];
        break;
    default:
        for (uint32_t i = 0; i < n; i++)
            ((float *)panel)[panel_index(type, k + i, slot)] = ((const float *)codes)[i];
    }
}

void kv_write(const struct cpu *cpu, struct kv *kv, uint32_t layer, uint32_t page, uint32_t head,
              uint32_t slot, const float *k, const float *v)
{
    uint8_t *block = kv_block(kv, layer, page, head), *values = block + kv->key_bytes;
    struct block_scales *scales = kv_scales(kv, layer, block);
    uint32_t d = kv->desc.d_head;
    size_t value_at = (size_t)slot * kv->d_value * elem_format_get(kv->type)->elem_bytes;
    float codes[CHUNK]; /* of any type: none is larger */
    if (kv_has_row_scales(kv->type)) {
        scales->key[slot] = kv_row_scale(kv->type, k, d, 1);
        scales->value[slot] = kv_row_scale(kv->type, v, d, 1);
    }
    for (uint32_t at = 0; at < d; at += CHUNK) {
        uint32_t n = d - at < CHUNK ? d - at : CHUNK;
        encode(cpu, kv->type, codes, k + at, n, scales->key[slot]);
        spread_key(kv->type, block, slot, at, n, codes);
    }
    encode(cpu, kv->type, values + value_at, v, d, scales->value[slot]);
}
