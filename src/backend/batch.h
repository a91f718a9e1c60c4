/* One step's varying data: which tokens of which sequences are computed, and where their keys and values
 * live.
 *
 * Row r of every activation belongs to token r. A sequence's rows are consecutive and so are their positions;
 * the attention of row r sees positions 0..pos[r] of its own sequence (less, with a window). Page p of a
 * sequence holds positions p * page_tokens .. (p + 1) * page_tokens - 1 (page_tokens: struct backend_caps).
 * The engine fills a batch, a backend reads it during one run. */
#ifndef BACKEND_BATCH_H
#define BACKEND_BATCH_H

#include <stdint.h>

struct batch {
    uint32_t n_tok, n_seq, n_out;
    const int32_t *id;          /* [n_tok] */
    const uint32_t *pos;        /* [n_tok] position in the sequence, from 0 */
    const uint32_t *row_begin;  /* [n_seq + 1] rows of sequence s: row_begin[s] .. row_begin[s + 1] - 1 */
    const uint32_t *page_begin; /* [n_seq + 1] into page[]: enough pages for the sequence's last position */
    const uint32_t *page;       /* page numbers in the KV store */
    const uint32_t *out_row;    /* [n_out] rows whose logits are wanted, ascending */
};

#endif
