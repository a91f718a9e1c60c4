/* Weights: borrowed row-major tensors, or quantised matrices, that become panels.
 *
 * A new weight is usable at once: whoever multiplies by it packs the panels it needs into its own scratch.
 * Settling packs the whole weight once with the same code and publishes the result with one atomic store; a
 * reader sees either form, and both give the same bytes. The source is released only after that store. A
 * weight that is an embedding too has its rows read back out of the panels, so that there is one copy. */
#include "backend/cpu/cpu_int.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

static enum status vector_new(const struct weight_desc *d, struct weight *w, struct err *e)
{
    size_t n = (size_t)d->n_row * d->n_col;
    w->vector = aligned_alloc(64, round_up(n * sizeof(float) + 1, 64));
    if (!w->vector)
        return err_set(e, ST_NO_MEMORY, "weight %s: no memory for %zu numbers", d->name, n);
    elem_format_get(d->type)->decode(w->vector, d->data, n);
    return ST_OK;
}

enum status cpu_weight_new(struct backend *b, const struct weight_desc *d, struct weight **out, struct err *e)
{
    const struct cpu *cpu = (const struct cpu *)b;
    struct weight *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ST_NO_MEMORY, "no memory for weight %s", d->name);
    *w = (struct weight){.roles = d->roles,
                         .type = d->type,
                         .store = cpu->compute == COMPUTE_BF16 ? ELEM_BF16
                                  : d->quant                   ? ELEM_F32
                                                               : d->type,
                         .n_row = d->n_row,
                         .n_col = d->n_col,
                         .data = d->data,
                         .quant = d->quant,
                         .release = d->release,
                         .release_arg = d->release_arg};
    BUG_ON(d->quant && d->roles != WEIGHT_LINEAR);
    w->panel_bytes = panel_bytes(w->store, w->n_col);
    w->kept_bytes = w->quant ? quant_panel_bytes(w->quant) : w->panel_bytes;
    strncpy(w->name, d->name, sizeof w->name - 1);
    if (d->roles & WEIGHT_VECTOR) {
        enum status st = vector_new(d, w, e);
        if (st != ST_OK) {
            free(w);
            return st;
        }
    }
    *out = w;
    return ST_OK;
}

void cpu_weight_free(struct backend *b, struct weight *w)
{
    (void)b;
    if (!w)
        return;
    uint8_t *panels = atomic_load(&w->panels);
    if (panels)
        munmap(panels, w->map_bytes);
    free(w->vector);
    free(w);
}

static void release_source(struct weight *w)
{
    void (*release)(void *arg) = w->release;
    w->release = NULL;
    if (release)
        release(w->release_arg);
}

/* Anonymous memory that starts on a huge page's boundary when it is large enough to have one. */
static uint8_t *map_panels(size_t bytes)
{
    size_t spare = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : 0;
    uint8_t *p = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (!spare)
        return p;
    size_t head = (HUGE_PAGE_BYTES - (uintptr_t)p % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    if (head)
        munmap(p, head);
    if (spare - head)
        munmap(p + head + bytes, spare - head);
    madvise(p + head, bytes, MADV_HUGEPAGE); /* advice: without it everything works, a little slower */
    return p + head;
}

static void pack(const struct cpu *cpu, const struct weight *w, uint32_t first, uint32_t n, uint8_t *to)
{
    size_t row_bytes = (size_t)w->n_col * elem_format_get(w->type)->elem_bytes;
    for (uint32_t p = 0; p < n; p++) {
        uint32_t row = (first + p) * PANEL_COLS, left = w->n_row - row;
        cpu->level->elementwise->pack_panel(to + p * w->panel_bytes, w->store, w->data + row * row_bytes,
                                            row_bytes, left < PANEL_COLS ? left : PANEL_COLS, w->n_col,
                                            w->type);
    }
}

/* Every panel from the rows it is made of. */
static enum status pack_quantised(const struct weight *w, uint8_t *panels, struct err *e)
{
    void *rows = malloc(quant_rows_bytes(w->quant, PANEL_COLS));
    if (!rows)
        return err_set(e, ST_NO_MEMORY, "weight %s: no memory for %d rows", w->name, PANEL_COLS);
    for (uint32_t p = 0; p < ceil_div(w->n_row, PANEL_COLS); p++)
        quant_pack_panel(w->quant, p, rows, panels + p * w->kept_bytes);
    free(rows);
    return ST_OK;
}

static size_t kept_bytes(const struct weight *w)
{
    return round_up(ceil_div(w->n_row, PANEL_COLS) * w->kept_bytes + 1, 4096);
}

uint64_t cpu_weight_bytes(const struct backend *b, const struct weight *w)
{
    (void)b;
    if (w->roles & WEIGHT_VECTOR)
        return (uint64_t)w->n_row * w->n_col * sizeof *w->vector;
    if (w->roles & WEIGHT_LINEAR)
        return kept_bytes(w);
    return (uint64_t)w->n_row * w->n_col * elem_format_get(w->type)->elem_bytes;
}

enum status cpu_weight_settle(struct backend *b, struct weight *w, struct err *e)
{
    const struct cpu *cpu = (const struct cpu *)b;
    if (w->roles & WEIGHT_VECTOR) {
        release_source(w);
        return ST_OK;
    }
    /* A table that is only looked up stays in place: a row is read once in a while, wherever it lies. */
    if (!(w->roles & WEIGHT_LINEAR) || atomic_load_explicit(&w->panels, memory_order_relaxed))
        return ST_OK;
    w->map_bytes = kept_bytes(w);
    uint8_t *panels = map_panels(w->map_bytes);
    if (!panels)
        return err_set(e, ST_NO_MEMORY, "weight %s: no memory for %zu bytes", w->name, w->map_bytes);
    enum status st = ST_OK;
    if (w->quant)
        st = pack_quantised(w, panels, e);
    else
        pack(cpu, w, 0, ceil_div(w->n_row, PANEL_COLS), panels);
    if (st != ST_OK) {
        munmap(panels, w->map_bytes);
        return st;
    }
    atomic_store_explicit(&w->panels, panels, memory_order_release);
    release_source(w);
    return ST_OK;
}

enum status weight_scratch_reserve(struct member *member, const struct weight *w, size_t n, struct err *e)
{
    enum status st = scratch_reserve(&member->panels, n * w->panel_bytes, e);
    return st == ST_OK && w->quant ? scratch_reserve(&member->codes, quant_scratch_bytes(w->quant), e) : st;
}

const uint8_t *weight_codes(const struct weight *w, uint32_t panel, struct member *member)
{
    const uint8_t *kept = atomic_load_explicit(&w->panels, memory_order_acquire);
    uint8_t *codes = member->codes.p;
    if (kept)
        return kept + panel * w->kept_bytes;
    quant_pack_panel(w->quant, panel, codes + w->kept_bytes, codes);
    return codes;
}

const uint8_t *weight_panels(const struct cpu *cpu, const struct weight *w, uint32_t first, uint32_t n,
                             struct member *member)
{
    uint8_t *to = member->panels.p;
    for (uint32_t p = 0; w->quant && p < n; p++)
        quant_decode_panel(cpu, w, weight_codes(w, first + p, member), to + p * w->panel_bytes);
    if (w->quant)
        return to;
    const uint8_t *kept = atomic_load_explicit(&w->panels, memory_order_acquire);
    if (kept)
        return kept + first * w->kept_bytes;
    pack(cpu, w, first, n, to);
    return to;
}

static void decode_row(const struct cpu *cpu, enum elem_type type, const uint8_t *x, uint32_t n, float *y)
{
    if (type == ELEM_BF16 && (uintptr_t)x % 2 == 0)
        cpu->level->elementwise->f32_from_bf16(y, (const uint16_t *)x, n);
    else
        elem_format_get(type)->decode(y, x, n);
}

#define ROW_CHUNK 256

/* A lane of a panel, gathered in chunks and decoded as the row it was. */
static void panel_row(const struct weight *w, const uint8_t *panels, uint32_t row, float *y)
{
    const uint8_t *panel = panels + row / PANEL_COLS * w->panel_bytes;
    const struct elem_format *format = elem_format_get(w->store);
    size_t lane = row % PANEL_COLS, bytes = format->elem_bytes;
    uint8_t chunk[ROW_CHUNK * sizeof(float)];
    for (uint32_t first = 0; first < w->n_col; first += ROW_CHUNK) {
        uint32_t n = w->n_col - first < ROW_CHUNK ? w->n_col - first : ROW_CHUNK;
        for (uint32_t i = 0; i < n; i++) {
            size_t at = panel_index(w->store, first + i, lane);
            memcpy(chunk + i * bytes, panel + at * bytes, bytes);
        }
        format->decode(y + first, chunk, n);
    }
}

void weight_row(const struct cpu *cpu, const struct weight *w, uint32_t row, float *y)
{
    const uint8_t *panels = atomic_load_explicit(&w->panels, memory_order_acquire);
    if (panels) {
        panel_row(w, panels, row, y);
        return;
    }
    size_t row_bytes = (size_t)w->n_col * elem_format_get(w->type)->elem_bytes;
    decode_row(cpu, w->type, w->data + row * row_bytes, w->n_col, y);
    /* The panels will hold rounded numbers: the same now. */
    if ((w->roles & WEIGHT_LINEAR) && w->store != w->type)
        for (uint32_t k = 0; k < w->n_col; k++) {
            uint16_t h;
            elem_format_get(w->store)->encode(&h, &y[k], 1);
            elem_format_get(w->store)->decode(&y[k], &h, 1);
        }
}
