/* Inside the backend module: how a device opens. registry.c has a row for each. */
#ifndef BACKEND_BACKEND_INT_H
#define BACKEND_BACKEND_INT_H

#include "backend/backend.h"

MUST_CHECK enum status backend_cpu_open(const struct backend_options *o, struct backend **out, struct err *e);
MUST_CHECK enum status backend_ref_open(const struct backend_options *o, struct backend **out, struct err *e);

#define OP_BIT(kind) (1u << (kind))
#define OP_ALL_BITS  (OP_BIT(OP_KIND_COUNT) - 1u)

#endif
