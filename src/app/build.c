/* The one file that is compiled anew with every commit. */
#include "app/build.h"

#ifndef PROMPTEUR_COMMIT
#define PROMPTEUR_COMMIT "unknown"
#endif

const char build_name[] = PROMPTEUR_VERSION " " PROMPTEUR_COMMIT;
const char build_commit[] = PROMPTEUR_COMMIT;
