/* One line on a terminal, drawn again and again; in a log a line every few seconds and one at the end, in
 * TGI's words. */
#define LOG_MODULE "download"
#include "app/fetch_progress.h"
#include "base/clock.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LOG_EVERY_NS ((uint64_t)10 * 1000000000)
#define BAR_CELLS    24

void fetch_progress_init(struct fetch_progress *p, const struct options *o)
{
    const char *hide = option_text(o, OPT_HF_NO_BARS);
    *p = (struct fetch_progress){.is_bar = isatty(STDERR_FILENO) && !option_flag(o, OPT_JSON_OUTPUT) &&
                                           (!hide || !*hide || strcmp(hide, "0") == 0),
                                 .begin_ns = clock_ns(),
                                 .told_ns = clock_ns()};
}

static unsigned terminal_columns(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

/* "1:02:03", "4:05" */
static void duration(char out[24], double seconds)
{
    uint64_t s = seconds < 3600 * 99 ? (uint64_t)seconds : 3600 * 99;
    if (s >= 3600)
        snprintf(out, 24, "%" PRIu64 ":%02u:%02u", s / 3600, (unsigned)(s / 60 % 60), (unsigned)(s % 60));
    else
        snprintf(out, 24, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
}

/* Bytes a second since the start, and what is left at that pace. */
static double rate(const struct fetch_progress *p, const struct hub_progress *now, char left[24])
{
    double seconds = (double)(clock_ns() - p->begin_ns) / 1e9,
           bytes_second = seconds > 0 ? (double)now->fetched_bytes / seconds : 0;
    uint64_t missing = now->total_bytes - now->done_bytes;
    snprintf(left, 24, "?");
    if (bytes_second > 0 || missing == 0)
        duration(left, missing ? (double)missing / bytes_second : 0);
    return bytes_second;
}

static void draw_bar(struct fetch_progress *p, const struct hub_progress *now)
{
    char bar[BAR_CELLS + 1], line[512], left[24];
    double share = now->total_bytes ? (double)now->done_bytes / (double)now->total_bytes : 1;
    size_t full = (size_t)(share * BAR_CELLS);
    memset(bar, '=', full);
    memset(bar + full, ' ', BAR_CELLS - full);
    bar[BAR_CELLS] = '\0';
    double bytes_second = rate(p, now, left);
    int n = snprintf(line, sizeof line, "%3.0f %% [%s] %.2f/%.2f GB  %.0f MB/s  ETA %s  %zu/%zu files  %s",
                     share * 100, bar, (double)now->done_bytes / 1e9, (double)now->total_bytes / 1e9,
                     bytes_second / 1e6, left, now->n_done, now->n_files, now->file ? now->file : "");
    int room = (int)terminal_columns() - 1;
    n = n < 0 ? 0 : n < (int)sizeof line ? n : (int)sizeof line - 1;
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) /* a file's name may hold anything */
            line[i] = '?';
    fprintf(stderr, "\r\033[K%.*s", n < room ? n : room, line);
    fflush(stderr);
    p->is_drawn = true;
}

static void log_line(struct fetch_progress *p, const struct hub_progress *now)
{
    char left[24];
    double bytes_second = rate(p, now, left);
    p->told_ns = clock_ns();
    log_info("Download: [%zu/%zu] -- ETA: %s (%.1f of %.1f MB, %.1f MB/s)", now->n_done, now->n_files, left,
             (double)now->done_bytes / 1e6, (double)now->total_bytes / 1e6, bytes_second / 1e6);
}

void fetch_progress_show(void *progress, const struct hub_progress *now)
{
    struct fetch_progress *p = progress;
    bool is_over = now->n_done == now->n_files;
    p->phase_bytes = now->fetched_bytes;
    if (p->is_bar)
        draw_bar(p, now);
    else if (is_over || clock_ns() > p->told_ns + LOG_EVERY_NS)
        log_line(p, now);
    if (!is_over)
        return;
    fetch_progress_end(p);
    p->fetched_bytes += now->fetched_bytes;
    p->n_files += now->n_files;
    p->phase_bytes = 0;
    p->begin_ns = clock_ns();
}

void fetch_progress_end(struct fetch_progress *p)
{
    if (p->is_drawn)
        fputc('\n', stderr);
    p->is_drawn = false;
}
