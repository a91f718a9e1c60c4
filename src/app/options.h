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

struct option_value {
    enum option_source source;
    const char *text; /* as given; borrows argv or the environment */
    uint64_t u64;
    double f64;
    bool flag;
    const char *list[OPTION_LIST_MAX]; /* LIST: every value given */
    unsigned n_list;
};

struct options {
    struct option_value value[OPT_COUNT];
    struct buf warnings; /* one line each, for the log once it is set up */
};

/* Reads `argv` (without the program and sub-command names) and the environment. ST_INVALID: the sentence
 * names the flag or variable, what is wrong, and the nearest valid spelling. The caller prints it and exits
 * with 2. */
MUST_CHECK enum status options_parse(int argc, char **argv, struct options *out, struct err *e);
void options_fini(struct options *o);

/* Given by flag, environment or default. */
bool option_is_set(const struct options *o, enum option_id id);
/* The value, or `fallback` when unset. */
uint64_t option_u64(const struct options *o, enum option_id id, uint64_t fallback);
double option_f64(const struct options *o, enum option_id id, double fallback);
const char *option_text(const struct options *o, enum option_id id); /* NULL when unset */
bool option_flag(const struct options *o, enum option_id id);

/* --help, grouped, 100 columns. */
void options_help(struct buf *out);
/* "flag = value (source)" a line, secrets hidden: for --env and debug logs. */
void options_describe(const struct options *o, struct buf *out);

#endif
