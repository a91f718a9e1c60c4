/* Classes of code points, looked up in the generated table: runs sorted by their first code point, with an
 * index of the first 512 pages of 256. */
#include "text/unicode_int.h"
#include <utf8proc.h>

/* The last of runs [lo, hi) that begins at or before cp. */
static uint32_t find_run(const uint32_t *runs, size_t lo, size_t hi, uint32_t cp)
{
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (runs[mid] >> 8 <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return runs[lo] & 0xff;
}

unsigned unicode_classes(uint32_t cp)
{
    size_t page = cp >> 8, lo = 0, hi = n_unicode_runs;
    if (page + 1 < n_unicode_pages) {
        lo = unicode_pages[page];
        hi = unicode_pages[page + 1] + (size_t)1;
    }
    return unicode_masks[find_run(unicode_runs, lo, hi, cp)];
}

static const struct unicode_shift *find_shift(const struct unicode_shift *shifts, size_t n, uint32_t cp)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (cp > shifts[mid].last)
            lo = mid + 1;
        else if (cp < shifts[mid].first)
            hi = mid;
        else
            return &shifts[mid];
    }
    return NULL;
}

uint32_t unicode_lower(uint32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    if (!(unicode_classes(cp) & UNICODE_LOWER))
        return cp;
    const struct unicode_shift *young = find_shift(unicode_young_capitals, n_unicode_young_capitals, cp);
    return young ? (uint32_t)((int32_t)cp + young->by) : (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}

unsigned unicode_script(uint32_t cp)
{
    return find_run(unicode_script_runs, 0, n_unicode_script_runs, cp);
}

uint32_t unicode_stand_in(uint32_t cp)
{
    const struct unicode_shift *found = find_shift(unicode_stand_ins, n_unicode_stand_ins, cp);
    return found ? (uint32_t)found->by : 0;
}
