/* gateway/cli/printable and sheet: what reaches the terminal, and in which columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/cli/printable.h"
#include "gateway/cli/sheet.h"

static int begin(void **state)
{
	(void)state;
	printable_begin();
	return 0;
}

static void check(void (*add)(struct buf *out, struct str text), struct str text, const char *expected)
{
	struct buf out = BUF_INIT;
	add(&out, text);
	assert_false(out.failed);
	assert_string_equal(out.p ? out.p : "", expected);
	buf_release(&out);
}

static void test_what_a_terminal_would_obey_is_shown_as_an_escape(void **state)
{
	(void)state;
	check(printable_add, STR(""), "");
	check(printable_add, STR("plain \\ \"text\" \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "plain \\ \"text\" \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	check(printable_add, STR("\x1b[2J\n\r\t\0|\x7f"), "\\u001b[2J\\u000a\\u000d\\u0009\\u0000|\\u007f");
	check(printable_add, STR("\xc2\x9b" "31m"), "\\u009b31m");
	check(printable_add, STR("\xe2\x80\xae" "exe\xe2\x80\xa8" "\xef\xbb\xbf"), "\\u202eexe\\u2028\\ufeff");
	check(printable_add, STR("\xf3\xa0\x81\x81"), "\\udb40\\udc41");
}

static void test_bytes_that_are_no_characters_are_replaced(void **state)
{
	(void)state;
	check(printable_add, STR("a\x9b" "b\xff\xc3"), "a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd");
	check(printable_add, STR("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* a surrogate */
}

static void test_json_stays_the_same_value(void **state)
{
	(void)state;
	check(printable_add_json, STR("{\"a\":\r\n\t\"\\u001b\xc2\x9b\x7f\"}"), "{\"a\": \n\t\"\\u001b\\u009b\\u007f\"}");
}

static void check_fit(const char *text, size_t columns, const char *expected, size_t width)
{
	struct buf out = BUF_INIT;
	assert_int_equal(printable_fit(&out, str_from(text), columns), width);
	assert_string_equal(out.p ? out.p : "", expected);
	assert_int_equal(printable_width(buf_str(&out)), width);
	buf_release(&out);
}

static void test_text_is_cut_by_columns_and_not_by_bytes(void **state)
{
	(void)state;
	check_fit("orders", 6, "orders", 6);
	check_fit("orders", 5, "orde\xe2\x80\xa6", 5);
	check_fit("orders", 1, "\xe2\x80\xa6", 1);
	check_fit("orders", 0, "", 0);
	check_fit("\xc3\xa4\xc3\xb6\xc3\xbc", 3, "\xc3\xa4\xc3\xb6\xc3\xbc", 3);
	/* Two columns each: the second does not fit beside the ellipsis. */
	check_fit("\xe6\xbc\xa2\xe5\xad\x97", 4, "\xe6\xbc\xa2\xe5\xad\x97", 4);
	check_fit("\xe6\xbc\xa2\xe5\xad\x97", 3, "\xe6\xbc\xa2\xe2\x80\xa6", 3);
}

static void test_a_sheet_is_as_wide_as_it_must_be(void **state)
{
	static const struct sheet_column columns[] = {{"NAME", false, 6}, {"N", true, 0}, {"AGE", true, 0}, {"WHY", false, 0}};
	struct arena memory;
	struct sheet s;
	struct buf out = BUF_INIT;
	(void)state;
	arena_init(&memory, 0);
	sheet_init(&s, &memory, columns, 4);
	sheet_text(&s, STR("a-long-name"));
	sheet_number(&s, 1234);
	sheet_span(&s, 99999);
	sheet_text(&s, STR("x\ny"));
	sheet_text(&s, STR("b"));
	sheet_number(&s, -1);
	sheet_span(&s, 100000);
	sheet_text(&s, STR(""));
	assert_int_equal(sheet_rows(&s), 2);
	sheet_print(&s, &out);
	assert_false(out.failed);
	assert_string_equal(out.p, "NAME      N AGE  WHY\n"
				   "a-lon\xe2\x80\xa6 1234 99s  x\\u000ay\n"
				   "b         -  1m  \n");
	buf_release(&out);
	arena_release(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_terminal_would_obey_is_shown_as_an_escape),
		cmocka_unit_test(test_bytes_that_are_no_characters_are_replaced),
		cmocka_unit_test(test_json_stays_the_same_value),
		cmocka_unit_test(test_text_is_cut_by_columns_and_not_by_bytes),
		cmocka_unit_test(test_a_sheet_is_as_wide_as_it_must_be),
	};
	return cmocka_run_group_tests_name("printable", tests, begin, NULL);
}
