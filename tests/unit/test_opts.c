/* Job options: what is refused, what a stored job's are read as, what is packed and shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bullmq/opts_fields.h"

static struct arena arena;

static int read(struct bq_opts *o, const char *json, bool strict, struct err *err)
{
	struct jdoc doc;
	struct jdoc_fault fault;

	assert_int_equal(jdoc_parse(&doc, &arena, str_from(json), &JDOC_LIMITS, &fault), 0);
	return bq_opts_read(o, &doc, JDOC_ROOT, &arena, strict, err);
}

static void assert_shown(const struct bq_opts *o, const char *json)
{
	struct buf b = BUF_INIT;
	struct jwrite w = jwrite_into(&b);

	bq_opts_write(&w, o);
	assert_string_equal(b.p, json);
	buf_release(&b);
}

static void requests_are_checked(void **state)
{
	static const struct {
		const char *json, *field;
	} refused[] = {
		{"{\"attempts\":-1}", "attempts"},
		{"{\"attempts\":1.5}", "attempts"},
		{"{\"attempts\":\"3\"}", "attempts"},
		{"{\"priority\":2097152}", "priority"},
		{"{\"delay\":null}", "delay"},
		{"{\"backoff\":{\"type\":\"weekly\"}}", "backoff"},
		{"{\"backoff\":{\"delay\":5}}", "backoff"},
		{"{\"backoff\":{\"type\":\"fixed\",\"jitter\":1.1}}", "backoff"},
		{"{\"lifo\":1}", "lifo"},
		{"{\"jobId\":\"7\"}", "jobId"},
		{"{\"jobId\":\"a:b\"}", "jobId"},
		{"{\"jobId\":7}", "jobId"},
		{"{\"deduplication\":{}}", "deduplication"},
		{"{\"deduplication\":{\"id\":\"x\",\"ttl\":-5}}", "deduplication"},
		{"{\"deduplication\":{\"id\":\"x\",\"replace\":1}}", "deduplication"},
		{"{\"removeOnComplete\":\"all\"}", "removeOnComplete"},
		{"{\"removeOnFail\":{\"count\":-2}}", "removeOnFail"},
		{"{\"failParentOnFailure\":true,\"removeDependencyOnFailure\":true}", "removeDependencyOnFailure"},
		{"{\"sluice\":{\"org\":\"evil\"}}", "sluice"},
		{"{\"kl\":1}", "kl"},
		{"{\"repeat\":{}}", "repeat"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct bq_opts o;
		struct err err = {0};

		if (read(&o, refused[i].json, true, &err) != ERR_INVALID)
			fail_msg("%s was taken", refused[i].json);
		assert_true(str_starts(str_from(err.text), str_from(refused[i].field)));
		assert_int_equal(err.text[strlen(refused[i].field)], ':');
	}
}

static void requests_are_read(void **state)
{
	struct bq_opts o;
	struct err err = {0};

	(void)state;
	assert_int_equal(read(&o, "{\"attempts\":3,\"backoff\":500,\"removeOnComplete\":true,\"removeOnFail\":{\"age\":60},"
				  "\"deduplication\":{\"id\":\"d\",\"ttl\":9,\"extend\":true},\"telemetry\":{\"metadata\":\"m\"},"
				  "\"continueParentOnFailure\":true,\"failParentOnFailure\":false}",
			      true, &err),
			 0);
	assert_int_equal(o.backoff.delay_ms, 500);
	assert_int_equal(o.on_parent, BQ_PARENT_CONTINUES);
	assert_shown(&o, "{\"attempts\":3,\"backoff\":{\"type\":\"fixed\",\"delay\":500},\"deduplication\":{\"id\":\"d\",\"ttl\":9,"
			 "\"extend\":true},\"removeOnComplete\":{\"count\":0},\"removeOnFail\":{\"age\":60},"
			 "\"continueParentOnFailure\":true,\"telemetry\":{\"metadata\":\"m\"}}");
}

static void stored_ones_are_taken_as_they_are(void **state)
{
	struct bq_opts o;
	struct err err = {0};

	(void)state;
	assert_int_equal(read(&o, "{\"attempts\":0,\"kl\":4,\"cpof\":true,\"tm\":\"t\",\"jobId\":\"repeat:x:1\",\"backoff\":{\"type\":\"mine\"},"
				  "\"sluice\":{\"org\":\"acme\",\"sub\":\"u\"},\"priority\":\"odd\",\"repeat\":{\"every\":5}}",
			      false, &err),
			 0);
	assert_int_equal(o.keep_logs, 4);
	assert_true(str_is(o.org, "acme"));
	assert_true(str_is(o.sub, "u"));
	assert_int_equal(o.priority, -1);
	assert_true(str_is(o.backoff.type, "mine"));
	/* long names, without sluice, with what only its own client knows */
	assert_shown(&o, "{\"attempts\":0,\"backoff\":{\"type\":\"mine\",\"delay\":0},\"jobId\":\"repeat:x:1\",\"keepLogs\":4,"
			 "\"continueParentOnFailure\":true,\"telemetry\":{\"metadata\":\"t\"},\"priority\":\"odd\",\"repeat\":{\"every\":5}}");
}

static void merging_fills_what_is_not_set(void **state)
{
	struct bq_opts request, declared;
	struct err err = {0};

	(void)state;
	assert_int_equal(read(&request, "{\"attempts\":0,\"lifo\":false}", true, &err), 0);
	assert_int_equal(read(&declared, "{\"attempts\":5,\"lifo\":true,\"priority\":2,\"backoff\":7,\"removeOnFail\":3}", true, &err), 0);
	bq_opts_merge(&request, &declared);
	assert_shown(&request, "{\"attempts\":0,\"priority\":2,\"backoff\":{\"type\":\"fixed\",\"delay\":7},\"lifo\":false,"
			       "\"removeOnFail\":{\"count\":3}}");
}

static void backoffs(void **state)
{
	const struct bq_backoff none = {0}, fixed = {.set = true, .type = STR("fixed"), .delay_ms = 1000},
				jittered = {.set = true, .type = STR("fixed"), .delay_ms = 1000, .jitter = 0.5},
				exponential = {.set = true, .type = STR("exponential"), .delay_ms = 1000},
				both = {.set = true, .type = STR("exponential"), .delay_ms = 3, .jitter = 1},
				other = {.set = true, .type = STR("mine"), .delay_ms = 40};

	(void)state;
	assert_int_equal(bq_backoff_ms(&none, 1, 0), 0);
	assert_int_equal(bq_backoff_ms(&fixed, 9, 0.9), 1000);
	assert_int_equal(bq_backoff_ms(&jittered, 1, 0), 500);
	assert_int_equal(bq_backoff_ms(&jittered, 1, 0.999), 999);
	assert_int_equal(bq_backoff_ms(&exponential, 1, 0), 1000);
	assert_int_equal(bq_backoff_ms(&exponential, 4, 0), 8000);
	assert_int_equal(bq_backoff_ms(&exponential, 5000, 0), INT64_C(1) << 52);
	assert_int_equal(bq_backoff_ms(&both, 3, 0.5), 6);
	assert_int_equal(bq_backoff_ms(&other, 3, 0), 40);
}

static void packing_uses_short_names(void **state)
{
	struct buf b = BUF_INIT;
	struct bq_opts o;

	(void)state;
	bq_opts_init(&o);
	bq_opts_pack(&b, &o);
	assert_memory_equal(b.p, "\xde\x00\x01\xa8" "attempts\x00", b.n); /* attempts 0, as the official client stores it */
	buf_clear(&b);
	o.keep_logs = 1;
	o.org = STR("a");
	bq_opts_pack(&b, &o);
	assert_memory_equal(b.p, "\xde\x00\x03\xa8" "attempts\x00\xa2" "kl\x01\xa6" "sluice\xde\x00\x01\xa3org\xa1" "a", b.n);
	buf_release(&b);
}

static void assert_stored(const struct bq_opts *o, const char *json)
{
	struct buf b = BUF_INIT;
	struct jwrite w = jwrite_into(&b);

	bq_opts_write_stored(&w, o);
	assert_string_equal(b.p, json);
	buf_release(&b);
}

static void prepared_ones_are_stored_as_others(void **state)
{
	static const struct {
		const char *given, *members;
	} samples[] = {
		{"{}", "\"attempts\":0"},
		{"{\"attempts\":5,\"backoff\":{\"type\":\"exponential\",\"delay\":9,\"jitter\":0.5},\"lifo\":true,\"keepLogs\":1}",
		 "\"attempts\":5,\"backoff\":{\"type\":\"exponential\",\"delay\":9,\"jitter\":0.5},\"lifo\":true,\"kl\":1"},
		{"{\"removeOnComplete\":{\"count\":3,\"age\":4},\"removeOnFail\":true}",
		 "\"attempts\":0,\"removeOnComplete\":{\"count\":3,\"age\":4},\"removeOnFail\":{\"count\":0}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		const char *alone = arena_printf(&arena, "{%s}", samples[i].members);
		const char *submitted = arena_printf(&arena, "{%s,\"sluice\":{\"org\":\"a\",\"sub\":\"b\\\"c\"}}", samples[i].members);
		struct bq_opts o, fresh;
		struct err err = {0};

		assert_int_equal(read(&o, samples[i].given, true, &err), 0);
		assert_stored(&o, alone);
		assert_int_equal(bq_opts_prepare(&o, &arena), 0);
		assert_stored(&o, alone);
		o.org = STR("a");
		o.sub = STR("b\"c");
		assert_stored(&o, submitted);
		bq_opts_init(&fresh);
		bq_opts_merge(&fresh, &o); /* what merging changes is not prepared any more */
		assert_null(fresh.prepared.p);
		assert_stored(&fresh, submitted);
	}
}

static int start(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_checked),  cmocka_unit_test(requests_are_read),
		cmocka_unit_test(stored_ones_are_taken_as_they_are), cmocka_unit_test(merging_fills_what_is_not_set),
		cmocka_unit_test(backoffs), cmocka_unit_test(packing_uses_short_names), cmocka_unit_test(prepared_ones_are_stored_as_others),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
