/* The document processor's parts that need neither a helper nor a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/config/config.h"
#include "lib/schema/schema.h"
#include "processors/document/task.h"
#include "processors/registry.h"
#include "processors/runtime/context.h"

static void retries_follow_the_failure(void **state)
{
	(void)state;
	assert_true(failure_may_retry(FAILURE_NOT_FOUND, 3, 59999, 60000));
	assert_false(failure_may_retry(FAILURE_NOT_FOUND, 1, 60000, 60000));
	assert_true(failure_may_retry(FAILURE_SIZE_MISMATCH, 1, 0, 0));
	assert_false(failure_may_retry(FAILURE_SIZE_MISMATCH, 2, 0, 0));
	assert_true(failure_may_retry(FAILURE_NO_SPACE, 9, 0, 0));
	assert_false(failure_may_retry(FAILURE_CORRUPT, 1, 0, 60000));
}

static void payload_schema_holds(void **state)
{
	static const struct {
		const char *json;
		bool valid;
	} cases[] = {
		{"{\"documentId\":\"d-1\",\"userId\":\"u\",\"filename\":\"a.pdf\",\"mimeType\":\"application/pdf\",\"fileSize\":1}", true},
		{"{\"documentId\":\"d-1\",\"userId\":\"u\",\"filename\":\"a.txt\",\"mimeType\":\"text/plain; charset=utf-8\",\"fileSize\":0,"
		 "\"metadata\":{\"case\":7}}", true},
		{"{\"documentId\":\"d-1\",\"userId\":\"u\",\"filename\":\"a.pdf\",\"mimeType\":\"application/pdf\"}", false},
		{"{\"documentId\":\"../d\",\"userId\":\"u\",\"filename\":\"a.pdf\",\"mimeType\":\"application/pdf\",\"fileSize\":1}", false},
		{"{\"documentId\":\"d\",\"userId\":\"u\",\"filename\":\"a/b.pdf\",\"mimeType\":\"application/pdf\",\"fileSize\":1}", false},
		{"{\"documentId\":\"d\",\"userId\":\"u\",\"filename\":\"a\\u202efdp.exe\",\"mimeType\":\"application/pdf\",\"fileSize\":1}", false},
		{"{\"documentId\":\"d\",\"userId\":\"u\",\"filename\":\"a.pdf\",\"mimeType\":\"pdf\",\"fileSize\":1}", false},
		{"{\"documentId\":\"d\",\"userId\":\"u\",\"filename\":\"a.pdf\",\"mimeType\":\"application/pdf\",\"fileSize\":1.5}", false},
		{"{\"documentId\":\"d\",\"userId\":\"u\",\"filename\":\"a.pdf\",\"mimeType\":\"application/pdf\",\"fileSize\":1,\"x\":1}", false},
	};
	struct err err = {0};
	const struct processor *p = processor_find(STR("document"));
	(void)state;
	assert_non_null(p);
	struct schema *s = schema_compile(p->payload_schema(), &err);
	assert_string_equal(err.text, "");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a;
		struct jdoc doc;
		struct jdoc_fault fault;
		arena_init(&a, 0);
		struct schema_report report = {.arena = &a};
		assert_int_equal(jdoc_parse(&doc, &a, str_from(cases[i].json), &JDOC_LIMITS, &fault), 0);
		if ((schema_check(s, &doc, JDOC_ROOT, STR(""), &report) == 0) != cases[i].valid)
			fail_msg("%s is judged wrongly", cases[i].json);
		arena_release(&a);
	}
	schema_free(s);
}

/* ---- the helper's words ------------------------------------------------------------------------------------------------------ */

#define HEAD "{\"schema\":1,\"sandbox\":\"seccomp\","
#define BODY \
	"\"pages\":2,\"metadata\":{\"title\":null,\"author\":\"a\",\"created\":null,\"producer\":null}," \
	"\"text\":{\"bytes\":5,\"truncated\":false,\"source\":\"UTF-8\"}," \
	"\"security\":{\"encrypted\":false,\"javascript\":true,\"macros\":false,\"embeddedFiles\":0},"
#define MIME "\"mime\":{\"detected\":\"text/plain\",\"verdict\":\"match\",\"extension\":\"txt\"},"
#define TIMES "\"timingsMs\":{\"sniff\":1,\"check\":2,\"extract\":3}"

static int read_report(const char *json, struct helper_report *r)
{
	struct arena a;
	arena_init(&a, (size_t)1 << 20);
	int rc = helper_report_read(str_from(json), &a, r, NULL);
	arena_release(&a);
	return rc;
}

static void reports_are_not_believed(void **state)
{
	static const char *const wrong[] = {
		"", "null", "[]", "{}", "{\"schema\":2,\"sandbox\":\"x\",\"failure\":\"CORRUPT\",\"detail\":\"d\"}",
		HEAD "\"failure\":\"NO_SUCH_CODE\",\"detail\":\"d\"}",
		HEAD "\"failure\":\"CORRUPT\"}",
		HEAD "\"failure\":7,\"detail\":\"d\"}",
		HEAD MIME BODY "\"warnings\":[\"NOPE\"]," TIMES "}",
		HEAD MIME BODY "\"warnings\":7," TIMES "}",
		HEAD MIME BODY "\"warnings\":[]}",
		HEAD "\"mime\":{\"detected\":\"<script>\",\"verdict\":\"match\",\"extension\":\"txt\"}," BODY "\"warnings\":[]," TIMES "}",
		HEAD MIME "\"pages\":-1," BODY "\"warnings\":[]," TIMES "}",
		HEAD MIME BODY "\"warnings\":[]," TIMES "} trailing",
		"{\"schema\":1,\"sandbox\":{},\"failure\":\"CORRUPT\",\"detail\":\"d\"}",
	};
	struct helper_report r;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (read_report(wrong[i], &r) == 0)
			fail_msg("accepted: %s", wrong[i]);
	assert_int_equal(read_report(HEAD "\"failure\":\"CORRUPT\",\"detail\":\"d\"}", &r), 0);
	assert_int_equal(r.failure, FAILURE_CORRUPT);
	assert_int_equal(read_report(HEAD MIME BODY "\"warnings\":[\"NO_TEXT\"]," TIMES "}", &r), 0);
	assert_int_equal(r.failure, FAILURE_NONE);
	assert_int_equal(r.pages, 2);
	assert_int_equal(r.text_bytes, 5);
	assert_true(r.security.javascript);
	assert_null(r.metadata.title.p);
	assert_int_equal(r.warnings, 1u << WARNING_NO_TEXT);
	assert_int_equal(r.extract_ms, 3);
}

static struct text_stats stats_of(const char *text, int64_t max_pages, const char *offsets)
{
	struct buf b = BUF_INIT;
	struct text_stats s = text_stats(str_from(text), max_pages, &b);
	char want[200];
	snprintf(want, sizeof(want), "{\"schema\":1,\"unit\":\"byte\",\"offsets\":[%s]}", offsets);
	assert_string_equal(b.p, want);
	buf_release(&b);
	return s;
}

static void text_is_counted(void **state)
{
	(void)state;
	struct text_stats s = stats_of("", 10, "");
	assert_int_equal(s.pages + s.words + s.chars, 0);
	s = stats_of("two words\f\fthird p\xc3\xa4ge\f", 10, "0,10,11");
	assert_int_equal(s.pages, 3);
	assert_int_equal(s.words, 4);
	assert_int_equal(s.chars, 23 - 1);
	s = stats_of("1\f2\f3\f4", 2, "0,2");
	assert_int_equal(s.pages, 4);
}

static void names_lead_back(void **state)
{
	(void)state;
	for (unsigned f = 1; f < FAILURE_COUNT; f++)
		assert_int_equal(failure_find(str_from(failure_name((enum failure)f))), f);
	assert_int_equal(failure_find(STR("NONE")), FAILURE_NONE);
	for (int w = 0; w < WARNING_COUNT; w++)
		assert_int_equal(warning_find(str_from(warning_name((enum warning)w))), w);
	for (unsigned i = 1; i < STEP_COUNT; i++)
		assert_true(step_infos[i].pct > step_infos[i - 1].pct);
}

static int start_with(const char *helper, int sandbox, struct document_settings *out, struct err *err)
{
	const struct processor *p = processor_find(STR("document"));
	struct config c = {.doc_sandbox = sandbox, .doc_max_bytes = 1, .doc_max_text_bytes = 2, .doc_max_pages = 3, .doc_tool_timeout_ms = 4,
			   .doc_tool_cpu_ms = 5, .doc_tool_memory_bytes = 6, .doc_not_found_grace_ms = 7};
	const struct processor_env env = {.config = &c, .helper_path = helper};
	void *state = NULL;
	int rc = p->start(&env, &state, err);
	if (rc == 0) {
		*out = *(struct document_settings *)state;
		p->stop(state);
	}
	return rc;
}

/* Programs whose status is known stand for helpers that can and cannot confine themselves. */
static void start_checks_what_it_promises(void **state)
{
	struct document_settings s = {0};
	struct err err = {0};
	(void)state;
	assert_int_equal(start_with("/nonexistent/helper", CONFIG_SANDBOX_BEST_EFFORT, &s, &err), ERR_IO);
	assert_int_equal(start_with("/bin/false", CONFIG_SANDBOX_STRICT, &s, &err), ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "SLUICE_DOC_SANDBOX"));
	assert_int_equal(start_with("/bin/false", CONFIG_SANDBOX_BEST_EFFORT, &s, &err), 0);
	assert_false(s.strict_sandbox);
	assert_int_equal(start_with("/bin/true", CONFIG_SANDBOX_STRICT, &s, &err), 0);
	assert_true(s.strict_sandbox);
	assert_int_equal(s.max_bytes, 1);
	assert_int_equal(s.max_text_bytes, 2);
	assert_int_equal(s.max_pages, 3);
	assert_int_equal(s.timeout_ms, 4);
	assert_int_equal(s.cpu_ms, 5);
	assert_int_equal(s.memory_bytes, 6);
	assert_int_equal(s.not_found_grace_ms, 7);
}

static void processors_are_found_by_name(void **state)
{
	(void)state;
	assert_null(processor_find(STR("nothing")));
	assert_string_equal(processor_find(STR("document"))->name, "document");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retries_follow_the_failure),
		cmocka_unit_test(payload_schema_holds),
		cmocka_unit_test(reports_are_not_believed),
		cmocka_unit_test(text_is_counted),
		cmocka_unit_test(names_lead_back),
		cmocka_unit_test(start_checks_what_it_promises),
		cmocka_unit_test(processors_are_found_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
