/* Tokenizers against the goldens of the `tokenizers` library: ids, offsets, decoded text, streamed text. */
#include "testdata.h"
#include "text/stream.h"
#include "json/json.h"
#include <string.h>

static const char *const names[] = {
    "llama-2", "mistral-v0.1", "mistral-v0.3",    "llama-3",        "gpt-2",
    "qwen2.5", "phi-3",        "mistral-nemo",    "bert",           "t5",
    "falcon",  "gemma",        "xlm-roberta-31k", "deepseek-coder", "stories-512"};

static struct tokenizer *open_published(const char *name)
{
    char path[256];
    size_t n;
    struct tokenizer *t = NULL;
    struct err e = {0};
    snprintf(path, sizeof path, "tokenizers/%s/tokenizer.json.gz", name);
    char *json = testdata_read(path, &n);
    enum status st = tokenizer_from_json((struct str){json, n}, &t, &e);
    if (st != ST_OK)
        fail_msg("%s: %s", name, e.text);
    free(json);
    return t;
}

static size_t read_ids(const struct json_val *list, int32_t *out)
{
    struct json_iter it = json_iter(list);
    const struct json_val *v;
    size_t n = 0;
    uint64_t id;
    while ((v = json_next(&it, NULL))) {
        assert_true(json_u64(v, &id));
        out[n++] = (int32_t)id;
    }
    return n;
}

/* Code points before byte `at`. */
static uint64_t chars_before(struct str text, uint32_t at)
{
    return utf8_count((struct str){text.p, at});
}

static void show(const char *name, unsigned line, const char *what, struct str want, struct str got)
{
    print_error("%s, line %u, %s:\n  want `%.*s`\n  got  `%.*s`\n", name, line, what, (int)want.n, want.p,
                (int)got.n, got.p);
}

struct check {
    const char *name;
    unsigned line, failed;
    const struct tokenizer *t;
    const struct json_val *record;
};

static void expect_text(struct check *c, const char *what, struct str want, struct str got)
{
    if (!str_eq(want, got)) {
        c->failed++;
        show(c->name, c->line, what, want, got);
    }
}

static void check_encode(struct check *c, struct str text, const int32_t *ids, size_t n)
{
    struct tokens got;
    struct err e = {0};
    const struct json_val *off = json_get(c->record, STR("off"));
    assert_int_equal(tokenizer_encode(c->t, text, 0, &got, &e), ST_OK);
    bool same = got.n == n && (n == 0 || memcmp(got.ids, ids, n * sizeof *ids) == 0);
    if (!same) {
        c->failed++;
        print_error("%s, line %u: ids differ for `%.*s`\n", c->name, c->line,
                    (int)(text.n < 80 ? text.n : 80), text.p);
    }
    for (size_t i = 0; i < n && same; i++) {
        uint64_t begin, end;
        json_u64(json_at(json_at(off, i), 0), &begin);
        json_u64(json_at(json_at(off, i), 1), &end);
        if (chars_before(text, got.start[i]) != begin || chars_before(text, got.stop[i]) != end) {
            c->failed++;
            print_error("%s, line %u: token %zu of `%.*s` is at %u..%u bytes, not %llu..%llu characters\n",
                        c->name, c->line, i, (int)(text.n < 80 ? text.n : 80), text.p, got.start[i],
                        got.stop[i], (unsigned long long)begin, (unsigned long long)end);
            break;
        }
    }
    tokens_fini(&got);
}

static void check_stream(struct check *c, const int32_t *ids, size_t n)
{
    const struct json_val *inc = json_get(c->record, STR("inc"));
    struct stream s;
    if (!inc)
        return;
    assert_int_equal(stream_init(&s, c->t, NULL, 0, NULL, 0), ST_OK);
    s.skip_special = true;
    for (size_t i = 0; i < n; i++) {
        struct str want = STR(""), delta;
        bool stopped;
        json_str(json_at(inc, i), &want);
        assert_int_equal(stream_push(&s, ids[i], &delta, &stopped), ST_OK);
        if (!str_eq(want, delta)) {
            expect_text(c, "streamed", want, delta);
            break;
        }
    }
    stream_fini(&s);
}

static void check_record(struct check *c)
{
    static int32_t ids[1 << 20];
    struct str text, want = STR("");
    struct buf got;
    bool is_text = json_str(json_get(c->record, STR("t")), &text);
    size_t n = read_ids(json_get(c->record, is_text ? STR("ids") : STR("d")), ids);
    if (is_text)
        check_encode(c, text, ids, n);
    buf_init(&got, 1u << 30);
    tokenizer_decode(c->t, ids, n, true, &got);
    json_str(json_get(c->record, STR("dec")), &want);
    expect_text(c, "decoded", want, buf_str(&got));
    buf_clear(&got);
    tokenizer_decode(c->t, ids, n, false, &got);
    json_str(json_get(c->record, STR("raw")), &want); /* absent when equal to dec */
    expect_text(c, "decoded with special tokens", want, buf_str(&got));
    buf_fini(&got);
    check_stream(c, ids, n);
}

/* What encoding adds in front and behind. */
static void check_frame(struct check *c)
{
    int32_t prefix[16], suffix[16];
    size_t n_prefix = read_ids(json_get(c->record, STR("prefix_ids")), prefix);
    size_t n_suffix = read_ids(json_get(c->record, STR("suffix_ids")), suffix);
    struct tokens bare, framed;
    struct err e = {0};
    assert_int_equal(tokenizer_encode(c->t, STR("probe"), 0, &bare, &e), ST_OK);
    assert_int_equal(tokenizer_encode(c->t, STR("probe"), TOKENIZER_ADD_SPECIAL, &framed, &e), ST_OK);
    assert_int_equal(framed.n, n_prefix + bare.n + n_suffix);
    for (size_t i = 0; i < n_prefix; i++)
        assert_int_equal(framed.ids[i], prefix[i]);
    for (size_t i = 0; i < bare.n; i++)
        assert_int_equal(framed.ids[n_prefix + i], bare.ids[i]);
    for (size_t i = 0; i < n_suffix; i++)
        assert_int_equal(framed.ids[n_prefix + bare.n + i], suffix[i]);
    tokens_fini(&bare);
    tokens_fini(&framed);
}

static unsigned check_tokenizer(const char *name)
{
    char path[256];
    size_t n;
    struct tokenizer *t = open_published(name);
    snprintf(path, sizeof path, "goldens/tokenizers/%s.jsonl.gz", name);
    char *lines = testdata_read(path, &n);
    struct check c = {.name = name, .t = t};
    for (char *line = lines, *end; *line; line = end + 1) {
        struct json_doc *doc;
        struct err e = {0};
        end = strchr(line, '\n');
        assert_non_null(end);
        c.line++;
        assert_int_equal(json_parse((struct str){line, (size_t)(end - line)}, 0, &doc, &e), ST_OK);
        c.record = json_root(doc);
        if (c.line == 1)
            check_frame(&c);
        else
            check_record(&c);
        json_free(doc);
    }
    assert_true(c.line > 300);
    free(lines);
    tokenizer_free(t);
    print_message("%s: %u lines, %u differences\n", name, c.line, c.failed);
    return c.failed;
}

static void test_goldens(void **state)
{
    (void)state;
    unsigned failed = 0;
    testdata_dir();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        failed += check_tokenizer(names[i]);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
