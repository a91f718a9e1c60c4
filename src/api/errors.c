/* The table of errors; as TGI words them. No text here or passed here holds a
 * path. */
#include "api/errors.h"
#include "json/json.h"

static const struct {
    unsigned http_status;
    const char *type, *text, *metric_label;
    bool early;
} errors[API_ERROR_COUNT] = {
    [API_OVERLOADED] = {429, "overloaded", "Model is overloaded", "overloaded", false},
    [API_VALIDATION] = {422, "validation", "Input validation error: ", "validation", false},
    [API_GENERATION] = {424, "generation", "Request failed during generation: ", "generation", false},
    [API_INCOMPLETE] = {500, "incomplete_generation", "Incomplete generation", "incomplete", false},
    [API_INCOMPLETE_STREAM] = {500, "incomplete_generation_stream", "Incomplete generation stream",
                               "incomplete", false},
    [API_TEMPLATE] = {422, "template_error", "Template error: ", "template", true},
    [API_TOOL] = {422, "tool_error", "Tool error: ", "validation", true},
    [API_SUFFIX] = {422, "suffix not supported",
                    "Suffix is not supported and can be achieved by preprocessing the prompt.", "validation",
                    true},
    [API_TOO_MANY_PROMPTS] = {422, "batch size exceeded",
                              "Number of prompts exceeds the maximum allowed batch size of ", "validation",
                              true},
    [API_UNHEALTHY] = {503, "healthcheck", "unhealthy", NULL, false},
    [API_LOADING] = {503, "loading", "The model is still loading", NULL, false},
};

unsigned api_error_http_status(enum api_error kind)
{
    return errors[kind].http_status;
}

const char *api_error_type(enum api_error kind)
{
    return errors[kind].type;
}

const char *api_error_metric_label(enum api_error kind)
{
    return errors[kind].metric_label;
}

bool api_error_is_early(enum api_error kind)
{
    return errors[kind].early;
}

void api_error_sentence(enum api_error kind, const char *text, struct buf *out)
{
    buf_put_str(out, str_from(errors[kind].text));
    buf_put_str(out, str_from(text));
}

void api_error_render(enum api_error kind, const char *text, struct buf *out)
{
    struct json_writer w;
    struct buf sentence;
    buf_init(&sentence, out->max);
    api_error_sentence(kind, text, &sentence);
    jw_init(&w, out);
    jw_object(&w);
    jw_key(&w, "error");
    jw_str(&w, buf_str(&sentence));
    jw_key(&w, "error_type");
    jw_cstr(&w, errors[kind].type);
    jw_end_object(&w);
    out->failed |= sentence.failed;
    buf_fini(&sentence);
}
