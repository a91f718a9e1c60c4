/* The files beside a vocabulary from anybody: tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json and generation_config.json, with a NUL between them, over one small tokenizer. What loads
 * encodes and decodes some text and tells what it knows. */
#include "text/tokenizer_int.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char vocabulary[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"special\":true}],\"padding\":{\"pad_token\":\"[PAD]"
    "\"},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"<s>\":0,\"a\":1,\"b\":2,\"ab\":3},\"merges\":[\"a b\"]}}";

static void use(const struct tokenizer *t)
{
    struct str name, text;
    struct tokens tokens;
    const int32_t *eos;
    struct buf out;
    struct err e;
    for (size_t i = 0; tokenizer_special(t, i, &name, &text); i++)
        (void)tokenizer_special_id(t, name);
    (void)tokenizer_all_eos(t, &eos);
    if (tokenizer_encode(t, STR("<s>ab <s> b[PAD] <x>a"), TOKENIZER_ADD_SPECIAL, &tokens, &e) != ST_OK)
        return;
    buf_init(&out, 1u << 24);
    tokenizer_decode(t, tokens.ids, tokens.n, tokenizer_cleans_up(t), &out);
    buf_fini(&out);
    tokens_fini(&tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer_config *config;
    struct tokenizer *t;
    struct json_doc *doc;
    struct err e;
    if (tokenizer_config_empty(&config, &e) != ST_OK)
        return 0;
    struct json_doc **files[] = {&config->config, &config->special_map, &config->added, &config->generation};
    for (size_t i = 0; i < sizeof files / sizeof *files && size; i++) {
        const uint8_t *end = memchr(data, 0, size);
        size_t n = end ? (size_t)(end - data) : size;
        if (json_parse((struct str){(const char *)data, n}, JSON_ALLOW_DUPLICATES, files[i], &e) != ST_OK)
            *files[i] = NULL;
        data += n + (end != NULL);
        size -= n + (end != NULL);
    }
    if (tokenizer_config_read(config, &e) != ST_OK ||
        json_parse(str_from(vocabulary), JSON_ALLOW_DUPLICATES, &doc, &e) != ST_OK) {
        tokenizer_config_free(config);
        return 0;
    }
    struct str class_name;
    struct special_source from = {.class = tokenizer_class_of(config, &class_name)};
    from.made = from.class && size % 2 == 0;
    if (tokenizer_from_document(doc, config, &from, &t, &e) == ST_OK) {
        use(t);
        tokenizer_free(t);
    }
    return 0;
}
