/* From options to the log's form and level. */
#include "app/log_setup.h"
#include <stdlib.h>
#include <unistd.h>

static bool level_named(struct str name, enum log_level *out)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {{"off", LOG_ERROR}, {"error", LOG_ERROR},  {"critical", LOG_ERROR}, {"warn", LOG_WARN},
                 {"info", LOG_INFO}, {"warning", LOG_WARN}, {"debug", LOG_DEBUG},    {"trace", LOG_DEBUG}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq_nocase(name, str_from(names[i].name))) {
            *out = names[i].level;
            return true;
        }
    return false;
}

/* "text_generation_router", "text_generation_launcher::x", "prompteur::http" */
static bool is_this_program(struct str target)
{
    return str_has_prefix(target, STR("prompteur")) || str_has_prefix(target, STR("text_generation"));
}

bool log_level_from(struct str filter, enum log_level *out)
{
    bool found = false, ours = false;
    *out = LOG_INFO;
    while (filter.n) {
        size_t comma = str_find(filter, STR(","), 0), n = comma == SIZE_MAX ? filter.n : comma;
        struct str part = str_trim((struct str){filter.p, n}), target = {part.p, 0};
        size_t equals = str_find(part, STR("="), 0);
        enum log_level level;
        if (equals != SIZE_MAX) {
            target.n = equals;
            part = (struct str){part.p + equals + 1, part.n - equals - 1};
        }
        bool is_ours = target.n && is_this_program(target), is_level = level_named(part, &level);
        if (is_level && (is_ours || (!target.n && !ours))) {
            *out = is_ours && ours && *out > level ? *out : level; /* of ours, the one that says most */
            ours |= is_ours;
        }
        found |= is_level;
        n += n < filter.n;
        filter = (struct str){filter.p + n, filter.n - n};
    }
    return found;
}

void log_setup(struct options *o, bool to_stdout)
{
    int fd = to_stdout ? STDOUT_FILENO : STDERR_FILENO;
    struct log_options lo = {.json = option_flag(o, OPT_JSON_OUTPUT),
                             .to_stdout = to_stdout,
                             .colour = isatty(fd) && !getenv("NO_COLOR") && option_flag(o, OPT_LOG_COLORIZE)};
    const char *filter = option_text(o, OPT_LOG_LEVEL);
    if (!log_level_from(str_from(filter), &lo.level))
        buf_printf(&o->warnings, "log level `%s` is none of error, warn, info, debug: info is used\n",
                   filter);
    log_init(&lo);
}
