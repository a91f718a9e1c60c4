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
