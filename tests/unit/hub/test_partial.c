/* A blob that is not whole yet: any order of pieces, any interruption, damage. */
#include "hub/hub_int.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define N_BYTES 300001             /* five pieces of 64 KiB, the last one short */
#define ETAG    "0f5c8f3d3b8c6f0e" /* no hash: what is checked here are places */

struct place {
    char dir[64], blob[128];
    unsigned char bytes[N_BYTES];
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    strcpy(p->dir, "/tmp/prompteur-partial.XXXXXX");
    if (!mkdtemp(p->dir))
        return -1;
    snprintf(p->blob, sizeof p->blob, "%s/blobs/%s", p->dir, ETAG);
    for (size_t i = 0; i < N_BYTES; i++)
        p->bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", p->dir);
    int rc = system(command);
    free(p);
    return rc;
}

static struct partial *open_it(const struct place *p)
{
    struct partial *x = NULL;
    struct err e = {0};
    assert_int_equal(partial_open(p->blob, STR(ETAG), N_BYTES, &x, &e), ST_OK);
    return x;
}

static void write_some(const struct place *p, struct partial *x, uint64_t *at, uint64_t end, size_t n)
{
    n = n < end - *at ? n : (size_t)(end - *at);
    assert_int_equal(partial_write(x, *at, p->bytes + *at, n, NULL), ST_OK);
    *at += n;
}

static void finish(const struct place *p, struct partial *x)
{
    bool more = true;
    assert_true(partial_is_full(x));
    while (more)
        assert_int_equal(partial_hash(x, &more, NULL), ST_OK);
    assert_true(partial_is_right(x));
    assert_int_equal(partial_finish(x, NULL), ST_OK);
    partial_close(x);
    unsigned char *found = malloc(N_BYTES + 1);
    int fd = open(p->blob, O_RDONLY);
    assert_int_equal(read(fd, found, N_BYTES + 1), N_BYTES);
    close(fd);
    assert_memory_equal(found, p->bytes, N_BYTES);
    free(found);
}

static void test_pieces_in_any_order(void **state)
{
    const struct place *p = *state;
    struct partial *x = open_it(p);
    size_t piece[5];
    uint64_t begin[5], end[5], other;
    for (size_t i = 0; i < 5; i++)
        assert_true(partial_take(x, &piece[i], &begin[i], &end[i]));
    assert_false(partial_take(x, &piece[0], &other, &other));
    assert_true(begin[0] == 0 && end[4] == N_BYTES);
    for (size_t i = 5; i-- > 0;)
        while (begin[i] < end[i]) {
            write_some(p, x, &begin[i], end[i], 10007);
            bool more;
            assert_int_equal(partial_hash(x, &more, NULL), ST_OK);
        }
    finish(p, x);
}

static void test_interruptions(void **state)
{
    const struct place *p = *state;
    uint64_t done = 0;
    for (unsigned round = 0; done < N_BYTES; round++) {
        struct partial *x = open_it(p);
        size_t piece;
        uint64_t at, end;
        assert_true(partial_done_bytes(x) == done);
        if (round % 3 == 0 && partial_take(x, &piece, &at, &end)) /* a piece that comes to nothing */
            assert_true(at < end);
        if (partial_take(x, &piece, &at, &end))
            write_some(p, x, &at, end, 7001);
        done = partial_done_bytes(x);
        partial_close(x);
    }
    finish(p, open_it(p));
}

static void test_bytes_over_several_pieces(void **state)
{
    const struct place *p = *state;
    struct partial *x = open_it(p);
    uint64_t at = 0;
    while (at < N_BYTES)
        write_some(p, x, &at, N_BYTES, 100000);
    finish(p, x);
}

static void test_reset(void **state)
{
    const struct place *p = *state;
    struct partial *x = open_it(p);
    uint64_t at = 0;
    bool more;
    write_some(p, x, &at, N_BYTES, 200000);
    assert_int_equal(partial_hash(x, &more, NULL), ST_OK);
    assert_int_equal(partial_reset(x, NULL), ST_OK);
    assert_true(partial_done_bytes(x) == 0);
    at = 0;
    write_some(p, x, &at, N_BYTES, N_BYTES);
    finish(p, x);
}

/* A map that claims more than a piece holds, or of another length, is no map. */
static void test_damaged_maps(void **state)
{
    const struct place *p = *state;
    char map[160];
    snprintf(map, sizeof map, "%s.map.incomplete", p->blob);
    static const struct {
        off_t at;
        uint32_t value;
    } damage[] = {{64, 65537}, {80, 65536}, {68, UINT32_MAX}, {0, 0}, {18, 0x31313131}};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        struct partial *x = open_it(p);
        uint64_t at = partial_done_bytes(x);
        if (at == 0)
            write_some(p, x, &at, N_BYTES, 1000);
        partial_close(x);
        int fd = open(map, O_RDWR);
        assert_int_equal(pwrite(fd, &damage[i].value, sizeof damage[i].value, damage[i].at), 4);
        close(fd);
        x = open_it(p);
        assert_true(partial_done_bytes(x) == 0);
        partial_close(x);
    }
}

static void test_absurd_lengths(void **state)
{
    const struct place *p = *state;
    struct partial *x;
    struct err e;
    assert_int_equal(partial_open(p->blob, STR(ETAG), UINT64_MAX, &x, &e), ST_LIMIT);
    assert_int_equal(partial_open(p->blob, STR(ETAG), 0, &x, &e), ST_OK);
    bool more;
    assert_true(partial_is_full(x));
    assert_int_equal(partial_hash(x, &more, NULL), ST_OK);
    assert_true(!more && partial_is_right(x));
    partial_close(x);
}

static void test_digests(void **state)
{
    (void)state;
    static const struct {
        const char *etag;
        bool right;
    } cases[] = {
        {"ce013625030ba8dba906f756967f9e9ca394464a", true}, /* git hash-object of "hello\n" */
        {"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", true}, /* sha256sum */
        {"ce013625030ba8dba906f756967f9e9ca394464b", false},
        {"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be04", false},
        {"anything", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct digest *d;
        assert_int_equal(digest_new(digest_kind_of(str_from(cases[i].etag)), 6, &d, NULL), ST_OK);
        digest_add(d, "hel", 3);
        digest_add(d, "lo\n", 3);
        assert_true(digest_matches(d, str_from(cases[i].etag)) == cases[i].right);
        digest_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pieces_in_any_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interruptions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_over_several_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_maps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_absurd_lengths, set_up, tear_down),
        cmocka_unit_test(test_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
