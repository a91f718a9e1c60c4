/* Reference goldens that lie outside the project: PROMPTEUR_TESTDATA names the folder; without it tests skip
 * and say so. */
#ifndef TESTS_TESTDATA_H
#define TESTS_TESTDATA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The folder; ends the test as skipped when there is none. */
static inline const char *testdata_dir(void)
{
    const char *dir = getenv("PROMPTEUR_TESTDATA");
    if (!dir) {
        print_message("skipped: PROMPTEUR_TESTDATA is not set, so there are no reference goldens here\n");
        skip();
    }
    return dir;
}

/* A whole file under the folder, gzip unpacked when it ends in .gz; NUL-terminated, owned by the caller. */
static inline char *testdata_read(const char *name, size_t *n)
{
    char command[1024];
    size_t cap = 1 << 20;
    char *text = malloc(cap);
    snprintf(command, sizeof command, "gzip -dcf '%s/%s'", testdata_dir(), name);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    *n = 0;
    for (size_t got; (got = fread(text + *n, 1, cap - *n - 1, f)) > 0;) {
        *n += got;
        if (cap - *n < 2) {
            cap *= 2;
            text = realloc(text, cap);
            assert_non_null(text);
        }
    }
    text[*n] = '\0';
    assert_int_equal(pclose(f), 0);
    return text;
}

#endif
