/* Pre-tokenizers: cut a section's pieces into smaller ones. Each takes the pieces of the one before it. */
#include "text/text_int.h"
#include <string.h>

/* GPT-2's own splitting, which ByteLevel does unless told not to. */
#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* ---- splitting with a behaviour ---- */

enum behaviour { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };

static enum status read_behaviour(const struct json_val *v, struct step *out, struct err *e)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
    struct str name = {0};
    json_str(json_get(v, STR("behavior")), &name);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq(name, str_from(names[i]))) {
            out->option = i;
            return ST_OK;
        }
    return err_set(e, ST_UNSUPPORTED, "behavior `" STR_FMT "` is not known", STR_ARG(name));
}

/* Turns a run of alternating matches and gaps into pieces. One stretch is kept back, because a behaviour may
 * join it with the next. */
struct splitter {
    struct section *out;
    struct scratch *s;
    enum behaviour behaviour;
    size_t begin, end; /* kept back; empty: none */
    bool was_match;
};

static void split_flush(struct splitter *p)
{
    section_piece(p->out, p->s, p->begin, p->end);
    p->begin = p->end;
}

static void split_add(struct splitter *p, size_t begin, size_t end, bool match)
{
    if (begin == end)
        return;
    bool join = (p->behaviour == CONTIGUOUS && match && p->was_match) ||
                (p->behaviour == MERGED_WITH_PREVIOUS && match && !p->was_match) ||
                (p->behaviour == MERGED_WITH_NEXT && !match && p->was_match);
    if (p->begin == p->end || p->end != begin || !join)
        split_flush(p);
    if (p->begin == p->end)
        p->begin = begin;
    p->end = end;
    p->was_match = match;
    if (match && p->behaviour == REMOVED)
        p->begin = p->end;
}

static void split_end(struct splitter *p)
{
    split_flush(p);
}

static void run_split(const struct step *step, struct section *x, struct scratch *s)
{
    struct section out = {.text = x->text, .at_start = x->at_start};
    struct str text = aligned_str(&x->text);
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        struct splitter p = {.out = &out, .s = s, .behaviour = (enum behaviour)step->option};
        size_t base = x->piece[i].begin, n = x->piece[i].end - base, at = 0, begin, end;
        /* The piece is matched by itself: look-behind and look-ahead do not see its neighbours. */
        struct str piece = {text.p + base, n};
        while (at < n && pattern_next(step->pattern, s, piece, at, &begin, &end)) {
            split_add(&p, base + at, base + begin, step->flag);
            split_add(&p, base + begin, base + end, !step->flag);
            at = end;
        }
        split_add(&p, base + at, base + n, step->flag);
        split_end(&p);
    }
    *x = out;
}

static enum status read_split(const struct json_val *v, struct step *out, struct err *e)
{
    json_bool(json_get(v, STR("invert")), &out->flag);
    enum status st = read_behaviour(v, out, e);
    return st == ST_OK ? pattern_read(json_get(v, STR("pattern")), &out->pattern, e) : st;
}

/* ---- splitting by a class of characters ---- */

static enum status compile_class(struct step *out, const char *regex, enum behaviour behaviour, struct err *e)
{
    out->option = behaviour;
    return pattern_compile(str_from(regex), &out->pattern, e);
}

static enum status read_digits(const struct json_val *v, struct step *out, struct err *e)
{
    bool individual = false;
    json_bool(json_get(v, STR("individual_digits")), &individual);
    return compile_class(out, "\\p{N}", individual ? ISOLATED : CONTIGUOUS, e);
}

static enum status read_punctuation(const struct json_val *v, struct step *out, struct err *e)
{
    enum status st = pattern_compile(STR("[\\p{P}!-/:-@\\[-`{-~]"), &out->pattern, e);
    out->option = ISOLATED;
    return st == ST_OK && json_get(v, STR("behavior")) ? read_behaviour(v, out, e) : st;
}

static enum status read_whitespace(const struct json_val *v, struct step *out, struct err *e)
{
    (void)v;
    out->flag = true;
    return compile_class(out, "\\w+|[^\\w\\s]+", REMOVED, e);
}

static enum status read_whitespace_split(const struct json_val *v, struct step *out, struct err *e)
{
    (void)v;
    return compile_class(out, "\\s", REMOVED, e);
}

/* ---- ByteLevel ---- */

static enum status read_byte_level(const struct json_val *v, struct step *out, struct err *e)
{
    bool use_regex = true;
    out->add_prefix_space = true;
    json_bool(json_get(v, STR("use_regex")), &use_regex);
    json_bool(json_get(v, STR("add_prefix_space")), &out->add_prefix_space);
    out->option = ISOLATED;
    return use_regex ? pattern_compile(STR(GPT2_PATTERN), &out->pattern, e) : ST_OK;
}

/* Rebuilds the text piece by piece, with `lead` in front of the pieces that `wants` it. */
static void put_lead(struct section *x, struct scratch *s, struct str lead,
                     bool (*wants)(const struct section *x, size_t piece, struct str lead))
{
    struct section out = {.at_start = x->at_start};
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        struct span piece = x->piece[i];
        size_t begin = out.text.n;
        if (wants(x, i, lead))
            aligned_put(&out.text, s, lead.p, lead.n, x->text.begin[piece.begin], x->text.end[piece.begin]);
        aligned_copy(&out.text, s, &x->text, piece.begin, piece.end - piece.begin);
        section_piece(&out, s, begin, out.text.n);
    }
    *x = out;
}

static bool lacks_lead(const struct section *x, size_t piece, struct str lead)
{
    struct span p = x->piece[piece];
    return !str_has_prefix((struct str){x->text.p + p.begin, p.end - p.begin}, lead);
}

static void run_byte_level(const struct step *step, struct section *x, struct scratch *s)
{
    if (step->add_prefix_space)
        put_lead(x, s, STR(" "), lacks_lead);
    if (step->pattern)
        run_split(step, x, s);
    struct section out = {.at_start = x->at_start};
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        size_t begin = out.text.n;
        for (size_t at = x->piece[i].begin; at < x->piece[i].end; at++) {
            char c[2];
            unsigned n = byte_level_encode((unsigned char)x->text.p[at], c);
            aligned_put(&out.text, s, c, n, x->text.begin[at], x->text.end[at]);
        }
        section_piece(&out, s, begin, out.text.n);
    }
    *x = out;
}

/* ---- Metaspace ---- */

enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };

static enum status read_metaspace(const struct json_val *v, struct step *out, struct err *e)
{
    struct str scheme = STR("always");
    bool add_prefix_space = true;
    out->text = STR("\xe2\x96\x81");
    out->flag = true;
    json_str(json_get(v, STR("replacement")), &out->text);
    json_bool(json_get(v, STR("split")), &out->flag);
    if (!json_str(json_get(v, STR("prepend_scheme")), &scheme) &&
        json_bool(json_get(v, STR("add_prefix_space")), &add_prefix_space) && !add_prefix_space)
        scheme = STR("never");
    if (str_eq(scheme, STR("always")))
        out->option = PREPEND_ALWAYS;
    else if (str_eq(scheme, STR("first")))
        out->option = PREPEND_FIRST;
    else if (str_eq(scheme, STR("never")))
        out->option = PREPEND_NEVER;
    else
        return err_set(e, ST_UNSUPPORTED, "prepend_scheme `" STR_FMT "` is not known", STR_ARG(scheme));
    return ST_OK;
}

static bool lacks_first_lead(const struct section *x, size_t piece, struct str lead)
{
    return x->at_start && x->text.begin[x->piece[piece].begin] == 0 && lacks_lead(x, piece, lead);
}

static void replace_spaces(struct section *x, struct scratch *s, struct str by)
{
    struct section out = {.at_start = x->at_start};
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        size_t begin = out.text.n;
        for (size_t at = x->piece[i].begin; at < x->piece[i].end; at++) {
            if (x->text.p[at] == ' ')
                aligned_put(&out.text, s, by.p, by.n, x->text.begin[at], x->text.end[at]);
            else
                aligned_copy(&out.text, s, &x->text, at, 1);
        }
        section_piece(&out, s, begin, out.text.n);
    }
    *x = out;
}

static void run_metaspace(const struct step *step, struct section *x, struct scratch *s)
{
    replace_spaces(x, s, step->text);
    if (step->option != PREPEND_NEVER)
        put_lead(x, s, step->text, step->option == PREPEND_FIRST ? lacks_first_lead : lacks_lead);
    if (!step->flag)
        return;
    struct section out = {.text = x->text, .at_start = x->at_start};
    struct str text = aligned_str(&x->text);
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        struct splitter p = {.out = &out, .s = s, .behaviour = MERGED_WITH_NEXT};
        size_t at = x->piece[i].begin, end = x->piece[i].end, found;
        struct str piece = {text.p, end};
        while ((found = str_find(piece, step->text, at)) != SIZE_MAX) {
            split_add(&p, at, found, false);
            split_add(&p, found, found + step->text.n, true);
            at = found + step->text.n;
        }
        split_add(&p, at, end, false);
        split_end(&p);
    }
    *x = out;
}

static const struct step_kind kinds[] = {
    {.type = "Split", .read = read_split, .run = run_split},
    {.type = "ByteLevel", .read = read_byte_level, .run = run_byte_level},
    {.type = "Metaspace", .read = read_metaspace, .run = run_metaspace},
    {.type = "Digits", .read = read_digits, .run = run_split},
    {.type = "Punctuation", .read = read_punctuation, .run = run_split},
    {.type = "Whitespace", .read = read_whitespace, .run = run_split},
    {.type = "WhitespaceSplit", .read = read_whitespace_split, .run = run_split},
};

enum status pre_tokenizers_read(const struct json_val *v, struct steps *out, struct err *e)
{
    return steps_read(v, "pre-tokenizer", "pretokenizers", kinds, sizeof kinds / sizeof *kinds, out, e);
}
