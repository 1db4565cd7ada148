/* The chain of audit rows: what its hashes tell apart. No server is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/audit/chain.h"

static struct audit_row a_row(void)
{
	struct audit_row row = {0};

	row.columns[AUDIT_AT_at_ms] = STR("1795000000000");
	row.columns[AUDIT_AT_action] = STR("job.create");
	row.columns[AUDIT_AT_target] = STR("notifications/17");
	row.columns[AUDIT_AT_count] = STR("1");
	row.columns[AUDIT_AT_source] = STR("p1");
	return row;
}

static struct audit_head head_after(const struct audit_row *rows, size_t n, const char *prefix)
{
	struct audit_head head = {0};

	for (size_t i = 0; i < n; i++)
		audit_chain(&head, str_from(prefix), &rows[i]);
	return head;
}

static void assert_differ(const struct audit_head *a, const struct audit_head *b)
{
	assert_false(digest_equal(a->hash, b->hash, sizeof(a->hash)));
}

static void test_same_rows_same_hash(void **state UNUSED)
{
	const struct audit_row rows[] = {a_row(), a_row()};
	struct audit_head one = head_after(rows, 2, "bull"), other = head_after(rows, 2, "bull"), elsewhere = head_after(rows, 2, "bear");

	assert_int_equal(one.seq, 2);
	assert_memory_equal(one.hash, other.hash, sizeof(one.hash));
	assert_differ(&one, &elsewhere);
}

static void test_each_column_counts(void **state UNUSED)
{
	const struct audit_row row = a_row();
	struct audit_head as_is = head_after(&row, 1, "bull");

	for (size_t i = 0; i < AUDIT_N_COLUMNS; i++) {
		struct audit_row other = a_row();
		other.columns[i] = STR("something else");
		struct audit_head changed = head_after(&other, 1, "bull");
		assert_differ(&as_is, &changed);
	}
}

static void test_null_is_not_empty(void **state UNUSED)
{
	struct audit_row null = a_row(), empty = a_row(), moved = a_row();

	empty.columns[AUDIT_AT_before] = STR("");
	moved.columns[AUDIT_AT_after] = STR("");
	struct audit_head a = head_after(&null, 1, "bull"), b = head_after(&empty, 1, "bull"), c = head_after(&moved, 1, "bull");
	assert_differ(&a, &b);
	assert_differ(&b, &c);
}

static void test_texts_do_not_run_into_each_other(void **state UNUSED)
{
	struct audit_row one = a_row(), other = a_row();

	one.columns[AUDIT_AT_before] = STR("ab");
	one.columns[AUDIT_AT_after] = STR("c");
	other.columns[AUDIT_AT_before] = STR("a");
	other.columns[AUDIT_AT_after] = STR("bc");
	struct audit_head a = head_after(&one, 1, "bull"), b = head_after(&other, 1, "bull");
	assert_differ(&a, &b);
}

static void test_order_counts(void **state UNUSED)
{
	struct audit_row rows[] = {a_row(), a_row()};

	rows[1].columns[AUDIT_AT_action] = STR("job.remove");
	const struct audit_row turned[] = {rows[1], rows[0]};
	struct audit_head a = head_after(rows, 2, "bull"), b = head_after(turned, 2, "bull");
	assert_differ(&a, &b);
}

static void test_reading_a_hash(void **state UNUSED)
{
	const struct audit_row row = a_row();
	struct audit_head head = head_after(&row, 1, "bull");
	unsigned char read[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];

	digest_hex(head.hash, sizeof(head.hash), hex);
	assert_true(audit_hash_read(str_from(hex), read));
	assert_memory_equal(read, head.hash, sizeof(read));
	assert_false(audit_hash_read(str_sub(str_from(hex), 0, 62), read));
	hex[10] = 'g';
	assert_false(audit_hash_read(str_from(hex), read));
	assert_false(audit_hash_read(STR_NONE, read));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_rows_same_hash), cmocka_unit_test(test_each_column_counts), cmocka_unit_test(test_null_is_not_empty),
		cmocka_unit_test(test_texts_do_not_run_into_each_other), cmocka_unit_test(test_order_counts), cmocka_unit_test(test_reading_a_hash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
