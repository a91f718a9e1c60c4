/* The log as flags and environment ask for it. */
#ifndef APP_LOG_SETUP_H
#define APP_LOG_SETUP_H

#include "app/options.h"
#include "base/log.h"

/* Call once, before threads start. A level that is none becomes a line in o->warnings. */
void log_setup(struct options *o, bool to_stdout);

/* The level that `filter` asks for of this program: a level, or a list as TGI's tracing library reads it,
 * "info,text_generation_router=debug": what is said about this program by its own name or TGI's counts more
 * than what is said about everything. False: nothing in it is a level; *out is then LOG_INFO. */
bool log_level_from(struct str filter, enum log_level *out);

#endif
