/* Case mappings that are longer than one letter. */
#ifndef TEXT_TEMPLATE_CASE_TABLE_H
#define TEXT_TEMPLATE_CASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct special_case {
    uint32_t cp;
    const char *upper, *title; /* UTF-8 */
};

extern const struct special_case special_cases[];
extern const size_t n_special_cases;

#endif
