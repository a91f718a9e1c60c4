/* Showing the options: --help, docs/flags.md and --env, from the same rows that are read. */
#include "app/options_int.h"
#include <stdio.h>
#include <string.h>

static const char *const group_titles[GROUP_COUNT] = {
#define GROUP(id, title) [GROUP_##id] = title,
#define OPTION(...)
#include "app/options.def"
#undef OPTION
#undef GROUP
};

/* ---- help ---- */

#define HELP_COLUMN 46
#define HELP_WIDTH  110

/* Words from HELP_COLUMN on, wrapped. */
static void help_text(struct buf *out, const char *text)
{
    size_t at = HELP_COLUMN;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (at > HELP_COLUMN && at + 1 + n > HELP_WIDTH) {
            buf_printf(out, "\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        } else if (at > HELP_COLUMN) {
            buf_put_char(out, ' ');
            at++;
        }
        buf_put(out, text, n);
        at += n;
        text += n + (text[n] == ' ');
    }
}

/* "env: PORT, default: 3000; not served by this version" */
static void note(struct buf *out, const struct option_row *row)
{
    static const char *const states[] = {[SERVED] = NULL,
                                         [INERT] = "no effect here",
                                         [QUIET] = "not used here",
                                         [NOT_YET] = "not served by this version"};
    if (row->env && row->flag)
        buf_printf(out, "env: %s", row->env);
    if (row->def && row->type != SWITCH)
        buf_printf(out, "%sdefault: %s", out->n ? ", " : "", row->def);
    if (states[row->state])
        buf_printf(out, "%s%s", out->n ? "; " : "", states[row->state]);
}

/* "  -p, --port PORT", or the variable's name. */
static void left_column(struct buf *out, const struct option_row *row)
{
    const char *value = row->type == SWITCH ? NULL : row->type == CHOICE ? "NAME" : row->choices;
    if (row->short_flag)
        buf_printf(out, "  -%c, --%s", row->short_flag, row->flag);
    else if (row->flag)
        buf_printf(out, "      --%s", row->flag);
    else
        buf_printf(out, "  %s", row->env);
    if (value)
        buf_printf(out, "%c%s", row->flag ? ' ' : '=', value);
}

/* Two columns; a left one that is too long has a line to itself. */
static void columns(struct buf *out, struct str left, const char *text, struct str below)
{
    buf_put_str(out, left);
    if (left.n >= HELP_COLUMN - 1)
        buf_printf(out, "\n%*s", HELP_COLUMN, "");
    else
        buf_printf(out, "%*s", HELP_COLUMN - (int)left.n, "");
    help_text(out, text);
    if (below.n)
        buf_printf(out, "\n%*s[" STR_FMT "]", HELP_COLUMN, "", STR_ARG(below));
    buf_put_char(out, '\n');
}

static void help_row(struct buf *out, const struct option_row *row)
{
    struct buf left, text, below;
    buf_init(&left, 1 << 10);
    buf_init(&text, 4 << 10);
    buf_init(&below, 1 << 10);
    left_column(&left, row);
    buf_printf(&text, "%s%s%s", row->help, row->type == CHOICE ? "; one of: " : "",
               row->type == CHOICE ? row->choices : "");
    buf_put_char(&text, '\0');
    note(&below, row);
    columns(out, buf_str(&left), text.p, buf_str(&below));
    buf_fini(&left);
    buf_fini(&text);
    buf_fini(&below);
}

static void help_aliases(struct buf *out)
{
    size_t n;
    const struct option_alias *alias = option_aliases(&n);
    buf_printf(out, "\nNames that other platforms have for these variables:\n");
    for (size_t i = 0; i < n; i++, alias++) {
        char left[80], below[128];
        int n_left = snprintf(left, sizeof left, "  %s", alias->name);
        int n_below = snprintf(below, sizeof below, "means: %s%s%s", option_rows[alias->option].env,
                               alias->values ? "; " : "", alias->values ? alias->values : "");
        columns(out, (struct str){left, (size_t)n_left}, alias->help, (struct str){below, (size_t)n_below});
    }
}

void options_help(struct buf *out)
{
    for (unsigned g = 0; g < GROUP_COUNT; g++) {
        buf_printf(out, "\n%s:\n", group_titles[g]);
        for (unsigned id = 0; id < OPT_COUNT; id++)
            if (option_rows[id].group == g)
                help_row(out, &option_rows[id]);
    }
    help_aliases(out);
}

/* ---- docs/flags.md ---- */

/* A cell: bars would end it. */
static void cell(struct buf *out, const char *text)
{
    for (; text && *text; text++)
        buf_printf(out, "%s%c", *text == '|' ? "\\" : "", *text);
}

static void markdown_row(struct buf *out, const struct option_row *row)
{
    static const char *const states[] = {
        [SERVED] = "served", [INERT] = "no effect, one warning", [QUIET] = "not used", [NOT_YET] = "refused"};
    buf_printf(out, "| ");
    if (row->flag)
        buf_printf(out, "`--%s`", row->flag);
    if (row->short_flag)
        buf_printf(out, ", `-%c`", row->short_flag);
    buf_printf(out, " | %s | ", row->env ? row->env : "");
    if (row->def && row->type != SWITCH)
        buf_printf(out, "`%s`", row->def);
    buf_printf(out, " | %s | ", states[row->state]);
    cell(out, row->help);
    if (row->type == CHOICE) {
        buf_printf(out, "; one of: ");
        cell(out, row->choices);
    }
    buf_printf(out, " |\n");
}

void options_markdown(struct buf *out)
{
    size_t n;
    const struct option_alias *alias = option_aliases(&n);
    for (unsigned g = 0; g < GROUP_COUNT; g++) {
        buf_printf(out, "\n## %s\n\n| flag | variable | default | here | |\n|---|---|---|---|---|\n",
                   group_titles[g]);
        for (unsigned id = 0; id < OPT_COUNT; id++)
            if (option_rows[id].group == g)
                markdown_row(out, &option_rows[id]);
    }
    buf_printf(out, "\n## Names that other platforms have\n\n| variable | means | whose |\n|---|---|---|\n");
    for (size_t i = 0; i < n; i++, alias++)
        buf_printf(out, "| %s | %s%s%s | %s |\n", alias->name, option_rows[alias->option].env,
                   alias->values ? ": " : "", alias->values ? alias->values : "", alias->help);
}

/* ---- --env ---- */

static bool is_secret(enum option_id id)
{
    return id == OPT_API_KEY || id == OPT_NGROK_AUTHTOKEN || id == OPT_HF_TOKEN || id == OPT_HF_TOKEN_OLD ||
           id == OPT_HF_API_TOKEN || id == OPT_HTTPS_PROXY; /* proxies may have passwords */
}

void options_describe(const struct options *o, struct buf *out)
{
    static const char *const sources[] = {"unset", "default", "environment", "flag"};
    for (unsigned id = 0; id < OPT_COUNT; id++) {
        const struct option_value *v = &o->value[id];
        if (v->source == OPTION_UNSET)
            continue;
        buf_printf(out, "%s = %s (%s)\n", option_rows[id].flag ? option_rows[id].flag : option_rows[id].env,
                   is_secret(id) ? "***" : v->text, sources[v->source]);
    }
}
