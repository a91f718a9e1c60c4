/* Which of a repository's files a server needs: configuration, tokenizer, templates, and one set of weights.
 *
 * Repositories hold the same weights in several formats, and much that no server reads. Safetensors are
 * preferred; PyTorch's files are only taken where there are none, as TGI does. */
#include "hub/hub_int.h"
#include <string.h>

#define SAFETENSORS       STR("model.safetensors")
#define SAFETENSORS_INDEX STR("model.safetensors.index.json")
#define BIN               STR("pytorch_model.bin")
#define BIN_INDEX         STR("pytorch_model.bin.index.json")

bool listing_has(const struct listing *l, struct str path)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->path[i], path))
            return true;
    return false;
}

static bool is_top_level(struct str path)
{
    return !memchr(path.p, '/', path.n);
}

static bool contains(struct str path, struct str part)
{
    return str_find(path, part, 0) != SIZE_MAX;
}

bool is_needed_config(struct str path)
{
    static const char *const endings[] = {".json", ".txt", ".jinja", ".model", ".tiktoken"};
    if (str_has_prefix(path, STR("additional_chat_templates/")))
        return str_has_suffix(path, STR(".jinja"));
    if (!is_top_level(path) || path.p[0] == '.')
        return false;
    if (str_has_suffix(path, STR(".index.json"))) /* the one of the chosen weights is fetched with them */
        return false;
    if (str_eq(path, STR("trainer_state.json")) || str_eq(path, STR("requirements.txt")) ||
        str_eq(path, STR("LICENSE.txt")))
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (str_has_suffix(path, str_from(endings[i])))
            return true;
    return str_has_prefix(path, STR("tokenizer.model."));
}

static bool is_safetensors(struct str path)
{
    return is_top_level(path) && path.p[0] != '.' && str_has_suffix(path, STR(".safetensors")) &&
           !contains(path, STR("arguments")) && !contains(path, STR("args")) &&
           !contains(path, STR("training"));
}

static bool is_bin(struct str path)
{
    return is_top_level(path) && path.p[0] != '.' && str_has_suffix(path, STR(".bin")) &&
           !contains(path, STR("arguments")) && !contains(path, STR("args")) &&
           !contains(path, STR("training")) && !contains(path, STR("optimizer")) &&
           !contains(path, STR("scheduler"));
}

struct str choose_index(const struct listing *l)
{
    if (listing_has(l, SAFETENSORS))
        return (struct str){0};
    if (listing_has(l, SAFETENSORS_INDEX))
        return SAFETENSORS_INDEX;
    for (size_t i = 0; i < l->n; i++)
        if (is_safetensors(l->path[i]))
            return (struct str){0};
    return !listing_has(l, BIN) && listing_has(l, BIN_INDEX) ? BIN_INDEX : (struct str){0};
}

/* Those of a kind, or only the one file that holds everything. */
static size_t choose_kind(const struct listing *l, bool (*is_kind)(struct str), struct str whole,
                          struct str *out)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (is_kind(l->path[i]))
            out[n++] = l->path[i];
    if (!listing_has(l, whole))
        return n;
    out[0] = whole;
    return 1;
}

size_t choose_weights(const struct listing *l, struct str *out)
{
    size_t n = choose_kind(l, is_safetensors, SAFETENSORS, out);
    return n ? n : choose_kind(l, is_bin, BIN, out);
}
