/* Which rate limit holds for a queue. Any thread. */
#ifndef SLUICE_GATEWAY_LIMITING_H
#define SLUICE_GATEWAY_LIMITING_H

#include "lib/bullmq/inspect.h"
#include "processors/runtime/declaration.h"

/* The limiter in force: the queue's own in Redis before the declaration's (NULL: it is not declared). max 0: none. */
struct bq_limiter limiter_in_force(const struct bq_facts *f, const struct declaration *decl);
/* Is the window used up? */
bool is_limited(const struct bq_facts *f, const struct declaration *decl);

#endif
