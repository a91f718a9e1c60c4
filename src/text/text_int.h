/* Inside the text module: the stages of encoding and decoding and what passes between them.
 *
 * Encoding: added tokens cut the text into sections; a section is normalized, then cut into pieces by the
 * pre-tokenizers; the model turns each piece into tokens; post-processing frames the whole. Every stage
 * keeps, for each byte, where it came from. */
#ifndef TEXT_TEXT_INT_H
#define TEXT_TEXT_INT_H

#include "base/arena.h"
#include "base/map.h"
#include "text/tokenizer.h"
#include "text/unicode_int.h"
#include "json/json.h"

/* How a tokenizer.json is parsed: numbers as the library's own reader has them, for scores decide ties. */
#define TOKENIZER_JSON_FLAGS (JSON_ALLOW_DUPLICATES | JSON_SERDE_NUMBERS)

/* Text whose bytes remember their origin: byte i came from original bytes begin[i] .. end[i] - 1. */
struct aligned {
    char *p;
    uint32_t *begin, *end;
    size_t n, cap;
};

struct span {
    uint32_t begin, end; /* bytes of a section's text */
};

/* A stretch between added tokens on its way through the stages. */
struct section {
    struct aligned text;
    struct span *piece;
    size_t n_piece, cap_piece;
    uint32_t origin; /* where it begins in the text as given */
};

/* One encode call's memory and first failure. */
struct scratch {
    struct arena arena;
    size_t text_bytes;                            /* of the call's text */
    void *match_data, *match_context, *jit_stack; /* of the patterns */
    uint32_t n_matches;
    uint64_t matching_since_ns; /* 0: not long */
    void *word_cache;           /* of the BPE: words met before, [word_mask + 1] */
    size_t word_mask;
    void *lattice; /* of the Unigram */
    uint32_t lattice_cap;
    struct err *e;
    enum status status;
};

void scratch_no_memory(struct scratch *s);
void scratch_fini(struct scratch *s);

/* aligned.c */
bool aligned_reserve(struct aligned *a, struct scratch *s, size_t n);
/* Appends bytes that all came from begin..end. */
void aligned_put(struct aligned *a, struct scratch *s, const char *p, size_t n, uint32_t begin, uint32_t end);
void aligned_copy(struct aligned *to, struct scratch *s, const struct aligned *from, size_t at, size_t n);
/* The text's own characters, each byte coming from its whole character. */
void aligned_from(struct aligned *a, struct scratch *s, struct str text, uint32_t at);
struct str aligned_str(const struct aligned *a);
void section_piece(struct section *x, struct scratch *s, size_t begin, size_t end);

/* ---- patterns ---- */

struct pattern; /* a regular expression or a literal string */
/* A JSON object {"Regex": "..."} or {"String": "..."}. */
MUST_CHECK enum status pattern_read(const struct json_val *v, struct pattern **out, struct err *e);
MUST_CHECK enum status pattern_literal(struct str text, struct pattern **out, struct err *e);
MUST_CHECK enum status pattern_compile(struct str regex, struct pattern **out, struct err *e);
void pattern_free(struct pattern *p);
/* pattern_translate.c: Oniguruma's notation into PCRE2's. */
MUST_CHECK enum status pattern_translate(struct str regex, struct buf *out, struct err *e);

/* All matches of a pattern in a text, from left to right; empty ones count, but the first one behind a match
 * that is not empty does not. */
struct matches {
    const struct pattern *pattern;
    struct str text;
    struct str subject; /* the text as the pattern sees it, of the same length */
    size_t at;
    bool skip_empty;
};
struct matches matches_of(const struct pattern *p, struct scratch *s, struct str text);
/* False when there are no more (or after a failure in s->status). */
bool matches_next(struct matches *m, struct scratch *s, size_t *begin, size_t *end);

/* ---- stages: a list of steps each, rows of a table by JSON type name ---- */

struct step {
    const struct step_kind *kind;
    struct pattern *pattern;
    struct str text, other; /* content, replacement, ... ; owned by the tokenizer's document */
    unsigned start, stop, option;
    bool flag, add_prefix_space;
    void *data; /* of the kind, which frees it */
};

#define MAX_STEPS 32
struct steps {
    struct step step[MAX_STEPS];
    unsigned n;
    bool given; /* an empty sequence of decoders is not the same as none */
};

struct decode_list;

struct step_kind {
    const char *type;
    enum status (*read)(const struct json_val *v, struct step *out, struct err *e);
    void (*run)(const struct step *step, struct section *x,
                struct scratch *s);                                    /* normalizers, pre-tokenizers */
    void (*decode)(const struct step *step, struct decode_list *list); /* decoders */
    void (*free_data)(void *data);
};

/* Reads a stage: null, one object, or a Sequence (whose list is called `list_key`). */
MUST_CHECK enum status steps_read(const struct json_val *v, const char *stage, const char *list_key,
                                  const struct step_kind *kinds, size_t n_kinds, struct steps *out,
                                  struct err *e);
/* Replace's pattern and content, as normalizer and as decoder. */
MUST_CHECK enum status step_read_replace(const struct json_val *v, struct step *out, struct err *e);
/* Metaspace's replacement (text), scheme (option) and split (flag), as pre-tokenizer and as decoder. */
enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };
MUST_CHECK enum status metaspace_read(const struct json_val *v, struct step *out, struct err *e);
void steps_fini(struct steps *s);
void steps_run(const struct steps *steps, struct section *x, struct scratch *s);

MUST_CHECK enum status normalizers_read(const struct json_val *v, struct steps *out, struct err *e);
MUST_CHECK enum status pre_tokenizers_read(const struct json_val *v, struct steps *out, struct err *e);
MUST_CHECK enum status decoders_read(const struct json_val *v, struct steps *out, struct err *e);

/* decode.c: the token texts on their way through the decoders. */
struct decode_item {
    uint32_t begin, n; /* bytes of list->text */
};
struct decode_list {
    struct arena arena;
    char *text;
    size_t n_text, cap_text;
    struct decode_item *item;
    size_t n_item, cap_item;
    bool failed;
};
void decode_tokens(const struct steps *decoders, struct decode_list *list, struct buf *out);
bool decode_list_add(struct decode_list *list, const char *p, size_t n);

/* The bytes of a byte-level token's characters, at most token.n; a token with a character outside the
 * alphabet stands for itself. */
size_t byte_level_bytes(struct str token, char *out);
/* The byte that "<0xXX>" names, or -1. */
int fallback_byte(struct str token);

/* byte_level.c: GPT-2's map between bytes and printable characters. */
/* Spells a section's bytes, and moves its pieces with them. */
void byte_level_spell(struct section *x, struct scratch *s);
unsigned byte_level_encode(unsigned char byte, char out[2]); /* length of the character */
int byte_level_decode(uint32_t cp);                          /* the byte, or -1 */

/* normalize_forms.c: NFC, NFD, NFKC, NFKD as `option` says. */
enum unicode_form { FORM_COMPOSED = 1, FORM_COMPAT = 2 };
void form_run(unsigned form, struct section *x, struct scratch *s);
/* precompiled.c: SentencePiece's charsmap. */
MUST_CHECK enum status precompiled_read(const struct json_val *v, struct step *out, struct err *e);
void precompiled_run(const struct step *step, struct section *x, struct scratch *s);
void precompiled_free(void *data);

/* rewrite.c: a new text from an old one, character by character, with the library's own bookkeeping of where
 * each came from: a change of 0 replaces the next character of the old text, +1 adds one that comes from
 * where the last came from, -n replaces one and drops the n that follow. */
struct rewrite {
    const struct section *from;
    struct aligned out;
    size_t at;
};
void rewrite_put(struct rewrite *r, struct scratch *s, uint32_t cp, int change);
/* Copies n bytes that stand at `at` unchanged. */
void rewrite_keep(struct rewrite *r, struct scratch *s, size_t at, size_t n);

/* ---- added tokens ---- */

#define ADDED_TOKEN_MAX_BYTES 4096 /* bounds the work at one place of the text */

struct token_model;

struct added_token {
    struct str content;
    struct str normal; /* what it is found as and decoded as: normalized, or the content */
    char *memory;      /* of `normal` when it is another text */
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
    bool once_normalized; /* an earlier one of the same content was: it is still decoded so */
};

struct trie_node {
    int32_t token; /* index into added tokens, -1: none ends here */
    uint32_t child, sibling;
    unsigned char byte;
};
struct trie {
    struct trie_node *node;
    size_t n, cap;
    uint32_t first[256];
};

struct added_tokens {
    struct added_token *token;
    size_t n;
    struct trie raw, normalized;
};

/* A token that the model knows too has the model's id. */
MUST_CHECK enum status added_tokens_read(const struct json_val *v, const struct token_model *model,
                                         struct added_tokens *out, struct err *e);
/* After the normalizers are known: builds the tries. */
MUST_CHECK enum status added_tokens_prepare(struct added_tokens *a, const struct steps *normalizers,
                                            struct err *e);
void added_tokens_fini(struct added_tokens *a);

struct added_match {
    size_t begin, end;
    const struct added_token *token; /* NULL: no more; begin..end is the rest of the text */
};
/* The next added token at or after *at, searching where it left off; *at moves behind it. */
struct added_match added_tokens_next(const struct added_tokens *a, const struct trie *trie, struct str text,
                                     size_t from, size_t *at);

/* ---- post-processing ---- */

#define MAX_FRAME  64
#define MAX_TRIM   8
#define FRAME_TEXT (-1)
struct trim {
    bool keeps_space; /* one space in front of the first token, or of one at the text's start, stays */
    bool leads;       /* the text's first token is the first of all at that time */
};
struct frame {
    int32_t item[MAX_FRAME];  /* what stands around the text: ids, and FRAME_TEXT for the text itself */
    unsigned part[MAX_FRAME]; /* which part each is of, while the frame is made */
    unsigned n, n_text, n_parts;
    bool special;
    struct trim trim[MAX_TRIM]; /* one after the other */
    unsigned n_trim;
};
/* out[0] without special tokens, out[1] with them. */
MUST_CHECK enum status post_processor_read(const struct json_val *v, struct frame out[2], struct err *e);

#endif
