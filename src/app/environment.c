/* Variables that other images and platforms set under names of their own. */
#include "app/options_int.h"
#include <stdio.h>
#include <string.h>

static const struct option_alias aliases[] = {
#define ALIAS(name_, option_, values_, help_)                                                                \
    {.name = name_, .option = OPT_##option_, .values = values_, .help = help_},
#include "app/environment.def"
#undef ALIAS
};

const struct option_alias *option_aliases(size_t *n)
{
    *n = sizeof aliases / sizeof *aliases;
    return aliases;
}

const char *option_alias_value(const struct option_alias *alias, const char *text, char out[32])
{
    char theirs[32];
    if (!alias->values || snprintf(theirs, sizeof theirs, "%s=", text) >= (int)sizeof theirs)
        return text;
    for (const char *p = alias->values; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, theirs, strlen(theirs)) == 0) {
            const char *ours = p + strlen(theirs);
            snprintf(out, 32, "%.*s", (int)strcspn(ours, ","), ours);
            return out;
        }
    return text;
}
