/* A tokenizer on one thread: loading, encoding a text, decoding its tokens. One JSON object, for scripts that
 * measure others beside it. */
#include "text/tokenizer.h"
#include "base/clock.h"
#include "bench.h"
#include <stdio.h>

struct tokenizer_times {
    struct samples load_ms, encode_ms, decode_ms;
    size_t n_tokens;
};

static double since_ms(uint64_t begin_ns)
{
    return (double)(clock_ns() - begin_ns) / 1e6;
}

static enum status measure_text(const struct tokenizer *t, struct str text, struct tokenizer_times *times,
                                struct err *e)
{
    struct tokens tokens;
    struct buf decoded;
    uint64_t begin = clock_ns();
    enum status st = tokenizer_encode(t, text, 0, &tokens, e);
    if (st != ST_OK)
        return st;
    samples_add(&times->encode_ms, since_ms(begin));
    times->n_tokens = tokens.n;
    buf_init(&decoded, 1u << 30);
    begin = clock_ns();
    tokenizer_decode(t, tokens.ids, tokens.n, true, &decoded);
    samples_add(&times->decode_ms, since_ms(begin));
    buf_fini(&decoded);
    tokens_fini(&tokens);
    return ST_OK;
}

static enum status measure_round(const char *path, struct str text, struct tokenizer_times *times,
                                 struct err *e)
{
    struct tokenizer *t;
    uint64_t begin = clock_ns();
    enum status st = tokenizer_open(path, &t, e);
    if (st != ST_OK)
        return st;
    samples_add(&times->load_ms, since_ms(begin));
    st = measure_text(t, text, times, e);
    tokenizer_free(t);
    return st;
}

enum status bench_tokenizer(const struct bench_options *o, struct err *e)
{
    struct tokenizer_times times = {.n_tokens = 0};
    struct buf text;
    buf_init(&text, TOKENIZER_MAX_TEXT_BYTES);
    enum status st = buf_read_file(&text, o->text, e);
    for (unsigned i = 0; i < o->rounds && st == ST_OK; i++)
        st = measure_round(o->tokenizer, buf_str(&text), &times, e);
    if (st == ST_OK)
        printf("{\"load_ms\":%.3f,\"encode_ms\":%.3f,\"decode_ms\":%.3f,\"bytes\":%zu,\"tokens\":%zu}\n",
               samples_median(&times.load_ms), samples_median(&times.encode_ms),
               samples_median(&times.decode_ms), text.n, times.n_tokens);
    buf_fini(&text);
    return st;
}
