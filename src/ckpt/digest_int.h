/* SHA-256 through libcrypto, for this module's files. */
#ifndef CKPT_DIGEST_INT_H
#define CKPT_DIGEST_INT_H

#include "ckpt/ckpt.h"
#include <openssl/evp.h>

/* NULL: libcrypto has none, or no memory. Freed with EVP_MD_CTX_free(). */
EVP_MD_CTX *digest_start(struct err *e);
MUST_CHECK enum status digest_finish(EVP_MD_CTX *md, char out[CKPT_DIGEST_HEX], struct err *e);

#endif
