/* The command line and environment, parsed by one table (options.def). Flag beats environment beats default.
 */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include "base/buf.h"

enum option_id {
#define GROUP(id, title)
#define OPTION(id, flag, short_flag, env, type, def, min, max, choices, state, group, help) OPT_##id,
#include "app/options.def"
#undef OPTION
#undef GROUP
    OPT_COUNT,
};

enum option_source { OPTION_UNSET, OPTION_DEFAULT, OPTION_ENVIRONMENT, OPTION_FLAG };

#define OPTION_LIST_MAX 64

enum {
#define ALIAS(name, option, values, help) +1
    OPTION_ALIASES =
#include "app/environment.def"
#undef ALIAS
};

struct option_value {
    enum option_source source;
    const char *variable; /* of the environment, when that is the source */
    const char *text;     /* as given; borrows argv or the environment */
    uint64_t u64;
    double f64;
    bool flag;
    const char *list[OPTION_LIST_MAX]; /* LIST: every value given */
    unsigned n_list;
};

struct options {
    struct option_value value[OPT_COUNT];
    struct buf warnings;                  /* one line each, for the log once it is set up */
    char alias_value[OPTION_ALIASES][32]; /* values of other platforms' names, in our words */
};

/* Reads `argv` (without the program and sub-command names) and the environment. With `takes_model` a first
 * argument that is no flag is the --model-id. ST_INVALID: the sentence names the flag or variable, what is
 * wrong, and the nearest valid spelling. What was read until then stays readable. */
MUST_CHECK enum status options_parse(int argc, char **argv, bool takes_model, struct options *out,
                                     struct err *e);
/* The rules between them, with TGI's sentences; brings other names of one setting together. ST_INVALID: they
 * contradict each other. ST_UNSUPPORTED: this version does not do what is asked. */
MUST_CHECK enum status options_check(struct options *o, struct err *e);
void options_fini(struct options *o);

/* Given by flag, environment or default. */
bool option_is_set(const struct options *o, enum option_id id);
/* The value, or `fallback` when unset. */
uint64_t option_u64(const struct options *o, enum option_id id, uint64_t fallback);
double option_f64(const struct options *o, enum option_id id, double fallback);
const char *option_text(const struct options *o, enum option_id id); /* NULL when unset */
bool option_flag(const struct options *o, enum option_id id);

/* --help, grouped, 110 columns. */
void options_help(struct buf *out);
/* The same as Markdown tables: docs/flags.md. */
void options_markdown(struct buf *out);
/* "flag = value (source)" a line, secrets hidden: for --env and debug logs. */
void options_describe(const struct options *o, struct buf *out);

#endif
