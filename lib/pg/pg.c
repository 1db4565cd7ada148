#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "lib/pg/pg_internal.h"

#define READERS 2
#define WAITING 64
#define CONNECT_TIMEOUT_MS 5000

/* ---- state ---- */

void pg_count(struct pg *pg, enum metric_id id, const char *label)
{
	if (pg->metrics)
		metrics_add(pg->metrics, id, 1, (struct str[]){str_from(label)});
}

void pg_note_connected(struct pg *pg, int server_version)
{
	lock_take(&pg->mu);
	pg->state.connects++;
	pg->state.server_version = server_version;
	lock_give(&pg->mu);
	pg_count(pg, M_PG_CONNECTS, "made");
}

/* Logged once for each reason, not for each try; and that it does not answer not while it may still be coming up. */
void pg_note_failure(struct pg *pg, const struct err *why)
{
	bool patient = why->code == ERR_UNAVAILABLE && clock_mono_ms() < pg->patient_until;
	lock_take(&pg->mu);
	bool new = !patient && strcmp(pg->told.text, why->text) != 0;
	if (new)
		pg->told = *why;
	err_set(&pg->state.why, ERR_UNAVAILABLE, "%s", why->text);
	lock_give(&pg->mu);
	pg_count(pg, M_PG_CONNECTS, "failed");
	if (new)
		LOG(pg->log, LOG_WARN, "postgres_unavailable", log_err(why));
}

void pg_state(struct pg *pg, struct pg_state *out)
{
	lock_take(&pg->mu);
	*out = pg->state;
	lock_give(&pg->mu);
}

bool pg_is_up(struct pg *pg)
{
	lock_take(&pg->mu);
	bool up = pg->state.up;
	lock_give(&pg->mu);
	return up;
}

bool pg_wait_up(struct pg *pg, int64_t deadline_mono_ms)
{
	lock_take(&pg->mu);
	while (!pg->state.up && clock_mono_ms() < deadline_mono_ms)
		cond_wait_until(&pg->changed, &pg->mu, deadline_mono_ms);
	bool up = pg->state.up;
	lock_give(&pg->mu);
	return up;
}

/* ---- requests ---- */

enum request_state { REQUEST_WAITING, REQUEST_RUNNING, REQUEST_DONE, REQUEST_LEFT };

/* One call of pg_query. Who finds that the other has gone frees it: the caller one that is done, the reader one that was left. */
struct pg_request {
	/* Set by the caller, before it is queued. */
	struct arena memory;
	const struct pg_call *calls;
	size_t n;
	int64_t deadline;

	/* Protected by pg.mu; the results are the reader's while it is running. */
	struct pg_request *next;
	enum request_state state;
	struct cond done;
	int rc;
	struct err err;
	struct pg_rows *rows[PG_MAX_CALLS];
};

static struct pg_request *request_new(const struct pg_call *calls, size_t n, int64_t deadline)
{
	struct pg_request *q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	arena_init(&q->memory, 0);
	q->calls = pg_calls_copy(&q->memory, calls, n);
	q->n = n;
	q->deadline = deadline;
	if (!q->calls) {
		arena_release(&q->memory);
		free(q);
		return NULL;
	}
	cond_init(&q->done);
	return q;
}

static void request_free(struct pg_request *q)
{
	for (size_t i = 0; i < q->n; i++)
		pg_rows_free(q->rows[i]);
	cond_release(&q->done);
	arena_release(&q->memory);
	free(q);
}

/* With mu held. */
static void finish(struct pg_request *q, int rc, const struct err *err)
{
	q->rc = rc;
	q->err = *err;
	q->state = REQUEST_DONE;
	cond_signal(&q->done);
}

static struct pg_request *take_first(struct pg *pg)
{
	struct pg_request *q = pg->first;
	if (!q)
		return NULL;
	pg->first = q->next;
	if (!pg->first)
		pg->last = NULL;
	pg->waiting--;
	return q;
}

static void withdraw(struct pg *pg, struct pg_request *q)
{
	struct pg_request *before = NULL;
	for (struct pg_request *at = pg->first; at != q; at = at->next)
		before = at;
	if (before)
		before->next = q->next;
	else
		pg->first = q->next;
	if (pg->last == q)
		pg->last = before;
	pg->waiting--;
}

static int queue_up(struct pg *pg, struct pg_request *q, struct err *err)
{
	if (pg_stopping(pg))
		return err_set(err, ERR_STOPPING, "PostgreSQL is asked nothing any more: the program ends");
	if (!pg->state.up)
		return err_set(err, ERR_UNAVAILABLE, "%s", pg->state.why.text);
	if (pg->waiting >= pg->max_waiting) {
		pg_count(pg, M_PG_ERRORS, "queue_full");
		return err_set(err, ERR_UNAVAILABLE, "PostgreSQL is slow: %u questions are waiting", pg->waiting);
	}
	if (pg->last)
		pg->last->next = q;
	else
		pg->first = q;
	pg->last = q;
	pg->waiting++;
	if (eventfd_write(pg->work_fd, 1) < 0)
		panic("eventfd");
	return 0;
}

/* With mu held. The answer, or the deadline. */
static int await(struct pg *pg, struct pg_request *q, struct err *err)
{
	while (q->state != REQUEST_DONE && clock_mono_ms() < q->deadline)
		cond_wait_until(&q->done, &pg->mu, q->deadline);
	if (q->state == REQUEST_DONE)
		return q->rc < 0 ? err_set(err, q->rc, "%s", q->err.text) : 0;
	if (q->state == REQUEST_WAITING)
		withdraw(pg, q);
	else
		q->state = REQUEST_LEFT;
	return err_set(err, ERR_TIMEOUT, "PostgreSQL did not answer in time");
}

int pg_query(struct pg *pg, const struct pg_call *calls, size_t n, int64_t deadline_mono_ms, struct pg_rows **rows, struct err *err)
{
	bug_on(n == 0 || n > PG_MAX_CALLS);
	for (size_t i = 0; rows && i < n; i++)
		rows[i] = NULL;
	struct pg_request *q = request_new(calls, n, deadline_mono_ms);
	if (!q)
		return err_set(err, ERR_NOMEM, "PostgreSQL: %s", err_sentence(ERR_NOMEM));
	lock_take(&pg->mu);
	int rc = queue_up(pg, q, err);
	if (rc == 0)
		rc = await(pg, q, err);
	bool left = q->state == REQUEST_LEFT;
	lock_give(&pg->mu);
	for (size_t i = 0; rows && rc == 0 && i < n; i++) {
		rows[i] = q->rows[i];
		q->rows[i] = NULL;
	}
	if (!left)
		request_free(q);
	return rc;
}

/* Local to the transaction, like everything. A generic plan, which a prepared statement may get after a few runs, knows no values. */
static const struct pg_stmt PLAN_ANEW = {"pg_plan_anew", "SELECT pg_catalog.set_config('plan_cache_mode', 'force_custom_plan', true)", 0};

int pg_query_varied(struct pg *pg, const struct pg_call *call, int64_t deadline_mono_ms, struct pg_rows **rows, struct err *err)
{
	const struct pg_call calls[] = {{&PLAN_ANEW, NULL}, *call};
	struct pg_rows *answers[ARRAY_LEN(calls)];
	int rc = pg_query(pg, calls, ARRAY_LEN(calls), deadline_mono_ms, answers, err);

	pg_rows_free(answers[0]);
	*rows = answers[1];
	return rc;
}

/* ---- readers ---- */

/* The first one that is connected makes the pool up, the last one that is lost makes it down and those fail who wait. */
static void set_connected(struct pg *pg, bool connected, const struct err *why)
{
	lock_take(&pg->mu);
	pg->connected = connected ? pg->connected + 1 : pg->connected - 1;
	bool up = pg->connected > 0, changed = up != pg->state.up;
	if (changed) {
		pg->state.up = up;
		pg->state.since_ms = clock_wall_ms();
		static const struct err nothing = {0};
		pg->state.why = *(up ? &nothing : why);
		pg->told = pg->state.why;
		cond_broadcast(&pg->changed);
	}
	for (struct pg_request *q = up ? NULL : take_first(pg); q; q = take_first(pg))
		finish(q, ERR_UNAVAILABLE, why);
	int version = pg->state.server_version;
	lock_give(&pg->mu);
	if (changed && pg->metrics)
		metrics_set(pg->metrics, M_PG_UP, up, NULL);
	if (changed && up)
		LOG(pg->log, LOG_INFO, "postgres_up", log_int("version", version));
	else if (changed)
		LOG(pg->log, pg_stopping(pg) ? LOG_DEBUG : LOG_WARN, "postgres_down", log_err(why));
}

static struct pg_request *next_request(struct pg *pg)
{
	eventfd_t one;
	if (eventfd_read(pg->work_fd, &one) < 0) /* another reader was quicker */
		return NULL;
	lock_take(&pg->mu);
	struct pg_request *q = take_first(pg); /* NULL when it was withdrawn */
	if (q)
		q->state = REQUEST_RUNNING;
	lock_give(&pg->mu);
	return q;
}

static void answer_one(struct pg_reader *r, struct err *err)
{
	struct pg *pg = r->pg;
	struct pg_request *q = next_request(pg);
	if (!q)
		return;
	int rc = pglink_run(r->link, q->calls, q->n, q->deadline, q->rows, err);
	lock_take(&pg->mu);
	bool left = q->state == REQUEST_LEFT;
	if (!left)
		finish(q, rc, err);
	lock_give(&pg->mu);
	if (left)
		request_free(q);
}

/* Answers requests until the connection is lost, or the end. */
static void serve(struct pg_reader *r, struct err *why)
{
	struct pollfd fds[] = {{.fd = r->pg->stop_fd, .events = POLLIN},
			       {.fd = r->pg->work_fd, .events = POLLIN},
			       {.fd = pglink_fd(r->link), .events = POLLIN}};
	for (;;) {
		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue;
		if (fds[0].revents)
			return;
		if (fds[2].revents && !pglink_check(r->link)) {
			err_set(why, ERR_UNAVAILABLE, "PostgreSQL closed the connection");
			return;
		}
		if (fds[1].revents) {
			struct err err = {0};
			answer_one(r, &err);
			if (!pglink_is_open(r->link)) {
				*why = err;
				return;
			}
		}
	}
}

static void read_for_others(void *arg)
{
	struct pg_reader *r = arg;
	while (!pg_stopping(r->pg)) {
		struct err why = {.code = ERR_STOPPING, .text = "the program ends"};
		if (pglink_open(r->link, PG_FOREVER, NULL) < 0)
			continue;
		set_connected(r->pg, true, &why);
		serve(r, &why);
		set_connected(r->pg, false, &why);
	}
	pglink_close(r->link);
}

/* ---- life ---- */

bool pg_stopping(const struct pg *pg)
{
	struct pollfd p = {.fd = pg->stop_fd, .events = POLLIN};
	return poll(&p, 1, 0) > 0;
}

/* A '/' or '@' that stands for itself in a name or password: libpq takes what is behind it for a host or port, and would quote it in its complaints. */
static bool is_cut_wrongly(const char *url)
{
	const char *scheme = strstr(url, "://");
	struct str rest = str_from(scheme ? scheme + 3 : "");
	struct str path = str_cut(&rest, '?');
	struct str authority = str_cut(&path, '/');
	const char *at = memchr(authority.p, '@', authority.n);
	bool again = at && memchr(at + 1, '@', (size_t)(authority.p + authority.n - at - 1));
	return again || (path.p && memchr(path.p, '@', path.n));
}

/* libpq's complaint may quote the URL, and with it the password: it is not passed on. */
static int check_url(const char *url, struct err *err)
{
	if ((strncmp(url, "postgres://", 11) == 0 || strncmp(url, "postgresql://", 13) == 0) && is_cut_wrongly(url))
		return err_set(err, ERR_INVALID, "in the address of a PostgreSQL, write '@' in a name or password as %%40 and '/' as %%2F");
	char *complaint = NULL;
	PQconninfoOption *parts = PQconninfoParse(url, &complaint);
	PQfreemem(complaint);
	if (!parts)
		return err_set(err, ERR_INVALID, "this is no address of a PostgreSQL (postgresql://user:password@host:port/database)");
	PQconninfoFree(parts);
	return 0;
}

static int set_up(struct pg *pg, const struct pg_options *o, struct err *err)
{
	int rc = check_url(o->url, err);
	if (rc < 0)
		return rc;
	pg->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pg->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	if (pg->stop_fd < 0 || pg->work_fd < 0)
		return err_errno(err, "eventfd");
	pg->url = strdup(o->url);
	for (unsigned i = 0; i < pg->n_readers; i++) {
		pg->readers[i].pg = pg;
		pg->readers[i].link = pglink_new(pg, NULL);
		if (!pg->readers[i].link)
			return err_set(err, ERR_NOMEM, "PostgreSQL: %s", err_sentence(ERR_NOMEM));
	}
	return pg->url ? 0 : err_set(err, ERR_NOMEM, "PostgreSQL: %s", err_sentence(ERR_NOMEM));
}

struct pg *pg_new(const struct pg_options *o, struct err *err)
{
	struct pg *pg = calloc(1, sizeof(*pg));
	if (!pg) {
		err_set(err, ERR_NOMEM, "PostgreSQL: %s", err_sentence(ERR_NOMEM));
		return NULL;
	}
	bug_on(o->readers < 0 || o->readers > PG_MAX_READERS || o->queue < 0);
	pg->prepare = o->prepare;
	pg->schema = o->schema;
	pg->migrations = o->migrations ? o->migrations : &PGMIGRATIONS;
	pg->connect_timeout_ms = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	pg->patient_until = clock_mono_ms() + o->patience_ms;
	pg->max_waiting = o->queue ? (unsigned)o->queue : WAITING;
	pg->n_readers = o->readers ? (unsigned)o->readers : READERS;
	pg->log = o->log;
	pg->metrics = o->metrics;
	pg->stop_fd = pg->work_fd = -1;
	lock_init(&pg->mu);
	lock_init(&pg->schema_mu);
	cond_init(&pg->changed);
	pg->state.since_ms = clock_wall_ms();
	err_set(&pg->state.why, ERR_UNAVAILABLE, "PostgreSQL has not answered yet");
	if (set_up(pg, o, err) == 0)
		return pg;
	pg_free(pg);
	return NULL;
}

int pg_start(struct pg *pg, struct err *err)
{
	if (pg->metrics)
		metrics_set(pg->metrics, M_PG_UP, 0, NULL);
	for (unsigned i = 0; i < pg->n_readers; i++)
		if (thread_start(&pg->readers[i].thread, "pg-reader", read_for_others, &pg->readers[i]) < 0) {
			pg_stop(pg);
			return err_set(err, ERR_NOMEM, "the readers of PostgreSQL: %s", err_sentence(ERR_NOMEM));
		}
	return 0;
}

void pg_interrupt(struct pg *pg)
{
	if (eventfd_write(pg->stop_fd, 1) < 0)
		panic("eventfd");
}

void pg_stop(struct pg *pg)
{
	pg_interrupt(pg);
	for (unsigned i = 0; i < pg->n_readers; i++)
		thread_join(&pg->readers[i].thread);
}

void pg_free(struct pg *pg)
{
	if (!pg)
		return;
	for (unsigned i = 0; i < pg->n_readers; i++)
		pglink_free(pg->readers[i].link);
	if (pg->stop_fd >= 0)
		close(pg->stop_fd);
	if (pg->work_fd >= 0)
		close(pg->work_fd);
	if (pg->url)
		explicit_bzero(pg->url, strlen(pg->url));
	free(pg->url);
	cond_release(&pg->changed);
	lock_release(&pg->schema_mu);
	lock_release(&pg->mu);
	free(pg);
}
