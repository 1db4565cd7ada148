/* The counts of declared queues, kept for COUNTS_FRESH_MS and asked for by one request at a time: a hundred dashboards cost as
 * much as one, and no request waits for another's asking unless what is there is older than COUNTS_STALE_MS. Any thread. */
#ifndef SLUICE_GATEWAY_COUNTS_H
#define SLUICE_GATEWAY_COUNTS_H

#include "lib/bullmq/bq.h"
#include "processors/runtime/declaration.h"

#define COUNTS_FRESH_MS 5
#define COUNTS_STALE_MS 10

struct counts;

struct counts *counts_new(struct bq *bq); /* NULL: no memory */
void counts_free(struct counts *c);

/* As bq_counts; what is given was answered at most COUNTS_FRESH_MS ago, or COUNTS_STALE_MS while another request asks. */
int counts_get(struct counts *c, const struct declaration *queue, struct bq_counts *out, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

#endif
