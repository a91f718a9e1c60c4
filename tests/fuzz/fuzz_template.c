/* Chat templates: any source with any variables ends in a text or an error, within small limits. The input is
 * a template, then a zero byte and the variables as a JSON object; without these, fixed ones. */
#include "text/template.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fixed[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi "
                            "\\u00e9\\ud83d\\ude00\"},{\"role\":\"assistant\",\"content\":null,"
                            "\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":"
                            "1.5}}}]}],\"tools\":[{\"a\":[1,2,3]}],"
                            "\"x\":[3,1,2],\"d\":{\"b\":1,\"a\":\"z\"},\"s\":\"a-b "
                            "c\",\"n\":-7,\"f\":2.5,\"t\":true,\"add_generation_prompt\":true}";

static void render(const struct chat_template *t, const struct json_val *vars)
{
    struct template_var var[32];
    struct template_context ctx = {.vars = var, .max_steps = 20000, .max_memory_bytes = 4u << 20};
    struct json_iter it = json_iter(vars);
    struct buf out;
    struct err e = {0};
    ctx.now.tm_mday = 1;
    for (; ctx.n_vars < 32 && (var[ctx.n_vars].json = json_next(&it, &var[ctx.n_vars].name)); ctx.n_vars++)
        var[ctx.n_vars].is_text = false;
    buf_init(&out, 1u << 20);
    enum status st = chat_template_render(t, &ctx, &out, &e);
    if (st != ST_OK && !e.status)
        abort();
    if (st == ST_OK && !utf8_valid(buf_str(&out)))
        abort();
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    struct str source = {(const char *)data, zero ? (size_t)(zero - data) : size};
    struct str json = zero ? (struct str){(const char *)zero + 1, size - source.n - 1} : str_from(fixed);
    struct chat_template *t;
    struct json_doc *doc;
    struct err e = {0};
    if (chat_template_compile(source, &t, &e) != ST_OK)
        return 0;
    if (json_parse(json, JSON_ALLOW_DUPLICATES, &doc, &e) == ST_OK) {
        if (json_is(json_root(doc), JSON_OBJECT))
            render(t, json_root(doc));
        json_free(doc);
    }
    chat_template_free(t);
    return 0;
}
