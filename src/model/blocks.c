/* Blocks: pieces of a forward pass that several architectures share, emitted as operations.
 *
 * They read shapes and weights from the model and never a number of the batch. */
#include "model/model_int.h"
#include <math.h>

struct decoder_values block_values(const struct model *m, struct program *p)
{
    const struct model_config *c = m->cfg;
    uint32_t n = p->n_tok, d_kv = c->n_kv_head * c->d_head;
    return (struct decoder_values){
        .x = program_value(p, n, c->d_model),
        .norm = program_value(p, n, c->d_model),
        .q = program_value(p, n, c->n_head * c->d_head),
        .k = program_value(p, n, d_kv),
        .v = program_value(p, n, d_kv),
        .attn = program_value(p, n, c->n_head * c->d_head),
        .rope = program_value(p, n, c->d_head),
        .gate = program_value(p, n, c->d_ff),
        .up = program_value(p, n, c->d_ff),
    };
}

void block_embed(const struct model *m, struct program *p, const struct decoder_values *v)
{
    program_op(p, OP_EMBED)->embed = (struct op_embed){.table = m->embed, .y = v->x};
    program_op(p, OP_ROPE_TABLE)->rope_table =
        (struct op_rope_table){.inv_freq = m->inv_freq, .scale = 1, .y = v->rope};
}

void block_norm(const struct model *m, struct program *p, const struct weight *scale, uint32_t x, uint32_t y)
{
    program_op(p, OP_RMS_NORM)->rms_norm =
        (struct op_rms_norm){.scale = scale, .eps = m->cfg->norm_eps, .x = x, .y = y};
}

static struct linear_part part(const struct linear_weights *w, uint32_t y, bool accumulate)
{
    return (struct linear_part){.weight = w->weight, .bias = w->bias, .y = y, .accumulate = accumulate};
}

void block_attention(const struct model *m, struct program *p, const struct decoder_values *v, uint32_t layer)
{
    const struct model_config *c = m->cfg;
    const struct decoder_layer *w = &m->layer[layer];
    block_norm(m, p, w->attn_norm, v->x, v->norm);
    program_op(p, OP_LINEAR)->linear = (struct op_linear){
        .x = v->norm,
        .n_part = 3,
        .part = {part(&w->q, v->q, false), part(&w->k, v->k, false), part(&w->v, v->v, false)}};
    program_op(p, OP_ROPE_KV)->rope_kv = (struct op_rope_kv){.q = v->q,
                                                             .k = v->k,
                                                             .v = v->v,
                                                             .table = v->rope,
                                                             .layer = layer,
                                                             .n_head = c->n_head,
                                                             .n_kv_head = c->n_kv_head,
                                                             .d_head = c->d_head,
                                                             .d_rope = c->d_head};
    program_op(p, OP_ATTENTION)->attention = (struct op_attention){.q = v->q,
                                                                   .y = v->attn,
                                                                   .layer = layer,
                                                                   .n_head = c->n_head,
                                                                   .n_kv_head = c->n_kv_head,
                                                                   .d_head = c->d_head,
                                                                   .window = m->window,
                                                                   .scale = 1 / sqrtf((float)c->d_head)};
    program_op(p, OP_LINEAR)->linear =
        (struct op_linear){.x = v->attn, .n_part = 1, .part = {part(&w->o, v->x, true)}};
}

void block_gated_mlp(const struct model *m, struct program *p, const struct decoder_values *v, uint32_t layer)
{
    const struct decoder_layer *w = &m->layer[layer];
    block_norm(m, p, w->mlp_norm, v->x, v->norm);
    program_op(p, OP_LINEAR)->linear = (struct op_linear){
        .x = v->norm, .n_part = 2, .part = {part(&w->gate, v->gate, false), part(&w->up, v->up, false)}};
    program_op(p, OP_GATED_ACT)->gated_act =
        (struct op_gated_act){.act = GATE_SILU, .gate = v->gate, .up = v->up, .y = v->gate};
    program_op(p, OP_LINEAR)->linear =
        (struct op_linear){.x = v->gate, .n_part = 1, .part = {part(&w->down, v->x, true)}};
}

uint32_t block_head(const struct model *m, struct program *p, const struct decoder_values *v)
{
    uint32_t wanted = program_value(p, p->n_out, m->cfg->d_model);
    uint32_t logits = program_value(p, p->n_out, m->cfg->n_vocab);
    program_op(p, OP_GATHER_ROWS)->gather_rows = (struct op_gather_rows){.x = v->x, .y = wanted};
    block_norm(m, p, m->final_norm, wanted, wanted);
    program_op(p, OP_LINEAR)->linear =
        (struct op_linear){.x = wanted, .n_part = 1, .part = {{.weight = m->head, .y = logits}}};
    return logits;
}
