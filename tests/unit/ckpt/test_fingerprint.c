/* The fingerprint stays while build and weights stay, and moves with each of them. */
#include "unit/ckpt/checkpoint_files.h"

#define FILE_NAME "model.safetensors"
#define N_DATA    400000
#define W         "\"dtype\":\"F32\",\"shape\":[100000],\"data_offsets\":[0,400000]"
#define TALL                                                                                                 \
    "\"dtype\":\"F32\",\"shape\":[100000,1],\"data_offsets\":[0,400000]" /* as many bytes, rank 2            \
                                                                          */

static struct folder folder_with(const char *header)
{
    struct folder f = folder_new();
    folder_write_text(&f, "config.json", LLAMA_CONFIG);
    folder_write_safetensors(&f, FILE_NAME, header, N_DATA);
    return f;
}

static void fingerprint(const struct folder *f, const char *build, char out[CKPT_FINGERPRINT_BYTES])
{
    struct err e = {0};
    struct ckpt *c = assert_opens(f);
    assert_int_equal(ckpt_fingerprint(c, build, out, &e), ST_OK);
    ckpt_close(c);
}

static void assert_moves(const struct folder *f, const char *build, const char *from)
{
    char now[CKPT_FINGERPRINT_BYTES];
    fingerprint(f, build, now);
    assert_string_not_equal(now, from);
}

/* Flips one bit; `at` counts from the file's start, negative from its end. */
static void flip(const struct folder *f, long at)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/" FILE_NAME, f->path);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    fputc(byte ^ 1, file);
    assert_int_equal(fclose(file), 0);
}

static void test_shape_of_the_text(void **state)
{
    (void)state;
    struct folder f = folder_with("{\"a\":{" W "}}");
    char one[CKPT_FINGERPRINT_BYTES], two[CKPT_FINGERPRINT_BYTES];
    fingerprint(&f, "0.1.0", one);
    fingerprint(&f, "0.1.0", two);
    assert_string_equal(one, two);
    assert_int_equal(strlen(one), 19);
    assert_memory_equal(one, "fp_", 3);
    assert_int_equal(strspn(one + 3, "0123456789abcdef"), 16);
    folder_remove(&f);
}

static void test_moves_with_build_name_dtype_and_shape(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{\"b\":{" W "}}", "{\"a\":{" TALL "}}",
        "{\"a\":{\"dtype\":\"BF16\",\"shape\":[200000],\"data_offsets\":[0,400000]}}"};
    struct folder f = folder_with("{\"a\":{" W "}}");
    char first[CKPT_FINGERPRINT_BYTES];
    fingerprint(&f, "0.1.0", first);
    assert_moves(&f, "0.1.1", first);
    folder_remove(&f);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        f = folder_with(headers[i]);
        assert_moves(&f, "0.1.0", first);
        folder_remove(&f);
    }
}

static void test_moves_with_a_byte_of_a_block(void **state)
{
    (void)state;
    struct folder f = folder_with("{\"a\":{" W "}}");
    char first[CKPT_FINGERPRINT_BYTES], now[CKPT_FINGERPRINT_BYTES];
    fingerprint(&f, "0.1.0", first);
    static const long places[] = {1000, 134000, -1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        flip(&f, places[i]);
        assert_moves(&f, "0.1.0", first);
        flip(&f, places[i]);
    }
    fingerprint(&f, "0.1.0", now);
    assert_string_equal(now, first);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape_of_the_text),
        cmocka_unit_test(test_moves_with_build_name_dtype_and_shape),
        cmocka_unit_test(test_moves_with_a_byte_of_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
