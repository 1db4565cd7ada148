#include "gateway/tasks.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/lock.h"
#include "lib/log/log.h"

#define STEP_TIMEOUT_MS 10000
#define LEAST_REST_MS 1
#define TRIES 5             /* when Redis is away */
#define TRY_AGAIN_MS 1000
#define TELL_TIMEOUT_MS 2000 /* with a step less than TASK_ALIVE_MS */

struct task {
	struct task *older;     /* protected by mu */
	/* set when it is made */
	char id[ID_UUID_SIZE];
	struct buf text;        /* what the spec's strings and by point into */
	struct bq_queue queue;
	struct bulk_spec spec;
	struct str by;
	int64_t created_ms;
	/* the thread's */
	struct bulk bulk;
	/* protected by mu */
	enum task_state state;
	struct bulk_counts counts;
	int64_t total, started_ms, ended_ms;
	bool announced;         /* others know of it */
	bool told;              /* they know how it ended */
	bool cancel;
	struct err err;
};

struct tasks {
	/* set before start */
	struct bq *bq;
	struct task_board board;
	struct log *log;
	struct thread thread;
	/* the thread's */
	int64_t told_ms;
	/* protected by mu */
	struct lock mu;
	struct cond wake;
	struct task *newest;
	bool stopping;
};

/* ---- the list; mu is held ---- */

static bool has_ended(const struct task *k)
{
	return task_is_over(k->state);
}

static struct task *find(const struct tasks *t, struct str id)
{
	struct task *k = t->newest;

	while (k && !str_is(id, k->id))
		k = k->older;
	return k;
}

/* The one that has waited longest. */
static struct task *next_queued(const struct tasks *t)
{
	struct task *found = NULL;

	for (struct task *k = t->newest; k; k = k->older)
		if (k->state == TASK_QUEUED && k->announced)
			found = k;
	return found;
}

static size_t count_open(const struct tasks *t)
{
	size_t n = 0;

	for (const struct task *k = t->newest; k; k = k->older)
		n += !has_ended(k);
	return n;
}

static void task_free(struct task *k)
{
	buf_release(&k->text);
	bq_queue_release(&k->queue);
	free(k);
}

/* Forgets those that ended before the last TASKS_KEPT. */
static void forget_old(struct tasks *t)
{
	size_t ended = 0;

	for (struct task **at = &t->newest; *at;) {
		struct task *k = *at;

		ended += has_ended(k);
		if (has_ended(k) && k->announced && ended > TASKS_KEPT) {
			*at = k->older;
			task_free(k);
		} else {
			at = &k->older;
		}
	}
}

static void end_task(struct tasks *t, struct task *k, enum task_state state)
{
	k->state = state;
	k->ended_ms = clock_wall_ms();
	if (state != TASK_FAILED)
		k->err = (struct err){0};
	if (state == TASK_CANCELLED && t->stopping && !k->cancel)
		err_set(&k->err, ERR_STOPPING, "its gateway was stopped");
	LOG(t->log, LOG_INFO, "task_ended", log_strz("task", k->id), log_str("queue", k->queue.name), log_strz("state", task_state_word(state)),
	    log_int("changed", k->counts.changed), log_int("skipped", k->counts.skipped));
}

static bool is_to_be_told(const struct task *k)
{
	return k->announced && !k->told;
}

static size_t count_to_be_told(const struct tasks *t)
{
	size_t n = 0;

	for (const struct task *k = t->newest; k; k = k->older)
		n += is_to_be_told(k);
	return n;
}

/* ---- a look at one; mu is held ---- */

static struct str copy(struct arena *a, struct str s, bool *ok)
{
	struct str c = s.p ? arena_dup(a, s) : STR_NONE;

	*ok = *ok && (!s.p || c.p);
	return c;
}

static int see(const struct task *k, struct arena *a, struct task_seen *out, struct err *err)
{
	bool ok = true;

	*out = (struct task_seen){
		.id = copy(a, str_from(k->id), &ok),
		.queue = copy(a, k->queue.name, &ok),
		.by = copy(a, k->by, &ok),
		.action = k->spec.action,
		.of_state = k->spec.state,
		.name = copy(a, k->spec.name, &ok),
		.error = copy(a, k->spec.error, &ok),
		.older_than_ms = k->spec.older_than_ms,
		.state = k->state,
		.counts = k->counts,
		.total = k->total,
		.created_ms = k->created_ms,
		.started_ms = k->started_ms,
		.ended_ms = k->ended_ms,
		.failure = has_ended(k) && k->err.code ? copy(a, str_from(k->err.text), &ok) : STR_NONE,
	};
	return ok ? 0 : err_set(err, ERR_NOMEM, "no memory for a task");
}

/* ---- telling others ---- */

static void note_told(struct tasks *t, const struct task_seen *seen, bool cancel)
{
	struct task *k = find(t, seen->id);

	if (!k)
		return;
	k->told = task_is_over(seen->state);
	if (!cancel || has_ended(k))
		return;
	k->cancel = true;
	if (k->state == TASK_QUEUED)
		end_task(t, k, TASK_CANCELLED);
}

/* Tells how far all are that are open, and how those ended that have; hears who wishes to stop them. mu is held, and given back meanwhile. When it
 * fails the next one tells. */
static void tell(struct tasks *t)
{
	struct arena a;
	size_t n = 0, most = count_to_be_told(t);
	bool ok = true;

	arena_init(&a, 0);
	struct task_seen *seen = arena_array(&a, most + 1, sizeof(*seen));
	bool *cancel = arena_array(&a, most + 1, sizeof(*cancel));
	for (const struct task *k = t->newest; k && seen && cancel && ok; k = k->older)
		if (is_to_be_told(k))
			ok = see(k, &a, &seen[n++], NULL) == 0;
	lock_give(&t->mu);
	ok = ok && n && task_board_tell(&t->board, seen, n, cancel, clock_mono_ms() + TELL_TIMEOUT_MS, NULL) == 0;
	lock_take(&t->mu);
	for (size_t i = 0; ok && i < n; i++)
		note_told(t, &seen[i], cancel[i]);
	t->told_ms = clock_mono_ms();
	arena_release(&a);
}

/* ---- the thread ---- */

static bool may_go_on(const struct tasks *t, const struct task *k)
{
	return !t->stopping && !k->cancel;
}

/* mu is held. */
static void rest(struct tasks *t, const struct task *k, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms;

	while (may_go_on(t, k) && cond_wait_until(&t->wake, &t->mu, until))
		continue;
}

/* Nothing was sent, or a step will do again what it has not done: every job is in its state once. */
static bool is_passing(int code)
{
	return code == ERR_UNAVAILABLE || code == ERR_TIMEOUT || code == ERR_UNKNOWN_OUTCOME;
}

/* One task to its end; mu is held, and given back during the steps. */
static void run_task(struct tasks *t, struct task *k)
{
	struct arena a;
	unsigned failures = 0;

	arena_init(&a, 0);
	k->state = TASK_RUNNING;
	k->started_ms = clock_wall_ms();
	bulk_init(&k->bulk, &k->spec);
	tell(t);
	while (may_go_on(t, k) && !k->bulk.done && failures < TRIES) {
		struct err err = {0};
		int64_t since = clock_mono_ms();

		lock_give(&t->mu);
		int rc = bulk_step(t->bq, &k->bulk, &a, since + STEP_TIMEOUT_MS, &err);
		arena_reset(&a);
		lock_take(&t->mu);
		k->counts = k->bulk.counts;
		k->total = k->bulk.most;
		failures = rc == 0 ? 0 : is_passing(rc) ? failures + 1 : TRIES;
		k->err = err;
		if (clock_mono_ms() - t->told_ms >= TASK_BEAT_MS)
			tell(t);
		if (!k->bulk.done && failures < TRIES)
			rest(t, k, failures ? TRY_AGAIN_MS : clock_mono_ms() - since + LEAST_REST_MS);
	}
	arena_release(&a);
	bulk_release(&k->bulk);
	end_task(t, k, k->bulk.done ? TASK_DONE : failures >= TRIES ? TASK_FAILED : TASK_CANCELLED);
	forget_old(t);
	tell(t);
}

/* They end with this process. mu is held. */
static void cancel_all(struct tasks *t)
{
	for (struct task *k = t->newest; k; k = k->older)
		if (!has_ended(k))
			end_task(t, k, TASK_CANCELLED);
	if (count_to_be_told(t))
		tell(t);
}

static void run(void *arg)
{
	struct tasks *t = arg;

	lock_take(&t->mu);
	while (!t->stopping) {
		struct task *k = next_queued(t);

		if (k) {
			run_task(t, k);
			continue;
		}
		if (count_to_be_told(t))
			tell(t);
		if (t->stopping || next_queued(t))
			continue;
		if (count_to_be_told(t))
			(void)cond_wait_until(&t->wake, &t->mu, clock_mono_ms() + TRY_AGAIN_MS);
		else
			cond_wait(&t->wake, &t->mu);
	}
	cancel_all(t);
	lock_give(&t->mu);
}

/* ---- start and stop ---- */

struct tasks *tasks_new(struct bq *bq, struct str prefix, struct log *log, struct err *err)
{
	struct tasks *t = calloc(1, sizeof(*t));

	if (!t) {
		err_set(err, ERR_NOMEM, "no memory for tasks");
		return NULL;
	}
	t->bq = bq;
	t->board = (struct task_board){bq_mux(bq), prefix};
	t->log = log;
	lock_init(&t->mu);
	cond_init(&t->wake);
	return t;
}

int tasks_start(struct tasks *t, struct err *err)
{
	return thread_start(&t->thread, "tasks", run, t) < 0 ? err_set(err, ERR_NOMEM, "a thread cannot be started") : 0;
}

void tasks_stop(struct tasks *t)
{
	lock_take(&t->mu);
	t->stopping = true;
	cond_broadcast(&t->wake);
	lock_give(&t->mu);
	thread_join(&t->thread);
}

void tasks_free(struct tasks *t)
{
	if (!t)
		return;
	for (struct task *k = t->newest, *older; k; k = older) {
		older = k->older;
		task_free(k);
	}
	cond_release(&t->wake);
	lock_release(&t->mu);
	free(t);
}

/* ---- for requests ---- */

/* One block behind the strings, so that none of them moves. */
static bool copy_strings(struct task *k, struct str by)
{
	struct str *strings[] = {&k->spec.name, &k->spec.error, &k->by};
	size_t total = 1;

	k->by = by;
	for (size_t i = 0; i < ARRAY_LEN(strings); i++)
		total += strings[i]->n;
	buf_reserve(&k->text, total);
	for (size_t i = 0; i < ARRAY_LEN(strings) && !k->text.failed; i++) {
		size_t at = k->text.n;

		if (!strings[i]->p)
			continue;
		buf_adds(&k->text, *strings[i]);
		strings[i]->p = k->text.p + at;
	}
	return !k->text.failed;
}

static struct task *task_new(const struct bulk_spec *spec, struct str by, struct err *err)
{
	struct task *k = calloc(1, sizeof(*k));

	if (!k) {
		err_set(err, ERR_NOMEM, "no memory for a task");
		return NULL;
	}
	id_uuid7(k->id);
	k->spec = *spec;
	k->created_ms = clock_wall_ms();
	k->total = k->started_ms = k->ended_ms = -1;
	if (!copy_strings(k, by) || bq_queue_init(&k->queue, spec->queue->prefix, spec->queue->name, NULL) < 0) {
		err_set(err, ERR_NOMEM, "no memory for a task");
		task_free(k);
		return NULL;
	}
	k->spec.queue = &k->queue;
	return k;
}

/* Among the others, where nobody works on it yet. ERR_LIMIT. */
static int enter(struct tasks *t, struct task *k, struct err *err)
{
	int rc = 0;

	lock_take(&t->mu);
	if (count_open(t) >= TASKS_OPEN_MAX) {
		rc = err_set(err, ERR_LIMIT, "%d tasks are waiting already", TASKS_OPEN_MAX);
	} else {
		k->older = t->newest;
		t->newest = k;
		forget_old(t); /* those that were cancelled before they began, too */
	}
	lock_give(&t->mu);
	return rc;
}

/* Others know of it, and it may begin; or they could not be told, and it is forgotten. */
static void announce(struct tasks *t, struct task *k, bool known)
{
	lock_take(&t->mu);
	k->announced = known;
	if (known) {
		cond_broadcast(&t->wake);
	} else {
		struct task **at = &t->newest;
		while (*at != k)
			at = &(*at)->older;
		*at = k->older;
		task_free(k);
	}
	lock_give(&t->mu);
}

int tasks_add(struct tasks *t, const struct bulk_spec *spec, struct str by, struct arena *a, struct task_seen *out, int64_t deadline, struct err *err)
{
	struct task *k = task_new(spec, by, err);
	bool cancel;

	if (!k)
		return ERR_NOMEM;
	int rc = see(k, a, out, err);
	if (rc == 0)
		rc = enter(t, k, err);
	if (rc < 0) {
		task_free(k);
		return rc;
	}
	rc = task_board_tell(&t->board, out, 1, &cancel, deadline, err);
	announce(t, k, rc == 0);
	return rc;
}

/* One of this process. ERR_NOT_FOUND: it has no such. */
static int get_own(struct tasks *t, struct str id, struct arena *a, struct task_seen *out, struct err *err)
{
	int rc = ERR_NOT_FOUND;

	lock_take(&t->mu);
	const struct task *k = find(t, id);
	if (k)
		rc = see(k, a, out, err);
	lock_give(&t->mu);
	return rc;
}

int tasks_get(struct tasks *t, struct str id, struct arena *a, struct task_seen *out, int64_t deadline, struct err *err)
{
	int rc = get_own(t, id, a, out, err);

	return rc == ERR_NOT_FOUND ? task_board_get(&t->board, id, a, out, deadline, err) : rc;
}

static int has_ended_already(enum task_state state, struct err *err)
{
	return err_set(err, ERR_WRONG_STATE, "the task has ended already: it is %s", task_state_word(state));
}

static int cancel_own(struct tasks *t, struct str id, struct arena *a, struct task_seen *out, struct err *err)
{
	int rc = ERR_NOT_FOUND;

	lock_take(&t->mu);
	struct task *k = find(t, id);
	if (k && has_ended(k)) {
		rc = has_ended_already(k->state, err);
	} else if (k) {
		k->cancel = true;
		if (k->state == TASK_QUEUED)
			end_task(t, k, TASK_CANCELLED);
		cond_broadcast(&t->wake);
		rc = see(k, a, out, err);
	}
	lock_give(&t->mu);
	return rc;
}

int tasks_cancel(struct tasks *t, struct str id, struct arena *a, struct task_seen *out, int64_t deadline, struct err *err)
{
	int rc = cancel_own(t, id, a, out, err);

	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = task_board_get(&t->board, id, a, out, deadline, err);
	if (rc == 0 && task_is_over(out->state))
		rc = has_ended_already(out->state, err);
	return rc == 0 ? task_board_cancel(&t->board, id, deadline, err) : rc;
}

static int newest_first(const void *a, const void *b)
{
	const struct task_seen *x = a, *y = b;

	return (x->created_ms < y->created_ms) - (x->created_ms > y->created_ms);
}

/* This process knows best how far its own are. */
int tasks_list(struct tasks *t, struct arena *a, struct task_seen **out, size_t *n, int64_t deadline, struct err *err)
{
	struct task_seen *told;
	size_t n_told, count = 0;

	*n = 0;
	int rc = task_board_list(&t->board, a, &told, &n_told, deadline, err);
	if (rc < 0)
		return rc;
	lock_take(&t->mu);
	for (const struct task *k = t->newest; k; k = k->older)
		count++;
	*out = arena_array(a, count + n_told + 1, sizeof(**out));
	if (!*out)
		rc = err_set(err, ERR_NOMEM, "no memory for the tasks");
	for (const struct task *k = t->newest; k && rc == 0; k = k->older)
		rc = see(k, a, &(*out)[(*n)++], err);
	for (size_t i = 0; rc == 0 && i < n_told; i++)
		if (!find(t, told[i].id))
			(*out)[(*n)++] = told[i];
	lock_give(&t->mu);
	if (rc == 0)
		qsort(*out, *n, sizeof(**out), newest_first);
	return rc;
}
