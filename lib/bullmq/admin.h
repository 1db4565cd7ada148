/* What an operator does to queues and jobs, with the effects, markers and events of the official client. Calls that may meet any number of jobs
 * take a bound, so that Redis is never held up: whoever wants all calls again.
 *
 * Failures of the connection are rmux.h's. Any thread. */
#ifndef SLUICE_BULLMQ_ADMIN_H
#define SLUICE_BULLMQ_ADMIN_H

#include "lib/bullmq/bq.h"
#include "lib/bullmq/inspect.h"

/* ---- queues ---- */

/* Pauses, and notes why (inspect.h shows it). reason.p NULL: nothing is said. */
int bq_pause_noted(struct bq *bq, const struct bq_queue *q, struct str reason, struct str by, int64_t deadline, struct err *err) MUST_CHECK;
/* Resumes, and forgets why it was paused. */
int bq_resume(struct bq *bq, const struct bq_queue *q, int64_t deadline, struct err *err) MUST_CHECK;

/* Removes about `limit` of the jobs that wait, with `delayed` of those that are delayed, too; the next jobs of schedules stay. Fewer than
 * `limit` are removed when there are no more. */
int bq_drain_some(struct bq *bq, const struct bq_queue *q, bool delayed, size_t limit, int64_t *removed, int64_t deadline, struct err *err)
	MUST_CHECK;
/* The official client's clean, a part at a time: looks at the jobs of a state (not of waiting-children), the oldest place first, and removes those
 * that are older: by their end, of others by the time they were last tried or added. Jobs that somebody holds and the next of schedules stay.
 *
 *     struct bq_clean c = {.state = BQ_WAITING, .older_than_ms = 60000};
 *     do rc = bq_clean_some(bq, &queue, &c, 100, deadline, &err); while (rc == 0 && !c.done && c.seen < limit);
 *
 * With the official client's limit it removes the same jobs: a limit is that of those that are looked at. What one call costs Redis depends on its
 * own `n` (BQ_CLEAN_MAX) and on what has been passed over before. */
struct bq_clean {
	enum bq_state state;
	int64_t older_than_ms;
	int64_t seen, removed; /* so far */
	bool done;             /* there are no more to look at */
};
#define BQ_CLEAN_MAX 1000
int bq_clean_some(struct bq *bq, const struct bq_queue *q, struct bq_clean *c, size_t n, int64_t deadline, struct err *err) MUST_CHECK;

/* ---- jobs ---- */
enum bq_action {
	BQ_RETRY,       /* a failed or completed job goes back to wait */
	BQ_PROMOTE,     /* a delayed job goes to wait */
	BQ_REMOVE,      /* with its children */
	BQ_REMOVE_FROM, /* the same, of a job that is in that state still: neither waiting nor active */
};

/* One action on several jobs in one round trip; codes[i] is 0 or what was wrong with ids[i]: ERR_NOT_FOUND, ERR_WRONG_STATE (not in the
 * state that the action needs, or the next job of a schedule), ERR_LOCK_LOST (somebody holds it, or one of its children). `state` is the
 * state that jobs are retried or removed from. */
int bq_act(struct bq *bq, const struct bq_queue *q, enum bq_action action, enum bq_state state, const struct str *ids, size_t n, int *codes,
	   int64_t deadline, struct err *err) MUST_CHECK;

/* BQ_REMOVE of jobs that wait, at most BQ_REMOVE_MAX: found by their places, which are those of one page of the waiting jobs (bq_page), of one
 * part of it and in its order from the newest, so that their list is walked along once for all of them. A job that no longer waits is
 * ERR_NOT_FOUND, whatever became of it. */
#define BQ_REMOVE_MAX 200
int bq_remove_waiting(struct bq *bq, const struct bq_queue *q, const struct bq_place *places, size_t n, int *codes, int64_t deadline,
		      struct err *err) MUST_CHECK;

struct bq_retry {
	enum bq_state state;  /* BQ_FAILED or BQ_COMPLETED */
	struct str data;      /* .p NULL: as it is */
	bool reset_attempts;  /* count them anew; the official client's default is not to */
};
/* ERR_NOT_FOUND, ERR_WRONG_STATE. */
int bq_retry_job(struct bq *bq, const struct bq_queue *q, struct str id, const struct bq_retry *retry, int64_t deadline, struct err *err)
	MUST_CHECK;

struct bq_edit {
	int64_t priority, delay_ms; /* -1: as it is */
	struct str data;            /* .p NULL: as it is */
};
/* All of it or nothing. ERR_NOT_FOUND, ERR_LOCK_LOST (somebody holds the job), ERR_WRONG_STATE (the priority of a job that has ended, the delay
 * of one that is not delayed). */
int bq_edit_job(struct bq *bq, const struct bq_queue *q, struct str id, const struct bq_edit *edit, int64_t deadline, struct err *err)
	MUST_CHECK;

#endif
