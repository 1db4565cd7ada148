#include "processors/runtime/runtime.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/panic.h"
#include "processors/runtime/private.h"

#define DEFAULT_REDIS_TIMEOUT_MS 5000
#define PRESENCE_MAX 32       /* named connections in all */
#define CANCEL_GRACE_MS 3000  /* for processors to notice that they must stop */

/* ---- building ---- */

static int init_presence(struct runtime *rt, struct rqueue *q, size_t index, struct err *err)
{
	struct buf name = BUF_INIT;

	if (index >= PRESENCE_MAX)
		return 0;
	bq_client_name(&name, &q->decl->queue, q->worker_name);
	q->presence = rconn_new(&rt->redis, buf_str(&name).p, err);
	buf_release(&name);
	return q->presence ? 0 : ERR_NOMEM;
}

static void init_series(struct rqueue *q)
{
	struct metrics *m = q->rt->env.metrics;
	const struct str processor[] = {q->decl->processor_name};
	const struct str busy[] = {q->decl->processor_name, STR("busy")}, max[] = {q->decl->processor_name, STR("max")};

	q->m_run_seconds = tallies_series(q->rt->tallies, q->decl->name, q->decl, TALLY_RUN_SECONDS);
	q->m_processor_run_seconds = metrics_series(m, M_PROCESSOR_RUN_SECONDS, processor);
	q->m_busy = metrics_series(m, M_PROCESSOR_SLOTS, busy);
	q->m_slots = metrics_series(m, M_PROCESSOR_SLOTS, max);
}

static int init_queue(struct runtime *rt, size_t index, struct err *err)
{
	struct rqueue *q = &rt->queues[index];
	const struct declaration *decl = rt->decls->items[index];
	char host[32] = "";

	*q = (struct rqueue){.rt = rt, .decl = decl};
	q->ended_end = &q->ended;
	for (size_t i = 0; i < EXCHANGE_CALLS; i++)
		q->calls[i].q = q;
	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	snprintf(q->worker_name, sizeof(q->worker_name), "sluice-%s-%d", host, (int)getpid());
	q->runs = rt->run_jobs && decl->processor;
	if (!q->runs)
		return 0;
	init_series(q);
	return init_presence(rt, q, index, err);
}

struct runtime *runtime_new(const struct runtime_options *o, struct err *err)
{
	struct runtime *rt = calloc(1, sizeof(*rt));

	if (!rt) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	rt->queues = calloc(DECLARATIONS_MAX, sizeof(*rt->queues));
	rt->tallies = o->tallies;
	rt->bq = o->bq;
	rt->redis = *o->redis;
	rt->env = o->env;
	rt->decls = o->queues;
	rt->run_jobs = o->run_jobs;
	rt->redis_timeout_ms = o->redis_timeout_ms > 0 ? o->redis_timeout_ms : DEFAULT_REDIS_TIMEOUT_MS;
	lock_init(&rt->mu);
	cond_init(&rt->upkeep_wake);
	cond_init(&rt->watch_wake);
	cond_init(&rt->idle_changed);
	int rc = rt->queues ? 0 : err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; rc == 0 && i < o->queues->count; i++) {
		rc = init_queue(rt, i, err);
		rt->n_queues = i + 1;
	}
	if (rc == 0)
		rc = rblock_init(&rt->watch, &rt->redis, &WATCHER_KIND, bq_mux(rt->bq), rt->env.log, err);
	if (rc < 0) {
		runtime_free(rt);
		return NULL;
	}
	return rt;
}

static void free_worker(struct worker *w)
{
	context_release(&w->ctx);
	arena_release(&w->next_arena);
	bq_end_release(&w->ending);
	free(w);
}

static void free_queue(struct rqueue *q)
{
	for (struct worker *w = q->workers, *next; w; w = next) {
		next = w->sibling;
		free_worker(w);
	}
	if (q->settings)
		q->decl->processor->settings_free(q->settings);
	rconn_free(q->presence);
}

void runtime_free(struct runtime *rt)
{
	if (!rt)
		return;
	for (size_t i = 0; i < rt->n_queues; i++)
		free_queue(&rt->queues[i]);
	upkeep_release(rt);
	rblock_release(&rt->watch);
	cond_release(&rt->idle_changed);
	cond_release(&rt->watch_wake);
	cond_release(&rt->upkeep_wake);
	lock_release(&rt->mu);
	free(rt->queues);
	free(rt);
}

/* ---- starting and stopping ---- */

/* Queues that share a processor share its state. */
static struct rqueue *earlier_user(struct runtime *rt, const struct rqueue *q)
{
	for (struct rqueue *other = rt->queues; other < q; other++)
		if (other->runs && other->decl->processor == q->decl->processor)
			return other;
	return NULL;
}

static int start_processor(struct runtime *rt, struct rqueue *q, struct err *err)
{
	const struct rqueue *other = earlier_user(rt, q);

	if (other) {
		q->processor_state = other->processor_state;
		return 0;
	}
	return q->decl->processor->start ? q->decl->processor->start(&rt->env, &q->processor_state, err) : 0;
}

static int read_settings(struct rqueue *q, struct err *err)
{
	const struct processor *p = q->decl->processor;
	struct err why = {0};

	if (!p->settings_new || p->settings_new(q->decl->settings, &q->settings, &why) == 0)
		return 0;
	return err_set(err, why.code, "queue %.*s: %s: %s", STR_ARG(q->decl->name), p->name, why.text);
}

/* It is among the queue's workers before it takes a job, so that its lock is renewed. */
static int add_worker(struct rqueue *q, struct err *err)
{
	struct worker *w = calloc(1, sizeof(*w));
	char name[16];

	if (!w)
		return err_set(err, ERR_NOMEM, "out of memory");
	w->q = q;
	context_init(&w->ctx, q);
	arena_init(&w->next_arena, JOB_ARENA_BYTES);
	lock_take(&q->rt->mu);
	w->sibling = q->workers;
	q->workers = w;
	snprintf(name, sizeof(name), "%.11s %u", q->decl->name.p, q->n_workers++ % 1000);
	q->n_working++;
	lock_give(&q->rt->mu);
	if (thread_start(&w->thread, name, worker_main, w) == 0)
		return 0;
	lock_take(&q->rt->mu);
	q->workers = w->sibling;
	q->n_workers--;
	q->n_working--;
	lock_give(&q->rt->mu);
	free_worker(w);
	return err_set(err, ERR_NOMEM, "queue %.*s: a worker cannot be started", STR_ARG(q->decl->name));
}

/* As many as the declaration says: those that are too many rest, those that rest go on, those that are missing are made. */
static int resize(struct rqueue *q, struct err *err)
{
	unsigned wanted = q->decl->terms->concurrency;
	int rc = 0;

	series_add(q->m_slots, (double)wanted - (double)q->concurrency);
	lock_take(&q->rt->mu);
	q->concurrency = wanted;
	exchange_resize(q);
	q->rt->terms_changed = true;
	cond_broadcast(&q->rt->upkeep_wake);
	lock_give(&q->rt->mu);
	while (rc == 0 && q->n_workers < wanted) /* changed by this thread alone */
		rc = add_worker(q, err);
	return rc;
}

static int start_queue(struct rqueue *q, struct err *err)
{
	int rc = read_settings(q, err);

	return rc < 0 ? rc : start_processor(q->rt, q, err);
}

static int start_watcher(struct runtime *rt, struct err *err)
{
	if (rt->watcher_thread.running || thread_start(&rt->watcher_thread, "watcher", watcher_main, rt) == 0)
		return 0;
	return err_set(err, ERR_NOMEM, "the watcher thread cannot be started");
}

/* A queue runs if it is to run and could be started. */
static int start_queues(struct runtime *rt, struct err *err)
{
	int rc = 0;

	for (struct rqueue *q = rt->queues; q < rt->queues + rt->n_queues; q++) {
		if (q->runs && rc == 0)
			rc = start_queue(q, err);
		q->runs = q->runs && rc == 0;
	}
	return rc;
}

static int start_threads(struct runtime *rt, struct err *err)
{
	bool any = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < rt->n_queues; i++)
		if (rt->queues[i].runs) {
			any = true;
			rc = resize(&rt->queues[i], err);
		}
	if (rc == 0 && thread_start(&rt->upkeep_thread, "upkeep", upkeep_main, rt) < 0)
		rc = err_set(err, ERR_NOMEM, "the upkeep thread cannot be started");
	return rc == 0 && any ? start_watcher(rt, err) : rc;
}

int runtime_start(struct runtime *rt, struct err *err)
{
	int rc = start_queues(rt, err);

	if (rc == 0)
		rc = start_threads(rt, err);
	if (rc < 0)
		runtime_stop(rt);
	return rc;
}

/* One that was declared while the runtime runs. */
static int admit(struct runtime *rt, struct err *err)
{
	struct rqueue *q = &rt->queues[rt->n_queues];
	int rc = init_queue(rt, rt->n_queues, err);

	if (rc == 0 && q->runs)
		rc = start_queue(q, err);
	q->runs = q->runs && rc == 0;
	lock_take(&rt->mu);
	rt->n_queues++;
	cond_broadcast(&rt->upkeep_wake);
	lock_give(&rt->mu);
	if (!q->runs)
		return rc;
	rc = resize(q, err);
	return rc < 0 ? rc : start_watcher(rt, err);
}

int runtime_heed_declarations(struct runtime *rt, struct err *err)
{
	size_t before = rt->n_queues;
	int first = 0;

	for (size_t i = 0; i < before; i++) {
		int rc = rt->queues[i].runs ? resize(&rt->queues[i], first ? NULL : err) : 0;
		first = first ? first : rc;
	}
	while (rt->n_queues < rt->decls->count) {
		int rc = admit(rt, first ? NULL : err);
		first = first ? first : rc;
	}
	return first;
}

void runtime_redis_state(struct runtime *rt, bool up)
{
	if (!up)
		return;
	atomic_store(&rt->relock_due, true);
	lock_take(&rt->mu);
	cond_broadcast(&rt->upkeep_wake);
	lock_give(&rt->mu);
}

/* After `draining` was set. */
static void wake_everybody(struct runtime *rt)
{
	lock_take(&rt->mu);
	for (size_t i = 0; i < rt->n_queues; i++)
		exchange_dismiss(&rt->queues[i]);
	cond_broadcast(&rt->upkeep_wake);
	cond_broadcast(&rt->watch_wake);
	lock_give(&rt->mu);
}

static void cancel_running(struct runtime *rt, enum cancel why)
{
	lock_take(&rt->mu);
	for (size_t i = 0; i < rt->n_queues; i++)
		for (struct worker *w = rt->queues[i].workers; w; w = w->sibling)
			if (w->ctx.running)
				context_cancel(&w->ctx, why);
	lock_give(&rt->mu);
}

static void wait_not_busy(struct runtime *rt, int64_t deadline_mono_ms)
{
	lock_take(&rt->mu);
	while (atomic_load(&rt->busy) && cond_wait_until(&rt->idle_changed, &rt->mu, deadline_mono_ms))
		;
	lock_give(&rt->mu);
}

void runtime_drain(struct runtime *rt, int64_t deadline_mono_ms)
{
	atomic_store(&rt->draining, true);
	wake_everybody(rt);
	wait_not_busy(rt, deadline_mono_ms);
	if (!atomic_load(&rt->busy))
		return;
	LOG(rt->env.log, LOG_WARN, "jobs_put_back", log_int("jobs", atomic_load(&rt->busy)));
	cancel_running(rt, CANCEL_SHUTDOWN);
	wait_not_busy(rt, clock_mono_ms() + CANCEL_GRACE_MS);
}

void runtime_stop(struct runtime *rt)
{
	atomic_store(&rt->draining, true);
	atomic_store(&rt->stopping, true);
	cancel_running(rt, CANCEL_SHUTDOWN);
	wake_everybody(rt);
	rblock_wake(&rt->watch);
	for (size_t i = 0; i < rt->n_queues; i++)
		for (struct worker *w = rt->queues[i].workers; w; w = w->sibling)
			thread_join(&w->thread);
	thread_join(&rt->watcher_thread);
	thread_join(&rt->upkeep_thread);
	for (size_t i = 0; i < rt->n_queues; i++) {
		struct rqueue *q = &rt->queues[i];
		if (q->runs && q->decl->processor->stop && !earlier_user(rt, q))
			q->decl->processor->stop(q->processor_state);
	}
}

/* ---- asking ---- */

unsigned runtime_busy(const struct runtime *rt)
{
	return atomic_load(&rt->busy);
}

unsigned runtime_slots(const struct runtime *rt)
{
	unsigned n = 0;

	for (size_t i = 0; i < rt->n_queues; i++)
		n += rt->queues[i].runs ? rt->queues[i].decl->terms->concurrency : 0;
	return n;
}

static void observe_processor(struct runtime *rt, const struct rqueue *q)
{
	const struct processor *p = q->decl->processor;

	metrics_set(rt->env.metrics, M_PROCESSOR_AVAILABLE, !p->lacks || !p->lacks(q->processor_state), (struct str[]){q->decl->processor_name});
}

void runtime_observe(struct runtime *rt)
{
	for (size_t i = 0; i < rt->n_queues; i++) {
		const struct rqueue *q = &rt->queues[i];
		double oldest_ms = (double)runtime_oldest_ms(rt, q->decl);
		metrics_set(rt->env.metrics, M_OLDEST_ACTIVE_SECONDS, oldest_ms / 1000, &q->decl->name);
		if (q->runs && !earlier_user(rt, q))
			observe_processor(rt, q);
	}
}

int64_t runtime_oldest_ms(struct runtime *rt, const struct declaration *decl)
{
	int64_t now = clock_mono_ms(), oldest = now;

	if (decl->index >= rt->n_queues)
		return 0;
	lock_take(&rt->mu);
	for (const struct worker *w = rt->queues[decl->index].workers; w; w = w->sibling)
		if (w->ctx.running && w->ctx.started_mono_ms < oldest)
			oldest = w->ctx.started_mono_ms;
	lock_give(&rt->mu);
	return now - oldest;
}

bool runtime_cancel(struct runtime *rt, const struct bq_queue *bq, struct str job_id)
{
	bool found = false;

	lock_take(&rt->mu);
	for (size_t i = 0; i < rt->n_queues; i++) {
		struct rqueue *q = &rt->queues[i];
		if (!str_eq(q->decl->name, bq->name))
			continue;
		for (struct worker *w = q->workers; w; w = w->sibling)
			if (w->ctx.running && str_eq(w->ctx.id, job_id)) {
				context_cancel(&w->ctx, CANCEL_ASKED);
				found = true;
			}
	}
	lock_give(&rt->mu);
	return found;
}
