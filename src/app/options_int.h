/* The rows of options.def, for the files that read, check and show them. */
#ifndef APP_OPTIONS_INT_H
#define APP_OPTIONS_INT_H

#include "app/options.h"

enum option_type { TEXT, UINT, REAL, SWITCH, CHOICE, BOOL, LIST, NUMBERS };
enum option_state { SERVED, INERT, QUIET, NOT_YET };
enum option_group {
#define GROUP(id, title) GROUP_##id,
#define OPTION(...)
#include "app/options.def"
#undef OPTION
#undef GROUP
    GROUP_COUNT,
};

struct option_row {
    const char *flag, *env, *def, *choices, *help;
    double min, max;
    enum option_type type;
    enum option_state state;
    enum option_group group;
    char short_flag;
};

extern const struct option_row option_rows[OPT_COUNT];

/* The name a person knows the value by: "--port" or "environment variable PORT". */
#define OPTION_NAME_MAX 96
void option_name(char out[OPTION_NAME_MAX], const struct options *o, enum option_id id);

/* Whether the value means what the default means. */
bool option_says_default(const struct options *o, enum option_id id);

/* ---- names of other platforms (environment.def) ---- */

struct option_alias {
    const char *name;
    enum option_id option;
    const char *values, *help;
};
const struct option_alias *option_aliases(size_t *n);
/* What a value of the alias is called here: in options.def's words where the alias has its own. Borrows. */
const char *option_alias_value(const struct option_alias *alias, const char *text, char out[32]);

#endif
