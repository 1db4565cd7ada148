/* lib/pg against a real PostgreSQL: answers, refusals, deadlines, transactions, COPY. All of it twice: directly, and through pgbouncer in transaction
 * mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/lock.h"
#include "lib/pg/pglink.h"
#include "lib/pg/pgtext.h"
#include "tests/unit/pg_server.h"

#define SOON 60000 /* generous: the machine may be busy */

struct world {
	struct pg_server server;
	struct pg_pooler pooler;
	const char *url; /* of one of them */
	struct pg *pg;
	struct pglink *link;
};

static int64_t in(int64_t ms)
{
	return clock_mono_ms() + ms;
}

/* A run that must succeed: one call, its rows. */
static struct pg_rows *ask(struct pglink *l, const struct pg_stmt *stmt, const struct pg_value *values)
{
	struct err err = {0};
	struct pg_rows *rows;
	const struct pg_call call = {stmt, values};
	if (pglink_run(l, &call, 1, in(SOON), &rows, &err) < 0)
		fail_msg("%s: %s", stmt->name, err.text);
	return rows;
}

static void tell(struct pglink *l, const struct pg_stmt *stmt, const struct pg_value *values)
{
	pg_rows_free(ask(l, stmt, values));
}

static int64_t ask_int(struct pglink *l, const struct pg_stmt *stmt, const struct pg_value *values)
{
	struct pg_rows *rows = ask(l, stmt, values);
	int64_t n = -1;
	assert_int_equal(pg_rows_count(rows), 1);
	assert_true(pg_int_at(rows, 0, 0, &n));
	pg_rows_free(rows);
	return n;
}

static struct pg *pool(const char *url, struct pg_options o)
{
	struct err err = {0};
	o.url = url;
	o.schema = PG_SCHEMA_IGNORE;
	struct pg *pg = pg_new(&o, &err);
	if (!pg)
		fail_msg("%s", err.text);
	return pg;
}

static struct pglink *open_link(struct pg *pg)
{
	struct err err = {0};
	struct pglink *l = pglink_new(pg, &err);
	if (!l || pglink_open(l, in(SOON), &err) < 0)
		fail_msg("%s", err.text);
	return l;
}

static int start_world(void **state, bool pooled)
{
	static struct world w;
	pg_server_start(&w.server);
	w.url = w.server.url;
	if (pooled) {
		pg_pooler_start(&w.pooler, &w.server);
		w.url = w.pooler.url;
	}
	w.pg = pool(w.url, (struct pg_options){0});
	w.link = open_link(w.pg);
	*state = &w;
	return 0;
}

static int start_direct(void **state)
{
	return start_world(state, false);
}

static int start_pooled(void **state)
{
	return start_world(state, true);
}

static int stop_world(void **state)
{
	struct world *w = *state;
	pglink_free(w->link);
	pg_free(w->pg);
	if (w->url == w->pooler.url)
		pg_pooler_stop(&w->pooler);
	pg_server_stop(&w->server);
	return 0;
}

/* ---- answers ---- */

static const struct pg_stmt ECHO = {"echo", "SELECT $1::text, $2::bigint, $3::boolean, $4::bytea, $5::text, octet_length($4::bytea)", 5};

static void test_values_come_back(void **state)
{
	const struct world *w = *state;
	const struct pg_value values[] = {pg_textz("ä \\ ' \" $1 %s"), pg_int(INT64_MIN), pg_bool(true), pg_bytes(STR("\0\1\xff")), pg_null()};
	for (int again = 0; again < 3; again++) {
		struct pg_rows *rows = ask(w->link, &ECHO, values);
		int64_t n;
		assert_int_equal(pg_rows_count(rows), 1);
		assert_true(str_is(pg_at(rows, 0, 0), "ä \\ ' \" $1 %s"));
		assert_true(pg_int_at(rows, 0, 1, &n) && n == INT64_MIN);
		assert_true(pg_bool_at(rows, 0, 2));
		assert_true(str_is(pg_at(rows, 0, 3), "\\x0001ff"));
		assert_null(pg_at(rows, 0, 4).p);
		assert_true(pg_int_at(rows, 0, 5, &n) && n == 3);
		assert_false(pg_int_at(rows, 0, 0, &n));
		pg_rows_free(rows);
	}
}

static const struct pg_stmt PREPARED = {"prepared", "SELECT count(*) FROM pg_prepared_statements WHERE name = $1", 1};

static void test_statements_are_prepared_once(void **state)
{
	const struct world *w = *state;
	const struct pg_value name = pg_textz("prepared");
	(void)ask_int(w->link, &PREPARED, &name);
	assert_int_equal(ask_int(w->link, &PREPARED, &name), w->url == w->server.url ? 1 : 0); /* behind a pooler: never */
}

static const struct pg_stmt FORGET = {"forget", "DEALLOCATE ALL", 0};

/* Several clients of a pooler share its connections: what one sets or locks must not be met by another. */
static void test_nothing_outlives_its_transaction(void **state)
{
	static const struct pg_stmt show = {"show_timeout", "SELECT count(*) FROM pg_settings WHERE name = 'statement_timeout' AND setting <> '0'", 0};
	static const struct pg_stmt plain = {"show_outside", "SELECT current_setting('statement_timeout')", 0};
	const struct world *w = *state;
	struct pglink *others[4];
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		others[i] = open_link(w->pg);
	for (int round = 0; round < 5; round++)
		for (size_t i = 0; i < ARRAY_LEN(others); i++)
			assert_int_equal(ask_int(others[i], &show, NULL), 1);
	const struct pg_call call = {&plain, NULL};
	struct pg_rows *rows;
	struct err err = {0};
	assert_int_equal(pglink_run(others[0], &call, 1, INT64_MAX, &rows, &err), 0);
	assert_true(str_is(pg_at(rows, 0, 0), "0"));
	pg_rows_free(rows);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		pglink_free(others[i]);
}

/* What a pooler in transaction mode does behind our back. */
static void test_forgotten_statements_are_sent_whole(void **state)
{
	const struct world *w = *state;
	struct pg *pg = pool(w->url, (struct pg_options){0});
	struct pglink *l = open_link(pg);
	const struct pg_value name = pg_textz("prepared");
	(void)ask_int(l, &PREPARED, &name);
	tell(l, &FORGET, NULL);
	assert_int_equal(ask_int(l, &PREPARED, &name), 0);
	assert_int_equal(ask_int(l, &PREPARED, &name), 0);
	pglink_free(l);
	pg_free(pg);
}

/* Each must arrive as the text that it is. */
static const char *const injections[] = {
	"'; DROP TABLE items; --", "' OR '1'='1", "\\'; SELECT pg_sleep(10); --", "$1", "$$; DROP SCHEMA sluice CASCADE; $$", "1); DELETE FROM items; --",
	"%s%n%x", "/* */ UNION SELECT 1 --", "\\x27 OR 1=1", "\xef\xbc\x87 OR 1=1", "admin'--", "\\.", "\\N", "\t\n\r\b\f\v", "{\"a\":1},{}", "NULL", "",
	"\"", "\\", "{", "}", ",", "a,b", "{a,b}", "\"NULL\"", " lead and trail ", "\xf0\x9f\x98\x80", "\x7f\x01",
};

static const struct pg_stmt SAY = {"say", "SELECT $1::text", 1};
static const struct pg_stmt SAY_ALL = {"say_all", "SELECT t FROM unnest($1::text[]) WITH ORDINALITY AS u(t, i) ORDER BY i", 1};

static void test_text_is_only_text(void **state)
{
	const struct world *w = *state;
	struct pgarray all = PGARRAY_INIT;
	for (size_t i = 0; i < ARRAY_LEN(injections); i++) {
		const struct pg_value value = pg_textz(injections[i]);
		struct pg_rows *rows = ask(w->link, &SAY, &value);
		assert_true(str_is(pg_at(rows, 0, 0), injections[i]));
		pg_rows_free(rows);
		pgarray_text(&all, str_from(injections[i]));
	}
	pgarray_null(&all);
	pgarray_end(&all);
	assert_false(all.out.failed);
	const struct pg_value list = pg_text(buf_str(&all.out));
	struct pg_rows *rows = ask(w->link, &SAY_ALL, &list);
	assert_int_equal(pg_rows_count(rows), ARRAY_LEN(injections) + 1);
	for (size_t i = 0; i < ARRAY_LEN(injections); i++)
		assert_true(str_is(pg_at(rows, (int)i, 0), injections[i]));
	assert_null(pg_at(rows, (int)ARRAY_LEN(injections), 0).p);
	pg_rows_free(rows);
	pgarray_release(&all);
}

static void test_empty_array(void **state)
{
	const struct world *w = *state;
	struct pgarray none = PGARRAY_INIT;
	pgarray_end(&none);
	const struct pg_value list = pg_text(buf_str(&none.out));
	struct pg_rows *rows = ask(w->link, &SAY_ALL, &list);
	assert_int_equal(pg_rows_count(rows), 0);
	pg_rows_free(rows);
	pgarray_release(&none);
}

/* ---- refusals ---- */

static const struct pg_stmt MAKE = {"make_items",
				    "CREATE TABLE items (id bigint, t text, b bytea, f boolean, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)", 0};
static const struct pg_stmt DROP = {"drop_items", "DROP TABLE IF EXISTS items", 0};
static const struct pg_stmt ADD = {"add_item", "INSERT INTO items (id, t) VALUES ($1, $2)", 2};
static const struct pg_stmt COUNT = {"count_items", "SELECT count(*) FROM items", 0};
static const struct pg_stmt DIVIDE = {"divide", "SELECT 1 / $1::int", 1};

static int make_items(void **state)
{
	const struct world *w = *state;
	tell(w->link, &DROP, NULL);
	tell(w->link, &MAKE, NULL);
	return 0;
}

static void test_bad_parameters_are_not_sent(void **state)
{
	const struct world *w = *state;
	const struct pg_value bad[] = {pg_text(STR("a\0b")), pg_text(STR("\xff")), pg_text(STR("\xed\xa0\x80"))};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = {0};
		const struct pg_call call = {&SAY, &bad[i]};
		assert_int_equal(pglink_run(w->link, &call, 1, in(SOON), NULL, &err), ERR_INVALID);
	}
	const struct pg_value good = pg_textz("good");
	tell(w->link, &SAY, &good);
}

static void test_all_calls_or_none(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	struct pg_rows *rows[3];
	const struct pg_value item[] = {pg_int(1), pg_textz("one")}, zero = pg_int(0);
	const struct pg_call bad[] = {{&ADD, item}, {&DIVIDE, &zero}, {&ADD, item}};
	assert_int_equal(pglink_run(w->link, bad, ARRAY_LEN(bad), in(SOON), rows, &err), ERR_REPLY);
	assert_string_equal(pglink_sqlstate(w->link), "22012");
	assert_non_null(strstr(err.text, "division by zero"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_null(rows[i]);
	assert_int_equal(ask_int(w->link, &COUNT, NULL), 0);
	const struct pg_call good[] = {{&ADD, item}, {&COUNT, NULL}};
	int64_t n;
	assert_int_equal(pglink_run(w->link, good, ARRAY_LEN(good), in(SOON), rows, &err), 0);
	assert_int_equal(pg_rows_affected(rows[0]), 1);
	assert_true(pg_int_at(rows[1], 0, 0, &n) && n == 1);
	pg_rows_free(rows[0]);
	pg_rows_free(rows[1]);
}

/* Refused when the transaction ends, after every call was answered. */
static void test_refused_at_the_end(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	struct pg_rows *rows[2];
	const struct pg_value item[] = {pg_int(1), pg_textz("one")};
	const struct pg_call twice[] = {{&ADD, item}, {&ADD, item}};
	assert_int_equal(pglink_run(w->link, twice, ARRAY_LEN(twice), in(SOON), rows, &err), ERR_REPLY);
	assert_string_equal(pglink_sqlstate(w->link), "23505");
	assert_int_equal(ask_int(w->link, &COUNT, NULL), 0);
}

/* ---- deadlines ---- */

static const struct pg_stmt SLEEP = {"sleep", "SELECT pg_sleep($1)", 1};

static void test_the_server_gives_up_in_time(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	const struct pg_value s = pg_int(600);
	const struct pg_call call = {&SLEEP, &s};
	for (int again = 0; again < 2; again++) {
		int rc = pglink_run(w->link, &call, 1, in(300), NULL, &err);
		if (rc != ERR_TIMEOUT)
			fail_msg("%d: %s", rc, err.text);
	}
	assert_int_equal(pglink_run(w->link, &call, 1, in(-1), NULL, &err), ERR_TIMEOUT);
	/* A busy machine may have let the grace pass: then the link was closed. */
	if (!pglink_is_open(w->link))
		assert_int_equal(pglink_open(w->link, in(SOON), &err), 0);
	const struct pg_value text = pg_textz("still here");
	tell(w->link, &SAY, &text);
}

/* ---- transactions ---- */

struct work {
	int runs;
	int rc;
};

static int add_two(struct pglink *l, void *arg, int64_t deadline, struct err *err)
{
	struct work *work = arg;
	work->runs++;
	for (int i = 0; i < 2; i++) {
		const struct pg_value item[] = {pg_int(10 * work->runs + i), pg_textz("x")};
		const struct pg_call call = {&ADD, item};
		int rc = pglink_run(l, &call, 1, deadline, NULL, err);
		if (rc < 0)
			return rc;
	}
	return work->rc < 0 ? err_set(err, work->rc, "the work failed") : 0;
}

static void test_transactions(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	struct work bad = {.rc = ERR_LIMIT}, good = {0};
	assert_int_equal(pglink_transact(w->link, add_two, &bad, in(SOON), &err), ERR_LIMIT);
	assert_string_equal(err.text, "the work failed");
	assert_int_equal(ask_int(w->link, &COUNT, NULL), 0);
	assert_int_equal(pglink_transact(w->link, add_two, &good, in(SOON), &err), 0);
	assert_int_equal(ask_int(w->link, &COUNT, NULL), 2);
}

static const struct pg_stmt RAISE = {"raise", "SELECT raise_state($1)", 1};
static const struct pg_stmt MAKE_RAISE = {"make_raise",
					  "CREATE OR REPLACE FUNCTION raise_state(s text) RETURNS void LANGUAGE plpgsql AS $$ "
					  "BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = s; END $$",
					  0};

static int fail_twice(struct pglink *l, void *arg, int64_t deadline, struct err *err)
{
	struct work *work = arg;
	const struct pg_value why = pg_textz("40P01");
	const struct pg_call call = {&RAISE, &why};
	return ++work->runs > 2 ? 0 : pglink_run(l, &call, 1, deadline, NULL, err);
}

static int ignore_refusal(struct pglink *l, void *arg, int64_t deadline, struct err *err)
{
	struct work *work = arg;
	const struct pg_value zero = pg_int(0);
	const struct pg_call call = {&DIVIDE, &zero};
	assert_int_equal(pglink_run(l, &call, 1, deadline, NULL, err), ERR_REPLY);
	return work->rc;
}

static void test_transactions_run_again(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	struct work work = {0};
	tell(w->link, &MAKE_RAISE, NULL);
	assert_int_equal(pglink_transact(w->link, fail_twice, &work, in(SOON), &err), 0);
	assert_int_equal(work.runs, 3);
	/* A refusal that the work passed over must not be taken for success. */
	assert_int_equal(pglink_transact(w->link, ignore_refusal, &work, in(SOON), &err), ERR_REPLY);
}

/* ---- COPY ---- */

static const struct pg_stmt COPY = {"copy_items", "COPY items (id, t, b, f) FROM STDIN", 0};
static const struct pg_stmt BYTES = {"bytes_item", "SELECT b, t, f FROM items WHERE id = $1", 1};

static void test_copy_keeps_every_byte(void **state)
{
	const struct world *w = *state;
	struct pgcopy rows = PGCOPY_INIT;
	struct err err = {0};
	char bytes[256];
	int64_t copied = 0;
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	for (int i = 0; i < 256; i++) { /* every byte alone, and every ASCII character between two others */
		char text[] = {'a', (char)i, 'z', '\0'};
		pgcopy_int(&rows, i);
		pgcopy_text(&rows, i > 0 && i < 128 ? str_from(text) : STR_NONE);
		pgcopy_bytes(&rows, (struct str){&bytes[i], 1});
		pgcopy_bool(&rows, i % 2);
		pgcopy_end_row(&rows);
	}
	pgcopy_int(&rows, 1000);
	pgcopy_null(&rows);
	pgcopy_bytes(&rows, (struct str){bytes, sizeof(bytes)});
	pgcopy_null(&rows);
	pgcopy_end_row(&rows);
	assert_false(rows.out.failed);
	if (pglink_copy(w->link, &COPY, buf_str(&rows.out), in(SOON), &copied, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(copied, 257);
	for (int i = 0; i < 256; i++) {
		char hex[8], text[] = {'a', (char)i, 'z', '\0'};
		const struct pg_value id = pg_int(i);
		struct pg_rows *r = ask(w->link, &BYTES, &id);
		snprintf(hex, sizeof(hex), "\\x%02x", (unsigned)i);
		assert_true(str_is(pg_at(r, 0, 0), hex));
		assert_true(i > 0 && i < 128 ? str_is(pg_at(r, 0, 1), text) : !pg_at(r, 0, 1).p);
		assert_int_equal(pg_bool_at(r, 0, 2), i % 2);
		pg_rows_free(r);
	}
	pgcopy_release(&rows);
}

static void test_copy_keeps_awkward_text(void **state)
{
	const struct world *w = *state;
	struct pgcopy rows = PGCOPY_INIT;
	struct err err = {0};
	for (size_t i = 0; i < ARRAY_LEN(injections); i++) {
		pgcopy_int(&rows, (int64_t)i);
		pgcopy_text(&rows, str_from(injections[i]));
		pgcopy_null(&rows);
		pgcopy_null(&rows);
		pgcopy_end_row(&rows);
	}
	assert_false(rows.out.failed);
	assert_int_equal(rows.rows, ARRAY_LEN(injections));
	assert_int_equal(pglink_copy(w->link, &COPY, buf_str(&rows.out), in(SOON), NULL, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(injections); i++) {
		const struct pg_value id = pg_int((int64_t)i);
		struct pg_rows *r = ask(w->link, &BYTES, &id);
		assert_true(str_is(pg_at(r, 0, 1), injections[i]));
		pg_rows_free(r);
	}
	pgcopy_text(&rows, STR("a\0b"));
	assert_true(rows.out.failed && rows.refused);
	pgcopy_release(&rows);
}

static void test_refused_copy_leaves_nothing(void **state)
{
	const struct world *w = *state;
	struct err err = {0};
	static const struct pg_stmt nowhere = {"copy_nowhere", "COPY nowhere FROM STDIN", 0}, none = {"copy_none", "SELECT 1", 0};
	assert_int_equal(pglink_copy(w->link, &COPY, STR("1\tgood\t\\N\t\\N\nnonsense\tx\t\\N\t\\N\n"), in(SOON), NULL, &err), ERR_REPLY);
	assert_string_equal(pglink_sqlstate(w->link), "22P02");
	assert_int_equal(pglink_copy(w->link, &nowhere, STR("1\n"), in(SOON), NULL, &err), ERR_REPLY);
	assert_int_equal(pglink_copy(w->link, &none, STR("1\n"), in(SOON), NULL, &err), ERR_REPLY);
	assert_true(pglink_is_open(w->link));
	assert_int_equal(ask_int(w->link, &COUNT, NULL), 0);
}

/* Larger than the socket's buffers, so that sending has to wait for the server. */
static void test_much_goes_both_ways(void **state)
{
	const struct world *w = *state;
	struct pgcopy rows = PGCOPY_INIT;
	struct buf big = BUF_INIT;
	struct err err = {0};
	int64_t copied = 0;
	for (int i = 0; i < 100000; i++) {
		pgcopy_int(&rows, i);
		pgcopy_text(&rows, STR("a row of some length that is not escaped"));
		pgcopy_null(&rows);
		pgcopy_null(&rows);
		pgcopy_end_row(&rows);
		buf_addz(&big, "0123456789abcdef0123456789abcdef");
	}
	assert_int_equal(pglink_copy(w->link, &COPY, buf_str(&rows.out), in(SOON), &copied, &err), 0);
	assert_int_equal(copied, 100000);
	const struct pg_value value = pg_text(buf_str(&big));
	const struct pg_call calls[] = {{&SAY, &value}, {&SAY, &value}, {&SAY, &value}, {&SAY, &value}};
	struct pg_rows *answers[ARRAY_LEN(calls)];
	assert_int_equal(pglink_run(w->link, calls, ARRAY_LEN(calls), in(SOON), answers, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		assert_true(str_eq(pg_at(answers[i], 0, 0), buf_str(&big)));
		pg_rows_free(answers[i]);
	}
	buf_release(&big);
	pgcopy_release(&rows);
}

/* ---- addresses ---- */

static void test_bad_addresses(void **state)
{
	(void)state;
	struct err err = {0};
	static const char *const urls[] = {
		"postgresql://user:swordfish@host:port:5/x?nonsense=1",
		"postgresql://user:swordfish/1@127.0.0.1:1/x", /* libpq: port swordfish */
		"postgres://user:1@swordfish@127.0.0.1:1/x",   /* libpq: host swordfish@… */
		"postgresql://user@swordfish:1@127.0.0.1:1/x?sslmode=disable",
	};
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct pg_options o = {.url = urls[i]};
		assert_null(pg_new(&o, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_null(strstr(err.text, "swordfish"));
	}
}

static void test_good_addresses(void **state)
{
	(void)state;
	struct err err = {0};
	static const char *const urls[] = {
		"postgresql://user:a%2Fb%40c@127.0.0.1:1/x?host=@abstract&options=a/b",
		"postgresql://user:p@[::1]:1,127.0.0.1:2/x",
		"postgresql:///x?user=a@b",
		"host=/tmp/a@b port=1 password='a/b@c@d'",
	};
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct pg_options o = {.url = urls[i]};
		struct pg *pg = pg_new(&o, &err);
		assert_non_null(pg);
		pg_free(pg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_come_back),
		cmocka_unit_test(test_statements_are_prepared_once),
		cmocka_unit_test(test_nothing_outlives_its_transaction),
		cmocka_unit_test(test_forgotten_statements_are_sent_whole),
		cmocka_unit_test(test_text_is_only_text),
		cmocka_unit_test(test_empty_array),
		cmocka_unit_test_setup(test_bad_parameters_are_not_sent, make_items),
		cmocka_unit_test_setup(test_all_calls_or_none, make_items),
		cmocka_unit_test_setup(test_refused_at_the_end, make_items),
		cmocka_unit_test(test_the_server_gives_up_in_time),
		cmocka_unit_test_setup(test_transactions, make_items),
		cmocka_unit_test_setup(test_transactions_run_again, make_items),
		cmocka_unit_test_setup(test_copy_keeps_every_byte, make_items),
		cmocka_unit_test_setup(test_copy_keeps_awkward_text, make_items),
		cmocka_unit_test_setup(test_refused_copy_leaves_nothing, make_items),
		cmocka_unit_test_setup(test_much_goes_both_ways, make_items),
		cmocka_unit_test(test_bad_addresses),
		cmocka_unit_test(test_good_addresses),
	};
	int direct = cmocka_run_group_tests_name("direct", tests, start_direct, stop_world);
	return direct + cmocka_run_group_tests_name("pooled", tests, start_pooled, stop_world);
}
