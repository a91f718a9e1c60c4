/* Pre-tokenizers: cut a section's pieces into smaller ones. Each takes the pieces of the one before it, and
 * none sees beyond the ends of its piece. */
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

/* Joins matches and the stretches between them into pieces. One is kept back, because a behaviour may join it
 * with the next. */
struct splitter {
    struct section *out;
    struct scratch *s;
    enum behaviour behaviour;
    size_t begin, end;
    bool held, was_match;
};

static void split_flush(struct splitter *p)
{
    if (p->held)
        section_piece(p->out, p->s, p->begin, p->end);
    p->held = false;
}

static void split_add(struct splitter *p, size_t begin, size_t end, bool match)
{
    bool join = (p->behaviour == CONTIGUOUS && match == p->was_match) ||
                (p->behaviour == MERGED_WITH_PREVIOUS && match && !p->was_match) ||
                (p->behaviour == MERGED_WITH_NEXT && !match && p->was_match);
    if (!p->held || !join) {
        split_flush(p);
        p->begin = begin;
        p->held = !(match && p->behaviour == REMOVED);
    }
    p->end = end;
    p->was_match = match;
}

static void run_split(const struct step *step, struct section *x, struct scratch *s)
{
    struct section out = {.text = x->text, .origin = x->origin};
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        struct splitter p = {.out = &out, .s = s, .behaviour = (enum behaviour)step->option};
        size_t base = x->piece[i].begin, n = x->piece[i].end - base, at = 0, begin, end;
        struct matches matches = matches_of(step->pattern, s, (struct str){x->text.p + base, n});
        while (matches_next(&matches, s, &begin, &end)) {
            if (begin > at)
                split_add(&p, base + at, base + begin, step->flag);
            split_add(&p, base + begin, base + end, !step->flag);
            at = end;
        }
        if (at < n)
            split_add(&p, base + at, base + n, step->flag);
        split_flush(&p);
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

static unsigned classes_at(const struct section *x, size_t at, size_t *n)
{
    uint32_t cp = (unsigned char)x->text.p[at];
    *n = cp < 0x80 ? 1 : utf8_decode(aligned_str(&x->text), at, &cp);
    return unicode_classes(cp);
}

/* Each character of the classes in step->start is a match. */
static void run_class(const struct step *step, struct section *x, struct scratch *s)
{
    struct section out = {.text = x->text, .origin = x->origin};
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        struct splitter p = {.out = &out, .s = s, .behaviour = (enum behaviour)step->option};
        size_t from = x->piece[i].begin, end = x->piece[i].end, at = from;
        for (size_t n; at < end; at += n) {
            if (!(classes_at(x, at, &n) & step->start))
                continue;
            if (at > from)
                split_add(&p, from, at, false);
            from = at + n;
            split_add(&p, at, from, true);
        }
        if (end > from)
            split_add(&p, from, end, false);
        split_flush(&p);
    }
    *x = out;
}

static enum status read_digits(const struct json_val *v, struct step *out, struct err *e)
{
    bool individual = false;
    (void)e;
    json_bool(json_get(v, STR("individual_digits")), &individual);
    out->start = UNICODE_NUMERIC;
    out->option = individual ? ISOLATED : CONTIGUOUS;
    return ST_OK;
}

static enum status read_punctuation(const struct json_val *v, struct step *out, struct err *e)
{
    out->start = UNICODE_PUNCT;
    out->option = ISOLATED;
    return json_get(v, STR("behavior")) ? read_behaviour(v, out, e) : ST_OK;
}

static enum status read_whitespace_split(const struct json_val *v, struct step *out, struct err *e)
{
    (void)v;
    (void)e;
    out->start = UNICODE_WHITE;
    out->option = REMOVED;
    return ST_OK;
}

/* Pieces are runs of characters of one kind; white space falls out. */
enum char_kind { KIND_WHITE, KIND_SINGLE, KIND_WORD, KIND_OTHER };

static void run_kinds(struct section *x, struct scratch *s, enum char_kind (*kind_of)(unsigned classes))
{
    struct section out = {.text = x->text, .origin = x->origin};
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        size_t begin = x->piece[i].begin, end = x->piece[i].end;
        enum char_kind last = KIND_WHITE;
        for (size_t at = begin, n; at < end; at += n) {
            enum char_kind kind = kind_of(classes_at(x, at, &n));
            if (kind == last && kind != KIND_SINGLE)
                continue;
            if (last != KIND_WHITE)
                section_piece(&out, s, begin, at);
            begin = at;
            last = kind;
        }
        if (last != KIND_WHITE)
            section_piece(&out, s, begin, end);
    }
    *x = out;
}

static enum char_kind whitespace_kind(unsigned classes)
{
    return classes & UNICODE_WORD ? KIND_WORD : classes & UNICODE_WHITE ? KIND_WHITE : KIND_OTHER;
}

static void run_whitespace(const struct step *step, struct section *x, struct scratch *s)
{
    (void)step;
    run_kinds(x, s, whitespace_kind);
}

static enum char_kind bert_kind(unsigned classes)
{
    return classes & UNICODE_WHITE ? KIND_WHITE : classes & UNICODE_PUNCT ? KIND_SINGLE : KIND_WORD;
}

static void run_bert(const struct step *step, struct section *x, struct scratch *s)
{
    (void)step;
    run_kinds(x, s, bert_kind);
}

/* ---- UnicodeScripts ---- */

/* As SentencePiece: Japanese is one script, spaces join with what is before them. What stands before the
 * first character that has a script is lost. */
static void run_scripts(const struct step *step, struct section *x, struct scratch *s)
{
    struct section out = {.text = x->text, .origin = x->origin};
    struct str text = aligned_str(&x->text);
    (void)step;
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        size_t begin = x->piece[i].begin, end = x->piece[i].end;
        unsigned last = 0;
        for (size_t at = begin; at < end;) {
            uint32_t cp;
            size_t n = utf8_decode(text, at, &cp);
            unsigned script = unicode_script(cp);
            if (script && script != last) {
                if (last)
                    section_piece(&out, s, begin, at);
                begin = at;
                last = script;
            }
            at += n;
        }
        if (last)
            section_piece(&out, s, begin, end);
    }
    *x = out;
}

/* ---- FixedLength, CharDelimiterSplit ---- */

static enum status read_fixed_length(const struct json_val *v, struct step *out, struct err *e)
{
    uint64_t length = 5;
    const struct json_val *given = json_get(v, STR("length"));
    if (given && (!json_u64(given, &length) || length == 0))
        return err_set(e, ST_INVALID, "`length` is not a positive number");
    out->start = length > UINT32_MAX ? UINT32_MAX : (unsigned)length;
    return ST_OK;
}

static void run_fixed_length(const struct step *step, struct section *x, struct scratch *s)
{
    struct section out = {.text = x->text, .origin = x->origin};
    struct str text = aligned_str(&x->text);
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++) {
        size_t begin = x->piece[i].begin, at = begin;
        unsigned n = 0;
        for (uint32_t cp; at < x->piece[i].end; n++) {
            if (n == step->start) {
                section_piece(&out, s, begin, at);
                begin = at;
                n = 0;
            }
            at += utf8_decode(text, at, &cp);
        }
        section_piece(&out, s, begin, at);
    }
    *x = out;
}

static enum status read_delimiter(const struct json_val *v, struct step *out, struct err *e)
{
    struct str text;
    if (!json_str(json_get(v, STR("delimiter")), &text) || utf8_count(text) != 1)
        return err_set(e, ST_INVALID, "`delimiter` is not a character");
    out->option = REMOVED;
    return pattern_literal(text, &out->pattern, e);
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

static bool lacks_lead(const struct section *x, struct span p, struct str lead)
{
    return !str_has_prefix((struct str){x->text.p + p.begin, p.end - p.begin}, lead);
}

/* Puts a space in front of the pieces that have none. */
static void put_spaces(struct section *x, struct scratch *s)
{
    struct aligned out = {0};
    if (!aligned_reserve(&out, s, x->text.n + x->n_piece))
        return;
    for (size_t i = 0; i < x->n_piece; i++) {
        struct span *piece = &x->piece[i];
        size_t begin = out.n;
        if (lacks_lead(x, *piece, STR(" ")))
            aligned_put(&out, s, " ", 1, x->text.begin[piece->begin], x->text.end[piece->begin]);
        aligned_copy(&out, s, &x->text, piece->begin, piece->end - piece->begin);
        *piece = (struct span){(uint32_t)begin, (uint32_t)out.n};
    }
    x->text = out;
}

static void run_byte_level(const struct step *step, struct section *x, struct scratch *s)
{
    if (step->add_prefix_space)
        put_spaces(x, s);
    if (step->pattern)
        run_split(step, x, s);
    if (s->status == ST_OK && x->n_piece)
        byte_level_spell(x, s);
}

/* ---- Metaspace ---- */

static enum status read_metaspace(const struct json_val *v, struct step *out, struct err *e)
{
    enum status st = metaspace_read(v, out, e);
    return st == ST_OK ? pattern_literal(out->text, &out->pattern, e) : st;
}

/* One piece with its spaces replaced and a lead where the scheme wants one. */
static void put_metaspace(const struct step *step, const struct section *x, struct span piece,
                          struct section *out, struct scratch *s)
{
    const struct aligned *in = &x->text;
    struct str text = {in->p, piece.end}, space = STR(" "), by = step->text;
    size_t begin = out->text.n, at = piece.begin, found;
    bool lead = lacks_lead(x, piece, by) && in->p[at] != ' ' &&
                (step->option == PREPEND_ALWAYS || (step->option == PREPEND_FIRST && in->begin[at] == 0));
    if (lead)
        aligned_put(&out->text, s, by.p, by.n, in->begin[at], in->end[at]);
    while ((found = str_find(text, space, at)) != SIZE_MAX) {
        aligned_copy(&out->text, s, in, at, found - at);
        aligned_put(&out->text, s, by.p, by.n, in->begin[found], in->end[found]);
        at = found + 1;
    }
    aligned_copy(&out->text, s, in, at, piece.end - at);
    section_piece(out, s, begin, out->text.n);
}

static void run_metaspace(const struct step *step, struct section *x, struct scratch *s)
{
    struct section out = {.origin = x->origin};
    if (!aligned_reserve(&out.text, s, x->text.n + x->text.n / 2 + 8))
        return;
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++)
        put_metaspace(step, x, x->piece[i], &out, s);
    *x = out;
    if (step->flag)
        run_split(&(struct step){.pattern = step->pattern, .option = MERGED_WITH_NEXT}, x, s);
}

static const struct step_kind kinds[] = {
    {.type = "Split", .read = read_split, .run = run_split},
    {.type = "ByteLevel", .read = read_byte_level, .run = run_byte_level},
    {.type = "Metaspace", .read = read_metaspace, .run = run_metaspace},
    {.type = "Digits", .read = read_digits, .run = run_class},
    {.type = "Punctuation", .read = read_punctuation, .run = run_class},
    {.type = "Whitespace", .run = run_whitespace},
    {.type = "WhitespaceSplit", .read = read_whitespace_split, .run = run_class},
    {.type = "BertPreTokenizer", .run = run_bert},
    {.type = "UnicodeScripts", .run = run_scripts},
    {.type = "CharDelimiterSplit", .read = read_delimiter, .run = run_split},
    {.type = "FixedLength", .read = read_fixed_length, .run = run_fixed_length},
};

enum status pre_tokenizers_read(const struct json_val *v, struct steps *out, struct err *e)
{
    return steps_read(v, "pre-tokenizer", "pretokenizers", kinds, sizeof kinds / sizeof *kinds, out, e);
}
