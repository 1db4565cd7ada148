/* What is counted of a queue's jobs, wherever they are added, taken and ended: by the runtime, and by the gateway on behalf of clients and workers.
 *
 * The series of a declared queue are looked up once, those of others each time. Any thread. */
#ifndef SLUICE_PROCESSORS_RUNTIME_TALLY_H
#define SLUICE_PROCESSORS_RUNTIME_TALLY_H

#include "lib/bullmq/bq.h"
#include "lib/metrics/metrics.h"
#include "processors/runtime/declaration.h"

/* X(id, metric, "the label beside the queue; empty: none") */
#define TALLIES(X) \
	X(ENQUEUED, JOBS_ENQUEUED, "") \
	X(DEDUPLICATED, JOBS_DEDUPLICATED, "") \
	X(PAYLOAD_BYTES, JOB_PAYLOAD_BYTES, "") \
	X(WAIT_SECONDS, JOB_WAIT_SECONDS, "") \
	X(RUN_SECONDS, JOB_RUN_SECONDS, "") \
	X(ATTEMPTS_MADE, JOB_ATTEMPTS_MADE, "") \
	X(ATTEMPT_COMPLETED, JOB_ATTEMPTS, "completed") \
	X(ATTEMPT_FAILED, JOB_ATTEMPTS, "failed") \
	X(ATTEMPT_RETRIED, JOB_ATTEMPTS, "retried") \
	X(ATTEMPT_DELAYED, JOB_ATTEMPTS, "delayed") \
	X(ATTEMPT_RELEASED, JOB_ATTEMPTS, "released") \
	X(ATTEMPT_HANDED_OVER, JOB_ATTEMPTS, "handed_over") \
	X(ATTEMPT_DROPPED, JOB_ATTEMPTS, "dropped") \
	X(ATTEMPT_STALLED, JOB_ATTEMPTS, "stalled") \
	X(FINISHED_COMPLETED, JOBS_FINISHED, "completed") \
	X(FINISHED_FAILED, JOBS_FINISHED, "failed") \
	X(FINISHED_CANCELLED, JOBS_FINISHED, "cancelled") \
	X(STALLED, STALLED_JOBS, "") \
	X(LOCKS_LOST, LOCK_RENEW_FAILURES, "")

enum tally {
#define X(id, metric, label) TALLY_##id,
	TALLIES(X)
#undef X
	TALLY_COUNT,
	TALLY_NONE = TALLY_COUNT
};

struct tallies;

/* What the declared queues add is 0 from the start. m must outlive it. NULL without memory. */
struct tallies *tallies_new(struct metrics *m, const struct declarations *d);
void tallies_free(struct tallies *t); /* NULL: nothing */

/* One of them, to be kept or used at once; decl: NULL when the queue is not declared. */
struct series *tallies_series(struct tallies *t, struct str queue, const struct declaration *decl, enum tally what);
void tallies_add(struct tallies *t, struct str queue, const struct declaration *decl, enum tally what, double n); /* of a counter */

/* A job was added, or found to be there already; data_bytes of data. */
void tallies_created(struct tallies *t, struct str queue, const struct declaration *decl, const struct bq_added *added, size_t data_bytes);
/* An add has failed. */
void tallies_refused(struct tallies *t, const struct err *err);
/* A job was taken. Of its first time it is known since when it could have been. */
void tallies_taken(struct tallies *t, struct str queue, const struct declaration *decl, const struct bq_job *job);
/* An attempt ended, and perhaps the job with it (finished: TALLY_NONE when not). The job is as it was when it was taken. */
void tallies_ended(struct tallies *t, struct str queue, const struct declaration *decl, const struct bq_job *job, enum tally attempt,
		   enum tally finished);
/* Runs of the job's schedule fell out, or none did. */
void tallies_missed(struct tallies *t, struct str queue, const struct bq_job *job, int64_t runs);

#endif
