/* Admission: may jobs be created now? A poller asks Redis once a second how full its memory is and what its settings are, so
 * that no request has to. Finishing jobs is never refused.
 *
 *     struct admission *a = admission_new(mux, queues, metrics, log, &err);
 *     admission_start(a, &err);
 *     ...
 *     admission_stop(a);
 *     admission_free(a);
 *
 * start, stop and free: the owner; all else: any thread, never blocks. */
#ifndef SLUICE_GATEWAY_ADMISSION_H
#define SLUICE_GATEWAY_ADMISSION_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct admission;
struct declarations;
struct log;
struct metrics;
struct redis_facts;
struct rmux;

struct admission *admission_new(struct rmux *mux, const struct declarations *queues, struct metrics *metrics, struct log *log, struct err *err);
int admission_start(struct admission *a, struct err *err) MUST_CHECK;
void admission_stop(struct admission *a);
void admission_free(struct admission *a); /* NULL: nothing */

/* 0, or ERR_FULL with a sentence (Redis' memory is over 90 % of maxmemory). */
int admission_check(const struct admission *a, struct err *err) MUST_CHECK;

/* For readiness: 0, or ERR_WRONG_STATE with a sentence about a setting of Redis that loses jobs. 0 too while nothing is known yet. */
int admission_settings(const struct admission *a, struct err *err) MUST_CHECK;

/* For readiness: 0, with a sentence in *err when Redis has lost data since this process looked first. Service goes on: being told is all that
 * is left. */
int admission_data(const struct admission *a, struct err *err) MUST_CHECK;

/* For readiness: 0, with a sentence in *err while Redis cannot write to its disk. What only reads goes on, so service does. */
int admission_disk(const struct admission *a, struct err *err) MUST_CHECK;

/* The last facts that Redis told: 0, or ERR_NOT_FOUND while there are none. */
int admission_facts(const struct admission *a, struct redis_facts *out) MUST_CHECK;

#endif
