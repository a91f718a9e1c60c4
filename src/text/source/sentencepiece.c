/* SentencePiece models (tokenizer.model, spiece.model, ...): a protobuf message of three parts, read here by
 * its wire format, since nothing else of protobuf is needed.
 *
 * ModelProto: 1 pieces {1 piece, 2 score, 3 type}, 2 trainer_spec, 3 normalizer_spec. Every length is checked
 * against what is left of the file; unknown fields are skipped; groups, which the format never had, are
 * refused. Never trusts a count: the file's own size bounds all memory. */
#include "text/source/source_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum piece_type {
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN,
    PIECE_CONTROL,
    PIECE_USER_DEFINED,
    PIECE_UNUSED,
    PIECE_BYTE
};
enum model_type { MODEL_UNIGRAM = 1, MODEL_BPE, MODEL_WORD, MODEL_CHAR };

struct piece {
    struct str text;
    float score;
    uint64_t type;
};

struct proto {
    struct piece *piece;
    size_t n_piece, cap_piece;
    uint64_t model_type;
    bool byte_fallback, add_dummy_prefix;
    int32_t unk_id, bos_id, eos_id;
    struct str unk_piece, bos_piece, eos_piece, charsmap;
};

/* ---- the wire ---- */

enum wire { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };
#define FIELD(number, wire) ((number) << 3 | (wire))

struct field {
    uint64_t key;     /* FIELD(): of another wire type than its own, a field is an unknown one */
    uint64_t value;   /* varint or fixed bits */
    struct str bytes; /* length-delimited */
};

static bool read_varint(struct str *in, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 70 && in->n; shift += 7) {
        unsigned char c = (unsigned char)*in->p++;
        in->n--;
        if (shift < 64)
            *out |= (uint64_t)(c & 127) << shift;
        if (c < 128)
            return true;
    }
    return false;
}

static bool read_fixed(struct str *in, size_t n, uint64_t *out)
{
    if (in->n < n)
        return false;
    *out = 0;
    for (size_t i = n; i-- > 0;)
        *out = *out << 8 | (unsigned char)in->p[i];
    in->p += n;
    in->n -= n;
    return true;
}

/* The next field of a message; false: malformed. */
static bool read_field(struct str *in, struct field *out)
{
    uint64_t n;
    *out = (struct field){.bytes = STR("")};
    if (!read_varint(in, &out->key) || out->key >> 3 == 0 || out->key >> 3 > 536870911)
        return false;
    switch (out->key & 7) {
    case WIRE_VARINT:
        return read_varint(in, &out->value);
    case WIRE_FIXED64:
        return read_fixed(in, 8, &out->value);
    case WIRE_FIXED32:
        return read_fixed(in, 4, &out->value);
    case WIRE_BYTES:
        if (!read_varint(in, &n) || n > in->n)
            return false;
        out->bytes = (struct str){in->p, n};
        in->p += n;
        in->n -= n;
        return true;
    default:
        return false;
    }
}

static float float_of(uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float f;
    memcpy(&f, &low, sizeof f);
    return f;
}

/* ---- the messages ---- */

static bool read_piece(struct proto *p, struct str in)
{
    struct field f;
    if (p->n_piece == p->cap_piece) {
        size_t cap = p->cap_piece ? p->cap_piece * 2 : 4096;
        struct piece *grown = realloc(p->piece, cap * sizeof *grown);
        if (!grown)
            return false;
        p->piece = grown;
        p->cap_piece = cap;
    }
    struct piece *piece = &p->piece[p->n_piece++];
    *piece = (struct piece){.text = STR(""), .type = PIECE_NORMAL};
    while (in.n) {
        if (!read_field(&in, &f))
            return false;
        if (f.key == FIELD(1, WIRE_BYTES))
            piece->text = f.bytes;
        else if (f.key == FIELD(2, WIRE_FIXED32))
            piece->score = float_of(f.value);
        else if (f.key == FIELD(3, WIRE_VARINT))
            piece->type = f.value;
    }
    return utf8_valid(piece->text);
}

static bool read_trainer(struct proto *p, struct str in)
{
    struct field f;
    while (in.n) {
        if (!read_field(&in, &f))
            return false;
        switch (f.key) {
        case FIELD(3, WIRE_VARINT):
            p->model_type = f.value;
            break;
        case FIELD(35, WIRE_VARINT):
            p->byte_fallback = f.value != 0;
            break;
        case FIELD(40, WIRE_VARINT):
            p->unk_id = (int32_t)(uint32_t)f.value;
            break;
        case FIELD(41, WIRE_VARINT):
            p->bos_id = (int32_t)(uint32_t)f.value;
            break;
        case FIELD(42, WIRE_VARINT):
            p->eos_id = (int32_t)(uint32_t)f.value;
            break;
        case FIELD(45, WIRE_BYTES):
            p->unk_piece = f.bytes;
            break;
        case FIELD(46, WIRE_BYTES):
            p->bos_piece = f.bytes;
            break;
        case FIELD(47, WIRE_BYTES):
            p->eos_piece = f.bytes;
            break;
        default:
            break;
        }
    }
    return utf8_valid(p->unk_piece) && utf8_valid(p->bos_piece) && utf8_valid(p->eos_piece);
}

static bool read_normalizer(struct proto *p, struct str in)
{
    struct field f;
    while (in.n) {
        if (!read_field(&in, &f))
            return false;
        if (f.key == FIELD(2, WIRE_BYTES))
            p->charsmap = f.bytes;
        else if (f.key == FIELD(3, WIRE_VARINT))
            p->add_dummy_prefix = f.value != 0;
    }
    return true;
}

static bool read_model(struct proto *p, struct str in)
{
    struct field f;
    bool ok = true;
    *p = (struct proto){.model_type = MODEL_UNIGRAM,
                        .add_dummy_prefix = true,
                        .bos_id = 1,
                        .eos_id = 2,
                        .unk_piece = STR("<unk>"),
                        .bos_piece = STR("<s>"),
                        .eos_piece = STR("</s>")};
    while (ok && in.n) {
        ok = read_field(&in, &f);
        if (ok && f.key == FIELD(1, WIRE_BYTES))
            ok = read_piece(p, f.bytes);
        else if (ok && f.key == FIELD(2, WIRE_BYTES))
            ok = read_trainer(p, f.bytes);
        else if (ok && f.key == FIELD(3, WIRE_BYTES))
            ok = read_normalizer(p, f.bytes);
    }
    return ok && p->n_piece > 0;
}

/* ---- a tokenizer.json ---- */

/* For a file without a class: what the model itself says. */
static const struct tokenizer_class *class_by_model(const struct proto *p)
{
    if (p->model_type == MODEL_UNIGRAM)
        return tokenizer_class_find(STR("TokenizersBackend"));
    return tokenizer_class_find(p->add_dummy_prefix ? STR("LlamaTokenizer") : STR("GemmaTokenizer"));
}

static void write_score(struct buf *out, float score)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_f64(&w, (double)score);
}

static void write_scored(struct buf *out, struct str text, float score)
{
    write_comma(out, '[');
    buf_put_char(out, '[');
    write_json_str(out, text);
    buf_put_char(out, ',');
    write_score(out, score);
    buf_put_char(out, ']');
}

/* A head or tail entry of a class. */
static void write_around(const struct class_values *v, const char *entry, struct buf *out)
{
    struct str text = entry[0] == '@' ? class_token(v, entry + 1) : str_from(entry);
    write_scored(out, text, strcmp(entry, "<unk>NOTUSED") == 0 ? -100.0f : 0.0f);
}

static void write_unigram(const struct class_values *v, const struct proto *p, struct buf *out)
{
    const struct tokenizer_class *c = v->class;
    buf_put_str(out, STR("{\"type\":\"Unigram\",\"unk_id\":"));
    if (c->unk)
        buf_put_str(out, str_from(c->unk));
    else
        buf_printf(out, "%d", c->model == CLASS_ANY ? (int)p->unk_id : 2);
    buf_printf(out, ",\"byte_fallback\":%s,\"vocab\":[",
               c->model == CLASS_ANY && p->byte_fallback ? "true" : "false");
    for (unsigned i = 0; i < CLASS_MAX_TOKENS && c->head[i]; i++)
        write_around(v, c->head[i], out);
    for (size_t i = c->n_skip; i < p->n_piece; i++)
        write_scored(out, p->piece[i].text, p->piece[i].score);
    for (unsigned i = c->n_extra_ids; i-- > 0;) {
        char name[32];
        int n = snprintf(name, sizeof name, "<extra_id_%u>", i);
        write_scored(out, (struct str){name, (size_t)n}, 0);
    }
    for (unsigned i = 0; i < CLASS_MAX_TOKENS && c->tail[i]; i++)
        write_around(v, c->tail[i], out);
    buf_put_str(out, STR("]}"));
}

/* Placeholders that tokenizer_config.json gives another text, where the model has no class of its own. */
static void rename_pieces(const struct class_values *v, struct pieces *p)
{
    uint64_t known;
    for (size_t i = 0; v->class->model == CLASS_ANY && i < v->config->n_decoder; i++) {
        const struct added_token *t = &v->config->decoder[i];
        if ((size_t)t->id < p->n && t->content.n && !map_get(&p->map, t->content, &known))
            p->text[t->id] = t->content;
    }
}

static enum status write_bpe(const struct class_values *v, const struct proto *p, struct buf *out,
                             struct err *e)
{
    struct pieces all = {0};
    enum status st = ST_OK;
    for (size_t i = 0; i < p->n_piece && st == ST_OK; i++)
        st = pieces_add(&all, p->piece[i].text, (int32_t)i, e);
    if (st == ST_OK)
        st = pieces_index(&all, e);
    if (st == ST_OK) {
        buf_put_str(out, STR("{\"type\":\"BPE\""));
        if (v->class->model == CLASS_ANY) {
            buf_put_str(out, STR(",\"unk_token\":"));
            write_json_str(out, p->unk_piece);
            buf_printf(out, ",\"fuse_unk\":true,\"byte_fallback\":%s", p->byte_fallback ? "true" : "false");
        }
        class_write_options(v, out);
        buf_put_str(out, STR(",\"merges\":"));
        st = pieces_write_merges(&all, MERGE_BY_LENGTH, out, e);
    }
    if (st == ST_OK) {
        rename_pieces(v, &all);
        buf_put_str(out, STR(",\"vocab\":"));
        map_fini(&all.map);
        st = pieces_index(&all, e);
    }
    if (st == ST_OK) {
        pieces_write_vocab(&all, out);
        buf_put_char(out, '}');
    }
    pieces_fini(&all);
    return st;
}

/* What the library adds by itself: control pieces as special tokens, user-defined ones as plain tokens. */
static void write_special(const struct class_values *v, const struct proto *p, struct buf *out)
{
    bool extra_ids = false;
    buf_put_str(out, STR(",\"extra_special_tokens\":["));
    for (size_t i = 0; i < p->n_piece; i++) {
        const struct piece *piece = &p->piece[i];
        if (piece->type != PIECE_CONTROL && piece->type != PIECE_USER_DEFINED)
            continue;
        write_comma(out, '[');
        buf_put_str(out, STR("{\"content\":"));
        write_json_str(out, piece->text);
        buf_printf(out, ",\"normalized\":false,\"special\":%s}",
                   piece->type == PIECE_CONTROL ? "true" : "false");
        extra_ids |= str_find(piece->text, STR("<extra_id_"), 0) != SIZE_MAX;
    }
    for (unsigned i = 0; i < v->class->n_extra_ids && !extra_ids; i++) {
        write_comma(out, '[');
        buf_printf(out, "\"<extra_id_%u>\"", i);
    }
    buf_put_char(out, ']');
    if (v->class->model != CLASS_ANY)
        return;
    const struct {
        const char *name;
        int32_t id;
        struct str text;
    } named[] = {{"bos_token", p->bos_id, p->bos_piece},
                 {"eos_token", p->eos_id, p->eos_piece},
                 {"unk_token", p->unk_id, p->unk_piece}};
    buf_put_str(out, STR(",\"special_tokens\":{"));
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (named[i].id < 0)
            continue;
        write_comma(out, '{');
        buf_printf(out, "\"%s\":", named[i].name);
        write_json_str(out, named[i].text);
    }
    buf_put_char(out, '}');
}

static enum status write_tokenizer(struct source_input *in, const struct proto *p, struct buf *out,
                                   struct err *e)
{
    if (!in->class)
        in->class = class_by_model(p);
    struct class_values v = {
        .class = in->class, .config = in->config, .charsmap = p->charsmap, .byte_fallback = p->byte_fallback};
    if (p->model_type != MODEL_UNIGRAM && p->model_type != MODEL_BPE)
        return err_set(e, ST_UNSUPPORTED, "%s: SentencePiece models of words or characters are not supported",
                       in->path);
    bool unigram =
        v.class->model == CLASS_ANY ? p->model_type == MODEL_UNIGRAM : v.class->model == CLASS_UNIGRAM;
    if (v.class->model == CLASS_WORDPIECE)
        return err_set(e, ST_UNSUPPORTED, "%s: a %s does not read SentencePiece models", in->path,
                       v.class->name);
    buf_put_char(out, '{');
    class_write_stages(&v, out);
    write_special(&v, p, out);
    buf_put_str(out, STR(",\"model\":"));
    enum status st = ST_OK;
    if (unigram)
        write_unigram(&v, p, out);
    else
        st = write_bpe(&v, p, out, e);
    buf_put_char(out, '}');
    return st == ST_OK ? st : err_prefix(e, "%s", in->path);
}

enum status sentencepiece_write(struct source_input *in, struct str file, struct buf *out, struct err *e)
{
    struct proto p;
    enum status st = read_model(&p, file)
                         ? write_tokenizer(in, &p, out, e)
                         : err_set(e, ST_INVALID, "%s is not a SentencePiece model, or is damaged", in->path);
    free(p.piece);
    return st;
}
