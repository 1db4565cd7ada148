/* Records: what became of every job, kept in PostgreSQL when Redis has long forgotten it.
 *
 *     struct records *rec = records_new(&options, &err);     gives the queues their outboxes: before they are used
 *     records_start(rec, &err);                              neither Redis nor PostgreSQL need be up
 *     ...
 *     records_stop(rec);                                     writes what there is, for a moment; before pg_stop
 *     records_free(rec);                                     after everything that uses the queues
 *
 * One thread, the writer, takes what the queues' outboxes hold into sluice.records: a batch is written in one transaction and then taken off
 * the outbox, so what happens twice after a crash is the same again. Of several processes, one at a time writes for a queue. It also follows the
 * events of queues on which other programs' workers are present, and writes the records of jobs that these have ended.
 *
 * On queues where others work adds are written as well, but late (adds.c): what has ended by then has its record already.
 *
 * While PostgreSQL is away the outboxes grow. When Redis' memory becomes scarce, or backlog_max entries wait, first new entries come without
 * data and return value, then the oldest entries are dropped; both are said in the log, in metrics and by records_health.
 *
 * start, stop and free: the owner; all else: any thread. */
#ifndef SLUICE_RECORDS_RECORDS_H
#define SLUICE_RECORDS_RECORDS_H

#include "lib/base/arena.h"
#include "lib/bullmq/bq.h"
#include "lib/pg/pg.h"
#include "lib/records/policy.h"

struct log;
struct metrics;
struct records;

struct records_queue {
	struct bq_queue *queue;       /* gets its outbox, unless the policy says that there are no records */
	struct records_policy policy; /* what it points to must outlive the records */
	bool adds;                    /* others work on its jobs: they are written down when they are added */
};

#define RECORDS_QUEUES_MAX 1000

struct records_options {
	struct pg *pg;
	struct bq *bq;
	const struct raddr *redis;       /* for a connection of its own; copied */
	struct str prefix;               /* BULLMQ_PREFIX; must outlive the records */
	const struct records_queue *queues;
	size_t n_queues;
	int64_t max_bytes;   /* of data, and of a return value, in a record */
	int64_t backlog_max; /* entries that wait, of all queues */
	/* Redis' memory as it was last asked for: used and most; most 0 when there is no limit, or nothing is known. Any thread, never blocks. */
	void (*memory)(void *arg, int64_t *used, int64_t *most);
	void *memory_arg;
	struct log *log;
	struct metrics *metrics;
};

struct records *records_new(const struct records_options *o, struct err *err) MUST_CHECK;
int records_start(struct records *rec, struct err *err) MUST_CHECK;
/* One more queue, before it is used; the thread that has started it. ERR_LIMIT. */
int records_admit(struct records *rec, const struct records_queue *q, struct err *err) MUST_CHECK;
void records_stop(struct records *rec);
void records_free(struct records *rec); /* NULL: nothing */

/* ---- reading ---- */

/* The newest record of each id, as the job that it is of; where org is given, the newest of that organization goes before all others, since ids come
 * again and anybody may use them. known[i]: there is one; jobs[i].state is COMPLETED or FAILED, or UNKNOWN when it is of
 * no end. With `with_payload` false, data, return value and stack trace are left out, as by bq_status.
 *
 * To be asked when Redis has no such job any more: what had ended by then is found, even if the writer has not come to it yet; then this waits for
 * it. ERR_UNAVAILABLE: PostgreSQL is away, or the writer is too far behind, so nobody knows; else as pg_query. One thread's stack of 64 KiB suffices. */
int records_find(struct records *rec, const struct bq_queue *q, struct str org, const struct str *ids, size_t n, bool with_payload, struct arena *a,
		 struct bq_job *jobs, bool *known, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

/* ---- how it goes ---- */

struct records_health {
	int64_t backlog;    /* entries that wait */
	int64_t lag_ms;     /* how long the oldest of them has waited */
	bool slim;          /* new entries come without data and return value */
	uint64_t dropped;   /* entries given up by this process since its start */
	uint64_t gaps;      /* events that were trimmed before they were read: times that this happened */
};
void records_health(struct records *rec, struct records_health *out);

#endif
