#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bullmq/inspect.h"

static void back_and_forth(enum bq_state state, struct str id, const char *at, unsigned part)
{
	struct bq_cursor c = {.last = {.id = id, .part = part}}, again;
	struct buf text = BUF_INIT;

	strncpy(c.last.at, at, sizeof(c.last.at) - 1);
	bq_cursor_write(&text, &c);
	assert_int_equal(bq_cursor_read(&again, state, buf_str(&text), NULL), 0);
	assert_true(again.last.id.p ? str_eq(again.last.id, id) : id.p == NULL);
	assert_string_equal(again.last.at, at);
	assert_int_equal(again.last.part, part);
	assert_false(again.done);
	buf_release(&text);
}

static void test_cursors_come_back_as_they_were(void **state)
{
	(void)state;
	back_and_forth(BQ_ACTIVE, STR("42"), "17", 0);
	back_and_forth(BQ_WAITING, STR("42"), "4294967295", 1);
	back_and_forth(BQ_DELAYED, STR("repeat:often:1700000000000"), "6963200000000001", 0);
	back_and_forth(BQ_FAILED, STR("with~tilde ~ and\nmore"), "1.7976931348623157e+308", 0);
	back_and_forth(BQ_PRIORITIZED, STR("negative"), "-1", 0);
	back_and_forth(BQ_COMPLETED, STR("a score of a neighbour's"), "-inf", 0);
	back_and_forth(BQ_WAITING, STR_NONE, "", 1); /* at the beginning of the second list */
}

static void test_other_texts_are_no_cursors(void **state)
{
	(void)state;
	static const struct {
		enum bq_state state;
		const char *text;
	} bad[] = {
		{BQ_WAITING, ""}, {BQ_WAITING, "0"}, {BQ_WAITING, "0~1"}, {BQ_WAITING, "2~1~id"}, {BQ_WAITING, "x~1~id"}, {BQ_WAITING, "0~one~id"},
		{BQ_WAITING, "0~1;~id"}, {BQ_WAITING, "0~~id"}, {BQ_WAITING, "0~1~"}, {BQ_WAITING, "-1~1~id"},
		{BQ_FAILED, "0~123456789012345678901234567890123~id"},
		/* a second place of states that have one only: past the end of a queue's keys */
		{BQ_ACTIVE, "1~~"}, {BQ_COMPLETED, "1~1~id"}, {BQ_FAILED, "1~~"}, {BQ_DELAYED, "1~~"}, {BQ_PRIORITIZED, "1~~"},
		{BQ_WAITING_CHILDREN, "1~~"}, {BQ_WAITING, "4294967296~1~id"},
		/* what no script can count with */
		{BQ_WAITING, "0~--~id"}, {BQ_WAITING, "0~-1~id"}, {BQ_WAITING, "0~1e3~id"}, {BQ_ACTIVE, "0~99999999999999999~id"},
		{BQ_COMPLETED, "0~--~id"}, {BQ_COMPLETED, "0~.~id"}, {BQ_COMPLETED, "0~1e~id"}, {BQ_COMPLETED, "0~nan~id"},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct bq_cursor c;
		struct err err = {0};

		assert_int_equal(bq_cursor_read(&c, bad[i].state, str_from(bad[i].text), &err), ERR_INVALID);
		assert_true(err.text[0]);
	}
}

static void split(const char *key, const char *queue, const char *id)
{
	struct str q, i;

	bq_split_key(str_from(key), &q, &i);
	assert_true(str_is(q, queue) && str_is(i, id));
}

static void test_keys_are_taken_apart_from_behind(void **state)
{
	(void)state;
	split("bull:orders:42", "orders", "42");
	split("{a:b}:orders:x", "orders", "x");
	split("orders:42", "orders", "42");
	split("42", "", "42");
	split("", "", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cursors_come_back_as_they_were),
		cmocka_unit_test(test_other_texts_are_no_cursors),
		cmocka_unit_test(test_keys_are_taken_apart_from_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
