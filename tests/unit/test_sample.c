/* The sample document: its size is a promise, its cross-references must be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/sample.h"

static void it_has_the_size_and_is_always_the_same(void **state)
{
	struct buf one = BUF_INIT, other = BUF_INIT;

	(void)state;
	sample_pdf(&one);
	sample_pdf(&other);
	assert_false(one.failed);
	assert_int_equal(one.n, SAMPLE_BYTES);
	assert_int_equal(other.n, SAMPLE_BYTES);
	assert_memory_equal(one.p, other.p, one.n);
	buf_release(&one);
	buf_release(&other);
}

static void its_table_points_at_its_objects(void **state)
{
	struct buf pdf = BUF_INIT;
	unsigned long start = 0, at;
	unsigned objects = 0;
	const char *line;

	(void)state;
	sample_pdf(&pdf);
	assert_true(str_ends(buf_str(&pdf), STR("\n%%EOF\n")));
	assert_int_equal(sscanf(pdf.p + pdf.n - 24, "\nstartxref\n%lu", &start), 1);
	assert_true(start < pdf.n);
	assert_int_equal(sscanf(pdf.p + start, "xref\n0 %u\n", &objects), 1);
	assert_true(objects > 1 && objects < 100);
	line = strchr(pdf.p + start, '\n') + 1;
	line = strchr(line, '\n') + 1;
	for (unsigned i = 1; i < objects; i++) {
		char expected[32];
		line += 20; /* every entry has 20 bytes */
		at = strtoul(line, NULL, 10);
		assert_true(at < start);
		snprintf(expected, sizeof(expected), "%u 0 obj\n", i);
		assert_memory_equal(pdf.p + at, expected, strlen(expected));
	}
	buf_release(&pdf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_has_the_size_and_is_always_the_same),
		cmocka_unit_test(its_table_points_at_its_objects),
	};

	return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
