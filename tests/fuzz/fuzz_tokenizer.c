/* tokenizer.json from anybody: it loads or is refused; what loads encodes and decodes some text. */
#include "text/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello, w\xc3\xb6rld! 123 \xf0\x9f\x99\x82 <s> \xe2\x96\x81 a  b\n\t'll";
    struct tokenizer *t;
    struct tokens tokens;
    struct err e;
    struct buf out;
    if (tokenizer_from_json((struct str){(const char *)data, size}, &t, &e) != ST_OK)
        return 0;
    if (tokenizer_encode(t, (struct str){text, sizeof text - 1}, TOKENIZER_ADD_SPECIAL, &tokens, &e) ==
        ST_OK) {
        buf_init(&out, 1u << 24);
        tokenizer_decode(t, tokens.ids, tokens.n, true, &out);
        buf_fini(&out);
        tokens_fini(&tokens);
    }
    tokenizer_free(t);
    return 0;
}
