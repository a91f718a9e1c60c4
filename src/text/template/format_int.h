/* What % formatting and str.format() share: one field with fill, alignment, sign, width and precision. */
#ifndef TEXT_TEMPLATE_FORMAT_INT_H
#define TEXT_TEMPLATE_FORMAT_INT_H

#include "text/template/template_int.h"

struct field {
    struct str fill; /* one code point; empty: a space */
    char align;      /* '<' '>' '^' '=' or 0: by kind of value */
    char sign;       /* '+' ' ' or 0 */
    bool alternate;
    char group;               /* ',' '_' or 0 */
    int64_t width, precision; /* precision -1: none */
    char type;
};

#define MAX_PRECISION 1000

/* `digits` (no sign, maybe with a prefix of n_prefix bytes) into a padded field; numbers go to the right. */
void put_number_field(struct text *t, const struct field *f, bool negative, struct str digits,
                      size_t n_prefix);
void put_text_field(struct text *t, const struct field *f, struct value s);
void put_int_field(struct text *t, struct field *f, int64_t v);
void put_float_field(struct text *t, const struct field *f, double v);

#endif
