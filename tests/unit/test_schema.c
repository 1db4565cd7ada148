#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/err.h"
#include "lib/schema/schema.h"

static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

static struct schema *compile(const char *text)
{
	struct err err = {0};
	struct schema *s = schema_compile(str_from(text), &err);
	if (!s)
		fail_msg("%s: %s", text, err.text);
	return s;
}

static int check(const struct schema *s, const char *text, struct schema_report *report)
{
	struct jdoc doc;
	struct jdoc_fault fault;
	*report = (struct schema_report){.arena = &arena};
	if (jdoc_parse(&doc, &arena, str_from(text), &JDOC_LIMITS, &fault) < 0)
		fail_msg("%s: %s", text, fault.reason);
	return schema_check(s, &doc, JDOC_ROOT, STR(""), report);
}

/* ---- every keyword: what fits, what does not, and what is said then ---- */

struct example {
	const char *schema;
	const char *good[6];
	const char *bad;     /* NULL: nothing is */
	const char *pointer; /* of the only issue */
	const char *detail;
};

static const struct example examples[] = {
	{"true", {"1", "null"}, NULL, NULL, NULL},
	{"{}", {"1", "{\"a\":[]}"}, NULL, NULL, NULL},
	{"false", {NULL}, "1", "", "is not allowed"},
	{"{\"type\":\"string\"}", {"\"\""}, "1", "", "must be a string"},
	{"{\"type\":\"number\"}", {"1", "1.5"}, "\"1\"", "", "must be a number"},
	{"{\"type\":\"integer\"}", {"1", "1.0", "1e3", "-0"}, "1.5", "", "must be an integer"},
	{"{\"type\":\"boolean\"}", {"true", "false"}, "0", "", "must be true or false"},
	{"{\"type\":\"null\"}", {"null"}, "false", "", "must be null"},
	{"{\"type\":\"array\"}", {"[]"}, "{}", "", "must be an array"},
	{"{\"type\":\"object\"}", {"{}"}, "[]", "", "must be an object"},
	{"{\"type\":[\"string\",\"null\"]}", {"\"a\"", "null"}, "1", "", "must be a string or null"},
	{"{\"enum\":[\"a\",\"\\u0062\",1.0,[1],{\"x\":1,\"y\":2}]}",
	 {"\"a\"", "\"b\"", "1", "[1e0]", "{\"y\":2.0,\"x\":1}"},
	 "\"c\"",
	 "",
	 "must be one of \"a\",\"\\u0062\",1.0,[1],{\"x\":1,\"y\":2}"},
	{"{\"enum\":[0]}", {"0", "-0.0"}, "false", "", "must be one of 0"},
	{"{\"enum\":[[1,2]]}", {"[1,2]"}, "[2,1]", "", "must be one of [1,2]"},
	{"{\"enum\":[\"1\"]}", {"\"1\""}, "1", "", "must be one of \"1\""},
	{"{\"const\":9007199254740993}", {"9007199254740993", "9007199254740993.0"}, "9007199254740992", "", "must be 9007199254740993"},
	{"{\"const\":null}", {"null"}, "[]", "", "must be null"},
	{"{\"minimum\":1.5}", {"1.5", "15e-1", "2", "\"a\""}, "1.49", "", "must be at least 1.5, is 1.49"},
	{"{\"minimum\":-3}", {"-3", "-2.9", "0"}, "-3.1", "", "must be at least -3, is -3.1"},
	{"{\"maximum\":100}", {"100", "-1e3", "99.999", "1e2"}, "100.0001", "", "must be at most 100, is 100.0001"},
	{"{\"exclusiveMinimum\":0}", {"0.1", "1"}, "-0", "", "must be more than 0, is -0"},
	{"{\"exclusiveMaximum\":10}", {"9.99"}, "10.0", "", "must be less than 10, is 10.0"},
	{"{\"multipleOf\":0.01}", {"0.07", "19.99", "0", "-3", "1e300"}, "0.075", "", "must be a multiple of 0.01, is 0.075"},
	{"{\"multipleOf\":20}", {"100", "4e1"}, "30", "", "must be a multiple of 20, is 30"},
	{"{\"multipleOf\":7}", {"49", "-7", "7e50"}, "1e2", "", "must be a multiple of 7, is 1e2"},
	{"{\"minLength\":1}", {"\"a\"", "1"}, "\"\"", "", "must be at least 1 character, has 0"},
	{"{\"minLength\":2}", {"\"ab\"", "\"\xc3\xa9\xf0\x9f\x98\x80\""}, "\"\\ud83d\\ude00\"", "", "must be at least 2 characters, has 1"},
	{"{\"maxLength\":2}", {"\"\"", "\"\\u20ac\\u20ac\"", "[1,2,3]"}, "\"abc\"", "", "must be at most 2 characters, has 3"},
	{"{\"pattern\":\"^[a-z]+$\"}", {"\"abc\"", "5"}, "\"abc\\n\"", "", "must match the pattern \"^[a-z]+$\""},
	{"{\"pattern\":\"\\\\u00e9\"}", {"\"caf\xc3\xa9s\""}, "\"cafe\"", "", "must match the pattern \"\\\\u00e9\""},
	{"{\"format\":\"uuid\"}",
	 {"\"550e8400-e29b-41d4-a716-44665544000F\"", "1"},
	 "\"550e8400e29b41d4a716446655440000\"",
	 "",
	 "must be a UUID"},
	{"{\"format\":\"email\"}", {"\"a.b+c@example.org\"", "\"a@b\""}, "\"a@b\\r\\nRCPT TO:<c@d>\"", "", "must be an e-mail address"},
	{"{\"format\":\"uri\"}", {"\"https://example.org/a?b=%20#c\"", "\"urn:x:y\""}, "\"/relative\"", "", "must be an absolute URI"},
	{"{\"items\":{\"type\":\"integer\"}}", {"[]", "[1,2]", "{}"}, "[1,\"a\"]", "/1", "must be an integer"},
	{"{\"prefixItems\":[{\"type\":\"string\"},true],\"items\":false}",
	 {"[\"a\",1]", "[\"a\"]", "[]"},
	 "[\"a\",1,2]",
	 "/2",
	 "is not allowed"},
	{"{\"minItems\":1}", {"[1]", "\"\""}, "[]", "", "must be at least 1 item, has 0"},
	{"{\"maxItems\":2}", {"[]", "[1,2]"}, "[1,2,3]", "", "must be at most 2 items, has 3"},
	{"{\"uniqueItems\":true}",
	 {"[]", "[1,\"1\",true,[1],{\"a\":1}]", "[[1,2],[2,1]]", "[0,false,null,\"\",[],{}]"},
	 "[{\"a\":1,\"b\":2},3,{\"b\":2.0,\"\\u0061\":1}]",
	 "",
	 "must not hold the same item twice"},
	{"{\"uniqueItems\":false}", {"[1,1]"}, NULL, NULL, NULL},
	{"{\"properties\":{\"a/b~\":{\"type\":\"string\"}}}",
	 {"{}", "{\"x\":1}", "{\"a\\/b~\":\"s\"}"},
	 "{\"a/b~\":1}",
	 "/a~1b~0",
	 "must be a string"},
	{"{\"required\":[\"a\",\"b\"]}", {"{\"\\u0061\":1,\"b\":null}", "[]"}, "{\"a\":1}", "/b", "is required"},
	{"{\"properties\":{\"a\":true},\"additionalProperties\":false}",
	 {"{}", "{\"a\":1}"},
	 "{\"a\":1,\"b\":1}",
	 "/b",
	 "is not known here"},
	{"{\"additionalProperties\":{\"type\":\"null\"}}", {"{\"a\":null}"}, "{\"b\":1}", "/b", "must be null"},
	{"{\"patternProperties\":{\"^x-\":{\"type\":\"integer\"}},\"additionalProperties\":false}",
	 {"{\"x-a\":1}"},
	 "{\"x-a\":\"1\"}",
	 "/x-a",
	 "must be an integer"},
	{"{\"propertyNames\":{\"maxLength\":3,\"pattern\":\"^[a-z]*$\"}}",
	 {"{\"abc\":1}", "{}"},
	 "{\"abcd\":1}",
	 "/abcd",
	 "the name must be at most 3 characters, has 4"},
	{"{\"minProperties\":1}", {"{\"a\":1}"}, "{}", "", "must be at least 1 field, has 0"},
	{"{\"maxProperties\":1}", {"{}", "{\"a\":1}"}, "{\"a\":1,\"b\":2}", "", "must be at most 1 field, has 2"},
	{"{\"allOf\":[{\"minimum\":1},{\"maximum\":3}]}", {"1", "3"}, "4", "", "must be at most 3, is 4"},
	{"{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5}]}",
	 {"\"a\"", "5", "null"},
	 "4",
	 "",
	 "must have at least one of the 2 forms allowed here"},
	{"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":5}]}",
	 {"1", "5.5"},
	 "5",
	 "",
	 "must have exactly one of the 2 forms allowed here, has more"},
	{"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}",
	 {"1", "null"},
	 "\"\"",
	 "",
	 "must have exactly one of the 2 forms allowed here, has none"},
	{"{\"not\":{\"required\":[\"a\"]}}", {"{}", "{\"b\":1}"}, "{\"a\":1}", "", "has a form that is not allowed here"},
	{"{\"not\":{\"not\":{\"type\":\"string\"}}}", {"\"a\""}, "1", "", "has a form that is not allowed here"},
	{"{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"type\":\"integer\"}}}", {"1"}, "\"a\"", "", "must be an integer"},
	{"{\"$defs\":{\"a/b\":{\"$ref\":\"#/$defs/c\"},\"c\":{\"type\":\"null\"}},\"items\":{\"$ref\":\"#/$defs/a~1b\"}}",
	 {"[null]"},
	 "[1]",
	 "/0",
	 "must be null"},
	{"{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},\"next\":{\"$ref\":\"#\"}}}",
	 {"{\"next\":{\"next\":{\"v\":1}}}"},
	 "{\"next\":{\"next\":{\"v\":\"1\"}}}",
	 "/next/next/v",
	 "must be an integer"},
	{"{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"$id\":\"https://example.org/"
	 "s\",\"$comment\":\"c\",\"title\":\"t\",\"description\":\"d\","
	 "\"default\":1,\"examples\":[1],\"deprecated\":true}",
	 {"1", "{}"},
	 NULL,
	 NULL,
	 NULL},
};

static void expect_only(const struct example *e, const struct schema_report *report)
{
	if (report->count != 1 || !str_is(report->first->pointer, e->pointer) || !str_is(report->first->detail, e->detail))
		fail_msg("%s: %s: %u issues, the first \"%.*s\" at \"%.*s\"", e->schema, e->bad, report->count,
			 STR_ARG(report->count ? report->first->detail : STR("")),
			 STR_ARG(report->count ? report->first->pointer : STR("")));
}

static void checks_every_keyword(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
		const struct example *e = &examples[i];
		struct schema_report report;
		struct schema *s = compile(e->schema);
		for (size_t k = 0; k < ARRAY_LEN(e->good) && e->good[k]; k++)
			if (check(s, e->good[k], &report) != 0)
				fail_msg("%s refuses %s: %.*s", e->schema, e->good[k],
					 STR_ARG(report.count ? report.first->detail : STR("?")));
		if (e->bad) {
			assert_int_equal(check(s, e->bad, &report), ERR_INVALID);
			expect_only(e, &report);
		}
		schema_free(s);
	}
}

/* ---- formats ---- */

static const char *const good_dates[] = {
	"2026-11-21T08:42:15Z",      "2026-11-21t08:42:15.123456789z", "2024-02-29T00:00:00+05:30",
	"2000-02-29T23:59:59-23:59", "1998-12-31T23:59:60Z",           "1998-12-31T15:59:60.9-08:00",
};
static const char *const bad_dates[] = {
	"2026-11-21",
	"2026-11-21T08:42Z",
	"2026-11-21 08:42:15Z",
	"2026-11-21T08:42:15",
	"2026-02-29T00:00:00Z",
	"1900-02-29T00:00:00Z",
	"2026-13-01T00:00:00Z",
	"2026-00-01T00:00:00Z",
	"2026-04-31T00:00:00Z",
	"2026-01-00T00:00:00Z",
	"2026-01-01T24:00:00Z",
	"2026-01-01T00:60:00Z",
	"2026-01-01T00:00:60Z",
	"2026-01-01T00:00:61Z",
	"2026-01-01T00:00:00.Z",
	"2026-01-01T00:00:00+24:00",
	"2026-01-01T00:00:00+0000",
	"2026-01-01T00:00:00ZZ",
	"+2026-01-01T00:00:00Z",
};
static const char *const good_mails[] = {"a@b.c", "A1!#$%&'*+-/=?^_`{|}~@x-y.example", "first.last@example.org"};
static const char *const bad_mails[] = {
	"",
	"a",
	"@b",
	"a@",
	"a@@b",
	"a@b@c",
	".a@b",
	"a.@b",
	"a..b@c",
	"a b@c",
	"a@b c",
	"a@-b",
	"a@b-",
	"a@b..c",
	"a@.b",
	"a@b.",
	"a@[127.0.0.1]",
	"<a@b>",
	"a,b@c",
	"a@b_c",
	"\xc3\xa9@b",
	"\\\"a\\\"@b",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b",
	"a@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};
static const char *const good_uris[] = {"http://a", "mailto:a@b", "tag:x", "ftp://[::1]/x", "a+b-c.1:x", "http://a/%C3%A9?q#f"};
static const char *const bad_uris[] = {
	"",           "a",     ":a",          "1a:b", "http:", "http://a b", "http://a/%2", "http://a/%zz", "http://\xc3\xa9",
	"http://a/<", "a_b:c", "http://a#b#c"};

static void check_strings(const char *format, const char *const *texts, size_t n, int expected)
{
	struct buf b = BUF_INIT;
	buf_addf(&b, "{\"format\":\"%s\"}", format);
	struct schema *s = compile(b.p);
	for (size_t i = 0; i < n; i++) {
		struct schema_report report;
		buf_clear(&b);
		buf_addf(&b, "\"%s\"", texts[i]);
		if (check(s, b.p, &report) != expected)
			fail_msg("%s: %s %s", format, texts[i], expected ? "is accepted" : "is refused");
	}
	schema_free(s);
	buf_release(&b);
}

static void knows_the_formats(void **state)
{
	(void)state;
	check_strings("date-time", good_dates, ARRAY_LEN(good_dates), 0);
	check_strings("date-time", bad_dates, ARRAY_LEN(bad_dates), ERR_INVALID);
	check_strings("email", good_mails, ARRAY_LEN(good_mails), 0);
	check_strings("email", bad_mails, ARRAY_LEN(bad_mails), ERR_INVALID);
	check_strings("uri", good_uris, ARRAY_LEN(good_uris), 0);
	check_strings("uri", bad_uris, ARRAY_LEN(bad_uris), ERR_INVALID);
}

/* ---- compiling ---- */

static const struct {
	const char *schema;
	const char *place; /* that the error begins with */
} refused[] = {
	{"", "byte 0"},
	{"{\"type\":\"string\",\"type\":\"null\"}", "byte 18"},
	{"1", "#: "},
	{"[]", "#: "},
	{"{\"foo\":1}", "#/foo: "},
	{"{\"if\":true}", "#/if: "},
	{"{\"dependentRequired\":{}}", "#/dependentRequired: "},
	{"{\"properties\":{\"a\":{\"minlength\":1}}}", "#/properties/a/minlength: "},
	{"{\"$defs\":{\"unused\":{\"contains\":true}}}", "#/$defs/unused/contains: "},
	{"{\"type\":\"text\"}", "#/type: "},
	{"{\"type\":[]}", "#/type: "},
	{"{\"type\":[\"string\",1]}", "#/type/1: "},
	{"{\"enum\":1}", "#/enum: "},
	{"{\"minimum\":\"1\"}", "#/minimum: "},
	{"{\"multipleOf\":0}", "#/multipleOf: "},
	{"{\"multipleOf\":-1}", "#/multipleOf: "},
	{"{\"multipleOf\":0.1234567890123456789}", "#/multipleOf: "},
	{"{\"minLength\":-1}", "#/minLength: "},
	{"{\"maxLength\":1.5}", "#/maxLength: "},
	{"{\"pattern\":\"(\"}", "#/pattern: "},
	{"{\"pattern\":1}", "#/pattern: "},
	{"{\"format\":\"ipv4\"}", "#/format: "},
	{"{\"items\":[true]}", "#/items: "},
	{"{\"prefixItems\":[]}", "#/prefixItems: "},
	{"{\"uniqueItems\":1}", "#/uniqueItems: "},
	{"{\"properties\":[]}", "#/properties: "},
	{"{\"properties\":{\"a\":1}}", "#/properties/a: "},
	{"{\"patternProperties\":{\"[\":true}}", "#/patternProperties/[: "},
	{"{\"required\":\"a\"}", "#/required: "},
	{"{\"required\":[1]}", "#/required/0: "},
	{"{\"allOf\":[]}", "#/allOf: "},
	{"{\"anyOf\":[1]}", "#/anyOf/0: "},
	{"{\"not\":null}", "#/not: "},
	{"{\"$ref\":1}", "#/$ref: "},
	{"{\"$ref\":\"other.json\"}", "#/$ref: "},
	{"{\"$ref\":\"#/$defs/none\"}", "#/$ref: "},
	{"{\"$ref\":\"#name\"}", "#/$ref: "},
	{"{\"$ref\":\"#/a~2\"}", "#/$ref: "},
	{"{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", "#/$schema: "},
	{"{\"items\":{\"$id\":\"x\"}}", "#/items/$id: "},
	{"{\"$ref\":\"#\"}", "#: "},
	{"{\"allOf\":[{\"$ref\":\"#\"}]}", "#"},
	{"{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"not\":{\"$ref\":\"#/$defs/a\"}}}}", "#/$defs/"},
};

static void refuses_what_it_cannot_keep(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct err err = {0};
		struct schema *s = schema_compile(str_from(refused[i].schema), &err);
		if (s || !str_starts(str_from(err.text), str_from(refused[i].place)))
			fail_msg("%s: %s", refused[i].schema, s ? "compiled" : err.text);
		assert_int_equal(err.code, ERR_INVALID);
	}
	assert_null(schema_compile(STR("{\"foo\":1}"), NULL));
}

static void keeps_its_own_text(void **state)
{
	(void)state;
	char text[] = "{\"required\":[\"abc\"]}";
	struct schema *s = compile(text);
	memset(text, 'x', sizeof(text));
	struct schema_report report;
	assert_true(str_is(schema_text(s), "{\"required\":[\"abc\"]}"));
	assert_int_equal(check(s, "{}", &report), ERR_INVALID);
	assert_true(str_is(report.first->pointer, "/abc"));
	schema_free(s);
	schema_free(NULL);
}

/* ---- reports ---- */

static void reports_all_faults_at_once(void **state)
{
	(void)state;
	struct schema *s =
		compile("{\"type\":\"object\",\"required\":[\"id\",\"to\"],\"additionalProperties\":false,\"properties\":{\"id\":{\"type\":"
			"\"string\"},"
			"\"n\":{\"type\":\"integer\",\"maximum\":5},\"list\":{\"items\":{\"type\":\"string\",\"minLength\":2}}}}");
	struct jdoc doc;
	struct jdoc_fault fault;
	struct schema_report report = {.arena = &arena};
	struct str text = STR("{\"data\":{\"n\":6.5,\"list\":[\"ab\",\"a\",1],\"x\":1,\"id\":\"1\"}}");
	assert_int_equal(jdoc_parse(&doc, &arena, text, &JDOC_LIMITS, &fault), 0);
	assert_int_equal(schema_check(s, &doc, jdoc_get(&doc, JDOC_ROOT, "data"), STR("/data"), &report), ERR_INVALID);
	static const char *const pointers[] = {"/data/to", "/data/n", "/data/n", "/data/list/1", "/data/list/2", "/data/x"};
	assert_int_equal(report.count, ARRAY_LEN(pointers));
	size_t i = 0;
	for (const struct schema_issue *issue = report.first; issue; issue = issue->next)
		assert_true(str_is(issue->pointer, pointers[i++]));
	schema_report_add(&report, STR("/opts"), "must be %d", 5);
	assert_true(str_is(report.last->detail, "must be 5"));
	schema_free(s);
}

static struct str repeated(const char *open, const char *item, unsigned n, const char *close)
{
	struct buf b = BUF_INIT;
	buf_addz(&b, open);
	for (unsigned i = 0; i < n; i++)
		buf_addf(&b, "%s%s", i ? "," : "", item);
	buf_addz(&b, close);
	struct str s = arena_dup(&arena, buf_str(&b));
	buf_release(&b);
	return s;
}

static void stops_at_fifty_issues(void **state)
{
	(void)state;
	struct schema *s = compile("{\"items\":{\"type\":\"string\"}}");
	struct schema_report report;
	assert_int_equal(check(s, repeated("[", "1", 49000, "]").p, &report), ERR_INVALID);
	assert_int_equal(report.count, SCHEMA_MAX_ISSUES);
	assert_null(report.last->next);
	schema_free(s);
}

/* ---- what would run away ---- */

static void gives_up_on(const char *schema, const char *value)
{
	struct schema *s = compile(schema);
	struct schema_report report;
	assert_int_equal(check(s, value, &report), ERR_LIMIT);
	assert_int_equal(report.count, 1);
	assert_true(str_is(report.first->detail, "is too deep or too costly to check"));
	schema_free(s);
}

static void bounds_the_work(void **state)
{
	(void)state;
	gives_up_on("{\"pattern\":\"^(a+)+$\"}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"");
	gives_up_on("{\"not\":{\"pattern\":\"^(a+)+$\"}}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"");
	gives_up_on("{\"patternProperties\":{\"^(a+)+$\":true}}",
		    "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\":1}");
	/* Twice the work for each level: 2^40 in all. */
	struct buf b = BUF_INIT;
	buf_addz(&b, "{\"allOf\":[{\"items\":{\"$ref\":\"#\"}},{\"items\":{\"$ref\":\"#\"}}]}");
	struct buf value = BUF_INIT;
	for (int i = 0; i < 30; i++)
		buf_addc(&value, '[');
	for (int i = 0; i < 30; i++)
		buf_addc(&value, ']');
	gives_up_on(b.p, value.p);
	buf_release(&b);
	buf_release(&value);
}

static void follows_long_chains_of_references(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	buf_addz(&b, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
	for (int i = 0; i < 5000; i++)
		buf_addf(&b, "\"d%d\":{\"$ref\":\"#/$defs/d%d\"},", i, i + 1);
	buf_addz(&b, "\"d5000\":{\"type\":\"null\"}}}");
	struct schema *s = compile(b.p);
	struct schema_report report;
	assert_int_equal(check(s, "null", &report), 0);
	assert_int_equal(check(s, "1", &report), ERR_INVALID);
	schema_free(s);
	buf_release(&b);
}

static void checks_values_as_deep_as_the_scanner_lets_through(void **state)
{
	(void)state;
	struct schema *s = compile("{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}");
	struct schema_report report;
	struct buf b = BUF_INIT;
	for (int i = 0; i < 64; i++)
		buf_addc(&b, '[');
	for (int i = 0; i < 64; i++)
		buf_addc(&b, ']');
	assert_int_equal(check(s, b.p, &report), 0);
	buf_release(&b);
	schema_free(s);
}

static void reports_a_full_arena(void **state)
{
	(void)state;
	struct schema *s = compile("{\"uniqueItems\":true}");
	struct jdoc doc;
	struct jdoc_fault fault;
	assert_int_equal(jdoc_parse(&doc, &arena, repeated("[", "[]", 2000, "]"), &JDOC_LIMITS, &fault), 0);
	struct arena small;
	arena_init(&small, 2000);
	struct schema_report report = {.arena = &small};
	assert_int_equal(schema_check(s, &doc, JDOC_ROOT, STR(""), &report), ERR_NOMEM);
	arena_release(&small);
	schema_free(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(checks_every_keyword),
		TEST(knows_the_formats),
		TEST(refuses_what_it_cannot_keep),
		TEST(keeps_its_own_text),
		TEST(reports_all_faults_at_once),
		TEST(stops_at_fifty_issues),
		TEST(bounds_the_work),
		TEST(follows_long_chains_of_references),
		TEST(checks_values_as_deep_as_the_scanner_lets_through),
		TEST(reports_a_full_arena),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
