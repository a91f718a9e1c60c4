/* The sub-commands. Each takes its parsed options and returns the process's exit code: 0, 1 (failed) or 2
 * (usage). */
#ifndef APP_COMMANDS_H
#define APP_COMMANDS_H

#include "app/options.h"

int command_serve(const struct options *o);
int command_logits(const struct options *o);
int command_tokenize(const struct options *o);
int command_template(const struct options *o);
int command_healthcheck(const struct options *o);
int command_download_weights(const struct options *o);
int command_list(const struct options *o);
int command_rm(const struct options *o);
int command_info(const struct options *o);
int command_lock(const struct options *o);
int command_print_schema(const struct options *o);

#endif
