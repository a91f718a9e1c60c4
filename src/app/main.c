/* prompteur: which sub-command, which options, then hand over. The only file that decides the exit code of a
 * command line: 2 for one that cannot be read or asks for what is not served, 1 for one that contradicts
 * itself, as TGI's programs have it. */
#define LOG_MODULE "options"
#include "app/build.h"
#include "app/commands.h"
#include "app/log_setup.h"
#include "app/memory.h"
#include "model/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define EXIT_USAGE 2

enum command_flag {
    TAKES_MODEL = 1, /* a first argument that is no flag is the model */
    IS_PROBE = 2,    /* says nothing but its answer */
};

static const struct command {
    const char *name;
    int (*run)(const struct options *o); /* NULL: refused, `help` says why */
    unsigned flags;
    const char *help;
} commands[] = {
    {"serve", command_serve, TAKES_MODEL, "serve the model over HTTP (the default)"},
    {"logits", command_logits, 0,
     "numbers a person can check: JSON lines of prompts in, logprobs and greedy tokens out"},
    {"tokenize", command_tokenize, 0,
     "a model's tokens: JSON lines of strings in, ids and offsets out, and back"},
    {"template", command_template, 0,
     "what the chat template makes of a conversation: JSON lines of messages in, text out"},
    {"healthcheck", command_healthcheck, IS_PROBE,
     "whether the server on this machine is ready: exit code 0 or 1"},
    {"download-weights", command_download_weights, TAKES_MODEL,
     "fetch a model from the hub, if it is not there, and see that it is readable"},
    {"list", command_list, IS_PROBE, "the models in the hub's cache"},
    {"info", command_info, TAKES_MODEL | IS_PROBE,
     "a model on this disk: configuration, size, tokenizer, template, digest"},
    {"rm", command_rm, TAKES_MODEL | IS_PROBE, "remove a model from the hub's cache"},
    {"lock", command_lock, TAKES_MODEL, "write down a model's commit and digest, for serve --lock-file"},
    {"quantize", NULL, TAKES_MODEL,
     "not served by this version: weights are served as the checkpoint has them"},
    {"print-schema", command_print_schema, 0, "the OpenAPI document of the HTTP API"},
};

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* TGI's programs, as links to this one: their scripts read the log from standard output. */
static bool is_legacy_name(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strncmp(slash ? slash + 1 : program, "text-generation-", 16) == 0;
}

static bool needs_command(const char *program)
{
    return str_has_suffix(str_from(program), STR("text-generation-server"));
}

static int print(struct buf *text)
{
    fwrite(text->p, 1, text->n, stdout);
    return fflush(stdout) || text->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void help(struct buf *text)
{
    buf_printf(text,
               "prompteur %s: a server for open language models, speaking TGI's HTTP API\n\n"
               "Usage: prompteur [COMMAND] [OPTIONS]\n"
               "       prompteur serve|download-weights|info|rm|lock [MODEL] [OPTIONS]\n"
               "       text-generation-launcher, text-generation-router, text-generation-server: the same\n\n"
               "Commands:\n",
               PROMPTEUR_VERSION);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        buf_printf(text, "  %-16s %s\n", commands[i].name, commands[i].help);
    options_help(text);
    buf_printf(text,
               "\nA flag beats its environment variable, which beats the default. Model types: %s.\n"
               "Example: prompteur --model-id meta-llama/Llama-3.2-1B-Instruct --port 8080\n",
               model_type_names());
}

static void log_lines(enum log_level level, struct str text)
{
    while (text.n) {
        size_t end = str_find(text, STR("\n"), 0);
        size_t n = end == SIZE_MAX ? text.n : end;
        log_write(level, LOG_MODULE, "%.*s", (int)n, text.p);
        text.p += n + (n < text.n);
        text.n -= n + (n < text.n);
    }
}

/* What a report of a problem should begin with; the first lines are TGI's. */
static void log_environment(const struct options *o)
{
    struct utsname u = {0};
    struct buf text;
    buf_init(&text, 1 << 20);
    (void)uname(&u);
    buf_printf(&text,
               "Runtime environment:\nTarget: %s-%s\nVersion: prompteur %s\nCommit sha: %s\n"
               "Docker label: N/A\nKernel: %s\nCPUs: %ld\nMemory available: %llu MiB\n",
               u.machine, "linux-gnu", PROMPTEUR_VERSION, build_commit, u.release,
               sysconf(_SC_NPROCESSORS_ONLN), (unsigned long long)(memory_available_bytes() >> 20));
    options_describe(o, &text);
    log_lines(LOG_INFO, buf_str(&text));
    buf_fini(&text);
}

static int complain(const struct err *e, int code)
{
    fprintf(stderr, "prompteur: %s\n", e->text);
    return code;
}

/* Flags that are answered and nothing more; -1: none of them. */
static int answer_flag(const struct options *o)
{
    struct buf text;
    int code = -1;
    buf_init(&text, 1 << 20);
    if (option_flag(o, OPT_HELP))
        help(&text);
    else if (option_flag(o, OPT_VERSION))
        buf_printf(&text, "prompteur %s\n", PROMPTEUR_VERSION);
    else if (option_flag(o, OPT_HELP_MARKDOWN))
        options_markdown(&text);
    if (text.n)
        code = print(&text);
    buf_fini(&text);
    return code;
}

static int run_checked(const struct command *command, struct options *o, bool to_stdout)
{
    log_setup(o, to_stdout);
    if (!(command->flags & IS_PROBE))
        log_lines(LOG_WARN, buf_str(&o->warnings));
    if (option_flag(o, OPT_ENV))
        log_environment(o);
    return command->run(o);
}

static int run_command(const struct command *command, int argc, char **argv, bool to_stdout)
{
    struct options o;
    struct err e = {0};
    enum status st = options_parse(argc, argv, command->flags & TAKES_MODEL, &o, &e);
    int code = answer_flag(&o);
    if (code < 0 && st != ST_OK)
        code = complain(&e, EXIT_USAGE);
    if (code < 0 && (st = options_check(&o, &e)) != ST_OK)
        code = complain(&e, st == ST_UNSUPPORTED ? EXIT_USAGE : EXIT_FAILURE);
    if (code < 0)
        code = run_checked(command, &o, to_stdout);
    options_fini(&o);
    return code;
}

static int list_commands(const char *problem)
{
    fprintf(stderr, "prompteur: %s; commands: ", problem);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", commands[i].name);
    fprintf(stderr, "; see prompteur --help\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;
    int skip = command ? 2 : 1;
    if (argc > 1 && !command && argv[1][0] != '-') {
        char problem[128];
        snprintf(problem, sizeof problem, "unknown command `%.80s`", argv[1]);
        return list_commands(problem);
    }
    if (argc == 1 && needs_command(argv[0]))
        return list_commands("a command is missing");
    if (command && !command->run) {
        fprintf(stderr, "prompteur: %s: %s\n", command->name, command->help);
        return EXIT_USAGE;
    }
    bool to_stdout = argc > 0 && is_legacy_name(argv[0]);
    return run_command(command ? command : &commands[0], argc - skip, argv + skip, to_stdout);
}
