/* Reading: flags beat the environment, which beats the defaults, all by one table.
 *
 * Values are kept as they were given and as what they mean, in an array indexed by option. Nothing here knows
 * what an option is for; rules between options are in options_rules.c. */
#include "app/options_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct option_row option_rows[OPT_COUNT] = {
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

void option_name(char out[OPTION_NAME_MAX], const struct options *o, enum option_id id)
{
    const struct option_value *v = &o->value[id];
    if (v->source == OPTION_ENVIRONMENT)
        snprintf(out, OPTION_NAME_MAX, "environment variable %s", v->variable);
    else
        snprintf(out, OPTION_NAME_MAX, "--%s", option_rows[id].flag);
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

/* "1,2,4" */
static bool numbers_are_whole(const char *text)
{
    for (const char *p = text;; p++) {
        uint64_t number;
        size_t n = strcspn(p, ",");
        if (!str_to_u64((struct str){p, n}, &number))
            return false;
        p += n;
        if (!*p)
            return true;
    }
}

static enum status parse_value(const struct option_row *row, const char *name, const char *text,
                               struct option_value *v, struct err *e)
{
    switch (row->type) {
    case UINT:
    case REAL:
        return parse_number(row, name, text, v, e);
    case SWITCH:
    case BOOL:
        if (!parse_bool(text, &v->flag))
            return err_set(e, ST_INVALID, "%s: `%s` is neither true nor false", name, text);
        return ST_OK;
    case CHOICE:
        if (!choice_has(row->choices, text))
            return err_set(e, ST_INVALID, "%s: `%s` is none of: %s", name, text, row->choices);
        return ST_OK;
    case NUMBERS:
        if (!numbers_are_whole(text))
            return err_set(e, ST_INVALID, "%s: `%s` is no list of whole numbers such as 1,2,4", name, text);
        return ST_OK;
    case LIST:
        if (v->n_list == OPTION_LIST_MAX)
            return err_set(e, ST_INVALID, "%s: more than %d values", name, OPTION_LIST_MAX);
        v->list[v->n_list++] = text;
        return ST_OK;
    case TEXT:
        return ST_OK;
    }
    return ST_OK;
}

bool option_says_default(const struct options *o, enum option_id id)
{
    const struct option_row *row = &option_rows[id];
    const struct option_value *v = &o->value[id];
    struct option_value def = {0};
    if (v->source <= OPTION_DEFAULT)
        return true;
    if (!row->def || parse_value(row, "default", row->def, &def, NULL) != ST_OK)
        return false;
    bool is_number = row->type == UINT || row->type == REAL,
         is_flag = row->type == SWITCH || row->type == BOOL;
    return is_number ? v->u64 == def.u64 && v->f64 <= def.f64 && v->f64 >= def.f64
           : is_flag ? v->flag == def.flag
                     : strcmp(v->text, row->def) == 0;
}

/* `variable`: where the text is from when the source is the environment. */
static enum status set_value(struct options *o, enum option_id id, enum option_source source,
                             const char *variable, const char *text, struct err *e)
{
    const struct option_row *row = &option_rows[id];
    struct option_value *v = &o->value[id];
    if (v->source != source)
        *v = (struct option_value){.source = source, .variable = variable};
    v->text = text;
    char name[OPTION_NAME_MAX];
    option_name(name, o, id);
    enum status st = parse_value(row, name, text, v, e);
    if (st == ST_OK && row->state == INERT && !option_says_default(o, id))
        buf_printf(&o->warnings, "%s has no effect here: %s\n", name, row->help);
    return st;
}

/* ---- sources ---- */

static enum status read_defaults(struct options *o, struct err *e)
{
    for (unsigned id = 0; id < OPT_COUNT; id++) {
        if (!option_rows[id].def)
            continue;
        enum status st = set_value(o, id, OPTION_DEFAULT, NULL, option_rows[id].def, e);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* Kubernetes sets <SERVICE>_PORT=tcp://10.0.0.1:80 for every service, whatever else the name may mean. */
static bool is_service_link(const char *text)
{
    return strncmp(text, "tcp://", 6) == 0 || strncmp(text, "udp://", 6) == 0;
}

static enum status read_variable(struct options *o, enum option_id id, const char *variable, const char *text,
                                 struct err *e)
{
    if (option_rows[id].type != UINT || !is_service_link(text))
        return set_value(o, id, OPTION_ENVIRONMENT, variable, text, e);
    buf_printf(&o->warnings, "environment variable %s=%s looks like a Kubernetes service link: ignored\n",
               variable, text);
    return ST_OK;
}

/* A flag on the command line hides its variable, a bad value there included. */
static enum status read_environment(struct options *o, const bool *on_command_line, struct err *e)
{
    enum status st = ST_OK;
    for (unsigned id = 0; id < OPT_COUNT && st == ST_OK; id++) {
        const char *text = option_rows[id].env ? getenv(option_rows[id].env) : NULL;
        if (text && !on_command_line[id])
            st = read_variable(o, id, option_rows[id].env, text, e);
    }
    return st;
}

static enum status read_aliases(struct options *o, struct err *e)
{
    size_t n;
    const struct option_alias *alias = option_aliases(&n);
    enum status st = ST_OK;
    for (size_t i = 0; i < n && st == ST_OK; i++, alias++) {
        const char *text = getenv(alias->name);
        if (text && o->value[alias->option].source <= OPTION_DEFAULT)
            st = read_variable(o, alias->option, alias->name,
                               option_alias_value(alias, text, o->alias_value[i]), e);
    }
    return st;
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
        if (!option_rows[id].flag)
            continue;
        snprintf(flag, sizeof flag, "--%s", option_rows[id].flag);
        unsigned d = str_distance(given, str_from(flag));
        if (d < best) {
            best = d;
            best_id = id;
        }
    }
    if (best <= given.n / 2)
        return err_set(e, ST_INVALID, "unknown option `" STR_FMT "`; did you mean `--%s`?", STR_ARG(given),
                       option_rows[best_id].flag);
    return err_set(e, ST_INVALID, "unknown option `" STR_FMT "`; see prompteur --help", STR_ARG(given));
}

/* The option that `arg` names; *value points behind "=" or is NULL. OPT_COUNT: none. */
static unsigned match_flag(const char *arg, const char **value)
{
    *value = NULL;
    for (unsigned id = 0; id < OPT_COUNT; id++) {
        size_t n = option_rows[id].flag ? strlen(option_rows[id].flag) : 0;
        if (n && strncmp(arg, "--", 2) == 0 && strncmp(arg + 2, option_rows[id].flag, n) == 0 &&
            (arg[2 + n] == '\0' || arg[2 + n] == '=')) {
            if (arg[2 + n] == '=')
                *value = arg + 3 + n;
            return id;
        }
        if (option_rows[id].short_flag && arg[0] == '-' && arg[1] == option_rows[id].short_flag) {
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
    const struct option_row *row = &option_rows[id];
    if (seen[id] && row->type != LIST)
        return err_set(e, ST_INVALID, "--%s is given twice", row->flag);
    seen[id] = true;
    if (row->type == SWITCH) {
        if (value)
            return err_set(e, ST_INVALID, "--%s takes no value", row->flag);
        return set_value(o, id, OPTION_FLAG, NULL, "true", e);
    }
    if (!value) {
        if (*i + 1 >= argc)
            return err_set(e, ST_INVALID, "--%s needs a value", row->flag);
        value = argv[++*i];
    }
    return set_value(o, id, OPTION_FLAG, NULL, value, e);
}

enum status options_parse(int argc, char **argv, bool takes_model, struct options *o, struct err *e)
{
    bool seen[OPT_COUNT] = {false};
    memset(o, 0, sizeof *o);
    buf_init(&o->warnings, 64 << 10);
    enum status st = read_defaults(o, e);
    int i = 0;
    if (st == ST_OK && takes_model && argc > 0 && argv[0][0] != '-') {
        seen[OPT_MODEL_ID] = true;
        st = set_value(o, OPT_MODEL_ID, OPTION_FLAG, NULL, argv[i++], e);
    }
    for (; i < argc && st == ST_OK; i++)
        st = read_flag(o, argc, argv, &i, seen, e);
    if (st == ST_OK)
        st = read_environment(o, seen, e);
    return st == ST_OK ? read_aliases(o, e) : st;
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
