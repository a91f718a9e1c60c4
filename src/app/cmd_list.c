/* prompteur list: the models in the hub's cache, a line each, in name order. Asks no network. */
#include "app/commands.h"
#include "app/hub_setup.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MODELS 100000

struct model_list {
    struct hub_cached *model;
    size_t n, cap;
    bool failed;
};

static void add(void *arg, const struct hub_cached *m)
{
    struct model_list *l = arg;
    if (l->n == l->cap && l->cap < MAX_MODELS) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct hub_cached *more = realloc(l->model, cap * sizeof *more);
        if (more) {
            l->model = more;
            l->cap = cap;
        }
    }
    if (l->n < l->cap)
        l->model[l->n++] = *m;
    else
        l->failed = true;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct hub_cached *)a)->id, ((const struct hub_cached *)b)->id);
}

static void print(const struct hub_cached *m)
{
    char size[32], note[64] = "";
    snprintf(size, sizeof size, "%.2f GB", (double)m->n_bytes / 1e9);
    if (m->n_unfinished)
        snprintf(note, sizeof note, "  (unfinished: %zu files)", m->n_unfinished);
    printf("%-50s %12s  %s%s\n", m->id, size, m->revisions[0] ? m->revisions : "-", note);
}

int command_list(const struct options *o)
{
    struct err e = {0};
    struct model_list l = {0};
    char cache[HUB_PATH_MAX];
    enum status st = hub_cache_dir(o, NULL, cache, &e);
    if (st == ST_OK)
        st = hub_cache_list(cache, add, &l, &e);
    if (st == ST_OK && l.failed)
        st = err_set(&e, ST_LIMIT, "no memory for the list of models");
    if (st != ST_OK) {
        fprintf(stderr, "prompteur: %s\n", e.text);
    } else if (l.n == 0) {
        fprintf(stderr, "no models in %s\n", cache);
    } else {
        qsort(l.model, l.n, sizeof *l.model, by_id);
        printf("%-50s %12s  %s\n", "MODEL", "SIZE", "REVISIONS");
        for (size_t i = 0; i < l.n; i++)
            print(&l.model[i]);
    }
    free(l.model);
    return st == ST_OK && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
