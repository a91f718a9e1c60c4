/* The CPU device: kernels chosen for this machine, a team of threads, and memory that only grows.
 *
 * Opening picks the instruction-set level and starts the team; everything else is in the files beside this
 * one: weights.c (panels), kv.c (pages), run.c (a program), linear.c and attention.c (the work that counts).
 */
#include "backend/cpu/cpu_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define L2_BYTES_DEFAULT ((size_t)1 << 20)

enum status scratch_reserve(struct scratch *s, size_t bytes, struct err *e)
{
    if (bytes <= s->bytes && s->p)
        return ST_OK;
    free(s->p);
    s->bytes = 0;
    s->p = bytes <= SIZE_MAX / 2 ? aligned_alloc(64, round_up(bytes + 1, 64)) : NULL;
    if (!s->p)
        return err_set(e, ST_NO_MEMORY, "no memory for %zu bytes of working memory", bytes);
    s->bytes = bytes;
    return ST_OK;
}

static void cpu_close(struct backend *b)
{
    struct cpu *cpu = (struct cpu *)b;
    team_free(cpu->team);
    for (uint32_t i = 0; i < cpu->n_value; i++)
        free(cpu->value[i].p);
    for (unsigned m = 0; cpu->member && m < cpu->n_member; m++) {
        free(cpu->member[m].panels.p);
        free(cpu->member[m].codes.p);
        free(cpu->member[m].attention.p);
        free(cpu->member[m].inputs.p);
    }
    free(cpu->value);
    free(cpu->member);
    free(cpu->inputs.p);
    free(cpu->row_seq.p);
    free(cpu->tickets.p);
    free(cpu);
}

static size_t l2_bytes(void)
{
    long n = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return n > 0 ? (size_t)n : L2_BYTES_DEFAULT;
}

static const struct backend_vtable cpu_vtable = {
    .close = cpu_close,
    .weight_new = cpu_weight_new,
    .weight_free = cpu_weight_free,
    .weight_settle = cpu_weight_settle,
    .weight_bytes = cpu_weight_bytes,
    .kv_page_bytes = cpu_kv_page_bytes,
    .kv_new = cpu_kv_new,
    .kv_free = cpu_kv_free,
    .reserve = cpu_reserve,
    .run = cpu_run,
    .read = cpu_read,
};

enum status backend_cpu_open(const struct backend_options *o, struct backend **out, struct err *e)
{
    const struct kernel_level *level;
    enum status st = isa_select(o->isa, &level, e);
    if (st != ST_OK)
        return st;
    struct cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu)
        return err_set(e, ST_NO_MEMORY, "no memory for the CPU device");
    cpu->base = (struct backend){.vt = &cpu_vtable,
                                 .caps = {.name = "cpu",
                                          .kv = kv_elem_type(o),
                                          .page_tokens = CPU_PAGE_TOKENS,
                                          .max_rows = CPU_MAX_ROWS,
                                          .ops = OP_ALL_BITS,
                                          .linear_parts = true,
                                          .linear_accumulate = true}};
    cpu->compute = o->compute;
    cpu->level = level;
    cpu->linear = o->compute == COMPUTE_BF16 ? level->linear_bf16 : level->linear_f32;
    cpu->l2_bytes = l2_bytes();
    cpu->n_member = o->n_threads ? o->n_threads : team_usable_cpus();
    cpu->member = calloc(cpu->n_member, sizeof *cpu->member);
    st = cpu->member ? team_new(cpu->n_member, true, &cpu->team, e)
                     : err_set(e, ST_NO_MEMORY, "no memory for %u threads", cpu->n_member);
    if (st != ST_OK) {
        cpu_close(&cpu->base);
        return st;
    }
    snprintf(cpu->base.caps.description, sizeof cpu->base.caps.description, "%s, %u thread%s", level->name,
             cpu->n_member, cpu->n_member == 1 ? "" : "s");
    *out = &cpu->base;
    return ST_OK;
}
