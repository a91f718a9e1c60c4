/* What stands beside a tokenizer's vocabulary in a model's folder: special tokens, options, chat templates.
 */
#ifndef TEXT_TOKENIZER_CONFIG_INT_H
#define TEXT_TOKENIZER_CONFIG_INT_H

#include "text/text_int.h"

#define CONFIG_MAX_NAMED     64
#define CONFIG_MAX_TEMPLATES 64

#define N_STANDARD_TOKENS 7
extern const char *const
    standard_token_names[N_STANDARD_TOKENS]; /* bos_token, ... as transformers lists them */

/* A special token with a name (bos_token, ...); no content: the file says that there is none. */
struct named_token {
    struct str name;
    struct added_token token; /* without id */
};

struct chat_template {
    struct str name, text; /* "default", "tool_use", ... */
};

/* Every string lives in the documents or in the arena below. */
struct tokenizer_config {
    struct json_doc *config, *special_map, *added, *model, *generation, *template_json;
    struct arena arena;
    /* In the order in which transformers lists them: seven of its own, then the model's. */
    struct named_token named[CONFIG_MAX_NAMED];
    unsigned n_named;
    struct added_token *extra; /* [n_extra] extra_special_tokens, or the older additional_special_tokens */
    size_t n_extra;
    bool has_extra;              /* that list, maybe an empty one, stands over the vocabulary file's own */
    struct added_token *decoder; /* [n_decoder] added_tokens_decoder or added_tokens.json, by id */
    size_t n_decoder;
    bool decoder_is_older; /* it is added_tokens.json */
    struct chat_template template[CONFIG_MAX_TEMPLATES];
    unsigned n_template;
    struct str class_name, model_type; /* empty: not said */
    uint64_t max_length;
    bool clean_up_spaces;
};

/* Reads the files beside the vocabulary; those that are missing say nothing. */
/* `config_path`: read in place of the folder's tokenizer_config.json, its templates before all others; NULL.
 */
MUST_CHECK enum status tokenizer_config_open(const char *dir, const char *config_path,
                                             struct tokenizer_config **out, struct err *e);
/* The config of a vocabulary alone. */
MUST_CHECK enum status tokenizer_config_empty(struct tokenizer_config **out, struct err *e);
/* Options and special tokens, once the documents are there. */
MUST_CHECK enum status tokenizer_config_read(struct tokenizer_config *c, struct err *e);
void tokenizer_config_free(struct tokenizer_config *c);

/* An option of tokenizer_config.json, NULL when absent. */
const struct json_val *tokenizer_config_option(const struct tokenizer_config *c, const char *name);
/* The named token, NULL when no file speaks of it. */
const struct named_token *tokenizer_config_named(const struct tokenizer_config *c, struct str name);
/* Adds or replaces. */
MUST_CHECK enum status named_token_put(struct named_token *list, unsigned *n, struct named_token token,
                                       struct err *e);
/* {"content": ..., flags}, special whatever they say if so asked; or a string, whose flags are those of a
 * special token. False for anything else. */
bool added_token_from(const struct json_val *v, bool special, struct added_token *out);

#endif
