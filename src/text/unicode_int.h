/* What code points are to the stages of a tokenizer: the classes of the tokenizers library, which are of
 * several ages of Unicode, from a generated table. Pure functions. */
#ifndef TEXT_UNICODE_INT_H
#define TEXT_UNICODE_INT_H

#include "base/str.h"

enum unicode_class {
    UNICODE_WORD = 1,            /* \w of the regex crate */
    UNICODE_WHITE = 1 << 1,      /* White_Space */
    UNICODE_NUMERIC = 1 << 2,    /* Nd, Nl, No */
    UNICODE_PUNCT = 1 << 3,      /* P and ASCII's punctuation */
    UNICODE_NONSPACING = 1 << 4, /* Mn, as BertNormalizer knows it */
    UNICODE_MARK = 1 << 5,       /* M, as StripAccents knows it */
    UNICODE_CONTROL = 1
        << 6, /* Cc, Cf, Co but tab, line feed, carriage return: what BertNormalizer removes */
    UNICODE_CHINESE = 1 << 7, /* what BertNormalizer surrounds with spaces */
    UNICODE_CANON = 1 << 8,   /* decomposes canonically */
    UNICODE_COMPAT = 1 << 9,  /* decomposes for compatibility */
    UNICODE_JOINS = 1 << 10,  /* has a combining class or composes with what stands before it */
    UNICODE_NFC = 1 << 11,    /* is not its own NFC */
    UNICODE_NFKC = 1 << 12,
    UNICODE_LOWER = 1 << 13, /* is not its own small letter */
};

unsigned unicode_classes(uint32_t cp);
/* The small letter; U+0130 is two characters and not of this function. */
uint32_t unicode_lower(uint32_t cp);
/* A number for its script as the UnicodeScripts pre-tokenizer counts them; 0 joins with any. */
unsigned unicode_script(uint32_t cp);
/* For code points younger than Unicode 14: an older one of the same kind and length; else 0. */
uint32_t unicode_stand_in(uint32_t cp);

/* The table. */
struct unicode_shift {
    uint32_t first, last;
    int32_t by; /* or the code point that stands in */
};
extern const uint16_t unicode_masks[], unicode_pages[];
extern const uint32_t unicode_runs[], unicode_script_runs[]; /* first code point << 8 | value */
extern const struct unicode_shift unicode_young_capitals[], unicode_stand_ins[];
extern const size_t n_unicode_masks, n_unicode_pages, n_unicode_runs, n_unicode_script_runs,
    n_unicode_young_capitals, n_unicode_stand_ins;

#endif
