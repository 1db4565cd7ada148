/* The outbox of a queue: what our scripts write down of its jobs, for whoever keeps records of them.
 *
 *     struct bq_outbox outbox = {.data_cap = 65536, .result_cap = 65536, .wake = wake, .wake_arg = me};
 *     queue.outbox = &outbox;                                        before the queue is used
 *     ...
 *     XRANGE of queue.keys[BQ_KEY_OUTBOX] and [BQ_KEY_OUTBOX_ADDS], then for each entry of the reply
 *     bq_outbox_read(entry, &arena, &e, &err);
 *     ... kept it? then XTRIM, and of adds bq_outbox_take_adds
 *
 * It is a stream with an entry for each end of a job, each attempt that failed and each removal; written by the script that does it, so it is as
 * durable as the thing itself. What other programs do to jobs is not in it. Where wanted each add has an entry as well, in a stream beside it: the
 * reader has time for these, and is not woken. */
#ifndef SLUICE_BULLMQ_OUTBOX_H
#define SLUICE_BULLMQ_OUTBOX_H

#include <stdatomic.h>

#include "lib/bullmq/bq.h"

/* Belongs to whoever reads the outbox, who may change the atomic members at any time. */
struct bq_outbox {
	_Atomic int64_t data_cap;   /* how many bytes of a job's data an entry may have, */
	_Atomic int64_t result_cap; /* and of its return value; what is longer is left out, and its size said. 0: none */
	_Atomic bool adds;          /* an entry for each add as well: the job's end may be one that leaves nothing behind */
	_Atomic bool fresh;         /* something may have been written since the reader cleared this */
	/* set before the queue is used */
	void (*wake)(void *arg);    /* called when `fresh` becomes true; any thread, never blocks */
	void *wake_arg;
	const struct bq_queue **all; /* the queues whose outboxes are read, more of them in time: their jobs may go together with this queue's. */
	const _Atomic size_t *n_all; /* NULL: this one alone */
};

enum bq_entry_kind { BQ_ENTRY_ADDED, BQ_ENTRY_ATTEMPT, BQ_ENTRY_END, BQ_ENTRY_REMOVED };

struct bq_entry {
	enum bq_entry_kind kind;
	struct str position;  /* the entry's id in the stream; valid as long as the reply */
	int64_t at_ms;        /* when it happened; of an add, the job's timestamp */
	struct bq_job job;    /* what was known then; .state COMPLETED or FAILED at an end, else unknown. data .p NULL: left out, or not told */
	int64_t data_bytes, result_bytes; /* of what was left out; -1: nothing was */
	struct str logs;      /* the last lines, a JSON array; .p NULL: none */
};

/* Reads one entry of XRANGE's reply; copies are in the arena. ERR_PROTOCOL: it is none of ours. ERR_NOMEM. */
int bq_outbox_read(const redisReply *entry, struct arena *a, struct bq_entry *out, struct err *err) MUST_CHECK;

/* Whether jobs of these ids stand among the adds: found[i], and then out[i], however long the stream is. Any thread; waits for Redis as bq_status
 * does. */
int bq_outbox_find_adds(struct bq *bq, const struct bq_queue *q, const struct str *ids, size_t n, struct arena *a, struct bq_entry *out, bool *found,
			int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

/* A job whose id its client chose, and where its add stands. */
struct bq_add_place {
	struct str id, position;
};
/* Whether an add of this id has such a place. */
bool bq_outbox_notes_place(struct str id);
/* Takes off the adds that stand before `next`; all places among them must be told. */
int bq_outbox_take_adds(struct bq *bq, const struct bq_queue *q, const char *next, const struct bq_add_place *places, size_t n,
			int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

/* Reads HGETALL's reply of a job; its state stays unknown. ERR_NOMEM. */
int bq_job_from_hash(struct bq_job *job, struct str id, const redisReply *pairs, struct arena *a) MUST_CHECK;

#endif
