/* What the parts of prompteur-bench share: a machine's ceilings, medians, a checkpoint of random weights. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "base/team.h"
#include "model/model.h"

#define SAMPLES_MAX 64

/* Repeated measurements of one thing. */
struct samples {
    double v[SAMPLES_MAX];
    unsigned n;
};

void samples_add(struct samples *s, double v);
double samples_median(const struct samples *s);
int compare_doubles(const void *a, const void *b); /* for qsort, ascending */

/* What this machine's threads can do at most, measured, not looked up. */
struct ceilings {
    struct samples stream; /* GB/s read from memory: the better of one and of four streams a thread */
    struct samples fma;    /* GFLOP/s of float32 multiply-add in registers */
    struct samples dot;    /* GFLOP/s of vdpbf16ps in registers; no samples where there is none */
};

struct ceiling_rig;

MUST_CHECK enum status ceiling_rig_new(unsigned n_threads, size_t stream_bytes, struct ceiling_rig **out,
                                       struct err *e);
void ceiling_rig_free(struct ceiling_rig *r);
/* Adds one sample of each. */
void ceilings_measure(struct ceiling_rig *r, struct ceilings *c);
/* The peak that bf16 models are held against: vdpbf16ps where the machine has it, else float32 multiply-add.
 */
double ceilings_bf16_peak(const struct ceilings *c);
void ceilings_print(const struct ceilings *c);

/* A folder in the Hugging Face layout with random bf16 weights: "S" (135M) or "M" (1.1B), or "E16", "E32000":
 * next to nothing with a vocabulary of that size. */
MUST_CHECK enum status synthetic_write(const char *shape, const char *dir, struct err *e);
/* Makes a temporary folder for one. */
MUST_CHECK enum status synthetic_dir(char *dir, size_t n, struct err *e);
void synthetic_remove(const char *dir);

struct bench_options {
    const char *model_dir; /* NULL: synthetic */
    const char *shape;
    const char *isa;
    unsigned n_threads, rounds, n_prompt, n_decode;
    enum compute_type compute;
    enum quant_method quantise; /* the plain weights of a whole model are quantised so */
    const char *tokenizer; /* a tokenizer's file or folder: encoding `text` instead of a model; else NULL */
    const char *text;      /* a file */
    const char *write_dir; /* where to leave random weights; NULL: nowhere */
};

/* What a checkpoint's linear operations cost. */
struct work {
    double decode_bytes;  /* weights read for one token */
    double prefill_flops; /* for one token, the head left out */
    double head_flops;
};
struct work count_work(const struct ckpt *ck);

/* One JSON object, for scripts: the ceilings, and the work of a token of --model-id. */
MUST_CHECK enum status bench_ceilings(const struct bench_options *o, struct err *e);
MUST_CHECK enum status bench_model(const struct bench_options *o, const char *dir, struct err *e);
MUST_CHECK enum status bench_kernels(const struct bench_options *o, struct err *e);
MUST_CHECK enum status bench_sampling(const struct bench_options *o, struct err *e);
MUST_CHECK enum status bench_engine(const struct bench_options *o, struct err *e);
MUST_CHECK enum status bench_tokenizer(const struct bench_options *o, struct err *e);

#endif
