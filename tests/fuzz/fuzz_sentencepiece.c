/* SentencePiece models from anybody: each becomes a tokenizer.json or is refused, under every class that
 * reads them; what loads encodes some text. */
#include "text/source/source_int.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(struct str json)
{
    static const char text[] = "Hello, w\xc3\xb6rld! <s> \xe2\x96\x81 a  b\n\xf0\x9f\x99\x82";
    struct tokenizer *t;
    struct tokens tokens;
    struct err e;
    if (tokenizer_from_json(json, &t, &e) != ST_OK)
        return;
    if (tokenizer_encode(t, (struct str){text, sizeof text - 1}, TOKENIZER_ADD_SPECIAL, &tokens, &e) == ST_OK)
        tokens_fini(&tokens);
    tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const classes[] = {NULL, "TokenizersBackend", "LlamaTokenizer", "T5Tokenizer",
                                          "XLMRobertaTokenizer"};
    struct tokenizer_config *config;
    struct err e;
    if (tokenizer_config_empty(&config, &e) != ST_OK)
        return 0;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        struct source_input in = {.path = "tokenizer.model", .config = config};
        struct buf out;
        if (classes[i])
            in.class = tokenizer_class_find(str_from(classes[i]));
        buf_init(&out, 64u << 20);
        if (sentencepiece_write(&in, (struct str){(const char *)data, size}, &out, &e) == ST_OK &&
            !out.failed)
            load(buf_str(&out));
        buf_fini(&out);
    }
    tokenizer_config_free(config);
    return 0;
}
