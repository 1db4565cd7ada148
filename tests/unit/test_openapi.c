/* The OpenAPI document of the program's real route table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/openapi/openapi.h"
#include "lib/json/jdoc.h"

#define DECLARED "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/part\"}},\"$defs\":{\"part\":{\"type\":\"string\"}}}"

struct fixture {
	struct schemas *schemas;
	struct schema *payloads[3];
	struct buf text;
	struct arena arena;
	struct jdoc doc;
};

static int setup(void **state)
{
	static const char *const names[] = {"payload-document-processing", "payload-notifications", "payload-compliance-analysis"};
	static struct fixture f;
	struct err err = {0};
	struct jdoc_fault fault = {0};
	f = (struct fixture){.schemas = schemas_new(&err)};
	if (!f.schemas)
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		f.payloads[i] = schema_compile(STR(DECLARED), &err);
		assert_non_null(f.payloads[i]);
		assert_int_equal(schemas_add(f.schemas, str_from(names[i]), f.payloads[i], &err), 0);
	}
	if (openapi_write(&ROUTES, f.schemas, "1.2.3", &f.text, &err) < 0)
		fail_msg("%s", err.text);
	arena_init(&f.arena, 0);
	if (jdoc_parse(&f.doc, &f.arena, buf_str(&f.text), &JDOC_LIMITS, &fault) < 0)
		fail_msg("byte %u: %s", fault.offset, fault.reason);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	arena_release(&f->arena);
	buf_release(&f->text);
	schemas_free(f->schemas);
	for (unsigned i = 0; i < ARRAY_LEN(f->payloads); i++)
		schema_free(f->payloads[i]);
	return 0;
}

static uint32_t walk(const struct jdoc *d, const char *const *names)
{
	uint32_t at = JDOC_ROOT;
	for (; *names; names++)
		at = jdoc_get(d, at, *names);
	return at;
}

#define WALK(f, ...) walk(&(f)->doc, (const char *const[]){__VA_ARGS__, NULL})

static void test_every_route_is_there(void **state)
{
	struct fixture *f = *state;
	for (unsigned i = 0; i < ROUTES.count; i++) {
		const struct route *r = &ROUTES.rows[i];
		char method[16] = "";
		for (size_t k = 0; r->method[k]; k++)
			method[k] = (char)(r->method[k] | 0x20);
		uint32_t id = WALK(f, "paths", r->pattern, method, "operationId");
		assert_true(str_is(jdoc_string(&f->doc, id, &f->arena), r->id));
		assert_true(WALK(f, "paths", r->pattern, method, "responses", "default") != JDOC_NONE);
	}
}

/* A name twice, or a row of the table that stands behind another, would be found by nobody. */
static void test_ids_and_paths_are_unique(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUTES.count; i++) {
		for (unsigned k = 0; k < i; k++) {
			assert_string_not_equal(ROUTES.rows[i].id, ROUTES.rows[k].id);
			if (strcmp(ROUTES.rows[i].pattern, ROUTES.rows[k].pattern) == 0)
				assert_string_not_equal(ROUTES.rows[i].method, ROUTES.rows[k].method);
		}
	}
}

static bool is_route(struct str id)
{
	for (unsigned i = 0; i < ROUTES.count; i++)
		if (str_is(id, ROUTES.rows[i].id))
			return true;
	return false;
}

static void test_extras_belong_to_routes(void **state)
{
	struct fixture *f = *state;
	const struct jdoc *d = schemas_document(f->schemas);
	uint32_t all = jdoc_get(d, JDOC_ROOT, "operations");
	for (uint32_t c = jdoc_first(d, all); c != JDOC_NONE; c = jdoc_next(d, all, c))
		assert_true(is_route(jdoc_key(d, c, &f->arena)));
	assert_true(WALK(f, "paths", "/metrics", "get", "responses", "2XX", "content", "text/plain") != JDOC_NONE);
}

static void test_references_are_turned(void **state)
{
	struct fixture *f = *state;
	assert_null(strstr(f->text.p, "\"#/$defs/"));
	uint32_t ref = WALK(f, "components", "schemas", "payload-notifications", "properties", "a", "$ref");
	assert_true(str_is(jdoc_string(&f->doc, ref, &f->arena), "#/components/schemas/payload-notifications/$defs/part"));
	ref = WALK(f, "components", "schemas", "job-created", "properties", "jobId", "$ref");
	assert_true(str_is(jdoc_string(&f->doc, ref, &f->arena), "#/components/schemas/job-id"));
}

static void test_schemas_check(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *schema, *text;
		bool valid;
	} cases[] = {
		{"job-add", "{\"data\":[]}", true},
		{"job-add", "{\"data\":1,\"opts\":{\"delay\":-1}}", false},
		{"job-add", "{\"data\":1,\"opts\":{\"sluice\":{}}}", false},
		{"job-add-request", "[{\"anything\":1}]", true},
		{"job-add-request", "[]", false},
		{"job-add-request", "{}", false},
		{"job-options", "{\"removeOnComplete\":{\"age\":5},\"backoff\":{\"type\":\"fixed\",\"delay\":5}}", true},
		{"job-states-request", "{\"jobs\":[{\"queue\":\"q\",\"jobId\":\"1\"}]}", true},
		{"workflow-request", "{\"documentId\":\"demo-doc-123\",\"filename\":\"sample.pdf\",\"mimeType\":\"application/pdf\",\"fileSize\":1024000}", true},
		{"workflow-request", "{\"documentId\":\"../x\",\"filename\":\"a\",\"mimeType\":\"application/pdf\",\"fileSize\":1}", false},
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct jdoc doc;
		struct jdoc_fault fault;
		struct schema_report report = {.arena = &f->arena};
		const struct schema *schema = schemas_find(f->schemas, cases[i].schema);
		assert_non_null(schema);
		assert_int_equal(jdoc_parse(&doc, &f->arena, str_from(cases[i].text), &JDOC_LIMITS, &fault), 0);
		if ((schema_check(schema, &doc, JDOC_ROOT, STR(""), &report) == 0) != cases[i].valid)
			fail_msg("%s: %s", cases[i].schema, cases[i].text);
	}
	assert_null(schemas_find(f->schemas, "no-such"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_route_is_there), cmocka_unit_test(test_ids_and_paths_are_unique),
					   cmocka_unit_test(test_extras_belong_to_routes),
					   cmocka_unit_test(test_references_are_turned), cmocka_unit_test(test_schemas_check)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
