/* Models: what turns one piece of text into tokens (BPE, ...). A model owns its vocabulary in both
 * directions; its strings stay in the tokenizer's document. Immutable after reading: any number of threads
 * encode at once. */
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

/* Text -> id: half the hash and the id, the text itself is the vocabulary's, so that the table of a large
 * vocabulary stays in the cache. */
struct id_slot {
    uint32_t hash, id_plus_1; /* 0: free */
};

struct token_model {
    const struct token_model_kind *kind;
    struct str *token; /* [n_token] text by id; .p NULL: no such id */
    uint32_t n_token;
    struct id_slot *slot; /* [slot_mask + 1], at most 3/4 full */
    size_t slot_mask;
    uint64_t hash_key;
    void *state; /* of the kind */
};

extern const struct token_model_kind model_bpe;

/* The `model` object of tokenizer.json. */
MUST_CHECK enum status model_read(const struct json_val *v, struct token_model *out, struct err *e);
void model_fini(struct token_model *m);
/* The id of a token, or -1. */
int32_t model_id(const struct token_model *m, struct str token);
/* The same in two steps, for many tokens in a row: the first has the table's place fetched meanwhile. */
uint64_t model_id_prepare(const struct token_model *m, struct str token);
int32_t model_id_prepared(const struct token_model *m, struct str token, uint64_t hash);

/* For kinds: room for ids below n_id and n_entry entries; then each entry: of equal texts the last one
 * counts, two texts with one id are refused. */
MUST_CHECK enum status model_vocab_alloc(struct token_model *m, uint64_t n_id, size_t n_entry, struct err *e);
MUST_CHECK enum status model_vocab_put(struct token_model *m, struct str token, uint32_t id, struct err *e);
/* For kinds: a `vocab` object {"token": id, ...}. */
MUST_CHECK enum status model_read_vocab(const struct json_val *v, struct token_model *m, struct err *e);
/* For kinds: the token that option `name` of the model names; -1 when it is absent or null. */
MUST_CHECK enum status model_read_token(const struct token_model *m, const struct json_val *v,
                                        const char *name, int32_t *out, struct err *e);

#endif
