/* Numbers from their text, as serde_json reads them. */
#ifndef JSON_NUMBER_INT_H
#define JSON_NUMBER_INT_H

#include "base/str.h"

#define NUMBER_POWERS 309

/* Powers of ten that were needed so far: starts as zeros. */
struct number_powers {
    double power[NUMBER_POWERS];
};

enum number_kind { NUMBER_UINT, NUMBER_INT, NUMBER_REAL, NUMBER_OUT_OF_RANGE };

struct number {
    enum number_kind kind;
    uint64_t u;
    int64_t i;
    double real;
};

/* `text` follows the grammar of JSON. */
struct number number_read(struct str text, struct number_powers *powers);

#endif
