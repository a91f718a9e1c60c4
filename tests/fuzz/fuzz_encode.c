/* Any text through two small tokenizers of the two families: offsets stay inside, decoding what was encoded
 * gives the text back where the family promises it, streaming gives what decoding gives. */
#include "text/stream.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char byte_level[] =
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
    "\"(?i:'s|'t)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
    "?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
    "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_"
    "regex\":false}]},"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"added_tokens\":[]}";

/* The document above with all 256 byte tokens and a few merges. */
static struct tokenizer *byte_level_new(void)
{
    struct buf json;
    struct tokenizer *t = NULL;
    struct err e;
    const char *vocab = strstr(byte_level, "\"vocab\":{") + 9;
    buf_init(&json, 1u << 20);
    buf_put(&json, byte_level, (size_t)(vocab - byte_level));
    for (unsigned byte = 0, id = 0; byte < 256; byte++, id++) {
        bool itself = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        static unsigned shifted;
        unsigned cp = itself ? byte : 0x100 + (byte == 0 ? (shifted = 0) : shifted);
        shifted += !itself;
        buf_printf(&json, "%s\"\\u%04x\":%u", byte ? "," : "", cp, id);
    }
    buf_printf(&json, ",\"he\":256,\"ll\":257,\"hell\":258,\"aa\":259,\"aaaa\":260");
    const char *merges = strstr(vocab, "\"merges\":[") + 10;
    buf_put(&json, vocab, (size_t)(merges - vocab));
    buf_printf(&json, "\"h e\",\"l l\",\"he ll\",\"a a\",\"aa aa\"");
    buf_put(&json, merges, strlen(merges));
    if (tokenizer_from_json(buf_str(&json), &t, &e) != ST_OK)
        abort();
    buf_fini(&json);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *t;
    struct str text = {(const char *)data, size};
    struct tokens tokens;
    struct err e;
    struct buf decoded;
    struct stream s;
    if (!t)
        t = byte_level_new();
    if (tokenizer_encode(t, text, 0, &tokens, &e) != ST_OK) {
        if (utf8_valid(text))
            abort();
        return 0;
    }
    for (size_t i = 0; i < tokens.n; i++)
        if (tokens.start[i] >= tokens.stop[i] || tokens.stop[i] > size)
            abort();
    buf_init(&decoded, 1u << 26);
    tokenizer_decode(t, tokens.ids, tokens.n, true, &decoded);
    if (!str_eq(buf_str(&decoded), text))
        abort();
    if (stream_init(&s, t, NULL, 0, NULL, 0) != ST_OK)
        abort();
    for (size_t i = 0; i < tokens.n; i++) {
        struct str delta;
        bool stopped;
        if (stream_push(&s, tokens.ids[i], &delta, &stopped) != ST_OK || !utf8_valid(delta))
            abort();
    }
    if (s.text.n > size)
        abort();
    stream_fini(&s);
    buf_fini(&decoded);
    tokens_fini(&tokens);
    return 0;
}
