/* The architectures of this build: one row each. */
#include "model/model_int.h"
#include <string.h>

static const struct arch *const archs[] = {&arch_llama, &arch_mistral};

const struct arch *arch_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strcmp(archs[i]->model_type, model_type) == 0)
            return archs[i];
    return NULL;
}

const char *model_type_names(void)
{
    return "llama, mistral";
}
