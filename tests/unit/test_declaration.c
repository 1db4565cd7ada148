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

	static const char *const names[] = {"bad", "known", "records", "now", "later"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
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
	assert_int_equal(n->terms->defaults.attempts, 9);
	assert_int_equal(n->terms->defaults.backoff.delay_ms, 1000);
	assert_int_equal(n->terms->defaults.remove_on_complete.count, 100);
	assert_int_equal(n->terms->concurrency, 3);
	assert_non_null(n->terms->payload);
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

/* ---- a later reading ---- */

static void load(struct declarations *d, const char *name, const char *text)
{
	char file[128];
	struct err err = {0};

	snprintf(file, sizeof(file), "%s/%s.json", dir, name);
	assert_int_equal(fs_write_file(file, str_from(text), 0600, &err), 0);
	if (declarations_load(d, STR("bull"), file, STR_NONE, 0, lookup, &err) < 0)
		fail_msg("%s", err.text);
}

static struct declarations *later(const char *text)
{
	struct declarations *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	load(d, "later", text);
	return d;
}

/* What waits for a restart. */
static void adopt(struct declarations *d, const char *text, struct buf *left)
{
	struct declarations *l = later(text);
	struct err err = {0};

	buf_clear(left);
	assert_int_equal(declarations_compare(d, l, left, &err), 0);
	declarations_adopt(d, l);
}

static void new_terms_and_queues_come_in_force(void **state UNUSED)
{
	struct declarations d;
	struct buf left = BUF_INIT;

	load(&d, "now", "{\"queues\":[{\"name\":\"a\",\"concurrency\":2,\"payload\":{\"type\":\"object\"}}]}");
	const struct declaration *a = declarations_find(&d, STR("a"));
	const struct queue_terms *before = a->terms;
	size_t count = d.count;
	adopt(&d, "{\"queues\":[{\"name\":\"a\",\"concurrency\":5,\"limiter\":{\"max\":3,\"duration\":1000},\"attempts\":4,"
		  "\"removeOnComplete\":{\"age\":60},\"payload\":{\"type\":\"object\",\"required\":[\"n\"]}},{\"name\":\"b\",\"timeout\":7}]}", &left);
	assert_int_equal(left.n, 0);
	assert_ptr_equal(declarations_find(&d, STR("a")), a);
	assert_int_equal(a->terms->concurrency, 5);
	assert_int_equal(a->terms->limiter.max, 3);
	assert_int_equal(a->terms->defaults.attempts, 4);
	assert_int_equal(a->terms->defaults.remove_on_complete.age_s, 60);
	assert_true(str_ends(schema_text(a->terms->payload), STR("[\"n\"]}")));
	assert_int_equal(before->concurrency, 2); /* somebody may still be reading them */
	assert_true(str_is(schema_text(before->payload), "{\"type\":\"object\"}"));
	assert_int_equal(d.count, count + 1);
	assert_ptr_equal(declarations_find(&d, STR("b")), d.items[count]);
	assert_int_equal(d.items[count]->index, count);
	assert_int_equal(d.items[count]->terms->timeout_ms, 7);
	assert_int_equal(declarations_find(&d, STR("notifications"))->terms->defaults.attempts, 5);
	adopt(&d, "{\"queues\":[{\"name\":\"b\",\"timeout\":8},{\"name\":\"a\"}]}", &left);
	assert_int_equal(d.count, count + 1);
	assert_int_equal(d.items[count]->terms->timeout_ms, 8);
	buf_release(&left);
	declarations_release(&d);
}

static void what_cannot_change_is_named(void **state UNUSED)
{
	struct declarations d;
	struct buf left = BUF_INIT;
	static const struct {
		const char *text, *left;
	} rows[] = {
		{"{\"queues\":[{\"name\":\"a\",\"processor\":\"other\"},{\"name\":\"b\"}]}", "queue a: another processor"},
		{"{\"queues\":[{\"name\":\"b\"}]}", "queue a: not declared any more"},
		{"{\"queues\":[{\"name\":\"a\",\"record\":{\"days\":3}},{\"name\":\"b\"}]}", "queue a: another record policy"},
		{"{\"queues\":[{\"name\":\"a\",\"record\":{\"data\":[\"x\"]}},{\"name\":\"b\"}]}", "queue a: another record policy"},
		{"{\"queues\":[{\"name\":\"a\"},{\"name\":\"b\",\"processor\":\"none\"}]}", ""},
	};

	load(&d, "now", "{\"queues\":[{\"name\":\"a\",\"attempts\":2},{\"name\":\"b\"}]}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		adopt(&d, rows[i].text, &left);
		if (!str_starts(left.n ? buf_str(&left) : STR(""), str_from(rows[i].left)) || (left.n > 0) != (*rows[i].left != 0))
			fail_msg("row %zu leaves \"%.*s\"", i, (int)left.n, left.p);
		if (i == 0)
			assert_int_equal(declarations_find(&d, STR("a"))->terms->defaults.attempts, 2);
	}
	assert_null(declarations_find(&d, STR("a"))->processor);
	buf_release(&left);
	declarations_release(&d);
}

static void the_same_text_is_no_news(void **state UNUSED)
{
	static const char text[] = "{\"queues\":[{\"name\":\"a\"}]}";
	struct declarations d, *same;
	struct buf left = BUF_INIT;
	struct err err = {0};

	load(&d, "now", text);
	same = later(text);
	assert_int_equal(declarations_compare(&d, same, &left, &err), ERR_EXISTS);
	declarations_release(same);
	free(same);
	declarations_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queue_file_with_a_fault_says_where),
		cmocka_unit_test(a_known_queue_changes_only_the_fields_given),
		cmocka_unit_test(a_queue_says_what_its_records_keep),
		cmocka_unit_test(new_terms_and_queues_come_in_force),
		cmocka_unit_test(what_cannot_change_is_named),
		cmocka_unit_test(the_same_text_is_no_news),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
