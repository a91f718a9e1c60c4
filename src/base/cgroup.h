/* The control groups this process is in: limits hold for a group and for all its parents. */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

/* Calls fn with the folder of the group and of each parent up to the mount point, in version 2 and in the
 * version 1 hierarchy of `controller` ("cpu", "memory"), whichever exist. Inside a container the group itself
 * may not be visible; its limits are then at the mount point. */
void cgroup_each(const char *controller, void (*fn)(void *arg, const char *folder), void *arg);

#endif
