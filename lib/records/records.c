#include "lib/records/records.h"

#include <stdlib.h>

#include "lib/records/private.h"

#define FIRST_BATCH 100

/* Any thread: something may have been written into an outbox. */
static void wake(void *arg)
{
	struct records *rec = arg;

	lock_take(&rec->mu);
	rec->woken = true;
	cond_signal(&rec->wake);
	lock_give(&rec->mu);
}

static void init_queue(struct records *rec, struct rec_queue *q, const struct records_queue *o)
{
	const struct str label[] = {o->queue->name};
	struct metrics *m = rec->o.metrics;

	*q = (struct rec_queue){.rec = rec, .queue = o->queue, .policy = o->policy};
	q->ends = (struct rec_stream){.q = q, .key = o->queue->keys[BQ_KEY_OUTBOX], .waiting = true, .batch = FIRST_BATCH};
	q->adds = (struct rec_stream){.q = q, .key = o->queue->keys[BQ_KEY_OUTBOX_ADDS], .adds = true, .batch = FIRST_BATCH};
	records_choose_caps(q, atomic_load(&rec->is_slim));
	q->adds_always = o->adds;
	atomic_store(&q->outbox.adds, o->adds);
	q->outbox.wake = wake;
	q->outbox.wake_arg = rec;
	q->outbox.all = rec->all;
	q->outbox.n_all = &rec->n_admitted;
	q->m_written = metrics_series(m, M_RECORDS_WRITTEN, label);
	q->m_backlog = metrics_series(m, M_RECORDS_BACKLOG, label);
	q->m_lag = metrics_series(m, M_RECORDS_LAG_SECONDS, label);
	q->m_dropped = metrics_series(m, M_RECORDS_DROPPED, label);
	q->m_gaps = metrics_series(m, M_RECORDS_GAPS, label);
	table_init(&q->added);
	table_init(&q->added_before);
	o->queue->outbox = &q->outbox;
}

struct records *records_new(const struct records_options *o, struct err *err)
{
	struct records *rec = calloc(1, sizeof(*rec));

	if (rec)
		rec->queues = calloc(RECORDS_QUEUES_MAX, sizeof(*rec->queues));
	if (rec)
		rec->all = calloc(RECORDS_QUEUES_MAX, sizeof(*rec->all));
	if (!rec || !rec->queues || !rec->all) {
		free(rec ? rec->queues : NULL);
		free(rec);
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	rec->o = *o;
	lock_init(&rec->mu);
	cond_init(&rec->wake);
	arena_init(&rec->arena, 0);
	arena_init(&rec->events_arena, 0);
	for (size_t i = 0; i < o->n_queues; i++)
		if (records_admit(rec, &o->queues[i], err) < 0) {
			records_free(rec);
			return NULL;
		}
	rec->n_queues = rec->n_admitted;
	rec->redis = rconn_new(o->redis, "sluice:records", err);
	rec->link = rec->redis ? pglink_new(o->pg, err) : NULL;
	if (!rec->link) {
		records_free(rec);
		return NULL;
	}
	return rec;
}

int records_admit(struct records *rec, const struct records_queue *q, struct err *err)
{
	if (q->policy.off)
		return 0;
	if (rec->n_admitted == RECORDS_QUEUES_MAX)
		return err_set(err, ERR_LIMIT, "records are kept of at most %d queues", RECORDS_QUEUES_MAX);
	init_queue(rec, &rec->queues[rec->n_admitted], q);
	rec->all[rec->n_admitted] = q->queue;
	rec->n_admitted++; /* behind the queue itself: the writer counts first */
	return 0;
}

int records_start(struct records *rec, struct err *err)
{
	int rc = thread_start(&rec->thread, "records", records_writer_main, rec);

	return rc < 0 ? err_set(err, rc, "a thread cannot be started") : 0;
}

void records_stop(struct records *rec)
{
	atomic_store(&rec->stopping, true);
	wake(rec);
	thread_join(&rec->thread);
	pglink_free(rec->link);
	rec->link = NULL;
}

void records_free(struct records *rec)
{
	if (!rec)
		return;
	for (size_t i = 0; i < rec->n_admitted; i++) {
		records_forget_added(&rec->queues[i]);
		rec->queues[i].queue->outbox = NULL;
	}
	pglink_free(rec->link);
	rconn_free(rec->redis);
	arena_release(&rec->arena);
	arena_release(&rec->events_arena);
	cond_release(&rec->wake);
	lock_release(&rec->mu);
	free(rec->all);
	free(rec->queues);
	free(rec);
}

void records_health(struct records *rec, struct records_health *out)
{
	*out = (struct records_health){
		.backlog = atomic_load(&rec->backlog),
		.lag_ms = atomic_load(&rec->lag_ms),
		.slim = atomic_load(&rec->is_slim),
		.dropped = atomic_load(&rec->dropped),
		.gaps = atomic_load(&rec->gaps),
	};
}
