/* A safetensors writer for `prompteur logits --save`: the header needs all shapes, so the rows wait in
 * PATH.part. */
#include "app/logits_file.h"
#include "base/buf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER_MAX_BYTES (16u << 20)
#define COPY_BYTES       (1u << 16)

struct logits_file {
    char *path, *part_path;
    FILE *part;
    struct buf header;
    uint64_t n_bytes; /* of data begun so far */
    uint32_t n_col;
};

enum status logits_file_create(const char *path, struct logits_file **out, struct err *e)
{
    struct logits_file *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, ST_NO_MEMORY, "no memory for a file");
    buf_init(&f->header, HEADER_MAX_BYTES);
    f->path = strdup(path);
    if (!f->path || asprintf(&f->part_path, "%s.part", path) < 0) {
        f->part_path = NULL;
        logits_file_free(f);
        return err_set(e, ST_NO_MEMORY, "no memory for a file name");
    }
    f->part = fopen(f->part_path, "w+b");
    if (!f->part) {
        enum status st = err_set(e, ST_IO, "cannot write %s: %m", f->part_path);
        logits_file_free(f);
        return st;
    }
    buf_put_char(&f->header, '{');
    *out = f;
    return ST_OK;
}

enum status logits_file_begin(struct logits_file *f, const char *name, uint32_t n_row, uint32_t n_col,
                              struct err *e)
{
    uint64_t end = f->n_bytes + (uint64_t)n_row * n_col * sizeof(float);
    buf_printf(&f->header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%u,%u],\"data_offsets\":[%llu,%llu]}",
               f->header.n > 1 ? "," : "", name, n_row, n_col, (unsigned long long)f->n_bytes,
               (unsigned long long)end);
    f->n_bytes = end;
    f->n_col = n_col;
    return f->header.failed ? err_set(e, ST_LIMIT, "too many tensors for one file") : ST_OK;
}

enum status logits_file_rows(struct logits_file *f, const float *rows, uint32_t n_row, struct err *e)
{
    size_t n = (size_t)n_row * f->n_col;
    if (fwrite(rows, sizeof *rows, n, f->part) != n)
        return err_set(e, ST_IO, "cannot write %s: %m", f->part_path);
    return ST_OK;
}

static enum status copy_data(struct logits_file *f, FILE *to, struct err *e)
{
    char chunk[COPY_BYTES];
    size_t n;
    if (fflush(f->part) || fseek(f->part, 0, SEEK_SET))
        return err_set(e, ST_IO, "cannot read %s back: %m", f->part_path);
    while ((n = fread(chunk, 1, sizeof chunk, f->part)) > 0)
        if (fwrite(chunk, 1, n, to) != n)
            return err_set(e, ST_IO, "cannot write %s: %m", f->path);
    return ferror(f->part) ? err_set(e, ST_IO, "cannot read %s back: %m", f->part_path) : ST_OK;
}

enum status logits_file_finish(struct logits_file *f, struct err *e)
{
    buf_put_char(&f->header, '}');
    while (f->header.n % 8) /* tensor data starts aligned */
        buf_put_char(&f->header, ' ');
    if (f->header.failed)
        return err_set(e, ST_LIMIT, "too many tensors for one file");
    uint64_t n_header = f->header.n; /* little-endian machines only, as the rest of this program */
    FILE *to = fopen(f->path, "wb");
    if (!to)
        return err_set(e, ST_IO, "cannot write %s: %m", f->path);
    enum status st = ST_OK;
    if (fwrite(&n_header, sizeof n_header, 1, to) != 1 ||
        fwrite(f->header.p, 1, f->header.n, to) != f->header.n)
        st = err_set(e, ST_IO, "cannot write %s: %m", f->path);
    if (st == ST_OK)
        st = copy_data(f, to, e);
    if (fclose(to) && st == ST_OK)
        st = err_set(e, ST_IO, "cannot write %s: %m", f->path);
    return st;
}

void logits_file_free(struct logits_file *f)
{
    if (!f)
        return;
    if (f->part)
        fclose(f->part);
    if (f->part_path)
        unlink(f->part_path);
    buf_fini(&f->header);
    free(f->path);
    free(f->part_path);
    free(f);
}
