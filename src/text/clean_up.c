/* What transformers' decode() does to a text when clean_up_tokenization_spaces is set: a list of
 * replacements, each in the text that those before it left. */
#include "text/tokenizer.h"

static const char *const pairs[][2] = {{" .", "."},     {" ?", "?"},     {" !", "!"},   {" ,", ","},
                                       {" ' ", "'"},    {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"},
                                       {" 've", "'ve"}, {" 're", "'re"}};

static void replace_all(struct str text, struct str from, struct str to, struct buf *out)
{
    size_t at = 0, found;
    while ((found = str_find(text, from, at)) != SIZE_MAX) {
        buf_put(out, text.p + at, found - at);
        buf_put_str(out, to);
        at = found + from.n;
    }
    buf_put(out, text.p + at, text.n - at);
}

void tokenizer_clean_up(struct str text, struct buf *out)
{
    struct buf turn[2];
    unsigned i = 0;
    for (unsigned k = 0; k < 2; k++)
        buf_init(&turn[k], text.n + 1);
    for (; i < sizeof pairs / sizeof *pairs; i++) {
        struct buf *to = &turn[i % 2];
        buf_clear(to);
        replace_all(i ? buf_str(&turn[(i + 1) % 2]) : text, str_from(pairs[i][0]), str_from(pairs[i][1]), to);
    }
    out->failed |= turn[0].failed || turn[1].failed;
    buf_put_str(out, buf_str(&turn[(i + 1) % 2]));
    for (unsigned k = 0; k < 2; k++)
        buf_fini(&turn[k]);
}
