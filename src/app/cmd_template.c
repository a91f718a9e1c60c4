/* prompteur template: what a chat template makes of a conversation. JSON lines of variables in, {"text": ...}
 * or
 * {"error": ...} out.
 *
 * The variables are those that transformers passes: messages, tools and documents (null when absent),
 * add_generation_prompt (false when absent), the model's special tokens (bos_token, ...) and any other that
 * the line has. `now` is the time that strftime_now() sees. */
#define LOG_MODULE "template"
#include "app/commands.h"
#include "app/json_lines.h"
#include "app/load.h"
#include "base/log.h"
#include "text/chat.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (64u << 20)
#define TEXT_MAX_BYTES (256u << 20)

struct template_run {
    struct tokenizer *tokenizer; /* NULL with --template */
    struct chat *chat;
    struct buf text;
};

/* ---- the template ---- */

static enum status from_file(const char *path, struct chat **out, struct err *e)
{
    struct buf source;
    buf_init(&source, TEMPLATE_MAX_SOURCE_BYTES);
    enum status st = buf_read_file(&source, path, e);
    if (st == ST_OK)
        st = chat_from_source(buf_str(&source), out, e);
    buf_fini(&source);
    return st;
}

static enum status from_model(const struct options *o, struct template_run *run, struct err *e)
{
    char dir[MODEL_DIR_MAX];
    enum status st = model_dir_find(o, true, dir, e);
    if (st == ST_OK)
        st = tokenizer_open_with(dir, option_text(o, OPT_TOKENIZER_CONFIG_PATH), &run->tokenizer, e);
    if (st == ST_OK)
        st = chat_new(run->tokenizer, &run->chat, e);
    return st == ST_NOT_FOUND ? err_prefix(e, "--template FILE gives one") : st;
}

/* ---- a line ---- */

/* "2024-06-01T12:30:00", with or without time and fraction of a second. */
static enum status parse_now(const struct json_val *v, struct tm *out, int *out_us, struct err *e)
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
    *out_us = (int)((seconds - tm.tm_sec) * 1e6 + 0.5);
    if (mktime(&tm) == (time_t)-1) /* fills in the day of the week and of the year */
        return err_set(e, ST_INVALID, "`now` is no time of this calendar");
    *out = tm;
    return ST_OK;
}

static enum status render(struct template_run *run, const struct chat_input *in, struct json_writer *w,
                          struct err *e)
{
    buf_clear(&run->text);
    enum status st = chat_render(run->chat, in, &run->text, e);
    if (st != ST_OK && st != ST_INVALID)
        return st;
    jw_key(w, st == ST_OK ? "text" : "error"); /* of a message of the template nothing is cut off */
    jw_str(w, buf_str(&run->text));
    return ST_OK;
}

/* Every member of the line is a variable, but for `now`. */
static enum status answer(void *self, const struct json_val *line, size_t n_bytes, struct json_writer *w,
                          struct err *e)
{
    struct chat_input in = {.n_bytes = n_bytes};
    struct json_iter it = json_iter(line);
    const struct json_val *v;
    struct str key;
    struct tm now;
    enum status st = ST_OK;
    if (!json_is(line, JSON_OBJECT) || !json_is(json_get(line, STR("messages")), JSON_ARRAY))
        return err_set(e, ST_INVALID, "the line is no object with a list `messages`");
    struct template_var *vars = malloc(json_len(line) * sizeof *vars);
    if (!vars)
        return err_set(e, ST_NO_MEMORY, "no memory for the variables");
    in.more = vars;
    while (st == ST_OK && (v = json_next(&it, &key))) {
        if (str_eq(key, STR("now"))) {
            st = parse_now(v, &now, &in.now_us, e);
            in.now = &now;
            continue;
        }
        if (str_eq(key, STR("tools"))) /* they may have a template of their own */
            in.tools = v;
        vars[in.n_more++] = (struct template_var){.name = key, .json = v};
    }
    if (st == ST_OK)
        st = render(self, &in, w, e);
    free(vars);
    return st;
}

int command_template(const struct options *o)
{
    struct template_run run = {0};
    struct err e = {0};
    const char *file = option_text(o, OPT_TEMPLATE);
    enum status st = file ? from_file(file, &run.chat, &e) : from_model(o, &run, &e);
    buf_init(&run.text, TEXT_MAX_BYTES);
    if (st == ST_OK)
        st = json_lines_run(&(struct json_lines){answer, &run, LINE_MAX_BYTES, 2 * TEXT_MAX_BYTES}, &e);
    if (st != ST_OK)
        log_error("%s", e.text);
    buf_fini(&run.text);
    chat_free(run.chat);
    tokenizer_free(run.tokenizer);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
