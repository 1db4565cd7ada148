#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bullmq/inspect.h"

static void back_and_forth(struct str id, const char *at, unsigned part)
{
	struct bq_cursor c = {.last = {.id = id, .part = part}}, again;
	struct buf text = BUF_INIT;

	strncpy(c.last.at, at, sizeof(c.last.at) - 1);
	bq_cursor_write(&text, &c);
	assert_int_equal(bq_cursor_read(&again, buf_str(&text), NULL), 0);
	assert_true(again.last.id.p ? str_eq(again.last.id, id) : id.p == NULL);
	assert_string_equal(again.last.at, at);
	assert_int_equal(again.last.part, part);
	assert_false(again.done);
	buf_release(&text);
}

static void test_cursors_come_back_as_they_were(void **state)
{
	(void)state;
	back_and_forth(STR("42"), "17", 0);
	back_and_forth(STR("repeat:often:1700000000000"), "6963200000000001", 0);
	back_and_forth(STR("with~tilde ~ and\nmore"), "1.7976931348623157e+308", 1);
	back_and_forth(STR("negative"), "-1", 0);
	back_and_forth(STR_NONE, "", 1); /* at the beginning of the second list */
}

static void test_other_texts_are_no_cursors(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "0", "0~1", "2~1~id", "x~1~id", "0~one~id", "0~1;~id", "0~~id", "0~1~", "-1~1~id",
					  "0~123456789012345678901234567890123~id"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct bq_cursor c;
		struct err err = {0};

		assert_int_equal(bq_cursor_read(&c, str_from(bad[i]), &err), ERR_INVALID);
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
