/* prompteur: which sub-command, which options, then hand over. The only file that decides the exit code of a
 * usage error. */
#include "app/commands.h"
#include "app/options.h"
#include "base/log.h"
#include "model/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2

static const struct command {
    const char *name;
    int (*run)(const struct options *o);
    const char *help;
} commands[] = {
    {"serve", command_serve, "serve the model over HTTP (the default)"},
    {"logits", command_logits,
     "numbers a person can check: JSON lines of prompts in, logprobs and greedy tokens out"},
    {"template", command_template,
     "what the chat template makes of a conversation: JSON lines of messages in, text out"},
};

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int print_help(void)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_printf(&text,
               "prompteur %s: a server for open language models, speaking TGI's HTTP API\n\n"
               "Usage: prompteur [COMMAND] [OPTIONS]\n\nCommands:\n",
               PROMPTEUR_VERSION);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        buf_printf(&text, "  %-8s %s\n", commands[i].name, commands[i].help);
    options_help(&text);
    buf_printf(&text,
               "\nA flag beats its environment variable, which beats the default. Model types: %s.\n"
               "Example: prompteur --model-id ./Llama-3.2-1B-Instruct --port 8080\n",
               model_type_names());
    fwrite(text.p, 1, text.n, stdout);
    buf_fini(&text);
    return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void log_setup(const struct options *o)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    struct log_options lo = {.level = LOG_INFO,
                             .json = option_flag(o, OPT_JSON_OUTPUT),
                             .colour = isatty(STDERR_FILENO) && !getenv("NO_COLOR")};
    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(option_text(o, OPT_LOG_LEVEL), levels[i]) == 0)
            lo.level = (enum log_level)i;
    log_init(&lo);
}

static void log_lines(enum log_level level, struct str text)
{
    while (text.n) {
        size_t end = str_find(text, STR("\n"), 0);
        size_t n = end == SIZE_MAX ? text.n : end;
        log_write(level, "options", "%.*s", (int)n, text.p);
        text.p += n + (n < text.n);
        text.n -= n + (n < text.n);
    }
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct options o;
    struct err e = {0};
    int code = EXIT_USAGE;
    if (options_parse(argc, argv, &o, &e) != ST_OK) {
        fprintf(stderr, "prompteur: %s\n", e.text);
    } else if (option_flag(&o, OPT_HELP)) {
        code = print_help();
    } else if (option_flag(&o, OPT_VERSION)) {
        code = printf("prompteur %s\n", PROMPTEUR_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    } else {
        log_setup(&o);
        log_lines(LOG_WARN, buf_str(&o.warnings));
        struct buf text;
        buf_init(&text, 1 << 20);
        if (option_flag(&o, OPT_ENV)) {
            buf_printf(&text, "prompteur %s\n", PROMPTEUR_VERSION);
            options_describe(&o, &text);
        }
        log_lines(LOG_INFO, buf_str(&text));
        buf_fini(&text);
        code = command->run(&o);
    }
    options_fini(&o);
    return code;
}

int main(int argc, char **argv)
{
    const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;
    int skip = command ? 2 : 1;
    if (argc > 1 && !command && argv[1][0] != '-') {
        fprintf(stderr,
                "prompteur: unknown command `%s`; commands: serve, logits, template; see prompteur --help\n",
                argv[1]);
        return EXIT_USAGE;
    }
    return run_command(command ? command : &commands[0], argc - skip, argv + skip);
}
