/* lib/pg/pgmigrate: from nothing, from every earlier version, by several at once; and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/lock.h"
#include "lib/pg/pgmigrate.h"
#include "tests/unit/pg_server.h"

#define SOON 60000

struct world {
	struct pg_server server;
	struct pg *pg;
	struct pglink *link;
};

static int64_t in(int64_t ms)
{
	return clock_mono_ms() + ms;
}

static struct pg *pool(const char *url, enum pg_schema schema, const struct pgmigrations *m)
{
	struct err err = {0};
	struct pg_options o = {.url = url, .schema = schema, .migrations = m};
	struct pg *pg = pg_new(&o, &err);
	if (!pg)
		fail_msg("%s", err.text);
	return pg;
}

static int start_world(void **state)
{
	static struct world w;
	struct err err = {0};
	pg_server_start(&w.server);
	w.pg = pool(w.server.url, PG_SCHEMA_IGNORE, NULL);
	w.link = pglink_new(w.pg, &err);
	assert_int_equal(pglink_open(w.link, in(SOON), &err), 0);
	*state = &w;
	return 0;
}

static int stop_world(void **state)
{
	struct world *w = *state;
	pglink_free(w->link);
	pg_free(w->pg);
	pg_server_stop(&w->server);
	return 0;
}

static struct pg_rows *ask(struct pglink *l, const struct pg_stmt *stmt)
{
	struct err err = {0};
	struct pg_rows *rows;
	const struct pg_call call = {stmt, NULL};
	if (pglink_run(l, &call, 1, in(SOON), &rows, &err) < 0)
		fail_msg("%s: %s", stmt->name, err.text);
	return rows;
}

static int empty(void **state)
{
	static const struct pg_stmt drop = {"drop_schema", "DROP SCHEMA IF EXISTS sluice CASCADE", 0};
	const struct world *w = *state;
	pg_rows_free(ask(w->link, &drop));
	return 0;
}

/* ---- migrations of the test's own, on top of the program's first ---- */

static struct pgmigration items[4];
static struct pgmigrations mine = {items, ARRAY_LEN(items)};

static int make_mine(void **state)
{
	items[0] = PGMIGRATIONS.items[0];
	items[1] = (struct pgmigration){2, "second", "CREATE TABLE sluice.second (n int); -- two statements\nINSERT INTO sluice.second VALUES (2);"};
	items[2] = (struct pgmigration){3, "third", "UPDATE sluice.second SET n = n + 1; ALTER TABLE sluice.second ADD COLUMN m int NOT NULL DEFAULT 7;"};
	items[3] = (struct pgmigration){4, "fourth", "INSERT INTO sluice.second VALUES (4, 4);"};
	mine.n = ARRAY_LEN(items);
	return empty(state);
}

struct seen {
	int n, applied;
};

static void see(void *arg, const struct pgmigrate_row *row)
{
	struct seen *s = arg;
	assert_int_equal(row->version, s->n + 1);
	s->n++;
	s->applied += row->state == PGMIGRATE_APPLIED;
	assert_true((row->state == PGMIGRATE_APPLIED) == (row->applied_at[0] != '\0'));
}

static int apply(const struct world *w, const struct pgmigrations *m, struct err *err)
{
	return pgmigrate_apply(w->link, m, NULL, NULL, in(SOON), err);
}

static int64_t sum(const struct world *w)
{
	static const struct pg_stmt stmt = {"sum", "SELECT sum(n) + sum(m) FROM sluice.second", 0};
	int64_t n = 0;
	struct pg_rows *rows = ask(w->link, &stmt);
	assert_true(pg_int_at(rows, 0, 0, &n));
	pg_rows_free(rows);
	return n;
}

/* The program's own, as a fresh installation gets them; and again: nothing to do. */
static void test_the_programs_own(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	struct seen seen = {0};
	int n = (int)PGMIGRATIONS.n;
	assert_int_equal(pgmigrate_status(w->link, &PGMIGRATIONS, see, &seen, in(SOON), &err), n);
	assert_int_equal(seen.n, n);
	assert_int_equal(seen.applied, 0);
	int rc = apply(w, &PGMIGRATIONS, &err);
	if (rc < 0)
		fail_msg("%s", err.text);
	assert_int_equal(rc, n);
	assert_int_equal(apply(w, &PGMIGRATIONS, &err), 0);
	seen = (struct seen){0};
	assert_int_equal(pgmigrate_status(w->link, &PGMIGRATIONS, see, &seen, in(SOON), &err), 0);
	assert_int_equal(seen.applied, n);
}

/* Everything there is in the schema, as one text. */
static void describe(const struct world *w, char out[65])
{
	static const struct pg_stmt stmt = {
		"describe",
		"SELECT encode(sha256(convert_to(string_agg(line, E'\\n' ORDER BY line), 'UTF8')), 'hex') FROM ("
		"SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) AS line "
		"FROM information_schema.columns WHERE table_schema = 'sluice' "
		"UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'sluice' "
		"UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'sluice'::regnamespace) AS lines",
		0};
	struct pg_rows *rows = ask(w->link, &stmt);
	snprintf(out, 65, "%.*s", STR_ARG(pg_at(rows, 0, 0)));
	pg_rows_free(rows);
}

/* A database left at any version by an earlier program ends where a fresh one does. */
static void test_the_programs_own_from_each_version(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	char fresh[65], grown[65];
	assert_int_equal(apply(w, &PGMIGRATIONS, &err), (int)PGMIGRATIONS.n);
	describe(w, fresh);
	for (size_t from = 1; from < PGMIGRATIONS.n; from++) {
		const struct pgmigrations earlier = {PGMIGRATIONS.items, from};
		empty(state);
		assert_int_equal(apply(w, &earlier, &err), (int)from);
		assert_int_equal(apply(w, &PGMIGRATIONS, &err), (int)(PGMIGRATIONS.n - from));
		describe(w, grown);
		assert_string_equal(grown, fresh);
	}
}

static void test_each_is_applied_once_and_in_order(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	for (mine.n = 1; mine.n <= ARRAY_LEN(items); mine.n++)
		assert_int_equal(apply(w, &mine, &err), 1);
	assert_int_equal(sum(w), 3 + 7 + 4 + 4);
}

static void test_a_failing_one_leaves_nothing_of_itself(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	struct seen seen = {0};
	items[2].sql = "UPDATE sluice.second SET n = 100; SELECT 1 / 0;";
	assert_int_equal(apply(w, &mine, &err), ERR_REPLY);
	assert_non_null(strstr(err.text, "migration 3 (third)"));
	assert_int_equal(pgmigrate_status(w->link, &mine, see, &seen, in(SOON), &err), 2);
	assert_int_equal(seen.applied, 2);
	items[2].sql = "COMMIT; SELECT 1;"; /* would leave its transaction, and the lock */
	assert_int_equal(apply(w, &mine, &err), ERR_REPLY);
	if (!pglink_is_open(w->link))
		assert_int_equal(pglink_open(w->link, in(SOON), &err), 0);
	items[2].sql = "ALTER TABLE sluice.second ADD COLUMN m int DEFAULT 1";
	assert_int_equal(apply(w, &mine, &err), 2);
	assert_int_equal(sum(w), 2 + 1 + 4 + 4);
}

static void test_other_texts_and_newer_databases_are_refused(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	assert_int_equal(apply(w, &mine, &err), 4);
	items[1].sql = "CREATE TABLE sluice.other ()";
	assert_int_equal(apply(w, &mine, &err), ERR_WRONG_STATE);
	assert_non_null(strstr(err.text, "migration 2 (second)"));
	make_mine(state);
	assert_int_equal(apply(w, &mine, &err), 4);
	mine.n = 3;
	assert_int_equal(apply(w, &mine, &err), ERR_WRONG_STATE);
	assert_non_null(strstr(err.text, "newer program"));

	/* The pool stays down and says why; so it does when it may only look. */
	for (int demand = 0; demand < 2; demand++) {
		if (demand)
			make_mine(state);
		struct pg *pg = pool(w->server.url, demand ? PG_SCHEMA_DEMAND : PG_SCHEMA_MIGRATE, &mine);
		struct pg_state s = {0};
		assert_int_equal(pg_start(pg, &err), 0);
		for (int64_t deadline = in(SOON); !strstr(s.why.text, demand ? "sluice migrate" : "newer program"); pg_state(pg, &s))
			assert_true(clock_mono_ms() < deadline);
		assert_false(s.up);
		pg_stop(pg);
		pg_free(pg);
	}
}

static void test_a_role_without_rights_runs_on_a_finished_schema(void **state)
{
	static const struct pg_stmt role = {"make_role",
					    "DO $$ BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$", 0};
	static const struct pg_stmt usage = {"grant_usage", "GRANT USAGE ON SCHEMA sluice TO plain", 0};
	static const struct pg_stmt select = {"grant_select", "GRANT SELECT ON ALL TABLES IN SCHEMA sluice TO plain", 0};
	const struct world *w = *state;
	struct err err = {0};
	char url[200];
	assert_int_equal(apply(w, &mine, &err), 4);
	pg_rows_free(ask(w->link, &role));
	pg_rows_free(ask(w->link, &usage));
	pg_rows_free(ask(w->link, &select));
	snprintf(url, sizeof(url), "postgresql://plain@/postgres?host=%s", w->server.dir);
	struct pg *pg = pool(url, PG_SCHEMA_MIGRATE, &mine);
	assert_int_equal(pg_start(pg, &err), 0);
	assert_true(pg_wait_up(pg, in(SOON)));
	pg_stop(pg);
	pg_free(pg);
}

struct racer {
	struct thread thread;
	struct pg *pg;
	int applied;
	struct err err;
};

static void race(void *arg)
{
	struct racer *r = arg;
	struct pglink *l = pglink_new(r->pg, &r->err);
	r->applied = pglink_open(l, in(SOON), &r->err);
	if (r->applied == 0)
		r->applied = pgmigrate_apply(l, &mine, NULL, NULL, in(SOON), &r->err);
	pglink_free(l);
}

static void test_of_several_at_once_one_does_each(void **state)
{
	const struct world *w = *state;
	struct pg_pooler pooler;
	pg_pooler_start(&pooler, &w->server);
	for (int pooled = 0; pooled < 2; pooled++) {
		struct racer racers[6] = {0};
		int applied = 0;
		make_mine(state);
		for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
			racers[i].pg = pool(pooled ? pooler.url : w->server.url, PG_SCHEMA_IGNORE, NULL);
			assert_int_equal(thread_start(&racers[i].thread, "racer", race, &racers[i]), 0);
		}
		for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
			thread_join(&racers[i].thread);
			if (racers[i].applied < 0)
				fail_msg("%s", racers[i].err.text);
			applied += racers[i].applied;
			pg_free(racers[i].pg);
		}
		assert_int_equal(applied, 4);
		assert_int_equal(sum(w), 3 + 7 + 4 + 4);
	}
	pg_pooler_stop(&pooler);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_the_programs_own, empty),
		cmocka_unit_test_setup(test_the_programs_own_from_each_version, empty),
		cmocka_unit_test_setup(test_each_is_applied_once_and_in_order, make_mine),
		cmocka_unit_test_setup(test_a_failing_one_leaves_nothing_of_itself, make_mine),
		cmocka_unit_test_setup(test_other_texts_and_newer_databases_are_refused, make_mine),
		cmocka_unit_test_setup(test_a_role_without_rights_runs_on_a_finished_schema, make_mine),
		cmocka_unit_test_setup(test_of_several_at_once_one_does_each, make_mine),
	};
	return cmocka_run_group_tests(tests, start_world, stop_world);
}
