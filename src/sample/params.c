/* Sampling parameters: neutral values, ranges, and what they mean together. */
#include "sample/sample.h"
#include <math.h>

struct sample_params sample_params_default(void)
{
    return (struct sample_params){
#define PARAM(type, name, neutral, ...) .name = neutral,
#include "sample/params.def"
#undef PARAM
        .watermark_gamma = 0.5,
        .watermark_delta = 2,
    };
}

/* One row of params.def as functions of its value. */
#define OVER(b)  x > (b)
#define FROM(b)  x >= (b)
#define UNDER(b) x < (b)
#define TO(b)    x <= (b)
#define FINITE   isfinite((double)x)
#define PARAM(type, name, neutral, lower, upper, off, is_random, ...)                                        \
    static bool name##_in_range(SAMPLE_TYPE_##type x)                                                        \
    {                                                                                                        \
        return lower && upper;                                                                               \
    }                                                                                                        \
    static bool name##_is_random(SAMPLE_TYPE_##type x)                                                       \
    {                                                                                                        \
        (void)x;                                                                                             \
        return is_random;                                                                                    \
    }
#include "sample/params.def"
#undef PARAM

enum status sample_params_check(const struct sample_params *p, uint32_t given, struct err *e)
{
#define PARAM(type, name, neutral, lower, upper, off, is_random, example, text, meaning)                     \
    if (!name##_in_range(p->name) && (given & 1u << SAMPLE_PARAM_##name || p->name != neutral))              \
        return err_set(e, ST_INVALID, text);
#include "sample/params.def"
#undef PARAM
    return ST_OK;
}

bool sample_is_random(const struct sample_params *p)
{
    bool random = p->do_sample;
#define PARAM(type, name, ...) random |= name##_is_random(p->name);
#include "sample/params.def"
#undef PARAM
    return random;
}
