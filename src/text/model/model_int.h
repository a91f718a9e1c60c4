/* Models: what turns one piece of text into tokens (BPE, WordPiece, WordLevel, Unigram). A model owns its
 * vocabulary in both directions. Immutable after reading: any number of threads encode at once. */
#ifndef TEXT_MODEL_INT_H
#define TEXT_MODEL_INT_H

#include "text/text_int.h"

/* Tokens of one encode call; memory of its scratch. */
struct token_list {
    int32_t *id;
    uint32_t *start, *stop; /* bytes of the text as given */
    size_t n, cap;
};
void token_list_add(struct token_list *l, struct scratch *s, int32_t id, uint32_t start, uint32_t stop);

struct token_model;

/* A row of the table in model.c. */
struct token_model_kind {
    const char *type;
    /* Fills the vocabulary and `state`; what it has made when it fails is freed with the model. */
    enum status (*read)(const struct json_val *v, struct token_model *m, struct err *e);
    /* Appends the tokens of a piece of a section's text, never empty. Failures go to s->status. */
    void (*encode)(const struct token_model *m, const struct aligned *text, struct span piece,
                   struct token_list *out, struct scratch *s);
    void (*free_state)(void *state);
};

/* Text -> id: half the hash and which entry, so that the table of a large vocabulary stays in the cache. */
struct id_slot {
    uint32_t hash, entry_plus_1; /* 0: free */
};

struct id_entry {
    struct str text;
    int32_t id;
};

struct token_model {
    const struct token_model_kind *kind;
    struct str *token; /* [n_token] text by id; .p NULL: no such id */
    uint32_t n_token;
    struct id_entry *entry; /* [n_entry] the different texts */
    uint32_t n_entry;
    struct id_slot *slot; /* [slot_mask + 1], at most 3/4 full */
    size_t slot_mask;
    uint64_t hash_key;
    int32_t unknown;   /* a token that stands for the very text it was made of; -1: none */
    char *text_memory; /* of all texts, once they are the model's own */
    void *state;       /* of the kind */
};

extern const struct token_model_kind model_bpe, model_wordpiece, model_wordlevel, model_unigram;

/* The `model` object of tokenizer.json. */
MUST_CHECK enum status model_read(const struct json_val *v, struct token_model *out, struct err *e);
/* Copies the texts, which until then lie in the document: nothing of it is needed any more. */
MUST_CHECK enum status model_own_texts(struct token_model *m, struct err *e);
void model_fini(struct token_model *m);
/* The id of a token, or -1. */
int32_t model_id(const struct token_model *m, struct str token);
/* The same in two steps, for many tokens in a row: the first has the table's place fetched meanwhile. */
uint64_t model_id_prepare(const struct token_model *m, struct str token);
int32_t model_id_prepared(const struct token_model *m, struct str token, uint64_t hash);

/* ---- for kinds ---- */

/* Room for ids below n_id and n_entry entries; then each token. Of equal texts the last one has the id, all
 * have their text; two texts with one id are refused. */
MUST_CHECK enum status model_vocab_alloc(struct token_model *m, uint64_t n_id, size_t n_entry, struct err *e);
void model_vocab_add(struct token_model *m, struct str token, uint32_t id);
/* A `vocab` object {"token": id, ...}. */
MUST_CHECK enum status model_read_vocab(const struct json_val *v, struct token_model *m, struct err *e);
/* The token that option `name` of the model names; -1 when it is absent or null. */
MUST_CHECK enum status model_read_token(const struct token_model *m, const struct json_val *v,
                                        const char *name, int32_t *out, struct err *e);
/* A text that the model must have. */
MUST_CHECK enum status model_read_str(const struct json_val *v, const char *name, struct str *out,
                                      struct err *e);
/* The ids of <0x00> ... <0xFF>, -1 where there is none. */
void model_byte_ids(const struct token_model *m, int32_t id[256]);
/* A piece that is one token; -1 is an unknown one without a token for it: the text is refused. */
void model_add_word(int32_t id, const struct aligned *text, struct span piece, struct token_list *out,
                    struct scratch *s);

/* ---- pieces by their bytes ---- */

#define PIECE_MAX_BYTES 512u /* bounds the steps from one place of a text */
#define PIECE_ROOT      0u
#define PIECE_NONE      UINT32_MAX
#define PIECE_ENDS      0x80000000u /* in `base`: a piece ends at this node */

struct piece {
    struct str text;
    int32_t id;
};

struct piece_unit {
    uint32_t base;  /* the child of a byte is at base ^ byte, if that unit's owner is this one */
    uint32_t owner; /* the parent */
};

struct piece_trie {
    struct piece_unit *unit;
    int32_t *id; /* by unit, where a piece ends; of equal pieces the last one's */
    uint32_t n_unit;
};
/* The texts may go away afterwards. What it has made when it fails is for piece_trie_fini(). */
MUST_CHECK enum status piece_trie_init(struct piece_trie *t, const struct piece *piece, uint32_t n,
                                       struct err *e);
void piece_trie_fini(struct piece_trie *t);

static inline uint32_t piece_trie_step(const struct piece_trie *t, uint32_t node, unsigned char byte)
{
    uint32_t next = (t->unit[node].base & ~PIECE_ENDS) ^ byte;
    return t->unit[next].owner == node ? next : PIECE_NONE;
}

static inline bool piece_trie_ends(const struct piece_trie *t, uint32_t node)
{
    return t->unit[node].base & PIECE_ENDS;
}

#endif
