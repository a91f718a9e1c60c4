/* Inside the json module. */
#ifndef JSON_JSON_INT_H
#define JSON_JSON_INT_H

#include "json/json.h"

/* The value's compact text, as yyjson writes it. */
void json_write_compact(const struct json_val *v, struct buf *out);

#endif
