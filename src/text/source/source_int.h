/* Sources: the files that a tokenizer can be read from when a folder has no tokenizer.json. Each turns its
 * files into the text of a tokenizer.json, which the one loader reads; so a source knows nothing of stages.
 *
 * Beside the usual members such a text has what the library's class would add by itself:
 *   "special_tokens": {"bos_token": "<s>", ...}     defaults of named tokens
 *   "extra_special_tokens": [{"content": ...}, ...] defaults of the unnamed ones */
#ifndef TEXT_SOURCE_INT_H
#define TEXT_SOURCE_INT_H

#include "text/tokenizer_config_int.h"

#define SOURCE_MAX_BYTES (512u << 20)
#define CLASS_MAX_TOKENS 8

/* What a tokenizer class of transformers makes around a vocabulary. JSON texts have `$name` places, filled
 * from tokenizer_config.json (class.c lists them). */
struct tokenizer_class {
    const char *name;
    const char *vocab_file; /* NULL: only those that every class reads */
    enum { CLASS_ANY, CLASS_BPE, CLASS_UNIGRAM, CLASS_WORDPIECE } model;
    const char *options; /* members of the model, each with a comma before it */
    const char *normalizer, *pre_tokenizer, *decoder;
    /* Defaults of named tokens: name, text, name, text, ... */
    const char *special[2 * CLASS_MAX_TOKENS];
    /* The Unigram vocabulary around the file's pieces: `@name` is a named token, others stand for themselves.
     */
    const char *head[CLASS_MAX_TOKENS], *tail[CLASS_MAX_TOKENS];
    unsigned n_skip;      /* pieces of the file that the head replaces */
    unsigned n_extra_ids; /* <extra_id_N> behind the pieces */
    const char *unk;      /* the piece for what has no piece; NULL: id 2 */
    /* Named tokens around a text; NULL: as add_bos_token and add_eos_token say. */
    const char *before, *behind;
    bool trim_offsets;  /* of RoBERTa's post-processor */
    bool special_again; /* named tokens are added anew as special ones */
    bool mask_strips_left;
};

/* The class that transformers takes for a folder; NULL with *name: one that this version does not know. */
const struct tokenizer_class *tokenizer_class_of(const struct tokenizer_config *c, struct str *name);
const struct tokenizer_class *tokenizer_class_find(struct str name);

/* What fills the places of a class's texts. */
struct class_values {
    const struct tokenizer_class *class;
    const struct tokenizer_config *config;
    struct str charsmap; /* of a SentencePiece normalizer, raw bytes; empty: none */
    bool byte_fallback;  /* of a SentencePiece model */
};
/* Members normalizer, pre_tokenizer, decoder of the object being written. */
void class_write_stages(const struct class_values *v, struct buf *out);
/* The model's options. */
void class_write_options(const struct class_values *v, struct buf *out);
/* A named token's text: of the files, else of the class, else "". */
struct str class_token(const struct class_values *v, const char *name);
/* The next line without its end; false behind the last. */
bool read_line(struct str *file, struct str *line);
void write_base64(struct buf *out, struct str bytes);
/* Appends the bytes; false when it is not base64. */
bool read_base64(struct buf *out, struct str text);
void write_json_str(struct buf *out, struct str s);
/* A comma, unless the last byte opened the list. */
void write_comma(struct buf *out, char open);

struct source_input {
    const char *path;                    /* of the vocabulary file */
    const struct tokenizer_class *class; /* NULL: the file alone decides; the source then says which */
    const struct tokenizer_config *config;
};

/* Appends a tokenizer.json made of the file's text. */
typedef enum status source_write(struct source_input *in, struct str file, struct buf *out, struct err *e);
source_write sentencepiece_write, tekken_write, tiktoken_write, gpt2_files_write, wordpiece_write;

/* ---- what several sources share ---- */

/* Pieces in the order of their ids, with a map from text to id (the last of equal pieces). */
struct pieces {
    struct str *text;
    int32_t *id;
    size_t n, cap;
    struct map map;
    struct buf memory; /* of texts that were made here */
};
void pieces_fini(struct pieces *p);
MUST_CHECK enum status pieces_add(struct pieces *p, struct str text, int32_t id, struct err *e);
/* Once all are added. */
MUST_CHECK enum status pieces_index(struct pieces *p, struct err *e);
/* {"text": id, ...} */
void pieces_write_vocab(const struct pieces *p, struct buf *out);
/* [["a", "b"], ...]: all ways to make a piece of two others, by the made piece's id, then by the length of
 * the left part (SentencePiece) or by the ids of the parts (byte-level ranks). */
enum merge_order { MERGE_BY_LENGTH, MERGE_BY_ID };
MUST_CHECK enum status pieces_write_merges(const struct pieces *p, enum merge_order order, struct buf *out,
                                           struct err *e);
/* Appends the byte-level spelling of raw bytes to p->memory. */
void pieces_put_byte_level(struct pieces *p, struct str bytes);

/* The document of a folder or file: its own tokenizer.json, or one made by a source (*made). *class is NULL
 * when a tokenizer.json has none that this version knows; it then needs none. */
MUST_CHECK enum status source_read(const char *path, bool is_dir, const struct tokenizer_config *config,
                                   struct json_doc **out, const struct tokenizer_class **class, bool *made,
                                   struct err *e);

#endif
