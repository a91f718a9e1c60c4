/* Identity of the weights: the same as sha256sum's, remembered only while size and time stand. */
#include "unit/ckpt/checkpoint_files.h"
#include <fcntl.h>
#include <sys/stat.h>

#define ONE "model-00001-of-00002.safetensors"
#define TWO "model-00002-of-00002.safetensors"
#define W   "{\"dtype\":\"F32\",\"shape\":[524289],\"data_offsets\":[0,2097156]}" /* several read chunks */

struct fixture {
    struct folder model, cache;
    struct ckpt *c;
};

static struct fixture fixture_new(void)
{
    struct fixture x = {.model = folder_new(), .cache = folder_new()};
    folder_write_text(&x.model, "config.json", LLAMA_CONFIG);
    folder_write_text(&x.model, "model.safetensors.index.json",
                      "{\"weight_map\":{\"b\":\"" TWO "\",\"a\":\"" ONE "\"}}");
    folder_write_safetensors(&x.model, ONE, "{\"a\":" W "}", 2097156);
    folder_write_safetensors(&x.model, TWO,
                             "{\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2);
    x.c = assert_opens(&x.model);
    return x;
}

static void fixture_free(struct fixture *x)
{
    ckpt_close(x->c);
    folder_remove(&x->model);
    folder_remove(&x->cache);
}

static void reference_digest(const struct folder *f, char out[CKPT_DIGEST_HEX])
{
    char command[256];
    snprintf(command, sizeof command, "cd %s && LC_ALL=C sha256sum *.safetensors | sha256sum", f->path);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_int_equal(fread(out, 1, CKPT_DIGEST_HEX - 1, p), CKPT_DIGEST_HEX - 1);
    out[CKPT_DIGEST_HEX - 1] = '\0';
    pclose(p);
}

static void check(const struct fixture *x, const char *cache_dir, const char *expected)
{
    char found[CKPT_DIGEST_HEX];
    struct err e = {0};
    const atomic_bool cancel = false;
    assert_int_equal(ckpt_digest(x->c, cache_dir, &cancel, found, &e), ST_OK);
    assert_string_equal(found, expected);
}

/* Changes one byte of the data; the time stays or moves by one nanosecond. */
static void change_byte(const struct fixture *x, long move_ns)
{
    char path[PATH_BYTES];
    struct stat s;
    unsigned char byte;
    snprintf(path, sizeof path, "%s/" ONE, x->model.path);
    int fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &s), 0);
    assert_int_equal(pread(fd, &byte, 1, 1000), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 1000), 1);
    s.st_mtim.tv_nsec += s.st_mtim.tv_nsec < 999999999 ? move_ns : -move_ns;
    assert_int_equal(futimens(fd, (const struct timespec[]){s.st_atim, s.st_mtim}), 0);
    close(fd);
}

static void test_like_sha256sum(void **state)
{
    (void)state;
    struct fixture x = fixture_new();
    char expected[CKPT_DIGEST_HEX];
    reference_digest(&x.model, expected);
    check(&x, NULL, expected);
    check(&x, x.cache.path, expected);
    check(&x, x.cache.path, expected);
    fixture_free(&x);
}

static void test_cache_lives_by_size_and_time(void **state)
{
    (void)state;
    struct fixture x = fixture_new();
    char before[CKPT_DIGEST_HEX], after[CKPT_DIGEST_HEX];
    reference_digest(&x.model, before);
    check(&x, x.cache.path, before);
    change_byte(&x, 0);
    check(&x, x.cache.path, before); /* from the cache: nobody can see that the file changed */
    change_byte(&x, 0);
    change_byte(&x, 1);
    reference_digest(&x.model, after);
    assert_string_not_equal(before, after);
    check(&x, x.cache.path, after);
    fixture_free(&x);
}

static void each_cache_file(const struct fixture *x, void (*fn)(const char *path))
{
    DIR *d = opendir(x->cache.path);
    for (const struct dirent *entry; (entry = readdir(d));) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", x->cache.path, entry->d_name);
        if (entry->d_name[0] != '.')
            fn(path);
    }
    closedir(d);
}

static void cut(const char *path)
{
    assert_int_equal(truncate(path, 60), 0);
}

/* Same length, but a capital letter where the digest stands. */
static void scribble(const char *path)
{
    FILE *f = fopen(path, "r+");
    char line[PATH_BYTES];
    assert_non_null(fgets(line, sizeof line, f));
    char *hex = strchr(strchr(strchr(line, ' ') + 1, ' ') + 1, ' ') + 1;
    fseek(f, hex - line + 3, SEEK_SET);
    fputc('X', f);
    fclose(f);
}

static void overgrow(const char *path)
{
    FILE *f = fopen(path, "w");
    for (unsigned i = 0; i < 100000; i++)
        fputc('0', f);
    fclose(f);
}

static void test_damaged_cache(void **state)
{
    (void)state;
    struct fixture x = fixture_new();
    char expected[CKPT_DIGEST_HEX];
    reference_digest(&x.model, expected);
    check(&x, x.cache.path, expected);
    each_cache_file(&x, cut);
    check(&x, x.cache.path, expected);
    each_cache_file(&x, scribble);
    check(&x, x.cache.path, expected);
    each_cache_file(&x, overgrow);
    check(&x, x.cache.path, expected);
    fixture_free(&x);
}

static void test_cache_folder(void **state)
{
    (void)state;
    struct fixture x = fixture_new();
    char expected[CKPT_DIGEST_HEX], path[PATH_BYTES];
    reference_digest(&x.model, expected);
    /* A folder that cannot be made is no error. */
    snprintf(path, sizeof path, "%s/config.json/cache", x.model.path);
    check(&x, path, expected);
    /* One that can is made, and only whole files are left in it. */
    struct folder made = {""};
    snprintf(path, sizeof path, "%s/deep", x.cache.path);
    snprintf(made.path, sizeof made.path, "%.40s/deep/er", x.cache.path);
    check(&x, made.path, expected);
    DIR *d = opendir(made.path);
    assert_non_null(d);
    unsigned n = 0;
    for (const struct dirent *entry; (entry = readdir(d));)
        n += str_has_suffix(str_from(entry->d_name), STR(".sha256"));
    closedir(d);
    assert_int_equal(n, 2);
    folder_remove(&made);
    assert_int_equal(rmdir(path), 0);
    fixture_free(&x);
}

static void test_cancel_and_missing(void **state)
{
    (void)state;
    struct fixture x = fixture_new();
    char found[CKPT_DIGEST_HEX], path[PATH_BYTES];
    struct err e;
    const atomic_bool cancel = true;
    assert_int_equal(ckpt_digest(x.c, x.cache.path, &cancel, found, &e), ST_CANCELLED);
    snprintf(path, sizeof path, "%s/" TWO, x.model.path);
    assert_int_equal(unlink(path), 0);
    const atomic_bool go = false;
    assert_int_equal(ckpt_digest(x.c, x.cache.path, &go, found, &e), ST_IO);
    assert_non_null(strstr(e.text, TWO));
    fixture_free(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_sha256sum),     cmocka_unit_test(test_cache_lives_by_size_and_time),
        cmocka_unit_test(test_damaged_cache),      cmocka_unit_test(test_cache_folder),
        cmocka_unit_test(test_cancel_and_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
