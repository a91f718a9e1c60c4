/* Files replaced whole, folders made on the way, digits of bytes. */
#include "base/buf.h"
#include "base/file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct folder {
    char dir[64], path[128];
};

static int setup(void **state)
{
    struct folder *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/prompteur-file.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/a/b/c", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct folder *f = *state;
    char path[160];
    (void)unlink(f->path);
    snprintf(path, sizeof path, "%s/a/b", f->dir);
    (void)rmdir(path);
    snprintf(path, sizeof path, "%s/a", f->dir);
    (void)unlink(path);
    (void)rmdir(path);
    assert_int_equal(rmdir(f->dir), 0); /* nothing is left behind, no temporary file either */
    free(f);
    return 0;
}

static void assert_holds(const char *path, const char *text)
{
    struct buf found;
    buf_init(&found, 1 << 20);
    assert_int_equal(buf_read_file(&found, path, NULL), ST_OK);
    assert_true(str_eq(buf_str(&found), str_from(text)));
    buf_fini(&found);
}

static void test_replace(void **state)
{
    struct folder *f = *state;
    struct err e;
    assert_int_equal(file_replace(f->path, STR("x"), &e), ST_IO); /* its folder is not there */
    assert_non_null(strstr(e.text, f->path));
    assert_int_equal(file_make_parents(f->path, &e), ST_OK);
    assert_int_equal(file_make_parents(f->path, &e), ST_OK);
    assert_int_equal(file_replace(f->path, STR("first, and longer"), &e), ST_OK);
    assert_holds(f->path, "first, and longer");
    assert_int_equal(file_replace(f->path, STR("second"), &e), ST_OK);
    assert_holds(f->path, "second");
    assert_int_equal(file_replace(f->path, STR(""), NULL), ST_OK);
    assert_holds(f->path, "");
}

/* What cannot be replaced stays as it was. */
static void test_refused(void **state)
{
    struct folder *f = *state;
    struct err e;
    struct stat s;
    assert_int_equal(file_make_parents(f->path, &e), ST_OK);
    assert_int_equal(mkdir(f->path, 0777), 0);
    assert_int_equal(file_replace(f->path, STR("x"), &e), ST_IO);
    assert_int_equal(stat(f->path, &s), 0);
    assert_true(S_ISDIR(s.st_mode));
    assert_int_equal(rmdir(f->path), 0);
}

static void test_a_file_where_a_folder_should_be(void **state)
{
    struct folder *f = *state;
    struct err e;
    char path[128];
    snprintf(path, sizeof path, "%s/a", f->dir);
    assert_int_equal(file_replace(path, STR("x"), &e), ST_OK);
    assert_int_equal(file_replace(f->path, STR("x"), &e), ST_IO);
    assert_holds(path, "x");
}

static void test_long_paths(void **state)
{
    static char path[5000];
    struct err e;
    (void)state;
    memset(path, 'a', sizeof path - 1);
    assert_int_equal(file_replace(path, STR("x"), &e), ST_LIMIT);
    assert_int_equal(file_make_parents(path, &e), ST_LIMIT);
}

static void test_hex(void **state)
{
    char out[9];
    (void)state;
    hex_encode(out, (const uint8_t *)"\x00\x9f\xa0\xff", 4);
    assert_string_equal(out, "009fa0ff");
    hex_encode(out, NULL, 0);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_where_a_folder_should_be, setup, teardown),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
