/* A Hugging Face folder as configuration and named tensors.
 *
 * Weight files are mapped whole and read-only, and only their headers are read here: opening costs the same
 * for 1 MB and 1 TB. The files must not shrink while they are mapped; nobody replaces a checkpoint in place.
 */
#include "base/buf.h"
#include "ckpt/ckpt_int.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATH_BYTES  4096
#define MAX_INDEX_BYTES (100u << 20)
#define MAX_ARENA_BYTES ((size_t)2 << 30)
#define SHAPE_TEXT_MAX  256

static enum status path_join(char out[MAX_PATH_BYTES], const char *dir, const char *name, struct err *e)
{
    int n = snprintf(out, MAX_PATH_BYTES, "%s/%s", dir, name);
    if (n < 0 || n >= MAX_PATH_BYTES)
        return err_set(e, ST_LIMIT, "%s: the path is longer than %d bytes", name, MAX_PATH_BYTES);
    return ST_OK;
}

static bool file_exists(const char *dir, const char *name)
{
    char path[MAX_PATH_BYTES];
    return path_join(path, dir, name, NULL) == ST_OK && access(path, F_OK) == 0;
}

static enum status file_map(const char *path, struct weight_file *f, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a FIFO must not hang the start */
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ST_NOT_FOUND : ST_IO, "%s: cannot open: %s", f->name,
                       strerror(errno));
    enum status st = ST_OK;
    struct stat s;
    if (fstat(fd, &s) != 0)
        st = err_set(e, ST_IO, "%s: fstat: %s", f->name, strerror(errno));
    else if (!S_ISREG(s.st_mode))
        st = err_set(e, ST_INVALID, "%s: not a regular file", f->name);
    else if (s.st_size == 0)
        st = err_set(e, ST_INVALID, "%s: the file is empty", f->name);
    if (st == ST_OK) {
        void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            st =
                err_set(e, ST_IO, "%s: mmap of %jd bytes: %s", f->name, (intmax_t)s.st_size, strerror(errno));
        } else {
            f->map = p;
            f->n_bytes = (size_t)s.st_size;
        }
    }
    close(fd);
    return st;
}

static enum status files_open(struct ckpt *c, char *const *names, size_t n, struct err *e)
{
    c->file = arena_array(&c->arena, n, sizeof *c->file);
    if (!c->file)
        return err_set(e, ST_NO_MEMORY, "no memory for %zu weight files", n);
    for (size_t i = 0; i < n; i++) {
        struct weight_file *f = &c->file[c->n_file++];
        *f = (struct weight_file){.name = names[i]};
        char path[MAX_PATH_BYTES];
        enum status st = path_join(path, c->dir, f->name, e);
        if (st == ST_OK)
            st = file_map(path, f, e);
        if (st == ST_OK)
            st = safetensors_parse(f->map, f->n_bytes, f->name, &c->arena, &f->tensors, e);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* Fills the look-up table; one name in two shards would make the answer depend on their order. */
static enum status names_collect(struct ckpt *c, struct err *e)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_file; i++)
        n += c->file[i].tensors.n;
    c->usable = arena_array(&c->arena, n ? n : 1, sizeof *c->usable);
    if (!c->usable || map_init(&c->by_name, n) != ST_OK)
        return err_set(e, ST_NO_MEMORY, "no memory for %zu tensors", n);
    for (size_t i = 0; i < c->n_file; i++)
        for (size_t k = 0; k < c->file[i].tensors.n; k++) {
            struct safetensors_entry *x = &c->file[i].tensors.entry[k];
            uint64_t other;
            if (map_get(&c->by_name, x->t.name, &other))
                return err_set(e, ST_INVALID, "tensor `" STR_FMT "` is in two files: %s and %s",
                               STR_ARG(x->t.name),
                               ((const struct safetensors_entry *)(uintptr_t)other)->t.file, x->t.file);
            if (map_put(&c->by_name, x->t.name, (uintptr_t)x) != ST_OK)
                return err_set(e, ST_NO_MEMORY, "no memory for %zu tensors", n);
            if (x->problem == TENSOR_OK || x->problem == TENSOR_CODES) {
                c->usable[c->n_usable++] = x;
                c->weight_bytes += x->t.n_bytes;
            }
        }
    return ST_OK;
}

static const struct safetensors_entry *entry_find(const struct ckpt *c, struct str name)
{
    uint64_t v;
    return map_get(&c->by_name, name, &v) ? (const struct safetensors_entry *)(uintptr_t)v : NULL;
}

static enum status index_check(const struct ckpt *c, const struct shard_index *index, struct err *e)
{
    for (size_t i = 0; i < index->n_entry; i++) {
        const struct shard_entry *want = &index->entry[i];
        const char *file = index->file[want->file];
        const struct safetensors_entry *x = entry_find(c, want->tensor);
        if (!x)
            return err_set(e, ST_INVALID,
                           INDEX_FILE " says that tensor `" STR_FMT "` is in %s, but no shard has it",
                           STR_ARG(want->tensor), file);
        if (strcmp(x->t.file, file) != 0)
            return err_set(e, ST_INVALID,
                           INDEX_FILE " says that tensor `" STR_FMT "` is in %s, but it is in %s",
                           STR_ARG(want->tensor), file, x->t.file);
    }
    return ST_OK;
}

static enum status sharded_open(struct ckpt *c, struct err *e)
{
    char path[MAX_PATH_BYTES];
    struct shard_index index = {0};
    struct buf text;
    buf_init(&text, MAX_INDEX_BYTES);
    enum status st = path_join(path, c->dir, INDEX_FILE, e);
    if (st == ST_OK)
        st = buf_read_file(&text, path, e);
    if (st == ST_OK)
        st = shard_index_parse(buf_str(&text), &c->arena, &index, e);
    buf_fini(&text);
    if (st == ST_OK)
        st = files_open(c, index.file, index.n_file, e);
    if (st == ST_OK)
        st = names_collect(c, e);
    if (st == ST_OK)
        st = index_check(c, &index, e);
    return st;
}

static enum status weights_open(struct ckpt *c, struct err *e)
{
    if (file_exists(c->dir, SINGLE_FILE)) {
        static char single[] = SINGLE_FILE;
        char *name = single;
        enum status st = files_open(c, &name, 1, e);
        return st == ST_OK ? names_collect(c, e) : st;
    }
    if (file_exists(c->dir, INDEX_FILE))
        return sharded_open(c, e);
    if (file_exists(c->dir, "pytorch_model.bin") || file_exists(c->dir, "pytorch_model.bin.index.json"))
        return err_set(e, ST_UNSUPPORTED,
                       "the weights are in pytorch_model.bin, which this version does not read; convert them "
                       "to " SINGLE_FILE " first");
    return err_set(e, ST_NOT_FOUND, "no weights: looked for " SINGLE_FILE " and " INDEX_FILE);
}

enum status ckpt_open(const char *dir, struct ckpt **out, struct err *e)
{
    return ckpt_open_with(dir, NULL, out, e);
}

enum status ckpt_open_with(const char *dir, const char *weights_dir, struct ckpt **out, struct err *e)
{
    *out = NULL;
    struct ckpt *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, ST_NO_MEMORY, "no memory for a checkpoint");
    arena_init(&c->arena, MAX_ARENA_BYTES);
    c->dir = (char *)arena_strdup(&c->arena, str_from(weights_dir ? weights_dir : dir)).p;
    enum status st = c->dir ? ST_OK : err_set(e, ST_NO_MEMORY, "no memory for a checkpoint");
    if (st == ST_OK)
        st = model_config_read(dir, &c->config, e);
    if (st == ST_OK)
        st = weights_open(c, e);
    if (st != ST_OK) {
        (void)err_prefix(e, "%s", dir);
        ckpt_close(c);
        return st;
    }
    *out = c;
    return ST_OK;
}

void ckpt_close(struct ckpt *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_file; i++)
        if (c->file[i].map)
            munmap(c->file[i].map, c->file[i].n_bytes);
    map_fini(&c->by_name);
    arena_fini(&c->arena);
    free(c);
}

void ckpt_set_linear_rope(struct ckpt *c, float factor)
{
    c->config.rope.kind = ROPE_LINEAR;
    c->config.rope.factor = factor;
}

const char *ckpt_dir(const struct ckpt *c)
{
    return c->dir;
}

const struct model_config *ckpt_config(const struct ckpt *c)
{
    return &c->config;
}

size_t ckpt_n_tensors(const struct ckpt *c)
{
    return c->n_usable;
}

const struct ckpt_tensor *ckpt_tensor_at(const struct ckpt *c, size_t i)
{
    BUG_ON(i >= c->n_usable);
    return &c->usable[i]->t;
}

const struct ckpt_tensor *ckpt_find(const struct ckpt *c, struct str name)
{
    const struct safetensors_entry *x = entry_find(c, name);
    return x && x->problem == TENSOR_OK ? &x->t : NULL;
}

bool ckpt_find_stored(const struct ckpt *c, struct str name, struct quant_tensor *out)
{
    const struct safetensors_entry *x = entry_find(c, name);
    if (!x || (x->problem != TENSOR_OK && x->problem != TENSOR_CODES))
        return false;
    *out = (struct quant_tensor){.name = x->t.name,
                                 .file = x->t.file,
                                 .dtype = x->stored,
                                 .n_dim = x->t.n_dim,
                                 .n_bytes = x->t.n_bytes,
                                 .data = x->t.data};
    memcpy(out->dim, x->t.dim, sizeof out->dim);
    return true;
}

static void shape_text(char out[SHAPE_TEXT_MAX], uint32_t n_dim, const uint64_t *dim)
{
    size_t n = 0;
    out[n++] = '[';
    for (uint32_t i = 0; i < n_dim && i < CKPT_MAX_DIMS; i++) /* at most 22 bytes each */
        n += (size_t)snprintf(out + n, SHAPE_TEXT_MAX - n, "%s%" PRIu64, i ? ", " : "", dim[i]);
    snprintf(out + n, SHAPE_TEXT_MAX - n, "]");
}

enum status ckpt_require(const struct ckpt *c, struct str name, uint32_t n_dim, const uint64_t *dims,
                         const struct ckpt_tensor **out, struct err *e)
{
    *out = NULL;
    const struct safetensors_entry *x = entry_find(c, name);
    if (!x)
        return err_set(e, ST_NOT_FOUND, "%s: tensor `" STR_FMT "` is missing",
                       c->n_file == 1 ? c->file[0].name : INDEX_FILE, STR_ARG(name));
    if (x->problem == TENSOR_DTYPE || x->problem == TENSOR_CODES)
        return err_set(e, ST_UNSUPPORTED,
                       "%s: tensor `" STR_FMT "` has dtype " STR_FMT ", served are F32, F16 and BF16",
                       x->t.file, STR_ARG(name), STR_ARG(x->dtype));
    if (x->problem == TENSOR_UNALIGNED)
        return err_set(e, ST_UNSUPPORTED,
                       "%s: tensor `" STR_FMT "` starts at byte %" PRIu64
                       ", which is not a multiple of its element "
                       "size; save the file again with the safetensors library",
                       x->t.file, STR_ARG(name), x->offset);
    if (x->t.n_dim != n_dim || memcmp(x->t.dim, dims, n_dim * sizeof *dims) != 0) {
        char want[SHAPE_TEXT_MAX], found[SHAPE_TEXT_MAX];
        shape_text(want, n_dim, dims);
        shape_text(found, x->t.n_dim, x->t.dim);
        return err_set(e, ST_INVALID, "%s: tensor `" STR_FMT "`: expected shape %s, found %s", x->t.file,
                       STR_ARG(name), want, found);
    }
    *out = &x->t;
    return ST_OK;
}

uint64_t ckpt_weight_bytes(const struct ckpt *c)
{
    return c->weight_bytes;
}

void ckpt_release_pages(const struct ckpt *c, const void *data, uint64_t n_bytes)
{
    (void)c;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)data + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)data + n_bytes) & ~(page - 1);
    if (begin < end)
        (void)madvise((void *)begin, end - begin,
                      MADV_DONTNEED); /* only a hint: the data can be read again */
}
