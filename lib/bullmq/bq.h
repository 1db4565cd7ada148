/* BullMQ on Redis: what a producer and a worker must do, over the official scripts of bullmq 6.7.0 and a few of our own.
 *
 *     struct bq *bq = bq_new(mux, log, &err);          (before rmux_start: registers the scripts)
 *     bq_add(bq, &queue, &job, &added, deadline, &err);
 *     n = bq_take(...) → run → bq_complete(...) / bq_fail(...)        many workers of one process: lib/bullmq/work.h
 *
 * Every call is one round trip unless said otherwise. Deadlines are monotonic ms. Strings in results are in the given arena.
 * Failures of the connection are rmux.h's. Any thread. */
#ifndef SLUICE_BULLMQ_BQ_H
#define SLUICE_BULLMQ_BQ_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/bullmq/opts.h"
#include "lib/bullmq/queue.h"
#include "lib/redis/rmux.h"

struct bq;

struct bq *bq_new(struct rmux *mux, struct err *err);
void bq_free(struct bq *bq);
struct rmux *bq_mux(struct bq *bq);

/* ---- states: BullMQ's words ---- */
#define BQ_STATES(X) \
	X(WAITING, "waiting") X(ACTIVE, "active") X(COMPLETED, "completed") X(FAILED, "failed") X(DELAYED, "delayed") \
	X(PRIORITIZED, "prioritized") X(WAITING_CHILDREN, "waiting-children")
enum bq_state {
#define X(id, word) BQ_##id,
	BQ_STATES(X)
#undef X
	BQ_STATE_COUNT,
	BQ_STATE_UNKNOWN = -1 /* no such job */
};
const char *bq_state_word(enum bq_state s); /* "unknown" for BQ_STATE_UNKNOWN */

/* ---- add ---- */
struct bq_parent {
	struct str id;        /* .p NULL: no parent */
	struct str queue_key; /* "P:Q" */
};

struct bq_add {
	struct str name;
	struct str data;           /* JSON text, stored byte for byte */
	struct bq_opts opts;       /* decided: request, declaration, defaults already merged */
	struct bq_parent parent;
	bool waits_for_children;   /* a flow's parent: goes to waiting-children */
	/* Idempotency: the record's key "P:Q:idem:<hex>" and the body's fingerprint; .p NULL: none. */
	struct str idem_key, idem_fingerprint; /* no newline in the fingerprint */
	int64_t idem_ttl_ms;
	int64_t max_waiting;       /* wait + prioritized + delayed at or above it: ERR_FULL; 0 = no bound */
};

struct bq_added {
	struct str id;
	bool created;    /* false: the id (or deduplication id) existed already, of the same org */
	bool replayed;   /* an idempotency record answered */
	enum bq_state state; /* the state the job got; for an existing one WAITING unless cheaply known */
};

/* Adds that arrive for a queue while a call for it is under way are sent together in the next: one slow Redis delays them all, none
 * delays another otherwise.
 * ERR_TAKEN (the id is another org's), ERR_MISMATCH (idempotency key with another body), ERR_FULL, ERR_NOT_FOUND (the parent is
 * missing), ERR_WRONG_STATE (the parent cannot be replaced). */
int bq_add(struct bq *bq, const struct bq_queue *q, const struct bq_add *job, struct arena *a, struct bq_added *out, int64_t deadline,
	   struct err *err) MUST_CHECK;

/* The same without waiting for long. The queue, the job and what they point to live until done is called: once, on the thread that has the reply,
 * which may not be blocked; without memory, and after rmux_stop, on the caller's before this returns. That a deadline has passed while the
 * add waited to be sent is seen when the call under way ends. Until then the arena is the other thread's.
 * Where nobody else has a call under way, the caller reads the reply itself, until `awaited` is woken or for a few ms (rmux_read): it would only
 * sleep, and another thread wake up for the reply. */
typedef void bq_added_fn(void *arg, int rc, const struct bq_added *added, const struct err *err);
void bq_add_send(struct bq *bq, const struct bq_queue *q, const struct bq_add *job, struct arena *a, int64_t deadline, bq_added_fn *done,
		 void *arg, struct parker *awaited);

/* Many in one round trip, answered one by one: results[i].rc and .err. Returns the connection's failure, if any. */
struct bq_add_result {
	int rc;
	struct bq_added added;
	struct err err;
};
int bq_add_many(struct bq *bq, const struct bq_queue *q, const struct bq_add *jobs, size_t n, struct arena *a,
		struct bq_add_result *results, int64_t deadline, struct err *err) MUST_CHECK;

/* The same in two steps, so that the caller may do something else meanwhile. NULL without memory; else what was begun is ended once, and until then
 * jobs, results and the arena are not touched. */
struct bq_adding;
struct bq_adding *bq_add_many_begin(struct bq *bq, const struct bq_queue *q, const struct bq_add *jobs, size_t n, struct arena *a,
				    struct bq_add_result *results, int64_t deadline, struct err *err) MUST_CHECK;
int bq_add_many_end(struct bq_adding *add, struct err *err) MUST_CHECK;

/* ---- reading ---- */
struct bq_job {
	struct str id, name, data;
	struct str opts_json;  /* as stored: short names */
	struct bq_opts opts;   /* the same, read */
	struct str progress, returnvalue;       /* JSON text as stored; .p NULL: none */
	struct str failed_reason, stacktrace;   /* raw text; JSON array; .p NULL: none */
	struct str deferred_failure;            /* defa; .p NULL: none */
	struct str parent_key, parent_json;     /* .p NULL: none */
	struct str parent_id, parent_queue;     /* from them, the queue's bare name; .p NULL: none */
	struct str repeat_key;                  /* rjk */
	struct str processed_by;                /* pb */
	int64_t timestamp, delay, priority;
	int64_t processed_on, finished_on;      /* -1: not yet */
	int64_t attempts_made, attempts_started, stalled_count;
	unsigned plain_fields;                  /* of one that was taken: the fields of its hash. 0: not known, or it has attempts behind it, a
						 * parent or a deduplication id, so that its end depends on more than itself */
	enum bq_state state;                    /* by bq_status; ACTIVE from bq_take */
};

/* Reads a job and its state without scanning any list (HMGET, ZSCOREs, EXISTS lock in one round trip). ERR_NOT_FOUND. With
 * `with_payload` false, data, returnvalue and stacktrace are not fetched. */
int bq_status(struct bq *bq, const struct bq_queue *q, struct str id, bool with_payload, struct arena *a, struct bq_job *out,
	      int64_t deadline, struct err *err) MUST_CHECK;
/* Many ids at once: states[i] (BQ_STATE_UNKNOWN when missing), jobs[i] filled as by bq_status without payload. */
int bq_status_many(struct bq *bq, const struct bq_queue *q, const struct str *ids, size_t n, struct arena *a, struct bq_job *jobs,
		   int64_t deadline, struct err *err) MUST_CHECK;

/* Was the id given out by the queue's counter, whatever has become of the job? An id that a client chose was not. */
int bq_id_was_given(struct bq *bq, const struct bq_queue *q, struct str id, bool *given, int64_t deadline, struct err *err) MUST_CHECK;

struct bq_counts {
	int64_t n[BQ_STATE_COUNT]; /* v5's leftover "paused" list counts as waiting, as in BullMQ's getState */
	bool paused;
	bool foreign; /* something of another kind stands under one of the queue's keys: it counts as nothing */
};
int bq_counts(struct bq *bq, const struct bq_queue *q, struct bq_counts *out, int64_t deadline, struct err *err) MUST_CHECK;
/* Several queues in one round trip. */
int bq_counts_many(struct bq *bq, const struct bq_queue *const *queues, size_t n, struct bq_counts *out, int64_t deadline,
		   struct err *err) MUST_CHECK;
/* Does "P:Q:meta" exist? 1, 0 or a failure. */
int bq_queue_exists(struct bq *bq, const struct bq_queue *q, int64_t deadline, struct err *err) MUST_CHECK;

/* ---- a worker's side ---- */
struct bq_limiter {
	int64_t max, duration_ms; /* max 0: none */
};

struct bq_worker {
	struct str name;   /* written as pb; .p NULL: none */
	int64_t lock_ms;   /* lockDuration */
	struct bq_limiter limiter;
	struct bq_keep keep_completed, keep_failed; /* where the job says nothing */
	int64_t metrics_points; /* maxDataPoints of metrics:*, 0 = do not write */
	int64_t proof_ms;       /* bq_complete: for so long bq_completed_by knows the token; 0: not at all */
};

struct bq_taken {
	bool got;              /* a job was taken: *job filled, its lock is held under the token */
	int64_t limited_ms;    /* rate limited for so long; 0: not */
	int64_t next_delayed_ms; /* wall time of the next delayed job; 0: none */
};

/* Who holds a job is known by the lock's token. Those of this program can be told from others' without a look at the job. A token is
 * the only proof that its bearer holds the job: it is never logged. */
#define BQ_TOKEN_SIZE 48
#define BQ_TOKEN_SUFFIX 8 /* of these are free in a new one, for a number that is put behind it */
void bq_token(char out[BQ_TOKEN_SIZE]); /* a new one */
bool bq_token_is_ours(struct str token);

/* moveToActive. The token is the caller's (unique per take). A job with a repeat_key is its schedule's: bq_schedule_next is due
 * before it runs. */
int bq_take(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, struct str token, struct arena *a, struct bq_job *job,
	    struct bq_taken *out, int64_t deadline, struct err *err) MUST_CHECK;

/* The same up to n times, at most 100, in one round trip, each under a token of its own, which begins with the caller's (bq_token's). What was
 * taken stands at the front of held[]; *last is what the last attempt said. A failure only when nothing is handed over. */
struct bq_held {
	struct bq_job job;
	char token[BQ_TOKEN_SIZE];
};
int bq_take_many(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, struct str token, struct arena *a, struct bq_held *held,
		 size_t n, size_t *got, struct bq_taken *last, int64_t deadline, struct err *err) MUST_CHECK;

/* Completion with the return value (JSON text). ERR_LOCK_LOST, ERR_NOT_FOUND (job gone), ERR_WRONG_STATE (not active, or it has pending or
 * failed children). ERR_BROKEN, from here to bq_release: what is stored of the job lets no end of it be recorded; it has been set aside. */
int bq_complete(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, const struct bq_job *job, struct str token,
		struct str returnvalue, int64_t deadline, struct err *err) MUST_CHECK;

/* yes[i]: was it under tokens[i] that the job was completed? For who repeats completions whose outcome was unknown. One round trip. */
int bq_completed_by(struct bq *bq, const struct bq_queue *q, const struct str *ids, const struct str *tokens, size_t n, bool *yes,
		    int64_t deadline, struct err *err) MUST_CHECK;

enum bq_failed { BQ_FAILED_FINAL, BQ_FAILED_DELAYED, BQ_FAILED_RETRIED };
struct bq_failure {
	struct str reason;     /* failedReason: "CODE: sentence" */
	struct str trace;      /* one more entry of stacktrace; .p NULL: the reason */
	bool permanent;        /* no retry, whatever attempts are left */
	int64_t retry_after_ms; /* overrides the backoff when >= 0 */
};
/* Decides as BullMQ's worker does (attempts, backoff) and moves the job to failed, delayed or wait; *how tells which. */
int bq_fail(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, const struct bq_job *job, struct str token,
	    const struct bq_failure *f, enum bq_failed *how, int64_t deadline, struct err *err) MUST_CHECK;

/* Back to delayed for delay_ms without using up an attempt (rate limits, "not now"). */
int bq_delay(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, struct str token, int64_t delay_ms, int64_t deadline,
	     struct err *err) MUST_CHECK;
/* Back to wait, at the front, without using up an attempt (shutting down, release). */
int bq_release(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, struct str token, int64_t deadline, struct err *err)
	MUST_CHECK;

/* Fails a job at whose end an official script failed half-way (ERR_BROKEN of bq_work_ended), so that it stands in nobody's way any longer.
 * ERR_LOCK_LOST: somebody else has it. ERR_WRONG_STATE: it has ended already. */
#define BQ_REASON_SIZE (sizeof(((struct err *)NULL)->text) + 80)
struct str bq_set_aside_reason(const struct err *why, char out[BQ_REASON_SIZE]);
int bq_set_aside(struct bq *bq, const struct bq_queue *q, struct str id, struct str token, struct str reason, int64_t deadline,
		 struct err *err) MUST_CHECK;

int bq_progress(struct bq *bq, const struct bq_queue *q, struct str id, struct str json, int64_t deadline, struct err *err) MUST_CHECK;
/* keep: keepLogs, -1 all. *count (may be NULL): lines now. */
int bq_log_add(struct bq *bq, const struct bq_queue *q, struct str id, struct str line, int64_t keep, int64_t *count, int64_t deadline,
	       struct err *err) MUST_CHECK;

/* Renews locks; lost[i] is set for ids whose lock is gone or another's. */
int bq_extend_locks(struct bq *bq, const struct bq_queue *q, const struct str *ids, const struct str *tokens, size_t n, int64_t lock_ms,
		    bool *lost, int64_t deadline, struct err *err) MUST_CHECK;
/* After an outage: takes expired locks again for jobs still in active whose lock nobody has. taken[i] tells which are ours. */
int bq_relock(struct bq *bq, const struct bq_queue *q, const struct str *ids, const struct str *tokens, size_t n, int64_t lock_ms,
	      bool *taken, int64_t deadline, struct err *err) MUST_CHECK;

/* ---- cancelling ----
 * The wish that a job which somebody of this program holds should stop is a key of its own beside the job, for whichever process has it. It
 * says which job is meant (by its creation time), so it does not reach a later job of the same id. */
int bq_cancel_ask(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, int64_t ttl_ms, int64_t deadline, struct err *err)
	MUST_CHECK;
/* asked[i]: is the job ids[i] of that creation time to stop? One round trip. */
int bq_cancel_asked(struct bq *bq, const struct bq_queue *q, const struct str *ids, const int64_t *timestamps, size_t n, bool *asked,
		    int64_t deadline, struct err *err) MUST_CHECK;
/* The jobs have heeded it, or have ended otherwise. */
int bq_cancel_forget(struct bq *bq, const struct bq_queue *q, const struct str *ids, size_t n, int64_t deadline, struct err *err) MUST_CHECK;

/* Renews locks and asks in the same round trip whether the jobs are to be cancelled, each by itself. A failure is that of all. */
struct bq_beat {
	struct str id, token;
	bool cancel;
	struct err err; /* .code 0, or ERR_LOCK_LOST */
};
int bq_heartbeats(struct bq *bq, const struct bq_queue *q, struct bq_beat *beats, size_t n, int64_t lock_ms, int64_t deadline, struct err *err)
	MUST_CHECK;
/* The same of one. ERR_LOCK_LOST. */
int bq_heartbeat(struct bq *bq, const struct bq_queue *q, struct str id, struct str token, int64_t lock_ms, bool *cancel, int64_t deadline,
		 struct err *err) MUST_CHECK;
/* The token under which the job is held now, in the arena; .p NULL: nobody holds it. */
int bq_holder(struct bq *bq, const struct bq_queue *q, struct str id, struct arena *a, struct str *token, int64_t deadline, struct err *err)
	MUST_CHECK;

/* The active jobs that were taken under the token, also those by bq_take_many, and are held still; in the arena, the one taken last first. Two round
 * trips. */
struct bq_hold {
	struct str id, token; /* its own */
};
int bq_held_under(struct bq *bq, const struct bq_queue *q, struct str token, struct arena *a, struct bq_hold **holds, size_t *n,
		  int64_t deadline, struct err *err) MUST_CHECK;

/* Removes a job that nobody holds, with its children: *removed is false when it, or one of its children, is held. ERR_WRONG_STATE: it is
 * the next job of a scheduler. */
int bq_remove(struct bq *bq, const struct bq_queue *q, struct str id, bool *removed, int64_t deadline, struct err *err) MUST_CHECK;

/* ---- what BullMQ's workers do for the queue as a whole ---- */
/* The stalled check (once per interval_ms among everybody): how many were put back (they stand in stalled_ids, in the arena). */
int bq_stalled_check(struct bq *bq, const struct bq_queue *q, int64_t interval_ms, int64_t max_stalled, struct arena *a,
		     struct str **stalled_ids, size_t *n, int64_t deadline, struct err *err) MUST_CHECK;
/* Promotes due delayed jobs (<= 1000 a call) without taking any; the next due time, 0 when none. */
int bq_promote_due(struct bq *bq, const struct bq_queue *q, int64_t *promoted, int64_t *next_ms, int64_t deadline, struct err *err)
	MUST_CHECK;
/* Retention on a timer: removes finished jobs past the policy, <= 1000 a call; *removed tells how many. */
int bq_trim_finished(struct bq *bq, const struct bq_queue *q, enum bq_state set, const struct bq_keep *keep, int64_t *removed,
		     int64_t deadline, struct err *err) MUST_CHECK;
int bq_pause(struct bq *bq, const struct bq_queue *q, bool pause, int64_t deadline, struct err *err) MUST_CHECK;
/* A scheduler's job was taken: creates its successor, as BullMQ's worker does (every, or a cron pattern with a time zone). 0 also when
 * the schedule is over or gone, or the job is no scheduler's. *missed: how many runs (at most 1000) have fallen out, since they were due before
 * this one was taken. ERR_INVALID: the pattern or zone cannot be read; ERR_BROKEN: what is stored of the schedule cannot be used; nothing follows. Another
 * failure: the schedule ends with this job unless it is asked again, which does no harm where the successor is there. */
int bq_schedule_next(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, int64_t *missed, int64_t deadline, struct err *err)
	MUST_CHECK;

/* "P:base64(Q)" or "P:base64(Q):w:name": the client name by which getWorkers finds a worker. */
void bq_client_name(struct buf *out, const struct bq_queue *q, const char *worker_name);

#endif
