/* The tokenizer itself: its stages in order. */
#ifndef TEXT_TOKENIZER_INT_H
#define TEXT_TOKENIZER_INT_H

#include "text/model/model_int.h"

struct tokenizer {
    struct json_doc *doc; /* owns every string of the stages */
    struct steps normalizers, pre_tokenizers, decoders;
    struct added_tokens added;
    struct token_model model;
    struct frame frame;
    struct vocab vocab;
    struct str *token_text; /* [n_vocab] as in the file; .p NULL: no such id */
    int32_t eos;
    uint64_t max_length;
    char *chat_template;
};

/* postprocess_offsets.c: offsets without the white space at each token's ends. */
void trim_offsets(const struct tokenizer *t, struct str text, bool keeps_first_space, struct token_list *list);

#endif
