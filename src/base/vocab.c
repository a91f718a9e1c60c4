/* Vocabulary: freeing it; filling it is text/'s business. */
#include "base/vocab.h"
#include <stdlib.h>

void vocab_fini(struct vocab *v)
{
    free(v->bytes);
    free(v->flags);
    free(v->memory);
    *v = (struct vocab){0};
}
