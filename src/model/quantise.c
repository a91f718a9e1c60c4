/* Which quantisation a model gets: the checkpoint's own decides, --quantize must agree with it; a plain
 * checkpoint is quantised on the fly where the method can. */
#include "model/model_int.h"

static bool agrees(enum quant_method stored, enum quant_method wanted)
{
    /* As in TGI, where `gptq` serves AWQ's tensors by repacking them. */
    return stored == wanted || (stored == QUANT_AWQ && wanted == QUANT_GPTQ);
}

enum status quant_choose(const struct quant_config *stored, enum quant_method wanted,
                         struct quant_config *out, struct err *e)
{
    const char *name = quant_method_name(wanted);
    *out = *stored;
    if (wanted == QUANT_NONE || agrees(stored->method, wanted))
        return ST_OK;
    if (stored->method != QUANT_NONE)
        return err_set(
            e, ST_INVALID,
            "--quantize %s: the checkpoint's weights are quantised already, with %s; leave the option "
            "out or say %s",
            name, quant_method_name(stored->method), quant_method_name(stored->method));
    if (!quant_method_is_on_the_fly(wanted))
        return err_set(
            e, ST_INVALID,
            "--quantize %s: the checkpoint is not quantised; %s is a kind of checkpoint, made beforehand; "
            "while loading, eetq, fp8, bitsandbytes, bitsandbytes-nf4 and bitsandbytes-fp4 can be made",
            name, name);
    *out = (struct quant_config){.method = wanted, .on_the_fly = true};
    return ST_OK;
}
