/* Stop strings: is there one in a text that arrives piece by piece, and how much of the text's end may be the
 * beginning of one? One owner thread. */
#ifndef TEXT_STOP_H
#define TEXT_STOP_H

#include "base/str.h"

struct stop_word;

struct stop_set {
    struct stop_word *word; /* [n] */
    uint32_t n;
};

/* Borrows the strings; empty ones never match. */
MUST_CHECK enum status stop_set_init(struct stop_set *s, const struct str *stop, uint32_t n);
void stop_set_fini(struct stop_set *s);
/* Takes the next bytes of the text, linear in their number whatever the strings. True when a stop string
 * ends in them: at the first place where one ends, the longest that ends there; *end is that place, in bytes
 * of `text`, *n_bytes the string's length. What follows is not looked at; no more may be fed, but to a set of
 * one string what follows *end. */
bool stop_set_feed(struct stop_set *s, struct str text, size_t *end, size_t *n_bytes);
/* Bytes at the end of the text that a stop string may begin with. */
size_t stop_set_pending(const struct stop_set *s);

#endif
