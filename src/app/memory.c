/* Available memory: /proc/meminfo, then the limits of the control group that this process is in and its
 * parents. */
#include "app/memory.h"
#include "base/cgroup.h"
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool read_number(const char *path, uint64_t *out)
{
    FILE *f = fopen(path, "re");
    bool ok = f && fscanf(f, "%" SCNu64, out) == 1;
    if (f)
        fclose(f);
    return ok;
}

static uint64_t meminfo_available(void)
{
    char line[256];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib << 10;
}

/* Reclaimable page cache counts as used in a group; most of it is the weights' own files, so it is added
 * back. */
static uint64_t group_cache(const char *folder)
{
    char path[PATH_MAX + 32], line[256];
    uint64_t bytes = 0, cache = 0;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "inactive_file %" SCNu64, &bytes) == 1 ||
            sscanf(line, "active_file %" SCNu64, &bytes) == 1)
            cache += bytes;
    if (f)
        fclose(f);
    return cache;
}

/* What one group leaves; UINT64_MAX without a limit. */
static uint64_t group_left(const char *folder)
{
    static const char *const names[][2] = {{"memory.max", "memory.current"},
                                           {"memory.limit_in_bytes", "memory.usage_in_bytes"}};
    char path[PATH_MAX + 32];
    for (int v = 0; v < 2; v++) {
        uint64_t limit, used;
        snprintf(path, sizeof path, "%s/%s", folder, names[v][0]);
        if (!read_number(path, &limit)) /* "max" is no number */
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, names[v][1]);
        if (!read_number(path, &used))
            continue;
        uint64_t cache = group_cache(folder);
        used = used > cache ? used - cache : 0;
        return limit > used ? limit - used : 0;
    }
    return UINT64_MAX;
}

static void keep_least(void *arg, const char *folder)
{
    uint64_t left = group_left(folder), *least = arg;
    if (left < *least)
        *least = left;
}

uint64_t memory_available_bytes(void)
{
    uint64_t least = meminfo_available();
    cgroup_each("memory", keep_least, &least);
    return least;
}
