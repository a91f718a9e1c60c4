/* What the kernel tests share: devices at every level this machine has, random weights, programs of few
 * operations.
 *
 * A program's inputs come in as embedding tables: row r of a value is row r of the table. */
#ifndef TESTS_KERNELS_HARNESS_H
#define TESTS_KERNELS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"

#define ISA_MAX 8
/* One rounding to float32. */
#define ROUNDING 0x1p-24

/* Names of the levels that can be opened here. */
unsigned isa_list(const char *names[ISA_MAX]);

/* A stored tensor: random numbers of one type. */
struct tensor {
    enum elem_type type;
    uint32_t n_row, n_col;
    uint8_t *data;
};

struct tensor tensor_random(uint64_t seed, enum elem_type type, uint32_t n_row, uint32_t n_col, float spread);
struct tensor tensor_constant(uint32_t n, float x); /* a vector */
struct tensor tensor_absolute(const struct tensor *t);
void tensor_free(struct tensor *t);

#define WEIGHTS_MAX 64

struct device {
    struct backend *b;
    struct arena arena;
    struct program program;
    struct weight *weight[WEIGHTS_MAX];
    unsigned n_weight;
    struct kv *kv;
};

/* isa NULL: the reference. */
struct device *device_open(const char *isa, enum compute_type compute, unsigned n_threads);
struct device *device_open_kv(const char *isa, enum compute_type compute, enum kv_type kv,
                              unsigned n_threads);
void device_close(struct device *d);
struct weight *device_weight(struct device *d, const struct tensor *t, unsigned roles);
struct weight *device_quantised(struct device *d, const struct quant_matrix *m);
void device_settle(struct device *d);
/* A KV store, replacing none. */
void device_kv(struct device *d, const struct kv_desc *desc);
/* Starts a program of that many rows, all wanted; ops go into d->program. */
void device_begin(struct device *d, uint32_t n_tok);
/* A value holding the table's first n_tok rows. */
uint32_t device_input(struct device *d, const struct tensor *t);
void device_run(struct device *d, const struct batch *in);
/* Rows 0 .. n_tok - 1 of a value after device_run(). */
const float *device_read(struct device *d, uint32_t value);

/* One sequence with ids and positions 0 .. n - 1. */
struct plain_batch {
    struct batch in;
    int32_t *id;
    uint32_t *pos, *page, *out_row, row_begin[2], page_begin[2];
};
void plain_batch_init(struct plain_batch *b, uint32_t n_tok);
void plain_batch_fini(struct plain_batch *b);

float *copy_floats(const float *x, size_t n);
/* |a - b| <= bound[i] + floor, or fails with what, where and by how much. */
void assert_near(const char *what, const float *a, const float *b, const float *bound, double factor,
                 double floor, size_t n);
void assert_same(const char *what, const float *a, const float *b, size_t n);

#endif
