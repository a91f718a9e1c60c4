/* Inside BPE: the table of merges and the joining of one word's symbols. */
#ifndef TEXT_MODEL_BPE_INT_H
#define TEXT_MODEL_BPE_INT_H

#include "text/model/model_int.h"

/* What two neighbours become. */
struct merge {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX: a free slot */
    uint32_t rank, id;
};

/* A hash table of merges, and which two characters ever meet inside a token: where two meet that never do, no
 * merge crosses, so that a text may be cut there without changing a token. */
struct merges {
    struct merge *slot; /* [mask + 1] */
    size_t mask;
    uint64_t *met; /* [met_mask / 64 + 1] bits by hash of two code points: false positives only */
    uint64_t met_mask;
    bool may_cut; /* false: merges that are not made of characters, the bits say nothing */
};

/* Room for n merges. */
MUST_CHECK enum status merges_init(struct merges *m, size_t n, struct err *e);
void merges_fini(struct merges *m);
/* Of equal pairs the last one counts. */
void merges_put(struct merges *m, int32_t left, int32_t right, uint32_t rank, uint32_t id);
void merges_prefetch(const struct merges *m, int32_t left, int32_t right);
const struct merge *merges_find(const struct merges *m, int32_t left, int32_t right); /* NULL: no merge */
void merges_meet(struct merges *m, uint32_t left_char, uint32_t right_char);
/* Can a merge cross between these two characters? */
bool merges_met(const struct merges *m, uint32_t left_char, uint32_t right_char);

struct symbol {
    int32_t id;
    uint32_t n_bytes; /* of the text */
};
/* Joins neighbours, lowest rank first, of equal ranks the leftmost, until none is left to join. Returns how
 * many symbols are left, in front of the array; n log n. */
uint32_t merges_join(const struct merges *m, struct symbol *symbol, uint32_t n, struct scratch *s);

#endif
