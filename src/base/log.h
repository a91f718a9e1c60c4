/* Log lines: text for people, one JSON object a line for collectors (TGI's shapes).
 *
 * Thread-safe, one write(2) a line. Never pass prompts, answers, keys or tokens. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_options {
    enum log_level level;
    bool json;      /* {"timestamp":"...","level":"INFO","message":"...","fields":{"message":"..."},
                       "target":"prompteur::<module>"}: TGI's router has the one, its launcher the other */
    bool colour;    /* only ever true on a terminal */
    bool to_stdout; /* else standard error */
};

/* Call once before threads start. Default without a call: LOG_INFO, text, no colour. */
void log_init(const struct log_options *options);
bool log_enabled(enum log_level level);

/* `module` is a literal such as "engine"; `fmt` gives one line without a newline, at most 4 KiB, control
 * bytes escaped. */
void log_write(enum log_level level, const char *module, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_error(...) log_write(LOG_ERROR, LOG_MODULE, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, LOG_MODULE, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, LOG_MODULE, __VA_ARGS__)
#define log_debug(...)                                                                                       \
    do {                                                                                                     \
        if (log_enabled(LOG_DEBUG))                                                                          \
            log_write(LOG_DEBUG, LOG_MODULE, __VA_ARGS__);                                                   \
    } while (0)
/* Each .c that logs defines LOG_MODULE before including this header's users, e.g. #define LOG_MODULE "http".
 */

#endif
