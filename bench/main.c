/* prompteur-bench: this machine's ceilings, and how near the program comes to them.
 *
 * Without --model-id it measures a model of random weights, written to a temporary folder and removed after.
 */
#include "bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: prompteur-bench [options]\n"
    "  --model-id DIR   a checkpoint's folder (default: random weights)\n"
    "  --shape S|M      random weights: 135M or 1.1B parameters (default M)\n"
    "  --kernels        operations one by one instead of a whole model\n"
    "  --sampling       rows of logits to tokens, one thread\n"
    "  --engine         a step of 128 sequences without the model: schedule, sample, emit\n"
    "  --ceilings       the ceilings, and the work of a token of --model-id, as JSON\n"
    "  --write DIR      leave random weights of --shape there, and end\n"
    "  --tokenizer PATH with --text FILE: one thread loads a tokenizer and encodes a text\n"
    "  --threads N      default: the CPUs this process may use\n"
    "  --isa NAME       instruction set: %s\n"
    "  --compute T      bf16 (default) or f32\n"
    "  --quantize X     eetq, fp8, bitsandbytes, bitsandbytes-nf4 or bitsandbytes-fp4 for the linear "
    "weights\n"
    "  --prompt N       tokens of the prefill (default 512)\n"
    "  --decode N       tokens decoded a round (default 16)\n"
    "  --rounds N       medians of this many (default 5)\n";

static bool read_number(const char *text, unsigned min, unsigned max, unsigned *out)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n < min || n > max)
        return false;
    *out = (unsigned)n;
    return true;
}

/* False when the option or its value is not understood. */
static bool read_option(struct bench_options *o, const char *name, const char *value)
{
    if (strcmp(name, "--model-id") == 0)
        o->model_dir = value;
    else if (strcmp(name, "--shape") == 0)
        o->shape = value;
    else if (strcmp(name, "--tokenizer") == 0)
        o->tokenizer = value;
    else if (strcmp(name, "--text") == 0)
        o->text = value;
    else if (strcmp(name, "--write") == 0)
        o->write_dir = value;
    else if (strcmp(name, "--isa") == 0)
        o->isa = value;
    else if (strcmp(name, "--threads") == 0)
        return read_number(value, 1, 1024, &o->n_threads);
    else if (strcmp(name, "--prompt") == 0)
        return read_number(value, 1, 4096, &o->n_prompt);
    else if (strcmp(name, "--decode") == 0)
        return read_number(value, 1, 2048, &o->n_decode);
    else if (strcmp(name, "--rounds") == 0)
        return read_number(value, 1, SAMPLES_MAX / 2, &o->rounds);
    else if (strcmp(name, "--compute") == 0 && strcmp(value, "f32") == 0)
        o->compute = COMPUTE_F32;
    else if (strcmp(name, "--compute") == 0 && strcmp(value, "bf16") == 0)
        o->compute = COMPUTE_BF16;
    else if (strcmp(name, "--quantize") == 0)
        return quant_method_find(str_from(value), &o->quantise);
    else
        return false;
    return true;
}

static enum status bench_synthetic(const struct bench_options *o, struct err *e)
{
    char dir[256];
    enum status st = synthetic_dir(dir, sizeof dir, e);
    if (st != ST_OK)
        return st;
    printf("writing random weights, shape %s ...\n", o->shape);
    fflush(stdout);
    st = synthetic_write(o->shape, dir, e);
    if (st == ST_OK)
        st = bench_model(o, dir, e);
    synthetic_remove(dir);
    return st;
}

static enum status bench_whole(const struct bench_options *o, struct err *e)
{
    if (o->write_dir)
        return synthetic_write(o->shape, o->write_dir, e);
    if (o->tokenizer)
        return bench_tokenizer(o, e);
    return o->model_dir ? bench_model(o, o->model_dir, e) : bench_synthetic(o, e);
}

typedef enum status bench_run(const struct bench_options *o, struct err *e);

/* A flag that chooses what is measured; NULL: no such flag. */
static bench_run *find_run(const char *flag)
{
    static const struct {
        const char *flag;
        bench_run *run;
    } runs[] = {{"--kernels", bench_kernels},
                {"--sampling", bench_sampling},
                {"--engine", bench_engine},
                {"--ceilings", bench_ceilings}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (strcmp(runs[i].flag, flag) == 0)
            return runs[i].run;
    return NULL;
}

int main(int argc, char **argv)
{
    struct bench_options o = {
        .shape = "M", .rounds = 5, .n_prompt = 512, .n_decode = 16, .compute = COMPUTE_BF16};
    bench_run *run = bench_whole;
    struct err e;
    for (int i = 1; i < argc; i++) {
        if (find_run(argv[i])) {
            run = find_run(argv[i]);
        } else if (strcmp(argv[i], "--help") == 0) {
            printf(usage, backend_isa_names());
            return 0;
        } else if (i + 1 == argc || !read_option(&o, argv[i], argv[i + 1])) {
            fprintf(stderr, "prompteur-bench: cannot understand `%s`\n", argv[i]);
            fprintf(stderr, usage, backend_isa_names());
            return 2;
        } else {
            i++;
        }
    }
    if (!o.tokenizer != !o.text) {
        fprintf(stderr, "prompteur-bench: --tokenizer and --text go together\n");
        return 2;
    }
    enum status st = run(&o, &e);
    if (st != ST_OK) {
        fprintf(stderr, "prompteur-bench: %s\n", e.text);
        return 1;
    }
    return 0;
}
