/* Files that are written whole. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/str.h"

/* The file holds `text` or what it held before, whatever happens meanwhile, a power failure included: written
 * beside it, synced, renamed. A killed process may leave PATH.<digits>.tmp. Any number of processes at once.
 */
MUST_CHECK enum status file_replace(const char *path, struct str text, struct err *e);
/* Makes every folder that the path goes through, not its last component. */
MUST_CHECK enum status file_make_parents(const char *path, struct err *e);

#endif
