/* Tokenizer: text <-> token ids, equal to what the Hugging Face `tokenizers` library does with the same
 * tokenizer.json.
 *
 * A tokenizer is read once and then immutable: any number of threads may use it at once. Text is UTF-8;
 * offsets are bytes into the text as it was given, unless code points are asked for. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include "base/buf.h"
#include "base/vocab.h"

struct tokenizer;

/* A text longer than this is refused, whatever the caller's limits. */
#define TOKENIZER_MAX_TEXT_BYTES (256u << 20)
#define TOKENIZER_MAX_EOS        16

/* `path`: a model's folder, or a vocabulary file alone, without the files beside it.
 *
 * A folder's tokenizer.json is read as the `tokenizers` library reads it; without one, tekken.json,
 * tokenizer.model, spiece.model, sentencepiece.bpe.model, vocab.json with merges.txt or vocab.txt become what
 * transformers makes of them, by the class that tokenizer_config.json or config.json names. Special tokens
 * and chat templates come from the files beside it, with transformers' precedence. What the files ask for and
 * this version does not do is refused by name. A file alone is known by its name. */
MUST_CHECK enum status tokenizer_open(const char *path, struct tokenizer **out, struct err *e);
/* A folder's, with the file `config_path` in place of its tokenizer_config.json (NULL: its own). A chat
 * template in that file is used before the folder's other templates: it was named on purpose. */
MUST_CHECK enum status tokenizer_open_with(const char *path, const char *config_path, struct tokenizer **out,
                                           struct err *e);
/* From memory, without the files beside it. */
MUST_CHECK enum status tokenizer_from_json(struct str json, struct tokenizer **out, struct err *e);
void tokenizer_free(struct tokenizer *t);

struct tokens {
    int32_t *ids;           /* [n] owned */
    uint32_t *start, *stop; /* [n] owned; in bytes, start <= stop <= the text's; tokens that post-processing
                               adds have 0, 0 */
    size_t n;
};

enum tokenizer_flag {
    TOKENIZER_ADD_SPECIAL = 1,  /* what post-processing adds (bos, ...) */
    TOKENIZER_CHAR_OFFSETS = 2, /* offsets count code points, as the library's Python side gives them: where
                                   it leaves one behind the text, so does this */
};

/* `text` must be valid UTF-8 (ST_INVALID). Linear or n log n in the text's length. */
MUST_CHECK enum status tokenizer_encode(const struct tokenizer *t, struct str text, unsigned flags,
                                        struct tokens *out, struct err *e);
void tokens_fini(struct tokens *tokens);

/* Appends the text of the ids; ids that no token has are left out. Invalid UTF-8 becomes U+FFFD. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                      struct buf *out);

const struct vocab *tokenizer_vocab(const struct tokenizer *t);
/* A token as the vocabulary spells it, not as it reads (`Ġthe`); empty when no token has that id. Borrows. */
struct str tokenizer_token_text(const struct tokenizer *t, int32_t id);
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);
/* The id of a token's text, or -1. */
int32_t tokenizer_token_id(const struct tokenizer *t, struct str text);

/* ---- what stands beside the vocabulary; all strings borrowed from the tokenizer ---- */

/* Named special tokens ("bos_token", "eos_token", "pad_token", ..., and those of the model's own,
 * "image_token"), which chat templates see as variables: the i-th, in transformers' order; false past the
 * last. */
bool tokenizer_special(const struct tokenizer *t, size_t i, struct str *name, struct str *text);
/* By name: empty or -1 when there is none. */
struct str tokenizer_special_text(const struct tokenizer *t, struct str name);
int32_t tokenizer_special_id(const struct tokenizer *t, struct str name);
/* The id of eos_token; -1: none. */
int32_t tokenizer_eos(const struct tokenizer *t);
/* Every id that ends an answer: eos_token, then those of generation_config.json. Their number. */
size_t tokenizer_all_eos(const struct tokenizer *t, const int32_t **ids);
/* Raw chat templates: the i-th with its name; false past the last. */
bool tokenizer_template_at(const struct tokenizer *t, size_t i, struct str *name, struct str *text);
/* By name ("default", "tool_use", "rag", ...); empty when there is none. */
struct str tokenizer_template(const struct tokenizer *t, struct str name);
/* The one named "default". */
struct str tokenizer_chat_template(const struct tokenizer *t);
/* Whether transformers' decode() takes spaces in front of punctuation away (clean_up_tokenization_spaces,
 * never for BPE). tokenizer_decode() and streams do not: TGI streams what the tokenizers library gives. */
bool tokenizer_cleans_up(const struct tokenizer *t);
/* What it does then. */
void tokenizer_clean_up(struct str text, struct buf *out);
/* model_max_length, or 0 when absent or absurd. */
uint64_t tokenizer_max_length(const struct tokenizer *t);

#endif
