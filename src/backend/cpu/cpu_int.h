/* Inside the CPU device.
 *
 * Ownership: struct cpu and all in it belong to the thread that calls the backend, except where team members
 * write during a run (each its own part of the values, its own scratch) and a weight's panels, which
 * weight_settle() publishes from another thread. */
#ifndef BACKEND_CPU_INT_H
#define BACKEND_CPU_INT_H

#include "backend/backend_int.h"
#include "backend/cpu/kernels/kernels_int.h"
#include "base/team.h"
#include <stdatomic.h>

#define CPU_PAGE_TOKENS 16 /* one panel of keys */
#define CPU_MAX_ROWS    8192

/* Work that members take one by one: the next item not yet taken. */
struct ticket {
    atomic_uint next;
};

/* Memory that only grows, aligned to a cache line, contents undefined after growth. */
struct scratch {
    void *p;
    size_t bytes;
};

/* What a team member keeps for itself during a run. */
struct member {
    struct scratch panels;    /* a weight's panels while it is not settled, or decoded */
    struct scratch codes;     /* a panel of codes and what it is made of, while not settled */
    struct scratch attention; /* queries, scores and sums of an attention item */
    struct scratch inputs;    /* activations of a small linear */
};

struct cpu {
    struct backend base;
    enum compute_type compute;
    const struct kernel_level *level;
    const struct linear_kernels *linear;
    struct team *team;
    unsigned n_member;
    size_t l2_bytes; /* of one core */

    struct scratch *value; /* [n_value]: index = value number of a program */
    uint32_t n_value;
    struct scratch inputs;  /* activations of a large linear, interleaved, shared by the team */
    struct scratch row_seq; /* [n_tok] the sequence of each row */
    struct scratch tickets;
    struct member *member; /* [n_member] */
};

struct weight {
    char name[96];
    unsigned roles;
    enum elem_type type;  /* of data */
    enum elem_type store; /* of the panels that are multiplied */
    uint32_t n_row, n_col;
    const uint8_t *data;              /* row-major, borrowed; not read for a vector */
    const struct quant_matrix *quant; /* in place of data, or NULL */
    float *vector;                    /* WEIGHT_VECTOR: own copy */
    _Atomic(uint8_t *) panels;        /* NULL until settled: [ceil(n_row / 16)] of kept_bytes */
    size_t panel_bytes;               /* of a panel that is multiplied */
    size_t kept_bytes;                /* of a panel that is kept: the same, or codes */
    size_t map_bytes;
    void (*release)(void *arg);
    void *release_arg;
};

/* What 16 keys and 16 values count. */
struct block_scales {
    float key[CPU_PAGE_TOKENS], value[CPU_PAGE_TOKENS];
};

/* Blocks of one layer, page and KV head: keys as a panel (columns are the page's tokens, k the dimensions),
 * then values [16][d_value], then, if rows have scales of their own, struct block_scales. Padding dimensions
 * stay zero for ever. */
struct kv {
    struct kv_desc desc;
    enum elem_type type;
    uint32_t d_value; /* d_head rounded up to 16 */
    size_t key_bytes, value_bytes, block_bytes;
    struct block_scales *layer_scales; /* [n_layer], of rows without one of their own */
    uint8_t *base;
    size_t map_bytes;
};

/* One run, seen by all members. */
struct run {
    struct cpu *cpu;
    const struct program *p;
    const struct batch *in;
    const uint32_t *row_seq;
    struct ticket *ticket; /* [n_op] */
};

static inline float *run_row(const struct run *run, uint32_t value, uint32_t row)
{
    return (float *)run->cpu->value[value].p + (size_t)row * run->p->value[value].n_col;
}

/* The contiguous part of n things that belongs to a member. */
static inline void member_share(const struct run *run, unsigned member, uint32_t n, uint32_t *begin,
                                uint32_t *end)
{
    *begin = (uint32_t)((uint64_t)n * member / run->cpu->n_member);
    *end = (uint32_t)((uint64_t)n * (member + 1) / run->cpu->n_member);
}

static inline uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

static inline size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- cpu.c ---- */
MUST_CHECK enum status scratch_reserve(struct scratch *s, size_t bytes, struct err *e);

/* ---- isa.c ---- */
/* The level of that name, or the best that CPU and operating system support when NULL. */
MUST_CHECK enum status isa_select(const char *name, const struct kernel_level **out, struct err *e);

/* ---- weights.c ---- */
MUST_CHECK enum status cpu_weight_new(struct backend *b, const struct weight_desc *d, struct weight **out,
                                      struct err *e);
void cpu_weight_free(struct backend *b, struct weight *w);
MUST_CHECK enum status cpu_weight_settle(struct backend *b, struct weight *w, struct err *e);
uint64_t cpu_weight_bytes(const struct backend *b, const struct weight *w);
/* What weight_panels() needs of a member for n panels of the weight. */
MUST_CHECK enum status weight_scratch_reserve(struct member *member, const struct weight *w, size_t n,
                                              struct err *e);
/* Panels first .. first + n - 1 as tiles multiply them: where the settled weight has them, or packed or
 * decoded into the member's scratch. */
const uint8_t *weight_panels(const struct cpu *cpu, const struct weight *w, uint32_t first, uint32_t n,
                             struct member *member);
/* One row as float32, n_col of them. */
void weight_row(const struct cpu *cpu, const struct weight *w, uint32_t row, float *y);

/* A quantised weight's panel of codes: where the settled weight has it, or packed into the member's scratch.
 */
const uint8_t *weight_codes(const struct weight *w, uint32_t panel, struct member *member);

/* ---- quant_panels.c ---- */
size_t quant_panel_bytes(const struct quant_matrix *m);
/* Of a panel and the rows it is made of. */
size_t quant_scratch_bytes(const struct quant_matrix *m);
/* `rows_memory`: quant_rows_bytes() of 16 rows. */
void quant_pack_panel(const struct quant_matrix *m, uint32_t panel, void *rows_memory, uint8_t *to);
void quant_decode_panel(const struct cpu *cpu, const struct weight *w, const uint8_t *packed, uint8_t *to);
/* One row by one panel without decoding it first; false, and nothing done, where that cannot be. */
bool quant_multiply_panel(const struct cpu *cpu, const struct weight *w, const uint8_t *packed,
                          const struct linear_tile *row);

/* ---- kv.c ---- */
uint64_t cpu_kv_page_bytes(const struct backend *b, const struct kv_desc *d);
MUST_CHECK enum status cpu_kv_new(struct backend *b, const struct kv_desc *d, struct kv **out, struct err *e);
void cpu_kv_free(struct backend *b, struct kv *kv);
/* Writes d_head floats of k and v at position `slot` of the page. */
void kv_write(const struct cpu *cpu, struct kv *kv, uint32_t layer, uint32_t page, uint32_t head,
              uint32_t slot, const float *k, const float *v);

static inline uint8_t *kv_block(const struct kv *kv, uint32_t layer, uint32_t page, uint32_t head)
{
    size_t at = ((size_t)layer * kv->desc.n_page + page) * kv->desc.n_kv_head + head;
    return kv->base + at * kv->block_bytes;
}

static inline struct block_scales *kv_scales(const struct kv *kv, uint32_t layer, uint8_t *block)
{
    if (kv_has_row_scales(kv->type))
        return (struct block_scales *)(block + kv->key_bytes + kv->value_bytes);
    return &kv->layer_scales[layer];
}

/* ---- linear.c ---- */
MUST_CHECK enum status linear_reserve(struct cpu *cpu, const struct program *p, const struct op_linear *o,
                                      struct err *e);
/* Each ends without a barrier. */
void linear_run(const struct run *run, const struct op_linear *o, struct ticket *ticket, unsigned member);

/* ---- attention.c ---- */
MUST_CHECK enum status attention_reserve(struct cpu *cpu, const struct program *p,
                                         const struct op_attention *o, struct err *e);
void attention_run(const struct run *run, const struct op_attention *o, struct ticket *ticket,
                   unsigned member);

/* ---- run.c ---- */
MUST_CHECK enum status cpu_reserve(struct backend *b, const struct program *p, struct err *e);
MUST_CHECK enum status cpu_run(struct backend *b, const struct program *p, const struct batch *in,
                               struct err *e);
const float *cpu_read(struct backend *b, const struct program *p, uint32_t value);

#endif
