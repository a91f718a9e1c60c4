/* How much memory this process may still take. */
#ifndef APP_MEMORY_H
#define APP_MEMORY_H

#include <stdint.h>

/* The least of what the machine has available and what the control group (v1 or v2) leaves; 0 when unknown.
 */
uint64_t memory_available_bytes(void);

#endif
