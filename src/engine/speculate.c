/* Speculation by lookup: what followed the last few tokens when they stood in the sequence before is guessed
 * to follow again. Guesses are computed in the same step as the token before them and kept while they equal
 * what the sampler says in their place: the answer is the same, only sooner.
 *
 * A sequence whose guesses come true guesses more at a time, one whose guesses fail pauses, longer each time.
 */
#include "engine/engine_int.h"
#include <string.h>

#define MATCH_TOKENS  3    /* what must have stood there before */
#define LOOK_BACK_MAX 8192 /* tokens searched: a step's cost is bounded */
#define FAILED_MAX    6    /* then the pause is 1 << FAILED_MAX tokens */

/* Where the last MATCH_TOKENS tokens stand nearest before; the place behind them, or 0. */
static uint32_t find_before(const int32_t *ids, uint32_t n)
{
    const int32_t *last = ids + n - MATCH_TOKENS;
    uint32_t least = n > LOOK_BACK_MAX ? n - LOOK_BACK_MAX : 0;
    for (uint32_t at = n - MATCH_TOKENS; at-- > least;)
        if (ids[at] == last[0] && memcmp(ids + at, last, MATCH_TOKENS * sizeof *ids) == 0)
            return at + MATCH_TOKENS;
    return 0;
}

void seq_guess(const struct engine *en, struct seq *seq)
{
    /* The step makes one token more than it has right guesses. */
    uint32_t most = seq->n_prompt + seq->request.max_new_tokens - seq->n_ids - 1;
    uint32_t n = seq->guess_most < en->o.speculate ? seq->guess_most : en->o.speculate;
    n = n < most ? n : most;
    if (n == 0 || seq->n_ids <= MATCH_TOKENS)
        return;
    if (seq->guess_pause) {
        seq->guess_pause--;
        return;
    }
    uint32_t from = find_before(seq->ids, seq->n_ids);
    if (!from)
        return;
    for (uint32_t i = 0; i < n; i++) /* a short loop repeats itself: guesses may be taken from guesses */
        seq->ids[seq->n_ids + i] = seq->ids[from + i];
    seq->n_draft = n;
}

void seq_guessed(struct engine *en, struct seq *seq, uint32_t n_guessed, uint32_t n_right)
{
    atomic_fetch_add_explicit(&en->n_guessed, n_guessed, memory_order_relaxed);
    atomic_fetch_add_explicit(&en->n_accepted, n_right, memory_order_relaxed);
    if (n_right) {
        seq->guess_failed = 0;
        seq->guess_most = n_right == seq->guess_most ? 2 * n_right : n_right + 1;
        return;
    }
    seq->guess_most = 1;
    seq->guess_failed += seq->guess_failed < FAILED_MAX;
    seq->guess_pause = 1u << seq->guess_failed;
}
