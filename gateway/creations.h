/* Counts the jobs that are created here, by queue. What queues count to that are declared at the start is found once; others are looked up each time.
 * Any thread. */
#ifndef SLUICE_GATEWAY_CREATIONS_H
#define SLUICE_GATEWAY_CREATIONS_H

#include "lib/bullmq/bq.h"
#include "lib/metrics/metrics.h"
#include "processors/runtime/declaration.h"

struct creations;

/* m must outlive it; creations_free. NULL without memory. */
struct creations *creations_new(struct metrics *m, const struct declarations *d);
void creations_free(struct creations *c);

/* decl: NULL when the queue is not declared. */
void creations_count(const struct creations *c, const struct bq_queue *q, const struct declaration *decl, const struct bq_added *added);

#endif
