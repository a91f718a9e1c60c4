/* prompteur info: what a model that is on this disk is, a line for each thing. Asks no network. */
#include "app/commands.h"
#include "app/load.h"
#include "text/chat.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void print_config(const struct model_config *c)
{
    printf("type           %s\n", c->model_type);
    printf("shape          %u layers, %u heads (%u of keys and values) of %u, width %u, feed-forward %u\n",
           c->n_layer, c->n_head, c->n_kv_head, c->d_head, c->d_model, c->d_ff);
    printf("context        %u tokens\n", c->max_position);
    printf("dtype          %s\n", c->dtype[0] ? c->dtype : "not stated");
}

static void print_text_side(const struct options *o, const char *dir)
{
    struct err e;
    struct tokenizer *t = NULL;
    struct chat *chat = NULL;
    if (tokenizer_open_with(dir, option_text(o, OPT_TOKENIZER_CONFIG_PATH), &t, &e) != ST_OK) {
        printf("tokenizer      none: %s\n", e.text);
        return;
    }
    printf("tokenizer      %u tokens\n", tokenizer_vocab(t)->n_vocab);
    enum status st = chat_new(t, &chat, &e);
    printf("chat template  %s%s\n",
           st == ST_OK          ? "yes"
           : st == ST_NOT_FOUND ? "none: completions only"
                                : "not usable: ",
           st == ST_OK || st == ST_NOT_FOUND ? "" : e.text);
    chat_free(chat);
    tokenizer_free(t);
}

int command_info(const struct options *o)
{
    struct err e = {0};
    struct model_source s;
    struct ckpt *c = NULL;
    char cache[MODEL_DIR_MAX], hex[CKPT_DIGEST_HEX] = "";
    enum status st = model_source_read(o, &s, &e);
    if (st == ST_OK)
        st = model_source_look(o, &s, &e);
    if (st == ST_OK)
        st = checkpoint_open(o, s.dir, &c, &e);
    if (st == ST_OK) {
        printf("model          %s\n", s.id);
        if (s.commit[0])
            printf("commit         %s\n", s.commit);
        printf("folder         %s\n", s.dir);
        print_config(ckpt_config(c));
        printf("weights        %.2f GB in %zu tensors\n", (double)ckpt_weight_bytes(c) / 1e9,
               ckpt_n_tensors(c));
        print_text_side(o, s.dir);
        fflush(stdout); /* what follows may take a while */
        st = ckpt_digest(c, digest_cache_dir(cache), NULL, hex, &e);
    }
    if (st == ST_OK)
        printf("digest         %s\n", hex);
    else
        fprintf(stderr, "prompteur: %s\n", e.text);
    ckpt_close(c);
    return st == ST_OK && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
