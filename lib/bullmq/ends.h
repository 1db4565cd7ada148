/* How jobs ended that somebody elsewhere holds, who knows of each its id and the token of its lock. Many at once, in two round trips.
 *
 *     struct bq_end_job ends[] = {{.id = id, .ending = {.kind = BQ_END_COMPLETE, .token = token, .value = json}}, …};
 *     bq_ends_read(bq, q, ends, n, arena, deadline, &err);      what their endings depend on
 *     if (ends[i].cancelled) ends[i].ending = ...               the caller may change its mind
 *     bq_ends_tell(bq, q, w, ends, n, deadline, &err);          together with those that other callers tell meanwhile
 *     ends[i].err.code ...
 *
 * What is wrong with one ending touches no other. Any thread; n <= BQ_WORK_PER_CALL (work.h). */
#ifndef SLUICE_BULLMQ_ENDS_H
#define SLUICE_BULLMQ_ENDS_H

#include "lib/bullmq/work.h"

struct bq_end_job {
	/* set by the caller; what they point to lives as long as the struct */
	struct str id;
	struct bq_ending ending;
	/* set by bq_ends_read, or by the caller */
	const struct bq_job *job;
	bool cancelled;      /* it is to be cancelled; not asked of one that completes */
	/* what came of it */
	enum bq_failed how;  /* as from bq_fail, of one that failed */
	struct err err;      /* .code 0: it has ended. As from bq_complete and the others; one that fails is passed over from then on */
	/* private */
	struct bq_end_args args_;
};

/* Reads of each job what its ending depends on, and nothing else; ERR_NOT_FOUND in ends[i].err. A failure: of Redis, or ERR_NOMEM. */
int bq_ends_read(struct bq *bq, const struct bq_queue *q, struct bq_end_job *ends, size_t n, struct arena *a, int64_t deadline,
		 struct err *err) MUST_CHECK;

/* A failure is the connection's, and that of all of them: nothing was sent, or nothing is known of any. */
int bq_ends_tell(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, struct bq_end_job *ends, size_t n, int64_t deadline,
		 struct err *err) MUST_CHECK;

#endif
