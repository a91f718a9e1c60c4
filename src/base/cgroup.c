/* Control groups, from /proc/self/cgroup: "0::/group" (version 2), "4:cpu,cpuacct:/group" (version 1). */
#include "base/cgroup.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MOUNT "/sys/fs/cgroup"

static void each_parent(const char *mount, const char *group, void (*fn)(void *arg, const char *folder),
                        void *arg)
{
    char folder[PATH_MAX];
    size_t root = strlen(mount);
    if (snprintf(folder, sizeof folder, "%s%s", mount, group) >= (int)sizeof folder)
        return;
    for (;;) {
        fn(arg, folder);
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= root || !slash || slash < folder + root)
            return;
        *slash = '\0';
    }
}

void cgroup_each(const char *controller, void (*fn)(void *arg, const char *folder), void *arg)
{
    char line[PATH_MAX], mount[64];
    FILE *f = fopen("/proc/self/cgroup", "re");
    snprintf(mount, sizeof mount, MOUNT "/%s", controller);
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        if (controllers[1] == '\0')
            each_parent(MOUNT, group, fn, arg);
        else if (strstr(controllers, controller))
            each_parent(mount, group, fn, arg);
    }
    if (f)
        fclose(f);
}
