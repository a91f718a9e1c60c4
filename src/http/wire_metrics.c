/* What the server counts of connections and responses, when it is given a registry. */
#include "http/http_int.h"

static const char *const status_classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx", NULL};

static const struct metric_desc descs[WIRE_COUNT] = {
#define METRIC(id, name_, help_, kind_, label_, values_)                                                     \
    [WIRE_##id] = {.name = name_, .help = help_, .kind = METRIC_##kind_, .label = label_, .values = values_},
#include "http/metrics.def"
#undef METRIC
};

enum status wire_metrics_add(struct http_server *s)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < WIRE_COUNT && s->o.metrics && st == ST_OK; i++)
        st = metrics_add(s->o.metrics, &descs[i], &s->metric[i]);
    return st;
}

void wire_count(struct http_server *s, enum wire_metric id, unsigned series, uint64_t n)
{
    if (s->metric[id])
        metric_count(s->metric[id], series, n);
}

void wire_count_response(struct http_server *s, unsigned status)
{
    BUG_ON(status < 100 || status > 599);
    wire_count(s, WIRE_RESPONSES, status / 100 - 1, 1);
}

void wire_connections(struct http_server *s)
{
    if (s->metric[WIRE_CONNECTIONS])
        metric_set(s->metric[WIRE_CONNECTIONS], 0, s->n_conn);
}
