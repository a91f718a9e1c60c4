/* Options: one table drives parsing, the environment and --help.
 *
 * Values are kept as they were given and as what they mean, in an array indexed by option. Nothing here knows
 * what an option is for; rules between options belong to whoever uses them. */
#include "app/options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum option_type { TEXT, UINT, REAL, SWITCH, CHOICE, BOOL, LIST };
enum option_state { SERVED, INERT, NOT_YET };
enum option_group {
#define GROUP(id, title) GROUP_##id,
#define OPTION(...)
#include "app/options.def"
#undef OPTION
#undef GROUP
    GROUP_COUNT,
};

static const char *const group_titles[GROUP_COUNT] = {
#define GROUP(id, title) [GROUP_##id] = title,
#define OPTION(...)
#include "app/options.def"
#undef OPTION
#undef GROUP
};

struct option_row {
    const char *flag, *env, *def, *choices, *help;
    double min, max;
    enum option_type type;
    enum option_state state;
    enum option_group group;
    char short_flag;
};

static const struct option_row table[OPT_COUNT] = {
#define GROUP(id, title)
#define OPTION(id_, flag_, short_, env_, type_, def_, min_, max_, choices_, state_, group_, help_)           \
    [OPT_##id_] = {.flag = flag_,                                                                            \
                   .short_flag = short_,                                                                     \
                   .env = env_,                                                                              \
                   .type = type_,                                                                            \
                   .def = def_,                                                                              \
                   .min = min_,                                                                              \
                   .max = max_,                                                                              \
                   .choices = choices_,                                                                      \
                   .state = state_,                                                                          \
                   .group = GROUP_##group_,                                                                  \
                   .help = help_},
#include "app/options.def"
#undef OPTION
#undef GROUP
};

/* ---- values ---- */

/* The name a person knows the value by: "--port" or "PORT". */
static void value_name(char out[64], const struct option_row *row, enum option_source source)
{
    if (source == OPTION_ENVIRONMENT)
        snprintf(out, 64, "environment variable %s", row->env);
    else
        snprintf(out, 64, "--%s", row->flag);
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"true", "1", "yes"}, *const no[] = {"false", "0", "no"};
    for (size_t i = 0; i < 3; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *out = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool choice_has(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = choices; n && p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, text, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

static enum status parse_number(const struct option_row *row, const char *name, const char *text,
                                struct option_value *v, struct err *e)
{
    if (row->type == REAL) {
        if (!str_to_f64(str_from(text), &v->f64) || v->f64 < row->min || v->f64 > row->max)
            return err_set(e, ST_INVALID, "%s: `%s` is not a number between %g and %g", name, text, row->min,
                           row->max);
        return ST_OK;
    }
    if (!str_to_u64(str_from(text), &v->u64) || (double)v->u64 < row->min || (double)v->u64 > row->max)
        return err_set(e, ST_INVALID, "%s: `%s` is not a whole number between %.0f and %.0f", name, text,
                       row->min, row->max);
    return ST_OK;
}

static enum status refuse_not_yet(const struct option_row *row, const char *name, const char *text,
                                  struct err *e)
{
    if (row->state != NOT_YET || (row->def && strcmp(row->def, text) == 0))
        return ST_OK;
    if (row->def)
        return err_set(e, ST_INVALID, "%s: `%s` is not served by this version, only `%s` is", name, text,
                       row->def);
    return err_set(e, ST_INVALID, "%s is not served by this version; leave it out", name);
}

static enum status set_value(struct options *o, enum option_id id, enum option_source source,
                             const char *text, struct err *e)
{
    const struct option_row *row = &table[id];
    struct option_value *v = &o->value[id];
    char name[64];
    enum status st = ST_OK;
    value_name(name, row, source);
    switch (row->type) {
    case UINT:
    case REAL:
        st = parse_number(row, name, text, v, e);
        break;
    case SWITCH:
    case BOOL:
        if (!parse_bool(text, &v->flag))
            st = err_set(e, ST_INVALID, "%s: `%s` is neither true nor false", name, text);
        break;
    case CHOICE:
        if (!choice_has(row->choices, text))
            st = err_set(e, ST_INVALID, "%s: `%s` is none of: %s", name, text, row->choices);
        break;
    case LIST:
        if (v->source != source)
            v->n_list = 0;
        if (v->n_list == OPTION_LIST_MAX)
            st = err_set(e, ST_INVALID, "%s: more than %d values", name, OPTION_LIST_MAX);
        else
            v->list[v->n_list++] = text;
        break;
    case TEXT:
        break;
    }
    if (st == ST_OK && source != OPTION_DEFAULT)
        st = refuse_not_yet(row, name, text, e);
    if (st == ST_OK && source != OPTION_DEFAULT && row->state == INERT)
        buf_printf(&o->warnings, "%s has no effect here: %s\n", name, row->help);
    v->text = text;
    v->source = source;
    return st;
}

/* ---- sources ---- */

static enum status read_defaults(struct options *o, struct err *e)
{
    for (unsigned id = 0; id < OPT_COUNT; id++) {
        if (!table[id].def)
            continue;
        enum status st = set_value(o, id, OPTION_DEFAULT, table[id].def, e);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* A flag on the command line hides its variable, a bad value there included. */
static enum status read_environment(struct options *o, const bool *on_command_line, struct err *e)
{
    for (unsigned id = 0; id < OPT_COUNT; id++) {
        const char *text = table[id].env ? getenv(table[id].env) : NULL;
        if (!text || on_command_line[id])
            continue;
        if (strncmp(text, "tcp://", 6) == 0) {
            /* Kubernetes injects PORT=tcp://10.0.0.1:80 for a service that happens to have that name. */
            buf_printf(&o->warnings,
                       "environment variable %s=%s looks like a Kubernetes service link: ignored\n",
                       table[id].env, text);
            continue;
        }
        enum status st = set_value(o, id, OPTION_ENVIRONMENT, text, e);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status unknown_flag(const char *arg, struct err *e)
{
    struct str given = str_from(arg);
    size_t eq = str_find(given, STR("="), 0);
    if (eq != SIZE_MAX)
        given.n = eq;
    unsigned best = UINT32_MAX, best_id = 0;
    for (unsigned id = 0; id < OPT_COUNT; id++) {
        char flag[64];
        snprintf(flag, sizeof flag, "--%s", table[id].flag);
        unsigned d = str_distance(given, str_from(flag));
        if (d < best) {
            best = d;
            best_id = id;
        }
    }
    if (best <= given.n / 2)
        return err_set(e, ST_INVALID, "unknown option `" STR_FMT "`; did you mean `--%s`?", STR_ARG(given),
                       table[best_id].flag);
    return err_set(e, ST_INVALID, "unknown option `" STR_FMT "`; see prompteur --help", STR_ARG(given));
}

/* The option that `arg` names; *value points behind "=" or is NULL. OPT_COUNT: none. */
static unsigned match_flag(const char *arg, const char **value)
{
    *value = NULL;
    for (unsigned id = 0; id < OPT_COUNT; id++) {
        size_t n = strlen(table[id].flag);
        if (strncmp(arg, "--", 2) == 0 && strncmp(arg + 2, table[id].flag, n) == 0 &&
            (arg[2 + n] == '\0' || arg[2 + n] == '=')) {
            if (arg[2 + n] == '=')
                *value = arg + 3 + n;
            return id;
        }
        if (table[id].short_flag && arg[0] == '-' && arg[1] == table[id].short_flag) {
            if (arg[2])
                *value = arg + 2 + (arg[2] == '=');
            return id;
        }
    }
    return OPT_COUNT;
}

static enum status read_flag(struct options *o, int argc, char **argv, int *i, bool *seen, struct err *e)
{
    const char *value;
    unsigned id = match_flag(argv[*i], &value);
    if (id == OPT_COUNT)
        return argv[*i][0] == '-'
                   ? unknown_flag(argv[*i], e)
                   : err_set(e, ST_INVALID, "unexpected argument `%s`; see prompteur --help", argv[*i]);
    const struct option_row *row = &table[id];
    if (seen[id] && row->type != LIST)
        return err_set(e, ST_INVALID, "--%s is given twice", row->flag);
    seen[id] = true;
    if (row->type == SWITCH) {
        if (value)
            return err_set(e, ST_INVALID, "--%s takes no value", row->flag);
        return set_value(o, id, OPTION_FLAG, "true", e);
    }
    if (!value) {
        if (*i + 1 >= argc)
            return err_set(e, ST_INVALID, "--%s needs a value", row->flag);
        value = argv[++*i];
    }
    return set_value(o, id, OPTION_FLAG, value, e);
}

enum status options_parse(int argc, char **argv, struct options *o, struct err *e)
{
    bool seen[OPT_COUNT] = {false};
    memset(o, 0, sizeof *o);
    buf_init(&o->warnings, 64 << 10);
    enum status st = read_defaults(o, e);
    for (int i = 0; i < argc && st == ST_OK; i++)
        st = read_flag(o, argc, argv, &i, seen, e);
    if (st == ST_OK)
        st = read_environment(o, seen, e);
    if (st == ST_OK && o->value[OPT_MAX_INPUT_LENGTH].source > OPTION_DEFAULT) {
        if (option_is_set(o, OPT_MAX_INPUT_TOKENS))
            return err_set(
                e, ST_INVALID,
                "Both `max_input_tokens` (%s) and `max_input_length` (%s) are set. Please define only "
                "`max_input_tokens` as `max_input_length` is deprecated for naming consistency.",
                o->value[OPT_MAX_INPUT_TOKENS].text, o->value[OPT_MAX_INPUT_LENGTH].text);
        o->value[OPT_MAX_INPUT_TOKENS] = o->value[OPT_MAX_INPUT_LENGTH];
    }
    return st;
}

void options_fini(struct options *o)
{
    buf_fini(&o->warnings);
}

/* ---- reading ---- */

bool option_is_set(const struct options *o, enum option_id id)
{
    return o->value[id].source != OPTION_UNSET;
}

uint64_t option_u64(const struct options *o, enum option_id id, uint64_t fallback)
{
    return option_is_set(o, id) ? o->value[id].u64 : fallback;
}

double option_f64(const struct options *o, enum option_id id, double fallback)
{
    return option_is_set(o, id) ? o->value[id].f64 : fallback;
}

const char *option_text(const struct options *o, enum option_id id)
{
    return option_is_set(o, id) ? o->value[id].text : NULL;
}

bool option_flag(const struct options *o, enum option_id id)
{
    return option_is_set(o, id) && o->value[id].flag;
}

/* ---- help ---- */

#define HELP_COLUMN 46
#define HELP_WIDTH  110

static void help_text(struct buf *out, const char *text, unsigned column)
{
    unsigned at = column;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, " ");
        if (at + n > HELP_WIDTH && at > HELP_COLUMN) {
            buf_printf(out, "\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        }
        buf_put(out, p, n);
        at += (unsigned)n;
        p += n;
        if (*p == ' ') {
            buf_put_char(out, ' ');
            at++;
            p++;
        }
    }
}

static void help_row(struct buf *out, const struct option_row *row)
{
    char left[160], note[160] = "";
    const char *value = row->type == CHOICE ? "NAME" : row->choices;
    int n = snprintf(left, sizeof left, "  %c%c%c --%s%s%s", row->short_flag ? '-' : ' ',
                     row->short_flag ? row->short_flag : ' ', row->short_flag ? ',' : ' ', row->flag,
                     row->type == SWITCH || !value ? "" : " ", row->type == SWITCH || !value ? "" : value);
    buf_put(out, left, (size_t)n);
    if (n >= HELP_COLUMN - 1)
        buf_printf(out, "\n%*s", HELP_COLUMN, "");
    else
        buf_printf(out, "%*s", HELP_COLUMN - n, "");
    help_text(out, row->help, HELP_COLUMN);
    if (row->type == CHOICE)
        buf_printf(out, "\n%*sone of: %s", HELP_COLUMN, "", row->choices);
    if (row->env)
        snprintf(note, sizeof note, "env: %s", row->env);
    if (row->def && row->type != SWITCH)
        snprintf(note + strlen(note), sizeof note - strlen(note), "%sdefault: %s", *note ? ", " : "",
                 row->def);
    if (row->state == NOT_YET)
        snprintf(note + strlen(note), sizeof note - strlen(note), "%snot served by this version",
                 *note ? "; " : "");
    if (*note)
        buf_printf(out, "\n%*s[%s]", HELP_COLUMN, "", note);
    buf_put_char(out, '\n');
}

void options_help(struct buf *out)
{
    for (unsigned g = 0; g < GROUP_COUNT; g++) {
        buf_printf(out, "\n%s:\n", group_titles[g]);
        for (unsigned id = 0; id < OPT_COUNT; id++)
            if (table[id].group == g)
                help_row(out, &table[id]);
    }
}

void options_describe(const struct options *o, struct buf *out)
{
    static const char *const sources[] = {"unset", "default", "environment", "flag"};
    for (unsigned id = 0; id < OPT_COUNT; id++) {
        const struct option_value *v = &o->value[id];
        if (v->source == OPTION_UNSET)
            continue;
        bool secret = id == OPT_API_KEY || id == OPT_NGROK_AUTHTOKEN;
        buf_printf(out, "%s = %s (%s)\n", table[id].flag, secret ? "***" : v->text, sources[v->source]);
    }
}
