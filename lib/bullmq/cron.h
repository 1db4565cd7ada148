/* Cron patterns, read and stepped as npm `cron-parser` 5 does, which BullMQ's schedulers use: five or six fields (seconds
 * first), names, lists, ranges, steps, `L`, `#`, `@daily` and the like. Its `H` (a random value) is refused.
 *
 *     struct cron c;
 *     cron_parse(&c, pattern, &err);
 *     cron_next(&c, tz, now_ms, -1, &next_ms);
 *
 * Where clocks are put forward, a skipped time runs in the hour landed on; where they are put back, a repeated hour runs once,
 * except when every hour runs. Any thread. */
#ifndef SLUICE_BULLMQ_CRON_H
#define SLUICE_BULLMQ_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/bullmq/tz.h"

struct cron {
	uint64_t seconds, minutes, hours, days, months; /* bit v: the value v runs */
	uint64_t weekdays;                              /* 0 Sunday … 6; bit 7 is never asked */
	uint64_t last_weekdays;                         /* "5L": the last Friday of the month */
	bool last_day;                                  /* "L" */
	int nth_weekday;                                /* "5#3": the third; 0: every */
	bool any_day, any_weekday;                      /* the field is "*" or "?" */
};

/* ERR_INVALID: err says what is wrong. */
int cron_parse(struct cron *c, struct str pattern, struct err *err) MUST_CHECK;
/* The first time after `after_ms`, at most end_ms (-1: no end). ERR_NOT_FOUND: there is none. */
int cron_next(const struct cron *c, const struct tz *tz, int64_t after_ms, int64_t end_ms, int64_t *out) MUST_CHECK;

#endif
