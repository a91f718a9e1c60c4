/* One generation in flight: a request of any route from its first byte to the engine's last event about it.
 *
 *   loop    generation_start()    copies the body
 *   worker  wire->read()          body -> prompts; then permits, checks, tokens
 *   loop    submission, then deliver.c: the engine's events -> wire->write*() -> the client
 *
 * The loop owns it, but while the worker has it. */
#ifndef API_GENERATION_INT_H
#define API_GENERATION_INT_H

#include "api/api_int.h"
#include "api/choice.h"

/* One prompt of a request and its answers. */
struct gen_prompt {
    struct gen_request request;
    struct tokens tokens; /* ids move into the engine */
    uint32_t n_input, n_new;
    int32_t *ids;          /* [n_input] the tokens' ids, when their logprobs are asked for */
    float *logprob;        /* [n_input] from the engine */
    struct choice *choice; /* [n_choice] of the generation's list */
    uint32_t n_choice, n_done;
    uint64_t started_ns, done_ns;
};

struct openai_words;

/* How a route reads its requests and words its answers: all that routes differ in. */
struct gen_wire {
    /* A worker. Makes prompts with generation_add_prompt() and says whether the answer is a stream. On
     * failure g->failure says which kind it is (API_SHAPE_ERROR, unless read() knows better). */
    enum status (*read)(struct generation *g, const struct json_val *root);
    /* The loop. The body of an answer that is no stream. */
    enum status (*write)(struct generation *g, struct buf *body);
    /* The loop. A stream's events for the newest token of a choice, and (may be NULL) those behind the last.
     */
    enum status (*write_token)(struct generation *g, struct choice *c, struct buf *events);
    enum status (*write_end)(struct generation *g, struct buf *events);
    /* An error: a body, or the last event of a stream. */
    void (*write_error)(struct generation *g, enum api_error kind, const char *text, struct buf *body);
    void (*write_error_event)(struct generation *g, enum api_error kind, const char *text,
                              struct buf *events);
    const struct openai_words *openai; /* NULL: none of OpenAI's routes; --strict-openai is for these */
    bool counts_prompts;               /* tgi_request_count counts the call and each prompt */
};

/* What OpenAI's routes say of a request beside the prompt. */
struct openai_request {
    char id[48];      /* of the answer */
    struct str model; /* as the answer names it */
    bool include_usage, logprobs, echo;
};

struct generation {
    struct api *api;
    const struct gen_wire *wire;
    uint32_t index, number;  /* its place in api->in_flight and that place's count: the tag of its events */
    struct http_handle http; /* of the client; http_req_find() says whether it is still there */
    bool gone, answered, streams, streaming; /* streams: shall; streaming: has begun */

    struct arena arena;
    struct str body;           /* copy: the connection may go while a worker reads it */
    struct gen_prompt *prompt; /* [n_prompt] */
    uint32_t n_prompt, cap_prompt;
    struct choice *choice; /* [n_choice] each holds a slot of the engine, until it has ended */
    uint32_t n_choice, n_done, n_ended;
    struct openai_request openai;
    uint64_t cache_salt[2];

    /* outcome of the worker's part */
    enum status status;
    enum api_error failure; /* or API_SHAPE_ERROR */
    const char *reason;     /* err.text or something longer in the arena */
    struct err err;

    uint64_t begin_ns, validated_ns, begin_unix;
};

/* generation.c */
void generation_start(struct http_req *r, struct api *a, const struct gen_wire *wire);
/* A worker, in wire->read(): room for n prompts, once; then one after the other, their requests initialised.
 */
MUST_CHECK enum status generation_reserve(struct generation *g, size_t n);
struct gen_prompt *generation_add_prompt(struct generation *g);
/* Nothing more is wanted of the engine. */
void generation_cancel(struct generation *g);
/* --strict-openai, on a route that it is for. */
bool generation_is_strict(const struct generation *g);

/* deliver.c */
/* Ends the client's side with an error, in the form that its route has. */
void deliver_error(struct generation *g, enum api_error kind, const char *text);
void deliver_stream_begin(struct generation *g, struct http_req *r);

/* native.c (POST /), chat_completions.c, completions.c: /invocations is one of them; cloud.c. */
extern const struct gen_wire wire_compat, wire_chat, wire_completions, wire_invocation, wire_vertex;
/* chat_completions.c. A conversation and the fields beside it. */
MUST_CHECK enum status chat_read(struct generation *g, const struct json_val *root, struct gen_request *q);
/* native.c */
void native_write_error(struct generation *g, enum api_error kind, const char *text, struct buf *body);

#endif
