/* Checkpoint folders written byte by byte, so that tests control every damage. */
#ifndef TESTS_UNIT_CKPT_CHECKPOINT_FILES_H
#define TESTS_UNIT_CKPT_CHECKPOINT_FILES_H

#include "ckpt/ckpt.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH_BYTES 4096

#define LLAMA_CONFIG                                                                                         \
    "{\"model_type\":\"llama\",\"vocab_size\":512,\"hidden_size\":64,\"intermediate_size\":172,"             \
    "\"num_hidden_layers\":3,\"num_attention_heads\":4}"

struct folder {
    char path[64];
};

static inline struct folder folder_new(void)
{
    struct folder f = {"/tmp/prompteur-ckpt-XXXXXX"};
    assert_non_null(mkdtemp(f.path));
    return f;
}

static inline void folder_remove(const struct folder *f)
{
    DIR *d = opendir(f->path);
    assert_non_null(d);
    for (const struct dirent *x; (x = readdir(d));) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", f->path, x->d_name);
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0)
            assert_int_equal(remove(path), 0);
    }
    closedir(d);
    assert_int_equal(rmdir(f->path), 0);
}

static inline FILE *folder_open(const struct folder *f, const char *name)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    return out;
}

static inline void folder_write(const struct folder *f, const char *name, const void *p, size_t n)
{
    FILE *out = folder_open(f, name);
    assert_int_equal(fwrite(p, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

static inline void folder_write_text(const struct folder *f, const char *name, const char *text)
{
    folder_write(f, name, text, strlen(text));
}

/* Header padded with spaces to a multiple of 8, then n_data bytes that count up from 0. */
static inline void folder_write_safetensors(const struct folder *f, const char *name, const char *header,
                                            size_t n_data)
{
    FILE *out = folder_open(f, name);
    uint64_t n = (strlen(header) + 7) / 8 * 8;
    fwrite(&n, sizeof n, 1, out);
    fprintf(out, "%-*s", (int)n, header);
    for (size_t i = 0; i < n_data; i++)
        fputc((int)(i & 255), out);
    assert_int_equal(fclose(out), 0);
}

/* The folder is refused with this status, and the sentence holds every word of the list (NULL at its end). */
static inline void assert_refused(const struct folder *f, enum status status, const char *const *words)
{
    struct ckpt *c;
    struct err e = {0};
    enum status st = ckpt_open(f->path, &c, &e);
    if (st != status)
        print_message("%s\n", e.text);
    assert_int_equal(st, status);
    assert_null(c);
    assert_int_equal(e.status, status);
    for (; *words; words++) {
        if (!strstr(e.text, *words))
            print_message("`%s` is not in: %s\n", *words, e.text);
        assert_non_null(strstr(e.text, *words));
    }
    assert_null(strchr(e.text, '\n'));
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline struct ckpt *assert_opens(const struct folder *f)
{
    struct ckpt *c;
    struct err e = {0};
    enum status st = ckpt_open(f->path, &c, &e);
    if (st != ST_OK)
        print_message("%s\n", e.text);
    assert_int_equal(st, ST_OK);
    return c;
}

#endif
