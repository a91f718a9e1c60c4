/* Vocabulary as the engine side sees it: id -> raw bytes and flags. Filled once by text/, then read-only. */
#ifndef BASE_VOCAB_H
#define BASE_VOCAB_H

#include "base/str.h"

enum vocab_flag {
    VOCAB_SPECIAL = 1, /* added token marked special: hidden by skip_special_tokens */
    VOCAB_ADDED = 2,
    VOCAB_UNUSED = 4, /* an id below n_vocab that no token has */
};

struct vocab {
    uint32_t n_vocab;
    struct str *bytes; /* [n_vocab] what the token adds to the text; owned with `memory` */
    uint8_t *flags;    /* [n_vocab] */
    char *memory;
};

void vocab_fini(struct vocab *v);

#endif
