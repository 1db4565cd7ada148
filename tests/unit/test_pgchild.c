/* lib/pg/pgchild: the embedded PostgreSQL is made, stays, and goes with its parent. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/pg/pgchild.h"
#include "lib/pg/pglink.h"
#include "tests/unit/place.h"

#define SOON 120000

static struct pgchild *must_start(const struct place *p)
{
	struct err err = {0};
	struct pgchild_options o = {.data_dir = p->data, .lock_wait_ms = SOON};
	struct pgchild *c = pgchild_start(&o, &err);
	if (!c)
		fail_msg("%s", err.text);
	return c;
}

static const struct pg_stmt MAKE = {"make", "CREATE TABLE IF NOT EXISTS kept (n int)", 0};
static const struct pg_stmt ADD = {"add", "INSERT INTO kept VALUES (1)", 0};
static const struct pg_stmt COUNT = {"count", "SELECT count(*) FROM kept", 0};
static const struct pg_stmt SHOW = {"show", "SELECT current_setting($1)", 1};

/* Adds a row; the number there is then. */
static int64_t add_one(const char *url)
{
	struct err err = {0};
	struct pg_options o = {.url = url, .schema = PG_SCHEMA_IGNORE};
	const struct pg_call calls[] = {{&MAKE, NULL}, {&ADD, NULL}, {&COUNT, NULL}};
	struct pg_rows *rows[3];
	int64_t n = 0;
	struct pg *pg = pg_new(&o, &err);
	assert_non_null(pg);
	assert_int_equal(pg_start(pg, &err), 0);
	assert_true(pg_wait_up(pg, clock_mono_ms() + SOON));
	int rc = pg_query(pg, calls, 3, clock_mono_ms() + SOON, rows, &err);
	if (rc < 0)
		fail_msg("%s", err.text);
	assert_true(pg_int_at(rows[2], 0, 0, &n));
	for (size_t i = 0; i < 3; i++)
		pg_rows_free(rows[i]);
	pg_stop(pg);
	pg_free(pg);
	return n;
}

static pid_t wait_for_pid(struct pgchild *c, pid_t other_than)
{
	int64_t deadline = clock_mono_ms() + SOON;
	pid_t pid;
	while ((pid = pgchild_pid(c)) == 0 || pid == other_than) {
		assert_true(clock_mono_ms() < deadline);
		clock_sleep_ms(5);
	}
	return pid;
}

static mode_t mode_of(const char *folder, const char *name)
{
	char path[400];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void test_it_keeps_its_data(void **state)
{
	const struct place *p = *state;
	struct pgchild *c = must_start(p);
	assert_int_equal(add_one(pgchild_url(c)), 1);
	pid_t pid = pgchild_pid(c);
	pgchild_stop(c);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(mode_of(p->data, "postgres"), 0700);
	assert_int_equal(mode_of(p->data, "postgres/data"), 0700);

	struct buf url = BUF_INIT;
	struct err err = {0};
	c = must_start(p);
	assert_int_equal(pgchild_find_url(p->data, &url, &err), 0);
	assert_string_equal(url.p, pgchild_url(c));
	assert_int_equal(add_one(url.p), 2);
	buf_release(&url);
	pgchild_stop(c);
}

static void test_it_runs_as_promised(void **state)
{
	static const char *const promises[][2] = {{"fsync", "on"}, {"synchronous_commit", "on"}, {"listen_addresses", ""}, {"jit", "off"}, {"autovacuum", "on"},
						  {"data_checksums", "on"}, {"server_encoding", "UTF8"}, {"lc_collate", "C"}};
	const struct place *p = *state;
	struct err err = {0};
	struct pgchild *c = must_start(p);
	struct pg_options o = {.url = pgchild_url(c), .schema = PG_SCHEMA_IGNORE};
	struct pg *pg = pg_new(&o, &err);
	struct pglink *l = pglink_new(pg, &err);
	assert_int_equal(pglink_open(l, clock_mono_ms() + SOON, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(promises); i++) {
		const struct pg_value name = pg_textz(promises[i][0]);
		const struct pg_call call = {&SHOW, &name};
		struct pg_rows *rows;
		assert_int_equal(pglink_run(l, &call, 1, clock_mono_ms() + SOON, &rows, &err), 0);
		assert_true(str_is(pg_at(rows, 0, 0), promises[i][1]));
		pg_rows_free(rows);
	}
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)pgchild_pid(c)), 10); /* it comes behind requests */
	pglink_free(l);
	pg_free(pg);
	pgchild_stop(c);
}

static void test_it_is_started_again_when_it_dies(void **state)
{
	const struct place *p = *state;
	struct pgchild *c = must_start(p);
	assert_int_equal(add_one(pgchild_url(c)), 1);
	pid_t first = pgchild_pid(c);
	assert_int_equal(kill(first, SIGKILL), 0);
	wait_for_pid(c, first);
	assert_int_equal(add_one(pgchild_url(c)), 2);
	pgchild_stop(c);
}

/* While initdb runs, while the server starts, or when it is just there: an end at any time is an end. */
static void test_it_can_be_stopped_at_any_time(void **state)
{
	const struct place *p = *state;
	for (int ms = 0; ms < 400; ms += 80) {
		struct pgchild *c = must_start(p);
		clock_sleep_ms(ms); /* not a wait for anything: the moments to stop at */
		pgchild_stop(c);
	}
	struct pgchild *c = must_start(p);
	assert_int_equal(add_one(pgchild_url(c)), 1);
	pgchild_stop(c);
}

/* In a process of its own: starts it, says so, waits to be killed. */
static pid_t start_elsewhere(const struct place *p, pid_t *server)
{
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	pid_t parent = fork();
	if (parent == 0) {
		struct pgchild_options o = {.data_dir = p->data, .lock_wait_ms = SOON};
		struct pgchild *c = pgchild_start(&o, NULL);
		if (!c)
			_exit(1);
		(void)add_one(pgchild_url(c));
		pid_t pid = pgchild_pid(c);
		if (write(pipe_fds[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		for (;;)
			pause();
	}
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], server, sizeof(*server)), sizeof(*server));
	close(pipe_fds[0]);
	return parent;
}

static void test_it_dies_with_a_killed_parent_and_the_next_one_takes_over(void **state)
{
	const struct place *p = *state;
	pid_t server, parent = start_elsewhere(p, &server);
	int64_t deadline = clock_mono_ms() + SOON;
	assert_int_equal(kill(parent, SIGKILL), 0);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	struct pgchild *c = must_start(p); /* at once: it waits for the end of the other's processes */
	assert_int_equal(add_one(pgchild_url(c)), 2);
	while (kill(server, 0) == 0) {
		assert_true(clock_mono_ms() < deadline);
		clock_sleep_ms(5);
	}
	pgchild_stop(c);
}

static void test_a_long_path_gets_a_short_socket(void **state)
{
	struct place *p = *state;
	snprintf(p->data, sizeof(p->data), "%s/%0120d", p->dir, 7);
	struct pgchild *c = must_start(p);
	assert_non_null(strstr(pgchild_url(c), "/sluice-"));
	assert_int_equal(add_one(pgchild_url(c)), 1);
	pgchild_stop(c);
	snprintf(p->data, sizeof(p->data), "%s/it's odd, this", p->dir);
	c = must_start(p);
	assert_int_equal(add_one(pgchild_url(c)), 1);
	pgchild_stop(c);
}

static void test_missing_programs_say_what_to_install(void **state)
{
	const struct place *p = *state;
	struct err err = {0};
	struct pgchild_options o = {.data_dir = p->data, .programs = "/nowhere"};
	assert_null(pgchild_start(&o, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);

	char command[900];
	snprintf(command, sizeof(command), "mkdir -p '%s/postgres/data' && echo 12 > '%s/postgres/data/PG_VERSION'", p->data, p->data);
	assert_int_equal(system(command), 0);
	o.programs = NULL;
	assert_null(pgchild_start(&o, &err));
	assert_non_null(strstr(err.text, "postgresql-12"));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_it_dies_with_a_killed_parent_and_the_next_one_takes_over), /* first: it forks */
		CASE(test_it_keeps_its_data),
		CASE(test_it_runs_as_promised),
		CASE(test_it_is_started_again_when_it_dies),
		CASE(test_it_can_be_stopped_at_any_time),
		CASE(test_a_long_path_gets_a_short_socket),
		CASE(test_missing_programs_say_what_to_install),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
