/* Lines of JSON in, lines of JSON out.
 *
 * Input is read in blocks into a bounded buffer; whole lines are answered from it. Output gathers in stdout's
 * own buffer and is flushed when no whole line is left. A line that is wrong in any way gets an error as its
 * answer; only a failing read or write ends the loop. */
#include "app/json_lines.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (64u << 10)
#define PLAIN      "\033[0m"

struct session {
    const struct json_lines *lines;
    struct buf in, out;
    bool colour;
    bool skipping;   /* the rest of a line that was too long */
    size_t searched; /* bytes of `in` without an end of line */
};

/* ---- output ---- */

/* Length of the string literal at the front of `s`, quotes included. */
static size_t literal_length(struct str s)
{
    size_t i = 1;
    while (i < s.n && s.p[i] != '"')
        i += s.p[i] == '\\' ? 2 : 1;
    return i < s.n ? i + 1 : s.n;
}

/* Names of members in blue, text in green, an error in red; the texts of a list on two grounds in turn, so
 * that the white space at their ends is seen. */
static void print_coloured(struct str text)
{
    static const char *const ground[] = {"\033[30;42m", "\033[30;46m"};
    bool is_error = str_has_prefix(text, STR("{\"error\""));
    unsigned n_item = 0;
    for (size_t i = 0; i < text.n;) {
        size_t n = text.p[i] == '"' ? literal_length((struct str){text.p + i, text.n - i}) : 1;
        bool is_name = n > 1 && i + n < text.n && text.p[i + n] == ':';
        bool is_item = n > 1 && !is_name && text.p[i - 1] != ':';
        if (is_item)
            fputs(ground[n_item++ % 2], stdout);
        else if (n > 1)
            fputs(is_name ? "\033[34m" : is_error ? "\033[31m" : "\033[32m", stdout);
        fwrite(text.p + i, 1, n, stdout);
        if (n > 1)
            fputs(PLAIN, stdout);
        i += n;
    }
}

static void print_answer(struct session *s)
{
    if (s->colour)
        print_coloured(buf_str(&s->out));
    else
        fwrite(s->out.p, 1, s->out.n, stdout);
    fputc('\n', stdout);
}

static enum status flush(struct err *e)
{
    if (fflush(stdout) || ferror(stdout))
        return err_set(e, ST_IO, "cannot write to standard output: %s", strerror(errno));
    return ST_OK;
}

/* ---- lines ---- */

static enum status answer(struct session *s, struct str line, struct err *e)
{
    struct json_doc *doc = NULL;
    struct json_writer w;
    if (line.n > s->lines->max_line_bytes)
        return err_set(e, ST_LIMIT, "the line is longer than %zu bytes", s->lines->max_line_bytes);
    enum status st = json_parse(line, 0, &doc, e);
    if (st != ST_OK)
        return st;
    jw_init(&w, &s->out);
    jw_object(&w);
    st = s->lines->answer(s->lines->self, json_root(doc), line.n, &w, e);
    if (st == ST_OK)
        jw_end_object(&w);
    json_free(doc);
    if (st == ST_OK && s->out.failed)
        st = err_set(e, ST_LIMIT, "the answer is longer than %zu bytes", s->lines->max_answer_bytes);
    return st;
}

static void answer_line(struct session *s, struct str line)
{
    struct err e = {0};
    line = str_trim(line);
    if (line.n == 0)
        return;
    buf_clear(&s->out);
    if (answer(s, line, &e) != ST_OK) {
        struct json_writer w;
        buf_clear(&s->out);
        jw_init(&w, &s->out);
        jw_object(&w);
        jw_key(&w, "error");
        jw_cstr(&w, e.text);
        jw_end_object(&w);
    }
    print_answer(s);
}

/* Answers the whole lines that are in the buffer, and what is left of it at the end of the input. */
static void answer_buffered(struct session *s, bool at_end)
{
    size_t at = 0;
    for (;;) {
        size_t end = str_find(buf_str(&s->in), STR("\n"), at > s->searched ? at : s->searched);
        if (end == SIZE_MAX && !at_end)
            break;
        if (end == SIZE_MAX)
            end = s->in.n;
        if (!s->skipping)
            answer_line(s, (struct str){s->in.p + at, end - at});
        s->skipping = false;
        at = end + 1;
        if (at >= s->in.n)
            break;
    }
    buf_consume(&s->in, at < s->in.n ? at : s->in.n);
    s->searched = s->in.n;
    if (s->in.n > s->lines->max_line_bytes) {
        if (!s->skipping)
            answer_line(s, buf_str(&s->in));
        s->skipping = true;
        s->searched = 0;
        buf_clear(&s->in);
    }
}

static enum status run(struct session *s, struct err *e)
{
    enum status st = ST_OK;
    for (ssize_t n = 1; st == ST_OK && n > 0;) {
        char *to = buf_reserve(&s->in, READ_BYTES);
        if (!to)
            return err_set(e, ST_NO_MEMORY, "no memory for a line of %zu bytes", s->in.n);
        do
            n = read(STDIN_FILENO, to, READ_BYTES);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return err_set(e, ST_IO, "cannot read standard input: %s", strerror(errno));
        s->in.n += (size_t)n;
        answer_buffered(s, n == 0);
        st = flush(e);
    }
    return st;
}

enum status json_lines_run(const struct json_lines *lines, struct err *e)
{
    struct session s = {.lines = lines, .colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    buf_init(&s.in, lines->max_line_bytes + 2 * READ_BYTES);
    buf_init(&s.out, lines->max_answer_bytes);
    enum status st = run(&s, e);
    buf_fini(&s.in);
    buf_fini(&s.out);
    return st;
}
