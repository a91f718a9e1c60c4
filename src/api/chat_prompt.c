/* Messages -> prompt. Templates are written for messages whose content is a string, so lists of parts become
 * one; members that a client says are null are as good as absent, because templates ask "is it defined". */
#include "api/chat_prompt.h"
#include "text/stop.h"
#include <stdio.h>
#include <stdlib.h>

#define MESSAGES_MAX_BYTES (64u << 20)
#define PROMPT_MAX_BYTES   (64u << 20)
#define MAX_KWARGS         64

/* Messages being rewritten: valid ones as JSON for the template. */
struct rewrite {
    struct json_writer w;
    char path[64];
    bool developer_is_system; /* the template does not know the role */
    bool calls_are_content;   /* nor tool_calls: their JSON is what the assistant said */
    struct err *e;
    enum api_error *failure;
};

/* ---- one message ---- */

static enum status part_text(struct rewrite *x, const struct json_val *part, size_t i, struct buf *out)
{
    char path[96];
    struct str type, text;
    const struct json_val *t = json_get(part, STR("type")), *v = json_get(part, STR("text"));
    snprintf(path, sizeof path, "%s.content[%zu]", x->path, i);
    if (!json_is(part, JSON_OBJECT))
        return shape_wrong_type(path, part, "a map", x->e);
    if (!json_str(t, &type))
        return shape_missing(path, "type", x->e);
    if (str_eq(type, STR("image_url"))) {
        *x->failure = API_VALIDATION;
        return err_set(x->e, ST_UNSUPPORTED, "%s: image modality is not supported by this model", path);
    }
    if (!str_eq(type, STR("text")))
        return shape_refuse(x->e, "%s: unknown variant `" STR_FMT "`, expected `text` or `image_url`", path,
                            STR_ARG(type));
    if (!v)
        return shape_missing(path, "text", x->e);
    if (!json_str(v, &text))
        return shape_wrong_type(path, v, "a string", x->e);
    buf_put_str(out, text);
    return ST_OK;
}

static enum status write_parts(struct rewrite *x, const struct json_val *parts)
{
    const struct json_val *part;
    struct json_iter it = json_iter(parts);
    struct buf text;
    enum status st = ST_OK;
    buf_init(&text, MESSAGES_MAX_BYTES);
    for (size_t i = 0; st == ST_OK && (part = json_next(&it, NULL)); i++)
        st = part_text(x, part, i, &text);
    jw_str(&x->w, buf_str(&text));
    x->w.out->failed |= text.failed;
    buf_fini(&text);
    return st;
}

static bool has_calls(const struct json_val *message)
{
    const struct json_val *calls = json_get(message, STR("tool_calls"));
    return json_is(calls, JSON_ARRAY) && json_len(calls) > 0;
}

static void write_calls(struct rewrite *x, const struct json_val *calls)
{
    struct json_writer w;
    struct buf text;
    buf_init(&text, MESSAGES_MAX_BYTES);
    jw_init(&w, &text);
    jw_value(&w, calls);
    jw_key(&x->w, "content");
    jw_str(&x->w, buf_str(&text));
    x->w.out->failed |= text.failed;
    buf_fini(&text);
}

static enum status check_message(const struct rewrite *x, const struct json_val *message)
{
    const struct json_val *role = json_get(message, STR("role")),
                          *content = json_get(message, STR("content"));
    if (!json_is(message, JSON_OBJECT))
        return shape_wrong_type(x->path, message, "struct Message", x->e);
    if (!role)
        return shape_missing(x->path, "role", x->e);
    if (!json_is(role, JSON_STRING))
        return shape_wrong_type(x->path, role, "a string as `role`", x->e);
    if (json_is_none(content) && !has_calls(message))
        return shape_refuse(x->e, "%s: a message needs `content` or `tool_calls`", x->path);
    if (!json_is_none(content) && !json_is(content, JSON_STRING) && !json_is(content, JSON_ARRAY))
        return shape_wrong_type(x->path, content, "a string or a list of parts as `content`", x->e);
    return ST_OK;
}

static enum status write_message(struct rewrite *x, const struct json_val *message)
{
    const struct json_val *v;
    struct json_iter it = json_iter(message);
    struct str key, text;
    enum status st = check_message(x, message);
    if (st != ST_OK)
        return st;
    jw_object(&x->w);
    while (st == ST_OK && (v = json_next(&it, &key))) {
        if (json_is_none(v))
            continue;
        jw_name(&x->w, key);
        if (str_eq(key, STR("content")) && json_is(v, JSON_ARRAY))
            st = write_parts(x, v);
        else if (str_eq(key, STR("role")) && x->developer_is_system && json_str(v, &text) &&
                 str_eq(text, STR("developer")))
            jw_cstr(&x->w, "system");
        else
            jw_value(&x->w, v);
    }
    if (x->calls_are_content && json_is_none(json_get(message, STR("content"))))
        write_calls(x, json_get(message, STR("tool_calls")));
    jw_end_object(&x->w);
    return st;
}

/* ---- all of them ---- */

static enum status rewrite_messages(struct rewrite *x, const struct json_val *messages)
{
    const struct json_val *message;
    struct json_iter it = json_iter(messages);
    enum status st = ST_OK;
    jw_array(&x->w);
    for (size_t i = 0; st == ST_OK && (message = json_next(&it, NULL)); i++) {
        snprintf(x->path, sizeof x->path, "messages[%zu]", i);
        st = write_message(x, message);
    }
    jw_end_array(&x->w);
    return st;
}

static bool template_mentions(const struct api *a, struct str word)
{
    return a->model.chat && chat_mentions(a->model.chat, word);
}

/* The client's messages as a document of our own. */
static enum status read_messages(const struct api *a, const struct json_val *root, enum api_error *failure,
                                 struct json_doc **out, struct err *e)
{
    const struct json_val *messages = json_get(root, STR("messages"));
    struct buf json;
    if (!json_is(root, JSON_OBJECT))
        return shape_wrong_type("", root, "struct ChatRequest", e);
    if (!messages)
        return shape_missing("", "messages", e);
    if (!json_is(messages, JSON_ARRAY))
        return shape_wrong_type("messages", messages, "a sequence", e);
    buf_init(&json, MESSAGES_MAX_BYTES);
    struct rewrite x = {.developer_is_system = !template_mentions(a, STR("developer")),
                        .calls_are_content = !template_mentions(a, STR("tool_calls")),
                        .e = e,
                        .failure = failure};
    jw_init(&x.w, &json);
    enum status st = rewrite_messages(&x, messages);
    if (st == ST_OK && json.failed)
        st = err_set(e, ST_LIMIT, "the conversation is too long");
    if (st == ST_OK)
        st = json_parse(buf_str(&json), 0, out, e);
    buf_fini(&json);
    return st;
}

/* chat_template_kwargs: variables for the template. */
static enum status read_kwargs(const struct json_val *root, struct template_var vars[MAX_KWARGS], size_t *n,
                               struct err *e)
{
    const struct json_val *kwargs = json_get(root, STR("chat_template_kwargs")), *v;
    struct json_iter it = json_iter(kwargs);
    struct str name;
    *n = 0;
    if (json_is_none(kwargs))
        return ST_OK;
    if (!json_is(kwargs, JSON_OBJECT))
        return shape_wrong_type("chat_template_kwargs", kwargs, "a map", e);
    if (json_len(kwargs) > MAX_KWARGS)
        return shape_refuse(e, "chat_template_kwargs: at most %d variables", MAX_KWARGS);
    while ((v = json_next(&it, &name))) {
        if (str_eq(name, STR("messages")) || str_eq(name, STR("tools")))
            return shape_refuse(e, "chat_template_kwargs: `" STR_FMT "` has its own field", STR_ARG(name));
        vars[(*n)++] = (struct template_var){.name = name, .json = v};
    }
    return ST_OK;
}

/* *end: where `content` is found last in the text, if it is. Linear, which looking for one after the other is
 * not: "aaa" is in "aaaaaa" everywhere. */
static enum status end_of_last(struct str text, struct str content, size_t *end, struct err *e)
{
    struct stop_set set;
    size_t at, n, from = 0;
    if (stop_set_init(&set, &content, 1) != ST_OK)
        return err_set(e, ST_NO_MEMORY, "no memory to continue the last message");
    while (stop_set_feed(&set, (struct str){text.p + from, text.n - from}, &at, &n))
        *end = from += at;
    stop_set_fini(&set);
    return ST_OK;
}

/* TGI: a conversation that ends with the assistant is to be continued: what the template writes behind that
 * last message goes. */
static enum status continue_last(const struct json_val *messages, struct buf *text, struct err *e)
{
    const struct json_val *last = json_at(messages, json_len(messages) - 1);
    struct str role, content;
    if (json_len(messages) == 0 || !json_str(json_get(last, STR("role")), &role) ||
        !str_eq(role, STR("assistant")) || !json_str(json_get(last, STR("content")), &content))
        return ST_OK;
    enum status st = end_of_last(buf_str(text), content, &text->n, e);
    text->n = str_trim_end(buf_str(text)).n;
    return st;
}

/* Into `text`; on failure, too, when the sentence is the template's own. */
static enum status render(const struct api *a, const struct json_val *root, struct chat_input *in,
                          struct buf *text, enum api_error *failure, struct err *e)
{
    struct template_var vars[MAX_KWARGS];
    struct json_doc *doc;
    enum status st = read_messages(a, root, failure, &doc, e);
    if (st != ST_OK)
        return st;
    st = read_kwargs(root, vars, &in->n_more, e);
    if (st == ST_OK) {
        *failure = API_TEMPLATE;
        in->messages = json_root(doc);
        in->more = vars;
        st = a->model.chat ? chat_render(a->model.chat, in, text, e)
                           : err_set(e, ST_NOT_FOUND, "%s", a->model.no_chat);
    }
    if (st == ST_OK)
        st = continue_last(in->messages, text, e);
    json_free(doc);
    return st;
}

enum status chat_prompt_render(const struct api *a, const struct json_val *root, size_t n_bytes,
                               bool with_tools, struct arena *arena, struct chat_prompt *out, struct err *e)
{
    struct buf text;
    struct chat_input in = {.tools = with_tools ? json_get(root, STR("tools")) : NULL,
                            .add_generation_prompt = true,
                            .n_bytes = n_bytes};
    *out = (struct chat_prompt){.failure = API_SHAPE_ERROR, .reason = e->text};
    buf_init(&text, PROMPT_MAX_BYTES);
    enum status st = render(a, root, &in, &text, &out->failure, e);
    bool is_raised = st == ST_INVALID && out->failure == API_TEMPLATE && text.n > 0;
    if (st == ST_OK || is_raised)
        out->text = arena_strdup(arena, buf_str(&text));
    buf_fini(&text);
    if (is_raised && out->text.p)
        out->reason = out->text.p;
    if (st == ST_OK && !out->text.p)
        st = err_set(e, ST_NO_MEMORY, "the conversation needs too much memory");
    return st;
}
