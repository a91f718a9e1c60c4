/* A command that answers lines: JSON in on standard input, one JSON object a line out, until the input ends.
 */
#ifndef APP_JSON_LINES_H
#define APP_JSON_LINES_H

#include "json/json.h"

/* Answers one line: writes the members of the answer's object (it is open already). When it returns anything
 * but ST_OK, what it wrote is dropped and the line's answer is {"error": e->text}; the next line goes on. */
struct json_lines {
    /* n_bytes: of the line as it came */
    enum status (*answer)(void *self, const struct json_val *line, size_t n_bytes, struct json_writer *w,
                          struct err *e);
    void *self;
    size_t max_line_bytes;   /* a longer line gets an error */
    size_t max_answer_bytes; /* so does a longer answer */
};

/* Empty lines are passed over. What was answered is written before a read may wait, so that a person or a
 * pipe sees each answer at once. Colours on a terminal only, and not with NO_COLOR. ST_IO when reading or
 * writing fails. */
MUST_CHECK enum status json_lines_run(const struct json_lines *lines, struct err *e);

#endif
