/* Rows of records: what of a job gets into them, and failures that count as one. No server is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/records/fingerprint.h"
#include "lib/records/row.h"

#define CREATED 1795000000000
#define START 1795000001000
#define END 1795000002000

static struct arena arena;

static int open_arena(void **state UNUSED)
{
	arena_init(&arena, 0);
	return 0;
}

static int close_arena(void **state UNUSED)
{
	arena_release(&arena);
	return 0;
}

static const struct records_policy EVERYTHING = {.data.all = true, .result.all = true, .days = 30};

static struct bq_entry an_end(enum bq_state state)
{
	struct bq_entry e = {.kind = BQ_ENTRY_END, .at_ms = END, .data_bytes = -1, .result_bytes = -1};

	bq_opts_init(&e.job.opts);
	e.job.id = STR("17");
	e.job.name = STR("send");
	e.job.data = STR("{\"user\":\"ann\",\"n\":1.50,\"deep\":{\"x\":1},\"ok\":true,\"none\":null}");
	e.job.processed_by = STR("w1");
	e.job.timestamp = CREATED;
	e.job.processed_on = START;
	e.job.finished_on = END;
	e.job.attempts_made = 1;
	e.job.state = state;
	if (state == BQ_COMPLETED)
		e.job.returnvalue = STR("{\"sent\":2,\"to\":\"a@b.c\"}");
	else
		e.job.failed_reason = STR("SMTP_DOWN: no answer from 10.0.0.7:25 in 1500 ms");
	return e;
}

static struct record_row row_of(const struct bq_entry *e, const struct records_policy *policy)
{
	struct record_row row;

	assert_int_equal(record_row_make(&row, e, policy, &arena), 0);
	return row;
}

#define assert_text(s, expected) \
	do { \
		struct str got_ = (s); \
		if (!str_is(got_, expected)) \
			fail_msg("%.*s is not %s", (int)got_.n, got_.p ? got_.p : "", expected); \
	} while (0)

static void an_end_becomes_a_row(void **state UNUSED)
{
	struct bq_entry e = an_end(BQ_COMPLETED);

	e.logs = STR("[\"a\",\"b\\u0007\"]");
	struct record_row row = row_of(&e, &EVERYTHING);
	assert_text(row.state, "completed");
	assert_text(row.org, "default");
	assert_text(row.data, "{\"user\":\"ann\",\"n\":1.50,\"deep\":{\"x\":1},\"ok\":true,\"none\":null}");
	assert_text(row.fields, "{\"user\":\"ann\",\"n\":1.50,\"ok\":true}");
	assert_text(row.returnvalue, "{\"sent\":2,\"to\":\"a@b.c\"}");
	assert_text(row.attempts, "{\"1795000001000\":{\"end\":1795000002000,\"worker\":\"w1\"}}");
	assert_text(row.logs, "[\"a\",\"b\\u0007\"]");
	assert_int_equal(row.created_ms, CREATED);
	assert_int_equal(row.at_ms, END);
	assert_true(row.first);
	assert_true(record_row_is_whole(&row));
	assert_null(row.fingerprint.p);
}

static void a_failure_has_a_fingerprint(void **state UNUSED)
{
	struct bq_entry e = an_end(BQ_FAILED);
	struct record_row row = row_of(&e, &EVERYTHING);

	assert_text(row.state, "failed");
	assert_text(row.fingerprint, "SMTP_DOWN: no answer from # in # ms");
	assert_text(row.attempts, "{\"1795000001000\":{\"end\":1795000002000,\"worker\":\"w1\",\"error\":\"SMTP_DOWN: no answer from 10.0.0.7:25 in 1500 ms\"}}");
	assert_null(row.returnvalue.p);
}

static void an_attempt_ends_nothing(void **state UNUSED)
{
	struct bq_entry e = an_end(BQ_FAILED);

	e.kind = BQ_ENTRY_ATTEMPT;
	e.job.state = BQ_STATE_UNKNOWN;
	e.job.data = STR_NONE;
	e.job.finished_on = -1;
	struct record_row row = row_of(&e, &EVERYTHING);
	assert_text(row.state, "pending");
	assert_int_equal(row.finished_ms, -1);
	assert_null(row.failed_reason.p);
	assert_false(row.first);
	assert_false(record_row_is_whole(&row));
	assert_true(row.attempts.n > 2);
}

static void only_what_the_policy_names_is_kept(void **state UNUSED)
{
	static const struct str names[] = {{"n", 1}, {"deep", 4}};
	const struct records_policy some = {.data = {.names = names, .n_names = 2}, .result = {0}, .days = 30};
	struct bq_entry e = an_end(BQ_COMPLETED);
	struct record_row row = row_of(&e, &some);

	assert_text(row.data, "{\"n\":1.50,\"deep\":{\"x\":1}}");
	assert_text(row.fields, "{\"n\":1.50}");
	assert_null(row.returnvalue.p);
	e.job.data = STR("[\"user\",\"ann\"]"); /* no object: nothing of it is named */
	row = row_of(&e, &some);
	assert_null(row.data.p);
	assert_null(row.fields.p);
	e.job.data = STR("not JSON");
	row = row_of(&e, &some);
	assert_null(row.data.p);
}

static void what_postgresql_cannot_hold_is_replaced(void **state UNUSED)
{
	struct bq_entry e = an_end(BQ_FAILED);

	e.job.id = (struct str){"a\0b", 3};
	e.job.data = STR("caf\xe9");
	e.job.failed_reason = STR("\xff\xfe!");
	e.job.opts_json = (struct str){"{\"x\":\"\0\"}", 9};
	e.logs = STR("[\"\xc3\x28\"]");
	struct record_row row = row_of(&e, &EVERYTHING);
	assert_text(row.job_id, "a\xef\xbf\xbd" "b");
	assert_text(row.data, "caf\xef\xbf\xbd");
	assert_text(row.failed_reason, "\xef\xbf\xbd\xef\xbf\xbd!");
	assert_true(str_is_utf8(row.opts) && !memchr(row.opts.p, 0, row.opts.n));
	assert_text(row.logs, "[\"\xef\xbf\xbd(\"]");
	assert_true(str_is_utf8(row.attempts));
}

static void members_to_search_by_are_few_and_short(void **state UNUSED)
{
	struct buf data = BUF_INIT;
	struct bq_entry e = an_end(BQ_COMPLETED);

	buf_addz(&data, "{\"long\":\"");
	for (int i = 0; i < RECORD_FIELD_MAX_BYTES + 1; i++)
		buf_addc(&data, 'x');
	buf_addc(&data, '"');
	for (int i = 0; i < 100; i++)
		buf_addf(&data, ",\"m%d\":%d", i, i);
	buf_addc(&data, '}');
	e.job.data = buf_str(&data);
	struct record_row row = row_of(&e, &EVERYTHING);
	assert_true(str_starts(row.fields, STR("{\"m0\":0,")));
	assert_true(str_ends(row.fields, STR(",\"m31\":31}")));
	e.job.data = STR("{\"a\":[1],\"b\":{}}");
	row = row_of(&e, &EVERYTHING);
	assert_null(row.fields.p);
	buf_release(&data);
}

static void what_no_index_takes_is_cut_or_left_out(void **state UNUSED)
{
	static char text[RECORD_ID_MAX_BYTES + 2];
	struct bq_entry e = an_end(BQ_COMPLETED);
	struct record_row row;

	memset(text, 'x', sizeof(text));
	memcpy(text + RECORD_NAME_MAX_BYTES - 1, "\xc3\xa4", 2); /* the bound is inside a character */
	e.job.name = e.job.opts.org = (struct str){text, sizeof(text)};
	row = row_of(&e, &EVERYTHING);
	assert_int_equal(row.name.n, RECORD_NAME_MAX_BYTES - 1);
	assert_int_equal(row.org.n, RECORD_NAME_MAX_BYTES - 1);
	e.job.id = (struct str){text, RECORD_ID_MAX_BYTES};
	assert_int_equal(row_of(&e, &EVERYTHING).job_id.n, RECORD_ID_MAX_BYTES);
	e.job.id.n++;
	assert_int_equal(record_row_make(&row, &e, &EVERYTHING, &arena), ERR_LIMIT);
}

static void numbers_that_jsonb_cannot_hold_are_not_searched_by(void **state UNUSED)
{
	struct bq_entry e = an_end(BQ_COMPLETED);

	e.job.data = STR("{\"a\":1e-20000,\"b\":0E+99999,\"c\":1e-300,\"d\":-1.5E+10}");
	assert_text(row_of(&e, &EVERYTHING).fields, "{\"c\":1e-300,\"d\":-1.5E+10}");
	assert_false(record_number_fits(STR("1e-0001")));
	assert_true(record_number_fits(STR("123")));
}

static void a_trace_is_partial_and_nobody_s(void **state UNUSED)
{
	const struct record_trace t = {.id = STR("9"), .created_ms = CREATED, .at_ms = END, .state = BQ_COMPLETED, .value = STR("7"), .value_bytes = -1};
	struct record_row row;

	assert_int_equal(record_row_trace(&row, &t, &EVERYTHING, &arena), 0);
	assert_true(row.partial);
	assert_text(row.org, "");
	assert_text(row.returnvalue, "7");
	assert_false(record_row_is_whole(&row));
}

static void removals_are_no_ends(void **state UNUSED)
{
	struct bq_entry e = an_end(BQ_FAILED);

	e.kind = BQ_ENTRY_REMOVED;
	e.job.state = BQ_STATE_UNKNOWN;
	struct record_row row = row_of(&e, &EVERYTHING);
	assert_text(row.state, "removed");
	assert_int_equal(row.finished_ms, -1);
	assert_text(row.attempts, "{}");
}

/* ---- fingerprints ---- */

static void fingerprints_drop_what_varies(void **state UNUSED)
{
	static const char *const cases[][2] = {
		{"E11000 duplicate key: { email: \"ann@example.org\" }", "E11000 duplicate key: { email: # }"},
		{"connect ECONNREFUSED 127.0.0.1:5432", "connect ECONNREFUSED #"},
		{"user 8a7b2c6e-1111-4222-8333-0123456789ab not found", "user # not found"},
		{"ENOENT: no such file or directory, open '/srv/data/a b.txt'", "ENOENT: no such file or directory, open #"},
		{"cannot read /srv/x.pdf: line 12, column 7", "cannot read #: line #, column #"},
		{"TIMEOUT: the job ran longer than the queue's timeout allows", "TIMEOUT: the job ran longer than the queue's timeout allows"},
		{"mail to ann@example.org  bounced\n at step", "mail to # bounced at step"},
		{"deadbeef01 and decade", "# and decade"},
		{"sent 3/4, -7 left; 99.5%", "sent #, # left; #"},
		{"", ""},
		{"won't \"close", "won't \"close"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = BUF_INIT;
		fingerprint(&b, str_from(cases[i][0]));
		assert_text(buf_str(&b), cases[i][1]);
		buf_release(&b);
	}
}

static void a_fingerprint_is_short_and_text(void **state UNUSED)
{
	struct buf message = BUF_INIT, b = BUF_INIT;

	for (int i = 0; i < 300; i++)
		buf_addz(&message, "\xc3\xa4 ");
	fingerprint(&b, buf_str(&message));
	assert_true(b.n <= FINGERPRINT_MAX_BYTES && b.n > FINGERPRINT_MAX_BYTES - 4);
	assert_true(str_is_utf8(buf_str(&b)));
	buf_release(&message);
	buf_release(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_arena, close_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_end_becomes_a_row),
		TEST(a_failure_has_a_fingerprint),
		TEST(an_attempt_ends_nothing),
		TEST(only_what_the_policy_names_is_kept),
		TEST(what_postgresql_cannot_hold_is_replaced),
		TEST(members_to_search_by_are_few_and_short),
		TEST(what_no_index_takes_is_cut_or_left_out),
		TEST(numbers_that_jsonb_cannot_hold_are_not_searched_by),
		TEST(a_trace_is_partial_and_nobody_s),
		TEST(removals_are_no_ends),
		TEST(fingerprints_drop_what_varies),
		TEST(a_fingerprint_is_short_and_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
