/* Finds the files that a tokenizer is read from, in the order in which transformers looks for them, and has
 * the right source turn them into a tokenizer.json. */
#include "text/source/source_int.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* tokenizer.model: SentencePiece, or ranks in base64 under the same name. */
static enum status model_file_write(struct source_input *in, struct str file, struct buf *out, struct err *e)
{
    struct err other;
    struct source_input second = *in;
    enum status st = sentencepiece_write(in, file, out, e);
    if (st != ST_INVALID)
        return st;
    buf_clear(out);
    if (tiktoken_write(&second, file, out, &other) != ST_OK)
        return st;
    *in = second;
    return ST_OK;
}

/* A row: the name of a file, and what reads it. `any`: whatever the class; else only the class that asks. */
static const struct source {
    const char *name;
    source_write *write;
    bool any;
} sources[] = {
    {"tekken.json", tekken_write, true},
    {"tokenizer.model", model_file_write, true},
    {"tiktoken.model", tiktoken_write, true},
    {"spiece.model", sentencepiece_write, false},
    {"sentencepiece.bpe.model", sentencepiece_write, false},
    {"vocab.json", gpt2_files_write, false},
    {"vocab.txt", wordpiece_write, false},
};
#define N_SOURCES (sizeof sources / sizeof *sources)

static bool is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static enum status make(const struct source *s, struct source_input *in, struct json_doc **out, struct err *e)
{
    struct buf file, json;
    buf_init(&file, SOURCE_MAX_BYTES);
    buf_init(&json, SOURCE_MAX_BYTES);
    enum status st = buf_read_file(&file, in->path, e);
    if (st == ST_OK)
        st = s->write(in, buf_str(&file), &json, e);
    if (st == ST_OK && json.failed)
        st = err_set(e, ST_LIMIT, "%s: the vocabulary is too large", in->path);
    /* Scores are exact, but where transformers copies the tokenizer it has made, by way of its JSON. */
    bool copied = in->class && in->class->model == CLASS_ANY;
    unsigned flags = copied ? TOKENIZER_JSON_FLAGS : JSON_ALLOW_DUPLICATES;
    if (st == ST_OK && (st = json_parse(buf_str(&json), flags, out, e)) != ST_OK)
        err_prefix(e, "%s", in->path);
    buf_fini(&file);
    buf_fini(&json);
    return st;
}

/* ---- folders ---- */

/* Which file of a folder is read, and for which class. */
struct choice {
    const struct source *source, *other; /* other: there, but not for this class */
    const struct tokenizer_class *class;
    struct str class_name;
    char path[PATH_MAX];
};

static bool reads(const struct tokenizer_class *class, const struct source *s)
{
    return class && class->vocab_file && strcmp(class->vocab_file, s->name) == 0;
}

/* Of the model type's class and the one that the files name, the first that reads the file; when nothing is
 * said, the file decides. */
static void choose(const char *dir, const struct tokenizer_config *config, struct choice *c)
{
    const struct tokenizer_class *named = tokenizer_class_find(config->class_name);
    c->class = tokenizer_class_of(config, &c->class_name);
    for (size_t i = 0; i < N_SOURCES && !c->source; i++) {
        const struct source *s = &sources[i];
        if (snprintf(c->path, sizeof c->path, "%s/%s", dir, s->name) >= (int)sizeof c->path ||
            !is_file(c->path))
            continue;
        if (!s->any && !reads(c->class, s) && reads(named, s))
            c->class = named;
        if (c->class_name.n == 0 || (s->any ? c->class != NULL : reads(c->class, s)))
            c->source = s;
        else if (!c->other)
            c->other = s;
    }
}

static enum status make_from_folder(const char *dir, const struct tokenizer_config *config,
                                    const struct tokenizer_class **class, struct json_doc **out,
                                    struct err *e)
{
    struct choice c = {0};
    choose(dir, config, &c);
    if (!c.source && c.other)
        return err_set(e, ST_UNSUPPORTED,
                       "%s has no tokenizer.json, and how a " STR_FMT " uses its %s is not known to this "
                       "version: write a tokenizer.json with transformers' save_pretrained()",
                       dir, STR_ARG(c.class_name), c.other->name);
    if (!c.source)
        return err_set(e, ST_NOT_FOUND,
                       "%s has no tokenizer.json and no other vocabulary that is known here (tekken.json, "
                       "tokenizer.model, spiece.model, sentencepiece.bpe.model, vocab.json with merges.txt, "
                       "vocab.txt)",
                       dir);
    struct source_input in = {.path = c.path, .class = c.class, .config = config};
    enum status st = make(c.source, &in, out, e);
    *class = in.class;
    return st;
}

/* ---- files ---- */

/* By name, else by content: JSON is a tokenizer.json, anything else a SentencePiece model. */
static const struct source *source_of_file(struct str name)
{
    if (str_find(name, STR("tekken"), 0) != SIZE_MAX && str_has_suffix(name, STR(".json")))
        return &sources[0];
    for (size_t i = 0; i < N_SOURCES; i++)
        if (str_eq(name, str_from(sources[i].name)))
            return &sources[i];
    if (str_has_suffix(name, STR(".txt")))
        return &sources[N_SOURCES - 1];
    return str_has_suffix(name, STR(".model")) || str_has_suffix(name, STR(".spm")) ? &sources[1] : NULL;
}

enum status source_read(const char *path, bool is_dir, const struct tokenizer_config *config,
                        struct json_doc **out, const struct tokenizer_class **class, bool *made,
                        struct err *e)
{
    char file[PATH_MAX];
    struct str name;
    const char *slash = strrchr(path, '/');
    const struct source *s = is_dir ? NULL : source_of_file(str_from(slash ? slash + 1 : path));
    if (snprintf(file, sizeof file, "%s%s", path, is_dir ? "/tokenizer.json" : "") >= (int)sizeof file)
        return err_set(e, ST_INVALID, "the tokenizer's path is too long");
    *made = s || (is_dir && !is_file(file));
    *class = tokenizer_class_of(config, &name);
    if (!*made)
        return json_parse_file(file, SOURCE_MAX_BYTES, TOKENIZER_JSON_FLAGS, out, e);
    if (is_dir)
        return make_from_folder(path, config, class, out, e);
    struct source_input in = {.path = path, .config = config};
    enum status st = make(s, &in, out, e);
    *class = in.class;
    return st;
}
