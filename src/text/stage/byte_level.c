/* GPT-2's byte alphabet: printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100
 * onwards. */
#include "text/text_int.h"

static bool stands_for_itself(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* How many bytes below this one do not stand for themselves. */
static unsigned shifted_below(unsigned byte)
{
    if (byte <= 0x21)
        return byte;
    if (byte <= 0x7f)
        return 0x21;
    return byte <= 0xa1 ? 0x21 + (byte - 0x7f) : 0x21 + 0x22;
}

unsigned byte_level_encode(unsigned char byte, char out[2])
{
    uint32_t cp = stands_for_itself(byte) ? byte : 0x100 + shifted_below(byte);
    char text[4];
    unsigned n = utf8_encode(cp, text);
    out[0] = text[0];
    out[1] = n == 2 ? text[1] : '\0';
    return n;
}

/* A byte at a time into room taken beforehand: this is the hot loop of the byte-level tokenizers. */
static void spell_stretch(const struct aligned *in, size_t begin, size_t end, struct aligned *out)
{
    for (size_t at = begin; at < end; at++) {
        unsigned n = byte_level_encode((unsigned char)in->p[at], out->p + out->n);
        for (unsigned i = 0; i < n; i++) {
            out->begin[out->n + i] = in->begin[at];
            out->end[out->n + i] = in->end[at];
        }
        out->n += n;
    }
}

void byte_level_spell(struct section *x, struct scratch *s)
{
    struct aligned out = {0};
    struct span whole = {0, (uint32_t)x->text.n}, *piece = x->n_piece ? x->piece : &whole;
    size_t n_piece = x->n_piece ? x->n_piece : 1;
    if (!aligned_reserve(&out, s, 2 * x->text.n + 2))
        return;
    for (size_t i = 0; i < n_piece; i++) {
        uint32_t begin = (uint32_t)out.n;
        spell_stretch(&x->text, piece[i].begin, piece[i].end, &out);
        piece[i] = (struct span){begin, (uint32_t)out.n};
    }
    x->text = out;
}

int byte_level_decode(uint32_t cp)
{
    if (cp < 0x100)
        return stands_for_itself(cp) ? (int)cp : -1;
    if (cp < 0x100 + 0x21)
        return (int)(cp - 0x100);
    if (cp < 0x100 + 0x21 + 0x22)
        return (int)(cp - 0x100 - 0x21 + 0x7f);
    return cp == 0x100 + 0x21 + 0x22 ? 0xad : -1;
}
