/* Vocabularies in JSON and plain text from anybody: tekken.json, tiktoken ranks, vocab.json, vocab.txt. The
 * first byte chooses. What loads encodes some text. */
#include "text/source/source_int.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello, w\xc3\xb6rld! 12 <s> a  b\n\xf0\x9f\x99\x82";
    static source_write *const writers[] = {tekken_write, tiktoken_write, wordpiece_write};
    struct tokenizer_config *config;
    struct tokenizer *t;
    struct tokens tokens;
    struct buf out;
    struct err e;
    if (size == 0 || tokenizer_config_empty(&config, &e) != ST_OK)
        return 0;
    struct source_input in = {.path = "vocabulary", .config = config};
    struct str file = {(const char *)data + 1, size - 1};
    buf_init(&out, 64u << 20);
    enum status st = writers[data[0] % 3](&in, file, &out, &e);
    if (st == ST_OK && !out.failed && tokenizer_from_json(buf_str(&out), &t, &e) == ST_OK) {
        if (tokenizer_encode(t, (struct str){text, sizeof text - 1}, TOKENIZER_ADD_SPECIAL, &tokens, &e) ==
            ST_OK)
            tokens_fini(&tokens);
        tokenizer_free(t);
    }
    buf_fini(&out);
    tokenizer_config_free(config);
    return 0;
}
