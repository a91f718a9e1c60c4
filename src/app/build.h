/* Which build this is. */
#ifndef APP_BUILD_H
#define APP_BUILD_H

/* Version and commit: "0.1.0 3d957d2..."; "0.1.0 unknown" when built outside a git checkout. */
extern const char build_name[];
/* The commit alone: 40 hexadecimal digits, or "unknown". */
extern const char build_commit[];

#endif
