/* Sampling parameters: neutral values and what they mean together. */
#include "sample/sample.h"

struct sample_params sample_params_default(void)
{
    return (struct sample_params){.temperature = 1, .top_p = 1};
}

bool sample_is_random(const struct sample_params *p)
{
    return p->do_sample || p->temperature != 1 || p->top_k != 0 || p->top_p < 1;
}
