/* Log lines: formatted on the caller's stack, written with one write(2), so that lines of threads never mix.
 */
#include "base/log.h"
#include "base/clock.h"
#include "base/str.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX 4096

static struct log_options options = {.level = LOG_INFO};

static const char *const level_names[] = {"ERROR", "WARN", "INFO", "DEBUG"};
static const char *const level_colours[] = {"\033[31m", "\033[33m", "\033[32m", "\033[34m"};

void log_init(const struct log_options *o)
{
    options = *o;
}

bool log_enabled(enum log_level level)
{
    return level <= options.level;
}

/* Escapes as JSON does; in text lines only control characters, so that input cannot forge a line or steer a
 * terminal. The result is UTF-8 whatever the input was: collectors drop lines that are not. */
static void escape(char *out, size_t cap, struct str text, bool json)
{
    size_t n = 0;
    uint32_t cp;
    for (size_t i = 0; i < text.n && n + 8 < cap;) {
        unsigned len = utf8_decode(text, i, &cp);
        if (len == 0) {
            n += utf8_encode(0xfffd, out + n);
            i += utf8_invalid_length(text, i);
            continue;
        }
        if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
            n += (size_t)snprintf(out + n, cap - n, "\\u%04x", (unsigned)cp);
        } else {
            if (json && (cp == '"' || cp == '\\'))
                out[n++] = '\\';
            memcpy(out + n, text.p + i, len);
            n += len;
        }
        i += len;
    }
    out[n] = '\0';
}

static void timestamp(char out[40])
{
    uint64_t ms = clock_wall_ms();
    time_t s = (time_t)(ms / 1000);
    struct tm t;
    char day[24];
    gmtime_r(&s, &t);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out, 40, "%s.%03uZ", day, (unsigned)(ms % 1000));
}

void log_write(enum log_level level, const char *module, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    char message[MESSAGE_MAX], escaped[2 * MESSAGE_MAX], line[4 * MESSAGE_MAX + 256], when[40];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(message, sizeof message, fmt, args) < 0)
        message[0] = '\0';
    va_end(args);
    escape(escaped, sizeof escaped, str_from(message), options.json);
    timestamp(when);
    int n;
    if (options.json)
        n = snprintf(
            line, sizeof line,
            "{\"timestamp\":\"%s\",\"level\":\"%s\",\"message\":\"%s\",\"fields\":{\"message\":\"%s\"},"
            "\"target\":\"prompteur::%s\"}\n",
            when, level_names[level], escaped, escaped, module);
    else
        n = snprintf(line, sizeof line, "%s %s%5s%s %s: %s\n", when,
                     options.colour ? level_colours[level] : "", level_names[level],
                     options.colour ? "\033[0m" : "", module, escaped);
    if (n > 0 && write(options.to_stdout ? STDOUT_FILENO : STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nowhere to say that there is nowhere */
}
