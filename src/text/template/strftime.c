/* strftime_now(): datetime.strftime() of a time without zone, in the C locale. One directive at a time goes
 * to strftime(); those that Python answers itself are answered here. */
#include "text/template/template_int.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

/* One directive, flags and width included: "%-d". */
static void put_directive(struct text *t, struct str directive)
{
    char format[32], text[256];
    struct tm tm = t->r->ctx->now;
    tm.tm_isdst = -1; /* no zone: datetime has none */
    tm.tm_zone = "";
    char letter = directive.p[directive.n - 1];
    run_spend(t->r, 20);
    if (directive.n == 2 && letter == 'f') {
        snprintf(text, sizeof text, "%06d", t->r->ctx->now_us);
        text_put(t, str_from(text));
        return;
    }
    if (directive.n == 2 && (letter == 'z' || letter == 'Z'))
        return; /* there is no zone */
    if (directive.n >= sizeof format)
        fail(t->r, "strftime_now: a directive that is too long");
    memcpy(format, directive.p, directive.n);
    format[directive.n] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop
    text_put(t, (struct str){text, n});
}

struct value time_format(struct run *r, struct str format)
{
    struct text t = {.r = r};
    for (size_t i = 0; i < format.n;) {
        size_t n = 1;
        if (format.p[i] != '%') {
            while (i + n < format.n && format.p[i + n] != '%')
                n++;
            text_put(&t, (struct str){format.p + i, n});
            i += n;
            continue;
        }
        while (i + n < format.n && format.p[i + n] && strchr("-_0^#123456789EO", format.p[i + n]))
            n++;
        if (i + n >= format.n || (unsigned char)format.p[i + n] >= 128) {
            text_put(&t, (struct str){format.p + i, n});
            i += n;
            continue;
        }
        put_directive(&t, (struct str){format.p + i, n + 1});
        i += n + 1;
    }
    return text_done(&t);
}
