/* prompteur template: what a chat template makes of a conversation. JSON lines of variables in, {"text": ...}
 * or
 * {"error": ...} out.
 *
 * The variables are those that transformers passes: messages, tools and documents (null when absent),
 * add_generation_prompt, bos_token, eos_token and any other. `now` is the time that strftime_now() sees. */
#define LOG_MODULE "template"
#include "app/commands.h"
#include "app/json_lines.h"
#include "app/load.h"
#include "base/log.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define LINE_MAX_BYTES (64u << 20)
#define TEXT_MAX_BYTES (256u << 20)

struct template_run {
    struct chat_template *template;
    struct buf text;
};

/* ---- the template ---- */

static enum status from_file(const char *path, struct chat_template **out, struct err *e)
{
    struct buf source;
    buf_init(&source, TEMPLATE_MAX_SOURCE_BYTES);
    enum status st = buf_read_file(&source, path, e);
    if (st == ST_OK)
        st = chat_template_compile(buf_str(&source), out, e);
    buf_fini(&source);
    return st;
}

static enum status from_model(const struct options *o, struct chat_template **out, struct err *e)
{
    char dir[MODEL_DIR_MAX];
    bool is_demo;
    struct tokenizer *tokenizer = NULL;
    enum status st = model_dir_find(o, dir, &is_demo, e);
    if (st == ST_OK)
        st = tokenizer_open(dir, &tokenizer, e);
    if (st == ST_OK && tokenizer_chat_template(tokenizer).n == 0)
        st = err_set(e, ST_NOT_FOUND, "the model has no chat template; --template FILE gives one");
    if (st == ST_OK)
        st = chat_template_compile(tokenizer_chat_template(tokenizer), out, e);
    tokenizer_free(tokenizer);
    return st;
}

/* ---- a line ---- */

/* "2024-06-01T12:30:00", with or without time and fraction of a second. */
static enum status parse_now(const struct json_val *v, struct template_context *ctx, struct err *e)
{
    struct str s;
    struct tm tm = {.tm_isdst = -1};
    char text[64], rest = '\0';
    double seconds = 0;
    if (!json_str(v, &s) || s.n >= sizeof text)
        return err_set(e, ST_INVALID, "`now` is no time like 2024-06-01T12:30:00");
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    int n = sscanf(text, "%4d-%2d-%2d%*1[T ]%2d:%2d:%lf%c", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
                   &tm.tm_min, &seconds, &rest);
    bool fits = tm.tm_year >= 1900 && tm.tm_mon >= 1 && tm.tm_mon <= 12 && tm.tm_mday >= 1 &&
                tm.tm_mday <= 31 && tm.tm_hour >= 0 && tm.tm_hour < 24 && tm.tm_min >= 0 && tm.tm_min < 60 &&
                seconds >= 0 && seconds < 60;
    if ((n != 3 && n != 5 && n != 6) || !fits)
        return err_set(e, ST_INVALID, "`now` is no time like 2024-06-01T12:30:00");
    tm.tm_year -= 1900;
    tm.tm_mon--;
    tm.tm_sec = (int)seconds;
    ctx->now_us = (int)((seconds - tm.tm_sec) * 1e6 + 0.5);
    if (mktime(&tm) == (time_t)-1) /* fills in the day of the week and of the year */
        return err_set(e, ST_INVALID, "`now` is no time of this calendar");
    ctx->now = tm;
    return ST_OK;
}

static void now_local(struct template_context *ctx)
{
    struct timeval tv;
    gettimeofday(&tv, NULL);
    localtime_r(&tv.tv_sec, &ctx->now);
    ctx->now_us = (int)tv.tv_usec;
}

/* transformers passes these even when nobody gave them; `absent` stands for false. */
static size_t put_defaults(struct template_var *vars, const struct json_val *line,
                           const struct json_val *absent)
{
    static const char *const names[] = {"tools", "documents", "add_generation_prompt"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!json_get(line, str_from(names[i])))
            vars[n++] = (struct template_var){.name = str_from(names[i]), .json = i == 2 ? absent : NULL};
    return n;
}

static enum status render(struct template_run *run, struct template_context *ctx, struct json_writer *w,
                          struct err *e)
{
    buf_clear(&run->text);
    enum status st = chat_template_render(run->template, ctx, &run->text, e);
    if (st != ST_OK && st != ST_INVALID)
        return st;
    jw_key(w, st == ST_OK ? "text" : "error"); /* of a message of the template nothing is cut off */
    jw_str(w, buf_str(&run->text));
    return ST_OK;
}

static enum status answer(void *self, const struct json_val *line, struct json_writer *w, struct err *e)
{
    struct template_context ctx = {0};
    struct json_doc *absent = NULL;
    struct json_iter it = json_iter(line);
    const struct json_val *v;
    struct str key;
    enum status st = ST_OK;
    if (!json_is(line, JSON_OBJECT) || !json_is(json_get(line, STR("messages")), JSON_ARRAY))
        return err_set(e, ST_INVALID, "the line is no object with a list `messages`");
    struct template_var *vars = malloc((json_len(line) + 3) * sizeof *vars);
    if (!vars || json_parse(STR("false"), 0, &absent, NULL) != ST_OK) {
        free(vars);
        return err_set(e, ST_NO_MEMORY, "no memory for the variables");
    }
    ctx.vars = vars;
    ctx.n_vars = put_defaults(vars, line, json_root(absent));
    now_local(&ctx);
    while (st == ST_OK && (v = json_next(&it, &key))) {
        if (str_eq(key, STR("now")))
            st = parse_now(v, &ctx, e);
        else
            vars[ctx.n_vars++] = (struct template_var){.name = key, .json = v};
    }
    if (st == ST_OK)
        st = render(self, &ctx, w, e);
    json_free(absent);
    free(vars);
    return st;
}

int command_template(const struct options *o)
{
    struct template_run run = {0};
    struct err e = {0};
    const char *file = option_text(o, OPT_TEMPLATE);
    enum status st = file ? from_file(file, &run.template, &e) : from_model(o, &run.template, &e);
    buf_init(&run.text, TEXT_MAX_BYTES);
    if (st == ST_OK)
        st = json_lines_run(&(struct json_lines){answer, &run, LINE_MAX_BYTES, 2 * TEXT_MAX_BYTES}, &e);
    if (st != ST_OK)
        log_error("%s", e.text);
    buf_fini(&run.text);
    chat_template_free(run.template);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
