/* One-file checkpoints: what is read, and the sentence for every damage. */
#include "unit/ckpt/checkpoint_files.h"
#include <fcntl.h>
#include <sys/stat.h>

#define SAFE "model.safetensors"

static struct folder single(const char *header, size_t n_data)
{
    struct folder f = folder_new();
    folder_write_text(&f, "config.json", LLAMA_CONFIG);
    folder_write_safetensors(&f, SAFE, header, n_data);
    return f;
}

static void test_all_dtypes(void **state)
{
    (void)state;
    /* The header's order is not the data's order; metadata is no tensor; a scalar and an empty tensor are
     * sound. */
    struct folder f = single("{\"__metadata__\":{\"format\":\"pt\"},"
                             "\"c\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[28,34]},"
                             "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                             "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[24,24]},"
                             "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[24,28]},"
                             "\"b\":{\"dtype\":\"F16\",\"shape\":[1,1],\"data_offsets\":[34,36]}}",
                             36);
    struct ckpt *c = assert_opens(&f);
    assert_string_equal(ckpt_dir(c), f.path);
    assert_string_equal(ckpt_config(c)->model_type, "llama");
    assert_int_equal(ckpt_n_tensors(c), 5);
    assert_int_equal(ckpt_weight_bytes(c), 36);
    const struct ckpt_tensor *a = ckpt_find(c, STR("a")), *b = ckpt_find(c, STR("b")), *t;
    assert_ptr_equal(ckpt_tensor_at(c, 0), a);
    assert_ptr_equal(ckpt_tensor_at(c, 4), b);
    assert_int_equal(a->type, ELEM_F32);
    assert_int_equal(a->n_dim, 2);
    assert_true(a->dim[0] == 2 && a->dim[1] == 3);
    assert_int_equal(a->n_bytes, 24);
    assert_string_equal(a->file, SAFE);
    assert_int_equal((uintptr_t)a->data % 4, 0);
    assert_int_equal(((const unsigned char *)a->data)[5], 5);
    assert_int_equal(b->type, ELEM_F16);
    assert_int_equal(((const unsigned char *)b->data)[0], 34);
    assert_int_equal(ckpt_find(c, STR("c"))->type, ELEM_BF16);
    assert_int_equal(ckpt_find(c, STR("scalar"))->n_dim, 0);
    assert_int_equal(ckpt_find(c, STR("none"))->n_bytes, 0);
    assert_null(ckpt_find(c, STR("__metadata__")));
    assert_null(ckpt_find(c, STR("A")));
    struct err e;
    assert_int_equal(ckpt_require(c, STR("a"), 2, (const uint64_t[]){2, 3}, &t, &e), ST_OK);
    assert_ptr_equal(t, a);
    ckpt_close(c);
    folder_remove(&f);
}

static void check_require(const struct ckpt *c, struct str name, uint32_t n_dim, const uint64_t *dims,
                          enum status status, const char *text)
{
    const struct ckpt_tensor *t;
    struct err e = {0};
    assert_int_equal(ckpt_require(c, name, n_dim, dims, &t, &e), status);
    assert_null(t);
    assert_string_equal(e.text, text);
}

static void test_require(void **state)
{
    (void)state;
    struct folder f = single("{\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                             "\"position_ids\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[24,40]},"
                             "\"odd\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[40,41]},"
                             "\"skew\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[41,43]}}",
                             43);
    struct ckpt *c = assert_opens(&f);
    const uint64_t dims[] = {3, 2, 9};
    check_require(c, STR("w"), 2, dims, ST_INVALID, SAFE ": tensor `w`: expected shape [3, 2], found [2, 3]");
    check_require(c, STR("w"), 1, dims, ST_INVALID, SAFE ": tensor `w`: expected shape [3], found [2, 3]");
    check_require(c, STR("w"), 3, dims, ST_INVALID,
                  SAFE ": tensor `w`: expected shape [3, 2, 9], found [2, 3]");
    check_require(c, STR("x.y"), 1, dims, ST_NOT_FOUND, SAFE ": tensor `x.y` is missing");
    check_require(c, STR("position_ids"), 2, dims, ST_UNSUPPORTED,
                  SAFE ": tensor `position_ids` has dtype I64, served are F32, F16 and BF16");
    check_require(c, STR("skew"), 1, dims, ST_UNSUPPORTED,
                  SAFE
                  ": tensor `skew` starts at byte 289, which is not a multiple of its element size; save the "
                  "file again with the safetensors library");
    assert_null(ckpt_find(c, STR("position_ids")));
    assert_null(ckpt_find(c, STR("skew")));
    assert_int_equal(ckpt_n_tensors(c), 3);
    struct quant_tensor ids;
    assert_true(ckpt_find_stored(c, STR("position_ids"), &ids));
    assert_int_equal(ids.dtype, DTYPE_I64);
    assert_true(ids.n_dim == 2 && ids.dim[0] == 1 && ids.dim[1] == 2 && ids.n_bytes == 16);
    assert_int_equal(((const unsigned char *)ids.data)[0], 24);
    assert_true(ckpt_find_stored(c, STR("w"), &ids) && ids.dtype == DTYPE_F32);
    assert_false(ckpt_find_stored(c, STR("skew"), &ids));
    assert_false(ckpt_find_stored(c, STR("x.y"), &ids));
    ckpt_close(c);
    folder_remove(&f);
}

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define A4                       "\"a\":" T("F32", "[1]", "[0,4]")

/* Each header with its data, and what the sentence must hold besides the file's name. */
static const struct damage {
    const char *header;
    size_t n_data;
    enum status status;
    const char *word[3];
} damages[] = {
    {"{\"w\":" T("F32", "[2,3]", "[0,24]") "}", 23, ST_INVALID, {"`w`", "[0, 24]", "holds 23 bytes"}},
    {"{\"w\":" T("F32", "[2,3]", "[0,24]") "}", 0, ST_INVALID, {"`w`", "past the end", "cut short"}},
    {"{\"w\":" T("F32", "[2,3]", "[0,24]") "}", 25, ST_INVALID, {"1 bytes after the last tensor"}},
    {"{}", 3, ST_INVALID, {"3 bytes after the last tensor"}},
    {"{" A4 ",\"b\":" T("F32", "[1]", "[2,6]") "}", 6, ST_INVALID, {"`b`", "overlaps", "`a`"}},
    {"{" A4 ",\"b\":" T("F32", "[1]", "[0,4]") "}", 4, ST_INVALID, {"overlaps", "`a`", "`b`"}},
    {"{" A4 ",\"b\":" T("F32", "[1]", "[8,12]") "}", 12, ST_INVALID, {"4 bytes before tensor `b`"}},
    {"{\"b\":" T("F32", "[1]", "[4,8]") "}", 8, ST_INVALID, {"4 bytes before tensor `b`"}},
    {"{\"w\":" T("F32", "[1]", "[4,0]") "}", 4, ST_INVALID, {"`w`", "[4, 0]", "backwards"}},
    {"{\"w\":" T("F32", "[2]", "[0,4]") "}", 4, ST_INVALID, {"`w`", "need 8 bytes", "give 4"}},
    {"{\"w\":" T("BF16", "[1]", "[0,4]") "}", 4, ST_INVALID, {"`w`", "BF16", "need 2 bytes"}},
    {"{\"w\":" T("F32", "[4294967296,4294967296]", "[0,4]") "}", 4, ST_INVALID, {"`w`", "too large"}},
    {"{\"w\":" T("F32", "[4611686018427387904]", "[0,0]") "}", 0, ST_INVALID, {"`w`", "too large"}},
    {"{\"w\":" T("F32", "[0]", "[0,18446744073709551615]") "}", 0, ST_INVALID, {"`w`", "past the end"}},
    {"{\"w\":" T("F32", "[0]", "[18446744073709551608,18446744073709551608]") "}",
     0,
     ST_INVALID,
     {"past the end"}},
    {"{\"w\":" T("I64", "[2]", "[0,8]") "}", 8, ST_INVALID, {"`w`", "need 16 bytes", "give 8"}},
    {"{\"w\":" T("F8_E4M3", "[2]", "[0,8]") "}", 8, ST_INVALID, {"`w`", "need 2 bytes", "give 8"}},
    {"{\"w\":" T("I64", "[1]", "[0,8]") "}", 4, ST_INVALID, {"`w`", "past the end"}},
    {"{\"w\":" T("", "[1]", "[0,4]") "}", 4, ST_INVALID, {"`w`", "dtype is empty"}},
    {"{\"w\":" T("FLOATFLOATFLOATFLOATFLOATFLOATFLOAT", "[1]", "[0,4]") "}",
     4,
     ST_INVALID,
     {"`w`", "longer than 32"}},
    {"{\"w\":" T("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, ST_INVALID, {"`w`", "8 dimensions"}},
    {"{\"w\":" T("F32", "[-1]", "[0,4]") "}", 4, ST_INVALID, {"`w`", "shape"}},
    {"{\"w\":" T("F32", "[1.0]", "[0,4]") "}", 4, ST_INVALID, {"`w`", "shape"}},
    {"{\"w\":" T("F32", "1", "[0,4]") "}", 4, ST_INVALID, {"`w`", "shape is not an array"}},
    {"{\"w\":" T("F32", "[1]", "[0]") "}", 4, ST_INVALID, {"`w`", "data_offsets"}},
    {"{\"w\":" T("F32", "[1]", "[0,4,8]") "}", 4, ST_INVALID, {"`w`", "data_offsets"}},
    {"{\"w\":" T("F32", "[1]", "[-4,0]") "}", 4, ST_INVALID, {"`w`", "data_offsets"}},
    {"{\"w\":" T("F32", "[1]", "null") "}", 4, ST_INVALID, {"`w`", "data_offsets is not an array"}},
    {"{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ST_INVALID, {"`w`", "dtype is missing"}},
    {"{\"w\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}",
     4,
     ST_INVALID,
     {"`w`", "dtype is not a string"}},
    {"{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, ST_INVALID, {"`w`", "shape is missing"}},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, ST_INVALID, {"`w`", "data_offsets is missing"}},
    {"{\"w\":[]}", 4, ST_INVALID, {"`w`", "not an object"}},
    {"{\"\":" T("F32", "[1]", "[0,4]") "}", 4, ST_INVALID, {"name is empty"}},
    {"{" A4 "," A4 "}", 4, ST_INVALID, {"duplicate field `a`"}},
    {"{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F16\"}}", 4, ST_INVALID, {"duplicate field `dtype`"}},
    {"{\"w\":", 4, ST_INVALID, {"the header is not valid JSON"}},
    {"{} x", 0, ST_INVALID, {"the header is not valid JSON"}},
    {"[1,2]", 0, ST_INVALID, {"the header is not a JSON object"}},
    {"", 0, ST_INVALID, {"the header is not valid JSON"}},
};

static void test_damages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const struct damage *d = &damages[i];
        struct folder f = single(d->header, d->n_data);
        assert_refused(&f, d->status, WORDS(f.path, SAFE ": "));
        for (size_t k = 0; k < 3 && d->word[k]; k++)
            assert_refused(&f, d->status, WORDS(d->word[k]));
        folder_remove(&f);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    static const struct {
        uint64_t claimed;
        size_t n_bytes; /* of the file */
        const char *word;
    } rows[] = {
        {2, 7, "too few"},
        {UINT64_MAX, 64, "100 MB"},
        {UINT64_MAX - 7, 64, "100 MB"},
        {((uint64_t)100 << 20) + 1, 64, "100 MB"},
        {57, 64, "cut short"},
        {(uint64_t)100 << 20, 64, "cut short"},
        {0, 8, "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char bytes[64];
        memset(bytes, ' ', sizeof bytes);
        for (unsigned k = 0; k < 8; k++)
            bytes[k] = (unsigned char)(rows[i].claimed >> 8 * k);
        struct folder f = folder_new();
        folder_write_text(&f, "config.json", LLAMA_CONFIG);
        folder_write(&f, SAFE, bytes, rows[i].n_bytes);
        assert_refused(&f, ST_INVALID, WORDS(SAFE ": ", rows[i].word));
        folder_remove(&f);
    }
}

/* A sound file cut at every length is refused, each time with one sentence that names it. */
static void test_every_truncation(void **state)
{
    (void)state;
    static const char header[] = "{" A4 ",\"b\":" T("F16", "[2,1]", "[4,8]") "}";
    struct folder f = single(header, 8);
    size_t whole = 8 + (sizeof header - 1 + 7) / 8 * 8 + 8;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/" SAFE, f.path);
    ckpt_close(assert_opens(&f));
    for (size_t n = whole; n-- > 0;) {
        assert_int_equal(truncate(path, (off_t)n), 0);
        assert_refused(&f, ST_INVALID, WORDS(SAFE ": "));
    }
    folder_remove(&f);
}

static void test_hostile_names(void **state)
{
    (void)state;
    struct folder f = single("{\"a\\u001b[2J\\n\":" T("F32", "[2]", "[0,4]") "}", 4);
    assert_refused(&f, ST_INVALID, WORDS(SAFE));
    struct ckpt *c;
    struct err e;
    assert_int_equal(ckpt_open(f.path, &c, &e), ST_INVALID);
    assert_null(strchr(e.text, '\x1b'));
    folder_remove(&f);

    char header[2048], name[601];
    memset(name, 'n', 600);
    name[600] = '\0';
    snprintf(header, sizeof header, "{\"%s\":" T("F32", "[1]", "[0,4]") "}", name);
    f = single(header, 4);
    assert_refused(&f, ST_INVALID, WORDS(SAFE, "512 bytes"));
    folder_remove(&f);
}

static void test_folder_rules(void **state)
{
    (void)state;
    struct folder f = folder_new();
    assert_refused(&f, ST_NOT_FOUND, WORDS(f.path, "config.json"));
    folder_write_text(&f, "config.json", LLAMA_CONFIG);
    assert_refused(&f, ST_NOT_FOUND, WORDS("no weights", SAFE, "model.safetensors.index.json"));
    folder_write_text(&f, "pytorch_model.bin", "x");
    assert_refused(&f, ST_UNSUPPORTED, WORDS("pytorch_model.bin", "convert"));
    folder_write_text(&f, SAFE, "");
    assert_refused(&f, ST_INVALID, WORDS(SAFE, "empty"));
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/" SAFE, f.path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(&f, ST_INVALID, WORDS(SAFE, "not a regular file"));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(&f, ST_INVALID, WORDS(SAFE, "not a regular file"));
    folder_remove(&f);
    struct ckpt *c;
    assert_int_equal(ckpt_open("/nonexistent/folder", &c, NULL), ST_NOT_FOUND);
    ckpt_close(NULL);
}

/* Released pages leave the process (seen in pagemap where that can be read) and come back with the same
 * bytes. */
static void test_release_pages(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    struct folder f = single("{" A4 ",\"w\":" T("F32", "[1024,256]", "[4,1048580]") "}", N + 4);
    struct ckpt *c = assert_opens(&f);
    const struct ckpt_tensor *w = ckpt_find(c, STR("w"));
    unsigned sum = 0;
    for (size_t round = 0; round < 2; round++) {
        const unsigned char *p = w->data;
        for (size_t i = 0; i < N; i++)
            sum += p[i] != ((i + 4) & 255);
        ckpt_release_pages(c, w->data, w->n_bytes);
        uint64_t entry = 0;
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), middle = (uintptr_t)p + N / 2;
        int fd = open("/proc/self/pagemap", O_RDONLY);
        if (fd >= 0 && pread(fd, &entry, 8, (off_t)(middle / page * 8)) == 8)
            assert_false(entry >> 63);
        if (fd >= 0)
            close(fd);
    }
    assert_int_equal(sum, 0);
    ckpt_release_pages(c, ckpt_find(c, STR("a"))->data, 4); /* less than a page: nothing happens */
    ckpt_close(c);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_dtypes),       cmocka_unit_test(test_require),
        cmocka_unit_test(test_damages),          cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_every_truncation), cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_folder_rules),     cmocka_unit_test(test_release_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
