/* sluice.records_expire: a week goes when nothing in it is kept by anybody, and not what comes into it meanwhile. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/lock.h"
#include "lib/pg/pgmigrate.h"
#include "tests/unit/pg_server.h"

#define SOON 60000

/* The week of 2020-01-02, as the cutoffs below know it. */
#define WEEK_BEGIN "1577923200000"
#define IN_WEEK "1578000000000"
#define CUTOFF INT64_C(1590000000000)
#define BEFORE_CUTOFF "1578000001000"
#define SINCE_CUTOFF "1590000000000"

struct world {
	struct pg_server server;
	struct pg *pg;
	struct pglink *link, *writer, *watcher;
};

static int64_t in(int64_t ms)
{
	return clock_mono_ms() + ms;
}

static struct pglink *connect(struct pg *pg)
{
	struct err err = {0};
	struct pglink *l = pglink_new(pg, &err);

	if (!l || pglink_open(l, in(SOON), &err) < 0)
		fail_msg("%s", err.text);
	return l;
}

static int start_world(void **state)
{
	static struct world w;
	struct err err = {0};
	pg_server_start(&w.server);
	const struct pg_options o = {.url = w.server.url, .schema = PG_SCHEMA_IGNORE};
	w.pg = pg_new(&o, &err);
	assert_non_null(w.pg);
	w.link = connect(w.pg);
	w.writer = connect(w.pg);
	w.watcher = connect(w.pg);
	*state = &w;
	return 0;
}

static int stop_world(void **state)
{
	struct world *w = *state;
	pglink_free(w->link);
	pglink_free(w->writer);
	pglink_free(w->watcher);
	pg_free(w->pg);
	pg_server_stop(&w->server);
	return 0;
}

static int64_t ask(struct pglink *l, const struct pg_stmt *stmt, const struct pg_value *values)
{
	struct err err = {0};
	struct pg_rows *rows;
	int64_t n = -1;
	const struct pg_call call = {stmt, values};
	if (pglink_run(l, &call, 1, in(SOON), &rows, &err) < 0)
		fail_msg("%s: %s", stmt->name, err.text);
	(void)pg_int_at(rows, 0, 0, &n);
	pg_rows_free(rows);
	return n;
}

static int fresh(void **state)
{
	static const struct pg_stmt drop = {"drop_schema", "DROP SCHEMA IF EXISTS sluice CASCADE", 0};
	static const struct pg_stmt week = {"make_week", "SELECT sluice.records_partition(" WEEK_BEGIN ")", 0};
	/* On a slow machine the test's own waiting must not be what ends it. */
	static const struct pg_stmt patient = {"be_patient", "ALTER FUNCTION sluice.records_expire(bigint, text, text[]) SET lock_timeout = '60s'", 0};
	const struct world *w = *state;
	struct err err = {0};
	(void)ask(w->link, &drop, NULL);
	if (pgmigrate_apply(w->link, &PGMIGRATIONS, NULL, NULL, in(SOON), &err) < 0)
		fail_msg("%s", err.text);
	(void)ask(w->link, &week, NULL);
	(void)ask(w->link, &patient, NULL);
	return 0;
}

#define ROW(name, prefix, queue, id, at) \
	static const struct pg_stmt name = { \
		#name, \
		"INSERT INTO sluice.records (prefix, queue, job_id, created_ms, at_ms, state, org) VALUES ('" prefix "', '" queue "', '" id "', " IN_WEEK ", " at \
		", 'completed', '')", \
		0}

ROW(OVER, "bull", "q", "over", BEFORE_CUTOFF);
ROW(KEPT, "bull", "q", "kept", SINCE_CUTOFF);
ROW(OTHER_QUEUE, "bull", "other", "queue", BEFORE_CUTOFF);
ROW(OTHER_PREFIX, "cow", "q", "prefix", BEFORE_CUTOFF);

static int64_t expire(struct pglink *l)
{
	static const struct pg_stmt stmt = {"expire", "SELECT sluice.records_expire($1, $2, $3::text[])", 3};
	const struct pg_value values[] = {pg_int(CUTOFF), pg_textz("bull"), pg_textz("{q,r}")};
	return ask(l, &stmt, values);
}

static int64_t count(struct pglink *l)
{
	static const struct pg_stmt stmt = {"count", "SELECT count(*) FROM sluice.records", 0};
	return ask(l, &stmt, NULL);
}

static void a_week_goes_when_it_is_over_for_all(void **state)
{
	const struct world *w = *state;
	(void)ask(w->link, &OVER, NULL);
	assert_int_equal(expire(w->link), 1);
	assert_int_equal(count(w->link), 0);
	assert_int_equal(expire(w->link), 0);
}

static void what_somebody_keeps_keeps_the_week(void **state)
{
	static const struct pg_stmt *const rows[] = {&KEPT, &OTHER_QUEUE, &OTHER_PREFIX};
	const struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		fresh(state);
		(void)ask(w->link, &OVER, NULL);
		(void)ask(w->link, rows[i], NULL);
		assert_int_equal(expire(w->link), 0);
		assert_int_equal(count(w->link), 2);
	}
}

struct expiring {
	struct thread thread;
	const struct world *w;
	int64_t dropped;
};

static void expire_meanwhile(void *arg)
{
	struct expiring *e = arg;
	e->dropped = expire(e->w->link);
}

/* Writes, lets the other one look, and ends the transaction when that one waits for it. */
static int write_late(struct pglink *l, void *arg, int64_t deadline_mono_ms, struct err *err)
{
	static const struct pg_stmt waiting = {"waiting", "SELECT count(*) FROM pg_locks WHERE NOT granted", 0};
	struct expiring *e = arg;
	const struct pg_call call = {&KEPT, NULL};
	int rc = pglink_run(l, &call, 1, deadline_mono_ms, NULL, err);

	assert_int_equal(thread_start(&e->thread, "expire", expire_meanwhile, e), 0);
	for (int64_t until = in(SOON); ask(e->w->watcher, &waiting, NULL) == 0; (void)poll(NULL, 0, 5))
		assert_true(clock_mono_ms() < until);
	return rc;
}

static void what_is_written_meanwhile_keeps_the_week(void **state)
{
	const struct world *w = *state;
	struct expiring e = {.w = w};
	struct err err = {0};
	(void)ask(w->link, &OVER, NULL);
	int rc = pglink_transact(w->writer, write_late, &e, in(2 * SOON), &err);
	thread_join(&e.thread);
	if (rc < 0)
		fail_msg("%s", err.text);
	assert_int_equal(e.dropped, 0);
	assert_int_equal(count(w->link), 2);
}

#define TEST(f) cmocka_unit_test_setup(f, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_week_goes_when_it_is_over_for_all),
		TEST(what_somebody_keeps_keeps_the_week),
		TEST(what_is_written_meanwhile_keeps_the_week),
	};
	return cmocka_run_group_tests(tests, start_world, stop_world);
}
