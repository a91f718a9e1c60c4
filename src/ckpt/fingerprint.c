/* A short name for "this build with these weights": what clients get as system_fingerprint.
 *
 * The whole digest takes seconds to minutes, so this one looks at what tells checkpoints apart at once: every
 * tensor's name, dtype, shape and place, the files' sizes, and a few blocks of each file at fixed places. A
 * fine-tuned copy differs in all of them; weights that differ nowhere but between the blocks do not, which is
 * what the digest is for. Must never read more than the blocks: the server is about to be ready. */
#include "ckpt/ckpt_int.h"
#include "ckpt/digest_int.h"
#include <stdio.h>

#define BLOCK_BYTES 4096
#define N_BLOCKS    4 /* of a file, spread evenly from its first byte to its last */

/* Lengths go in front of texts: no two lists of tensors give the same bytes. */
static bool put_text(EVP_MD_CTX *md, struct str s)
{
    uint64_t n = s.n;
    return EVP_DigestUpdate(md, &n, sizeof n) == 1 && EVP_DigestUpdate(md, s.p, s.n) == 1;
}

static bool put_tensor(EVP_MD_CTX *md, const struct safetensors_entry *x)
{
    return put_text(md, x->t.name) && put_text(md, x->dtype) &&
           EVP_DigestUpdate(md, &x->offset, sizeof x->offset) == 1 &&
           EVP_DigestUpdate(md, &x->t.n_dim, sizeof x->t.n_dim) == 1 &&
           EVP_DigestUpdate(md, x->t.dim, x->t.n_dim * sizeof *x->t.dim) == 1;
}

static bool put_file(EVP_MD_CTX *md, const struct weight_file *f)
{
    uint64_t n_bytes = f->n_bytes;
    bool ok = put_text(md, str_from(f->name)) && EVP_DigestUpdate(md, &n_bytes, sizeof n_bytes) == 1;
    for (size_t i = 0; i < f->tensors.n && ok; i++)
        ok = put_tensor(md, &f->tensors.entry[i]);
    size_t block = f->n_bytes < BLOCK_BYTES ? f->n_bytes : BLOCK_BYTES, last = f->n_bytes - block;
    for (size_t i = 0; i < N_BLOCKS && ok; i++)
        ok = EVP_DigestUpdate(md, (const char *)f->map + last * i / (N_BLOCKS - 1), block) == 1;
    return ok;
}

enum status ckpt_fingerprint(const struct ckpt *c, const char *build, char out[CKPT_FINGERPRINT_BYTES],
                             struct err *e)
{
    char hex[CKPT_DIGEST_HEX];
    EVP_MD_CTX *md = digest_start(e);
    if (!md)
        return ST_INTERNAL;
    bool ok = put_text(md, str_from(build));
    for (size_t i = 0; i < c->n_file && ok; i++)
        ok = put_file(md, &c->file[i]);
    enum status st = ok ? digest_finish(md, hex, e) : err_set(e, ST_INTERNAL, "SHA-256 failed in libcrypto");
    EVP_MD_CTX_free(md);
    if (st == ST_OK)
        snprintf(out, CKPT_FINGERPRINT_BYTES, "fp_%.16s", hex);
    return st;
}
