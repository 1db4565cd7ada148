/* lib/pg's pool when PostgreSQL is away, slow, killed or silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/lock.h"
#include "lib/metrics/metrics.h"
#include "lib/pg/pglink.h"
#include "tests/unit/pg_server.h"

#define SOON 60000

struct world {
	struct pg_server server;
	struct metrics *metrics;
	struct pg *pg;
};

static int64_t in(int64_t ms)
{
	return clock_mono_ms() + ms;
}

static int start_world(void **state)
{
	static struct world w;
	pg_server_start(&w.server);
	*state = &w;
	return 0;
}

static int stop_world(void **state)
{
	struct world *w = *state;
	pg_server_stop(&w->server);
	return 0;
}

static int start_pool(void **state)
{
	struct world *w = *state;
	struct err err = {0};
	w->metrics = metrics_new();
	struct pg_options o = {
		.url = w->server.url, .queue = 4, .connect_timeout_ms = 2000, .schema = PG_SCHEMA_IGNORE, .metrics = w->metrics};
	w->pg = pg_new(&o, &err);
	assert_non_null(w->pg);
	assert_int_equal(pg_start(w->pg, &err), 0);
	assert_true(pg_wait_up(w->pg, in(SOON)));
	return 0;
}

static int stop_pool(void **state)
{
	struct world *w = *state;
	pg_stop(w->pg);
	pg_free(w->pg);
	metrics_free(w->metrics);
	return 0;
}

static const struct pg_stmt ONE = {"one", "SELECT 1", 0};
static const struct pg_stmt SLEEP = {"sleep", "SELECT pg_sleep($1)", 1};

static int query_one(struct pg *pg, struct err *err)
{
	struct pg_rows *rows;
	const struct pg_call call = {&ONE, NULL};
	int rc = pg_query(pg, &call, 1, in(SOON), &rows, err);
	pg_rows_free(rows);
	return rc;
}

static int sleep_for(struct pg *pg, int64_t seconds, int64_t deadline_ms, struct err *err)
{
	const struct pg_value s = pg_int(seconds);
	const struct pg_call call = {&SLEEP, &s};
	return pg_query(pg, &call, 1, in(deadline_ms), NULL, err);
}

static void wait_for_state(struct pg *pg, bool up)
{
	for (int64_t deadline = in(SOON); pg_is_up(pg) != up; clock_sleep_ms(2))
		assert_true(clock_mono_ms() < deadline);
}

struct asker {
	struct thread thread;
	struct pg *pg;
	int answered, other;
};

static void ask_often(void *arg)
{
	struct asker *a = arg;
	int64_t deadline = in(SOON);
	while (a->answered < 100 && clock_mono_ms() < deadline) {
		struct err err = {0};
		int rc = query_one(a->pg, &err);
		a->answered += rc == 0;
		a->other += rc != 0 && rc != ERR_UNAVAILABLE;
	}
}

/* Each is answered, or refused at once because the queue is short. */
static void test_many_threads_ask_at_once(void **state)
{
	const struct world *w = *state;
	struct asker askers[12] = {0};
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		askers[i].pg = w->pg;
		assert_int_equal(thread_start(&askers[i].thread, "asker", ask_often, &askers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
		thread_join(&askers[i].thread);
		assert_int_equal(askers[i].answered, 100);
		assert_int_equal(askers[i].other, 0);
	}
}

static void test_it_goes_down_and_comes_back(void **state)
{
	struct world *w = *state;
	struct err err = {0};
	struct pg_state before, after;
	pg_state(w->pg, &before);
	assert_true(before.up && before.server_version >= 130000);
	pg_server_kill(&w->server);
	wait_for_state(w->pg, false); /* noticed without a question */
	int64_t since = clock_mono_ms();
	assert_int_equal(query_one(w->pg, &err), ERR_UNAVAILABLE);
	assert_true(clock_mono_ms() - since < 5000); /* at once, not at the deadline */
	pg_state(w->pg, &after);
	assert_true(!after.up && after.why.text[0]);
	pg_server_run(&w->server);
	assert_true(pg_wait_up(w->pg, in(SOON)));
	assert_int_equal(query_one(w->pg, &err), 0);
	pg_state(w->pg, &after);
	assert_true(after.connects > before.connects);
}

struct sleeper {
	struct thread thread;
	struct pg *pg;
	int rc;
	struct err err;
};

static void sleep_long(void *arg)
{
	struct sleeper *s = arg;
	do
		s->rc = sleep_for(s->pg, 3600, 3600 * 1000, &s->err);
	while (s->rc == ERR_UNAVAILABLE); /* the queue was full for a moment */
}

static void start_sleeper(struct sleeper *s, struct pg *pg)
{
	*s = (struct sleeper){.pg = pg};
	assert_int_equal(thread_start(&s->thread, "sleeper", sleep_long, s), 0);
}

/* So many backends are asleep in pg_sleep. */
static void wait_for_sleepers(struct pglink *l, int64_t wanted)
{
	static const struct pg_stmt count = {"count_sleepers", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 0};
	int64_t deadline = in(SOON), n = -1;
	while (n != wanted) {
		struct err err = {0};
		struct pg_rows *rows;
		const struct pg_call call = {&count, NULL};
		assert_true(clock_mono_ms() < deadline);
		assert_int_equal(pglink_run(l, &call, 1, in(SOON), &rows, &err), 0);
		assert_true(pg_int_at(rows, 0, 0, &n));
		pg_rows_free(rows);
	}
}

static struct pglink *open_link(struct pg *pg)
{
	struct err err = {0};
	struct pglink *l = pglink_new(pg, &err);
	if (!l || pglink_open(l, in(SOON), &err) < 0)
		fail_msg("%s", err.text);
	return l;
}

static void test_a_question_ends_with_a_killed_server(void **state)
{
	struct world *w = *state;
	struct sleeper s;
	struct pglink *l = open_link(w->pg);
	start_sleeper(&s, w->pg);
	wait_for_sleepers(l, 1);
	pg_server_kill(&w->server);
	thread_join(&s.thread);
	assert_int_equal(s.rc, ERR_UNKNOWN_OUTCOME);
	for (int64_t deadline = in(SOON); pglink_check(l);)
		assert_true(clock_mono_ms() < deadline);
	pg_server_run(&w->server);
	assert_int_equal(pglink_open(l, in(SOON), NULL), 0);
	pglink_free(l);
}

/* A full queue refuses at once; who waits in it has a deadline. */
static void test_a_full_queue_refuses(void **state)
{
	const struct world *w = *state;
	struct sleeper busy[6]; /* two are being answered, four wait */
	struct err err = {0};
	struct pglink *l = open_link(w->pg);
	start_sleeper(&busy[0], w->pg);
	start_sleeper(&busy[1], w->pg);
	wait_for_sleepers(l, 2);
	assert_int_equal(sleep_for(w->pg, 0, 50, &err), ERR_TIMEOUT); /* waited, and was withdrawn */
	for (size_t i = 2; i < ARRAY_LEN(busy); i++)
		start_sleeper(&busy[i], w->pg);
	int64_t deadline = in(SOON), since;
	int rc;
	do {
		since = clock_mono_ms();
		rc = sleep_for(w->pg, 0, 50, &err);
		assert_true(clock_mono_ms() < deadline);
	} while (rc == ERR_TIMEOUT); /* one of the four has yet to come */
	assert_int_equal(rc, ERR_UNAVAILABLE);
	assert_true(clock_mono_ms() - since < 5000);
	assert_non_null(strstr(err.text, "waiting"));
	pg_interrupt(w->pg);
	for (size_t i = 0; i < ARRAY_LEN(busy); i++) {
		thread_join(&busy[i].thread);
		assert_int_equal(busy[i].rc, i < 2 ? ERR_UNKNOWN_OUTCOME : ERR_STOPPING);
	}
	assert_int_equal(pglink_open(l, in(SOON), &err), 0); /* is open */
	const struct pg_value s = pg_int(3600);
	const struct pg_call call = {&SLEEP, &s};
	assert_int_equal(pglink_run(l, &call, 1, INT64_MAX, NULL, &err), ERR_UNKNOWN_OUTCOME);
	assert_int_equal(pglink_open(l, INT64_MAX, &err), ERR_STOPPING);
	pglink_free(l);
}

/* SIGSTOP: the connection stands, nothing answers. Deadlines hold all the same. */
static void test_a_silent_server_costs_no_more_than_the_deadline(void **state)
{
	struct world *w = *state;
	struct err err = {0};
	const struct pg_value s = pg_int(0);
	const struct pg_call call = {&SLEEP, &s};
	struct pglink *l = open_link(w->pg);
	struct pg_state now = {0};
	for (int64_t deadline = in(SOON); now.connects < 3; pg_state(w->pg, &now)) /* both readers and this link */
		assert_true(clock_mono_ms() < deadline);
	pg_server_signal(&w->server, SIGSTOP);
	int64_t since = clock_mono_ms();
	assert_int_equal(sleep_for(w->pg, 0, 300, &err), ERR_TIMEOUT);
	assert_int_equal(pglink_run(l, &call, 1, in(300), NULL, &err), ERR_UNKNOWN_OUTCOME);
	assert_false(pglink_is_open(l));
	assert_int_equal(pglink_open(l, in(300), &err), ERR_UNAVAILABLE); /* the handshake gets no answer either */
	assert_true(clock_mono_ms() - since < 30000);
	wait_for_state(w->pg, true); /* the other reader knows nothing yet: nobody asked it */
	(void)sleep_for(w->pg, 0, 300, &err);
	wait_for_state(w->pg, false);
	pg_server_signal(&w->server, SIGCONT);
	assert_true(pg_wait_up(w->pg, in(SOON)));
	assert_int_equal(query_one(w->pg, &err), 0);
	assert_int_equal(pglink_open(l, in(SOON), &err), 0);
	pglink_free(l);
}

static void test_starting_waits_for_nothing(void **state)
{
	(void)state;
	struct err err = {0};
	struct pg_options o = {.url = "postgresql://nobody@/nothing?host=/nowhere", .schema = PG_SCHEMA_IGNORE};
	struct pg *pg = pg_new(&o, &err);
	assert_non_null(pg);
	assert_int_equal(pg_start(pg, &err), 0);
	assert_int_equal(query_one(pg, &err), ERR_UNAVAILABLE);
	assert_false(pg_is_up(pg));
	pg_stop(pg);
	pg_free(pg);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, start_pool, stop_pool)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_many_threads_ask_at_once),
		CASE(test_it_goes_down_and_comes_back),
		CASE(test_a_question_ends_with_a_killed_server),
		CASE(test_a_full_queue_refuses),
		CASE(test_a_silent_server_costs_no_more_than_the_deadline),
		cmocka_unit_test(test_starting_waits_for_nothing),
	};
	return cmocka_run_group_tests(tests, start_world, stop_world);
}
