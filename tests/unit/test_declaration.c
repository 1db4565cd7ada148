/* Queue files: what a declaration says, and what is said of one that cannot be taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "processors/runtime/declaration.h"

static char dir[] = "/tmp/sluice-declaration-XXXXXX";

static struct str any_object(void)
{
	return STR("{\"type\":\"object\"}");
}

static const struct processor NOTHING = {.name = "notification", .payload_schema = any_object};

static const struct processor *lookup(struct str name)
{
	return str_is(name, "nope") ? NULL : &NOTHING;
}

static int make_dir(void **state UNUSED)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state UNUSED)
{
	char file[128];

	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"bad", "known", "records"};
		snprintf(file, sizeof(file), "%s/%s.json", dir, names[i]);
		unlink(file);
	}
	return rmdir(dir);
}

static void a_queue_file_with_a_fault_says_where(void **state UNUSED)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"{\"queues\":[{\"name\":\"a b\"}]}", "/queues/0/name"},
		{"{\"queues\":[{\"name\":\"a\",\"processor\":\"nope\"}]}", "no such processor"},
		{"{\"queues\":[{\"name\":\"a\",\"colour\":1}]}", "colour"},
		{"{\"queues\":[{\"name\":\"a\",\"payload\":{\"frobnicate\":1}}]}", "frobnicate"},
		{"{\"queues\":[", "byte"},
	};
	char file[128];
	struct declarations d;

	snprintf(file, sizeof(file), "%s/bad.json", dir);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};
		assert_int_equal(fs_write_file(file, str_from(rows[i].text), 0600, &err), 0);
		assert_true(declarations_load(&d, STR("bull"), file, STR_NONE, 0, lookup, &err) < 0);
		if (!strstr(err.text, rows[i].says) || !strstr(err.text, "bad.json"))
			fail_msg("\"%s\" does not say \"%s\"", err.text, rows[i].says);
	}
}

static void a_known_queue_changes_only_the_fields_given(void **state UNUSED)
{
	char file[128];
	struct declarations d;
	struct err err = {0};

	snprintf(file, sizeof(file), "%s/known.json", dir);
	assert_int_equal(fs_write_file(file, STR("{\"queues\":[{\"name\":\"notifications\",\"attempts\":9}]}"), 0600, &err), 0);
	assert_int_equal(declarations_load(&d, STR("bull"), file, STR("{\"removeOnFail\":7}"), 3, lookup, &err), 0);
	const struct declaration *n = declarations_find(&d, STR("notifications"));
	assert_int_equal(n->defaults.attempts, 9);
	assert_int_equal(n->defaults.backoff.delay_ms, 1000);
	assert_int_equal(n->defaults.remove_on_complete.count, 100);
	assert_int_equal(n->concurrency, 3);
	assert_non_null(n->payload);
	assert_int_equal(d.defaults.remove_on_fail.count, 7);
	assert_null(declarations_find(&d, STR("nothing")));
	declarations_release(&d);
}

static void a_queue_says_what_its_records_keep(void **state UNUSED)
{
	char file[128];
	struct declarations d;
	struct err err = {0};

	snprintf(file, sizeof(file), "%s/records.json", dir);
	assert_int_equal(fs_write_file(file, STR("{\"queues\":[{\"name\":\"a\",\"record\":{\"data\":[\"user\",\"n\"],\"result\":false,\"days\":7}},"
						 "{\"name\":\"b\",\"record\":false},{\"name\":\"c\"}]}"), 0600, &err), 0);
	assert_int_equal(declarations_load(&d, STR("bull"), file, STR_NONE, 0, lookup, &err), 0);
	const struct records_policy *a = &declarations_find(&d, STR("a"))->record, *c = &declarations_find(&d, STR("c"))->record;
	assert_false(a->off || a->data.all || a->result.all);
	assert_int_equal(a->data.n_names, 2);
	assert_true(str_is(a->data.names[1], "n"));
	assert_int_equal(a->result.n_names, 0);
	assert_int_equal(a->days, 7);
	assert_true(declarations_find(&d, STR("b"))->record.off);
	assert_true(c->data.all && c->result.all && !c->off);
	assert_int_equal(c->days, RECORDS_DEFAULT_DAYS);
	declarations_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queue_file_with_a_fault_says_where),
		cmocka_unit_test(a_known_queue_changes_only_the_fields_given),
		cmocka_unit_test(a_queue_says_what_its_records_keep),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
