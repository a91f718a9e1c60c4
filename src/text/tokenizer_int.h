/* The tokenizer itself: its stages in order. */
#ifndef TEXT_TOKENIZER_INT_H
#define TEXT_TOKENIZER_INT_H

#include "text/model/model_int.h"
#include "text/source/source_int.h"

struct tokenizer {
    struct json_doc *doc;            /* all but the model: owns every string of the stages */
    struct tokenizer_config *config; /* what stood beside the vocabulary */
    struct steps normalizers, pre_tokenizers, decoders;
    struct added_tokens added;
    struct token_model model;
    struct frame frame[2]; /* of texts without and with special tokens */
    struct vocab vocab;
    struct str *token_text; /* [n_vocab] as in the file; .p NULL: no such id */
    struct named_token named[CONFIG_MAX_NAMED];
    unsigned n_named;
    int32_t eos[TOKENIZER_MAX_EOS]; /* the tokenizer's own first */
    size_t n_eos;
};

/* Where a tokenizer's special tokens come from, beside its config. */
struct special_source {
    const struct tokenizer_class *class; /* NULL: none is known, or needed */
    bool made;                           /* a source made the document: it says what it assumes */
};

/* Takes document and config. */
MUST_CHECK enum status tokenizer_from_document(struct json_doc *doc, struct tokenizer_config *config,
                                               const struct special_source *from, struct tokenizer **out,
                                               struct err *e);

/* special_tokens.c: after added tokens, model and post-processor have been read. */
MUST_CHECK enum status special_tokens_apply(struct tokenizer *t, const struct special_source *from,
                                            struct err *e);

/* postprocess_offsets.c: offsets without the white space at each token's ends. */
void trim_offsets(const struct tokenizer *t, struct str text, struct trim how, struct token_list *list);

#endif
