#include "gateway/watch.h"

#include <stdlib.h>

#include "gateway/watch_ring.h"
#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/base/table.h"
#include "lib/log/log.h"

#define WATCHED_FOR_MS 60000   /* after somebody has looked */
#define PASS_TIMEOUT_MS 5000
#define QUEUES_AT_ONCE 50      /* in one call, so that others get in between */
#define SCAN_KEYS 1000         /* in one step */
#define SCAN_STEPS_FIRST 20    /* of a search, before its first answer */
#define SCAN_STEPS 5           /* of a search that goes on */
#define SCAN_PAUSE_MS 50
#define SCAN_REST 20           /* a search rests this many times as long as Redis was busy with it */
#define SLUICE_WORKER "sluice-"

/* One queue; made, written and freed by the thread, but for the rings, which are protected by mu. */
struct watched {
	struct bq_queue own;            /* of undeclared queues */
	const struct bq_queue *queue;
	const struct declaration *decl;
	uint64_t seen;                  /* the search that found it last */
	struct ring fine, coarse;
	struct watched *next_gone;      /* while vanished ones are removed */
};

struct search {
	uint64_t cursor, number;
	bool under_way;
	bool crowded;                   /* there are more queues than are watched */
	int64_t spent_ms, due_ms;
};

struct watch {
	/* set before start */
	struct watch_options o;
	struct thread thread;

	/* the thread's */
	size_t declared;                /* of the declared queues, those that are among the watched */
	struct search search;
	struct bq_clients clients;
	struct arena clients_arena;
	int64_t clients_ms;

	/* protected by mu */
	struct lock mu;
	struct cond wake, told;
	struct table queues;            /* struct watched by name; changed by the thread only */
	struct watch_view *view;
	uint64_t begun, done;           /* passes */
	uint64_t wanted;                /* the pass that somebody waits for */
	struct err err;                 /* of the last pass; code 0: it went well */
	int64_t watched_until_ms;
	bool searched;                  /* a search has gone through all of Redis */
	bool stopping;
};

/* ---- the queues that are watched ---- */

static void watched_free(struct watched *q)
{
	bq_queue_release(&q->own);
	free(q);
}

static int watch_add(struct watch *w, struct str name, const struct declaration *decl)
{
	struct watched *q = calloc(1, sizeof(*q));
	struct str prefix = str_from(w->o.prefix);

	if (!q)
		return ERR_NOMEM;
	q->decl = decl;
	q->queue = decl ? &decl->queue : &q->own;
	q->seen = w->search.number;
	int rc = decl ? 0 : bq_queue_init(&q->own, prefix, name, NULL);
	if (rc == 0) {
		lock_take(&w->mu);
		rc = table_put(&w->queues, name, q);
		lock_give(&w->mu);
	}
	if (rc < 0)
		watched_free(q);
	return rc;
}

/* Queues may be declared while the program serves, also such as were found before. */
static int add_declared(struct watch *w)
{
	size_t n = w->o.queues->count;
	int rc = 0;

	for (; rc == 0 && w->declared < n; w->declared += rc == 0) {
		const struct declaration *decl = w->o.queues->items[w->declared];
		struct watched *q = table_get(&w->queues, decl->name);
		if (!q) {
			rc = watch_add(w, decl->name, decl);
			continue;
		}
		q->decl = decl;
		q->queue = &decl->queue;
	}
	return rc;
}

static void found(struct watch *w, struct str name)
{
	struct watched *q = table_get(&w->queues, name);

	if (q)
		q->seen = w->search.number;
	else if (w->queues.count < WATCH_QUEUES_MAX)
		(void)watch_add(w, name, NULL); /* without memory the next search finds it again */
	else
		w->search.crowded = true;
}

/* Undeclared queues that a whole search has not met are gone. */
static void drop_vanished(struct watch *w)
{
	struct watched *gone = NULL, *next;

	for (struct table_iter it = {0}; table_next(&w->queues, &it);) {
		struct watched *q = it.value;

		if (!q->decl && q->seen < w->search.number) {
			q->next_gone = gone;
			gone = q;
		}
	}
	for (; gone; gone = next) {
		next = gone->next_gone;
		lock_take(&w->mu);
		table_remove(&w->queues, gone->own.name);
		lock_give(&w->mu);
		watched_free(gone);
	}
}

static int search_step(struct watch *w, struct err *err)
{
	struct arena a;
	struct str *names;
	size_t n = 0;

	arena_init(&a, 0);
	int rc = bq_discover(w->o.bq, str_from(w->o.prefix), &w->search.cursor, SCAN_KEYS, &a, &names, &n, clock_mono_ms() + PASS_TIMEOUT_MS, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		found(w, names[i]);
	arena_release(&a);
	return rc;
}

/* A piece of the search, or the beginning of one when it is time. */
static int search_on(struct watch *w, unsigned steps, struct err *err)
{
	struct search *s = &w->search;
	int64_t now = clock_mono_ms();
	int rc = 0;

	if (!s->under_way && now < s->due_ms)
		return 0;
	if (!s->under_way)
		*s = (struct search){.number = s->number + 1, .under_way = true};
	do
		rc = search_step(w, err);
	while (rc == 0 && s->cursor != 0 && --steps > 0);
	s->spent_ms += clock_mono_ms() - now;
	if (rc == 0 && s->cursor != 0)
		return 0;
	s->under_way = false;
	int64_t rest = s->spent_ms * SCAN_REST;
	s->due_ms = clock_mono_ms() + (rest > WATCH_STEP_MS ? rest : WATCH_STEP_MS);
	if (rc < 0)
		return rc;
	drop_vanished(w);
	lock_take(&w->mu);
	w->searched = !s->crowded;
	lock_give(&w->mu);
	return 0;
}

/* ---- a pass: one picture ---- */

static void count_clients(const struct watch *w, struct watch_queue *q)
{
	const struct bq_clients *c = &w->clients;

	q->bullmq_workers = c->refused ? -1 : 0;
	for (size_t i = 0; i < c->n; i++) {
		if (!str_eq(c->items[i].queue, q->name))
			continue;
		if (c->items[i].name.p && str_starts(c->items[i].name, STR(SLUICE_WORKER)))
			q->sluice_workers++;
		else
			q->bullmq_workers++;
	}
	if (q->sluice_workers == 0 && w->o.runs_jobs && q->decl && q->decl->processor)
		q->sluice_workers = 1; /* not every queue has a named connection */
}

static int look_at_clients(struct watch *w, struct err *err)
{
	int64_t now = clock_mono_ms();

	if (w->clients_ms && now - w->clients_ms < WATCH_STEP_MS)
		return 0;
	w->clients_ms = now;
	w->clients = (struct bq_clients){0};
	arena_reset(&w->clients_arena);
	int rc = bq_clients(w->o.bq, str_from(w->o.prefix), &w->clients_arena, &w->clients, now + PASS_TIMEOUT_MS, err);
	if (rc < 0)
		w->clients = (struct bq_clients){.refused = true};
	return rc;
}

static int by_name(const void *a, const void *b)
{
	const struct watched *const *x = a, *const *y = b;
	struct str p = (*x)->queue->name, q = (*y)->queue->name;
	int c = memcmp(p.p, q.p, p.n < q.n ? p.n : q.n);

	return c ? c : (p.n > q.n) - (p.n < q.n);
}

/* Every queue, by name; the thread alone adds and removes. */
static struct watched **all_queues(struct watch *w, struct arena *a, size_t *n)
{
	struct watched **all = arena_array(a, w->queues.count + 1, sizeof(struct watched *));

	*n = 0;
	for (struct table_iter it = {0}; all && table_next(&w->queues, &it);)
		all[(*n)++] = it.value;
	if (all)
		qsort(all, *n, sizeof(struct watched *), by_name);
	return all;
}

static int ask_facts(struct watch *w, struct watched *const *all, struct watch_view *v, struct err *err)
{
	const struct bq_queue **queues = arena_array(&v->arena, v->n + 1, sizeof(struct bq_queue *));
	struct bq_facts *facts = arena_array(&v->arena, v->n + 1, sizeof(*facts));
	int rc = 0;

	if (!queues || !facts)
		return err_set(err, ERR_NOMEM, "no memory for the queues' facts");
	for (size_t i = 0; i < v->n; i++)
		queues[i] = all[i]->queue;
	for (size_t i = 0; i < v->n && rc == 0; i += QUEUES_AT_ONCE) {
		size_t n = v->n - i < QUEUES_AT_ONCE ? v->n - i : QUEUES_AT_ONCE;
		rc = bq_facts(w->o.bq, queues + i, n, &v->arena, facts + i, clock_mono_ms() + PASS_TIMEOUT_MS, err);
	}
	for (size_t i = 0; i < v->n && rc == 0; i++)
		v->items[i].facts = facts[i];
	return rc;
}

static void note_samples(struct watch *w, struct watched *const *all, struct watch_view *v)
{
	lock_take(&w->mu);
	for (size_t i = 0; i < v->n; i++) {
		struct sample s = sample_of(&v->items[i].facts, v->mono_ms, v->wall_ms);

		ring_note(&all[i]->fine, &s, WATCH_STEP_MS);
		ring_note(&all[i]->coarse, &s, WATCH_MINUTE_MS);
		v->items[i].rates = ring_rates(&all[i]->fine, &s);
	}
	lock_give(&w->mu);
}

static int fill_view(struct watch *w, struct watch_view *v, struct err *err)
{
	struct watched **all = all_queues(w, &v->arena, &v->n);

	v->items = arena_array(&v->arena, v->n + 1, sizeof(*v->items));
	if (!all || !v->items)
		return err_set(err, ERR_NOMEM, "no memory for the queues' facts");
	int rc = ask_facts(w, all, v, err);
	for (size_t i = 0; i < v->n && rc == 0; i++) {
		v->items[i].decl = all[i]->decl;
		v->items[i].name = arena_dup(&v->arena, all[i]->queue->name);
		if (!v->items[i].name.p)
			rc = err_set(err, ERR_NOMEM, "no memory for the queues' facts");
		else
			count_clients(w, &v->items[i]);
	}
	if (rc == 0)
		note_samples(w, all, v);
	return rc;
}

static void view_free(struct watch_view *v)
{
	arena_release(&v->arena);
	free(v);
}

static struct watch_view *make_view(struct watch *w, struct err *err)
{
	struct watch_view *v = calloc(1, sizeof(*v));

	if (!v) {
		err_set(err, ERR_NOMEM, "no memory for the queues' facts");
		return NULL;
	}
	arena_init(&v->arena, 0);
	v->refs = 1;
	v->mono_ms = clock_mono_ms();
	v->wall_ms = clock_wall_ms();
	int rc = add_declared(w) < 0 ? err_set(err, ERR_NOMEM, "no memory for the queues' facts") : 0;
	if (rc < 0 || search_on(w, SCAN_STEPS_FIRST, err) < 0 || look_at_clients(w, err) < 0 || fill_view(w, v, err) < 0) {
		view_free(v);
		return NULL;
	}
	return v;
}

/* mu is held, and given back while Redis is asked. */
static void pass(struct watch *w)
{
	struct err err = {0};
	uint64_t number = ++w->begun;

	lock_give(&w->mu);
	struct watch_view *v = make_view(w, &err);
	if (!v)
		LOG(w->o.log, LOG_DEBUG, "watch_failed", log_err(&err));
	lock_take(&w->mu);
	struct watch_view *old = v ? w->view : NULL;
	if (v) {
		v->complete = w->searched;
		w->view = v;
	}
	w->err = err;
	w->done = number;
	cond_broadcast(&w->told);
	if (old && --old->refs == 0)
		view_free(old);
}

/* Until when the thread may sleep; mu is held. */
static int64_t next_pass(const struct watch *w, int64_t last_ms)
{
	int64_t now = clock_mono_ms();

	if (w->wanted > w->begun)
		return now;
	return now < w->watched_until_ms ? last_ms + WATCH_STEP_MS : INT64_MAX;
}

/* Between two passes of a long search; mu is held, and given back meanwhile. */
static void search_meanwhile(struct watch *w)
{
	struct err err = {0};

	lock_give(&w->mu);
	if (search_on(w, SCAN_STEPS, &err) < 0)
		LOG(w->o.log, LOG_DEBUG, "watch_failed", log_err(&err));
	lock_take(&w->mu);
}

static void run(void *arg)
{
	struct watch *w = arg;
	int64_t last_ms = INT64_MIN / 2;

	lock_take(&w->mu);
	while (!w->stopping) {
		int64_t due = next_pass(w, last_ms), now = clock_mono_ms();

		if (due <= now) {
			last_ms = now;
			pass(w);
		} else if (w->search.under_way) {
			(void)cond_wait_until(&w->wake, &w->mu, now + SCAN_PAUSE_MS < due ? now + SCAN_PAUSE_MS : due);
			if (!w->stopping)
				search_meanwhile(w);
		} else if (due == INT64_MAX) {
			cond_wait(&w->wake, &w->mu);
		} else {
			(void)cond_wait_until(&w->wake, &w->mu, due);
		}
	}
	lock_give(&w->mu);
}

/* ---- start and stop ---- */

struct watch *watch_new(const struct watch_options *o, struct err *err)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w) {
		err_set(err, ERR_NOMEM, "no memory for the watch");
		return NULL;
	}
	w->o = *o;
	lock_init(&w->mu);
	cond_init(&w->wake);
	cond_init(&w->told);
	table_init(&w->queues);
	arena_init(&w->clients_arena, 0);
	if (add_declared(w) < 0) {
		err_set(err, ERR_NOMEM, "no memory for the watch");
		watch_free(w);
		return NULL;
	}
	return w;
}

int watch_start(struct watch *w, struct err *err)
{
	return thread_start(&w->thread, "watch", run, w) < 0 ? err_set(err, ERR_NOMEM, "a thread cannot be started") : 0;
}

void watch_stop(struct watch *w)
{
	lock_take(&w->mu);
	w->stopping = true;
	cond_broadcast(&w->wake);
	cond_broadcast(&w->told);
	lock_give(&w->mu);
	thread_join(&w->thread);
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	for (struct table_iter it = {0}; table_next(&w->queues, &it);)
		watched_free(it.value);
	table_release(&w->queues);
	if (w->view)
		view_free(w->view);
	arena_release(&w->clients_arena);
	cond_release(&w->wake);
	cond_release(&w->told);
	lock_release(&w->mu);
	free(w);
}

/* ---- looking ---- */

/* mu is held. */
static void somebody_looks(struct watch *w, int64_t now)
{
	w->watched_until_ms = now + WATCHED_FOR_MS;
	cond_signal(&w->wake);
}

/* A picture that was begun from now on. mu is held. */
static int await_pass(struct watch *w, int64_t deadline_mono_ms, struct err *err)
{
	uint64_t mine = w->begun + 1;

	w->wanted = mine;
	while (w->done < mine && !w->stopping)
		if (!cond_wait_until(&w->told, &w->mu, deadline_mono_ms) && w->done < mine)
			return err_set(err, ERR_TIMEOUT, "the queues were not looked at in time");
	if (w->stopping)
		return err_set(err, ERR_STOPPING, "shutting down");
	return w->err.code < 0 ? err_set(err, w->err.code, "%s", w->err.text) : 0;
}

const struct watch_view *watch_look(struct watch *w, int64_t max_age_ms, int64_t deadline_mono_ms, struct err *err)
{
	const struct watch_view *v = NULL;
	int64_t now = clock_mono_ms();
	int rc = 0;

	lock_take(&w->mu);
	somebody_looks(w, now);
	if (!w->view || now - w->view->mono_ms > max_age_ms)
		rc = await_pass(w, deadline_mono_ms, err);
	if (rc == 0) {
		w->view->refs++;
		v = w->view;
	}
	lock_give(&w->mu);
	return v;
}

void watch_done(struct watch *w, const struct watch_view *v)
{
	struct watch_view *mine = (struct watch_view *)(uintptr_t)v;

	lock_take(&w->mu);
	bool last = --mine->refs == 0;
	lock_give(&w->mu);
	if (last)
		view_free(mine);
}

void watch_outdated(struct watch *w)
{
	lock_take(&w->mu);
	if (w->view)
		w->view->mono_ms = INT64_MIN / 2;
	lock_give(&w->mu);
}

const struct watch_queue *watch_view_find(const struct watch_view *v, struct str name)
{
	for (size_t i = 0; i < v->n; i++)
		if (str_eq(v->items[i].name, name))
			return &v->items[i];
	return NULL;
}

bool watch_series(struct watch *w, struct str queue, struct watch_series *out)
{
	lock_take(&w->mu);
	const struct watched *q = table_get(&w->queues, queue);
	somebody_looks(w, clock_mono_ms());
	if (q) {
		out->n_fine = ring_points(&q->fine, out->fine);
		out->n_coarse = ring_points(&q->coarse, out->coarse);
	}
	lock_give(&w->mu);
	return q != NULL;
}
