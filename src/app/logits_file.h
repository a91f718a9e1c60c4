/* Writing float32 matrices as one safetensors file, row by row, without holding them in memory. */
#ifndef APP_LOGITS_FILE_H
#define APP_LOGITS_FILE_H

#include "base/err.h"
#include <stdint.h>

struct logits_file;

/* Data goes to PATH.part until logits_file_finish() writes PATH and removes it. */
MUST_CHECK enum status logits_file_create(const char *path, struct logits_file **out, struct err *e);
/* Starts the next tensor; `name` is ASCII without quotes. */
MUST_CHECK enum status logits_file_begin(struct logits_file *f, const char *name, uint32_t n_row,
                                         uint32_t n_col, struct err *e);
MUST_CHECK enum status logits_file_rows(struct logits_file *f, const float *rows, uint32_t n_row,
                                        struct err *e);
MUST_CHECK enum status logits_file_finish(struct logits_file *f, struct err *e);
/* Removes what is unfinished. */
void logits_file_free(struct logits_file *f);

#endif
