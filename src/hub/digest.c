/* What an etag promises: a large file's is its SHA-256, a small one's the id that git gives it, which is the
 * SHA-1 of "blob <length>\0" and the bytes. Anything else promises nothing that could be checked. */
#include "hub/hub_int.h"
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA256_HEX 64
#define SHA1_HEX   40

struct digest {
    EVP_MD_CTX *md; /* NULL: nothing to check */
    bool failed;
};

enum digest_kind digest_kind_of(struct str etag)
{
    for (size_t i = 0; i < etag.n; i++)
        if (!etag.p[i] || !strchr("0123456789abcdef", etag.p[i]))
            return DIGEST_NONE;
    return etag.n == SHA256_HEX ? DIGEST_SHA256 : etag.n == SHA1_HEX ? DIGEST_GIT_SHA1 : DIGEST_NONE;
}

enum status digest_new(enum digest_kind kind, uint64_t n_bytes, struct digest **out, struct err *e)
{
    struct digest *d = *out = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, ST_NO_MEMORY, "no memory to check a download");
    if (kind == DIGEST_NONE)
        return ST_OK;
    d->md = EVP_MD_CTX_new();
    if (!d->md || EVP_DigestInit_ex(d->md, kind == DIGEST_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) != 1) {
        digest_free(d);
        *out = NULL;
        return err_set(e, ST_INTERNAL, "libcrypto offers no %s", kind == DIGEST_SHA256 ? "SHA-256" : "SHA-1");
    }
    char head[48];
    if (kind == DIGEST_GIT_SHA1) {
        int n = snprintf(head, sizeof head, "blob %" PRIu64, n_bytes);
        digest_add(d, head, (size_t)n + 1);
    }
    return ST_OK;
}

void digest_add(struct digest *d, const void *p, size_t n)
{
    if (d->md && EVP_DigestUpdate(d->md, p, n) != 1)
        d->failed = true;
}

bool digest_matches(struct digest *d, struct str etag)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned n = 0;
    if (!d->md)
        return true;
    if (d->failed || EVP_DigestFinal_ex(d->md, sum, &n) != 1)
        return false;
    hex_encode(hex, sum, n);
    return str_eq(str_from(hex), etag);
}

void digest_free(struct digest *d)
{
    if (d)
        EVP_MD_CTX_free(d->md);
    free(d);
}
