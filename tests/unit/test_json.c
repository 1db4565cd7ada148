#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/err.h"
#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"

#define DEPTH 64
#define NODES 50000

static struct arena arena;
static struct jdoc doc;
static struct jdoc_fault fault;

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

static int parse(struct str text)
{
	fault = (struct jdoc_fault){0};
	return jdoc_parse(&doc, &arena, text, &JDOC_LIMITS, &fault);
}

static void parse_ok(const char *text)
{
	if (parse(str_from(text)) < 0)
		fail_msg("%s: byte %u: %s", text, fault.offset, fault.reason);
}

/* ---- what is refused, and as what ---- */

struct refusal {
	struct str text;
	enum jfault kind;
	uint32_t offset;
};

#define R(literal, fault_kind, at)                                                                                                         \
	{                                                                                                                                  \
		{literal, sizeof(literal) - 1}, JFAULT_##fault_kind, at                                                                    \
	}

static const struct refusal refusals[] = {
	R("", EMPTY, 0),
	R(" \t\r\n", EMPTY, 4),
	R("[", SYNTAX, 1),
	R("]", SYNTAX, 0),
	R("[1", SYNTAX, 2),
	R("[1,", SYNTAX, 3),
	R("[1,]", SYNTAX, 3),
	R("[,1]", SYNTAX, 1),
	R("[1 2]", SYNTAX, 3),
	R("[1}", SYNTAX, 2),
	R("{\"a\":1]", SYNTAX, 6),
	R("{", SYNTAX, 1),
	R("{\"a\"}", SYNTAX, 4),
	R("{\"a\":}", SYNTAX, 5),
	R("{\"a\":1,}", SYNTAX, 7),
	R("{a:1}", SYNTAX, 1),
	R("{'a':1}", SYNTAX, 1),
	R("{1:1}", SYNTAX, 1),
	R("{\"a\" 1}", SYNTAX, 5),
	R("01", TRAILING, 1),
	R("-", SYNTAX, 1),
	R("-01", TRAILING, 2),
	R("+1", SYNTAX, 0),
	R(".5", SYNTAX, 0),
	R("1.", SYNTAX, 2),
	R("1.e1", SYNTAX, 2),
	R("1e", SYNTAX, 2),
	R("1e+", SYNTAX, 3),
	R("0x10", TRAILING, 1),
	R("1e400", RANGE, 0),
	R("[-1e309]", RANGE, 1),
	R("179769313486231580793728971405304e276", RANGE, 0),
	R("NaN", SYNTAX, 0),
	R("Infinity", SYNTAX, 0),
	R("-Infinity", SYNTAX, 1),
	R("nul", SYNTAX, 0),
	R("nulll", TRAILING, 4),
	R("TRUE", SYNTAX, 0),
	R("truefalse", TRAILING, 4),
	R("1 2", TRAILING, 2),
	R("{}{}", TRAILING, 2),
	R("[]\0", TRAILING, 2),
	R("[1]//", TRAILING, 3),
	R("/**/1", SYNTAX, 0),
	R("\xef\xbb\xbf[]", SYNTAX, 0),
	R("[\f1]", SYNTAX, 1),
	R("[\xc2\xa0]", SYNTAX, 1),
	R("\"", SYNTAX, 1),
	R("\"abc", SYNTAX, 4),
	R("\"a\\\"", SYNTAX, 4),
	R("\"\\", SYNTAX, 2),
	R("\"\\x41\"", SYNTAX, 2),
	R("\"\\'\"", SYNTAX, 2),
	R("\"\\U0041\"", SYNTAX, 2),
	R("\"\\u12\"", SYNTAX, 3),
	R("\"\\u12G4\"", SYNTAX, 3),
	R("\"\\u+123\"", SYNTAX, 3),
	R("\"a\nb\"", SYNTAX, 2),
	R("\"a\tb\"", SYNTAX, 2),
	R("\"\0\"", SYNTAX, 1),
	R("\"\x1f\"", SYNTAX, 1),
	R("'a'", SYNTAX, 0),
	R("\"\\u0000\"", NUL, 3),
	R("{\"\\u0000\":1}", NUL, 4),
	R("\"\\ud800\"", SURROGATE, 3),
	R("\"\\ud800x\"", SURROGATE, 3),
	R("\"\\udc00\"", SURROGATE, 3),
	R("\"\\ud800\\n\"", SURROGATE, 3),
	R("\"\\ud800\\ud800\"", SURROGATE, 3),
	R("\"\\ud800\\u0041\"", SURROGATE, 3),
	R("\"\\ud800\\u\"", SYNTAX, 9),
	R("\"\xff\"", UTF8, 1),
	R("\"\x80\"", UTF8, 1),
	R("\"\xc0\x80\"", UTF8, 1),
	R("\"\xc1\xbf\"", UTF8, 1),
	R("\"\xc3\"", UTF8, 1),
	R("\"\xe0\x80\x80\"", UTF8, 1),
	R("\"\xe2\x82\"", UTF8, 1),
	R("\"\xed\xa0\x80\"", UTF8, 1),
	R("\"\xf0\x80\x80\x80\"", UTF8, 1),
	R("\"\xf4\x90\x80\x80\"", UTF8, 1),
	R("\"\xf5\x80\x80\x80\"", UTF8, 1),
	R("{\"\xff\":1}", UTF8, 2),
	R("\"12345678\xff\"", UTF8, 9),
	R("{\"a\":1,\"a\":2}", DUPLICATE_KEY, 8),
	R("{\"a\":1,\"\\u0061\":2}", DUPLICATE_KEY, 8),
	R("{\"\\u0061\":1,\"\\u0061\":2}", DUPLICATE_KEY, 13),
	R("{\"\":1,\"\":2}", DUPLICATE_KEY, 7),
	R("[{\"x\":{\"/\":1,\"\\/\":2}}]", DUPLICATE_KEY, 14),
	R("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", DUPLICATE_KEY, 19),
};

static void refuses_what_is_not_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		const struct refusal *r = &refusals[i];
		if (parse(r->text) != ERR_INVALID || fault.kind != r->kind || fault.offset != r->offset)
			fail_msg("%.*s: kind %d at byte %u (%s), not %d at %u", STR_ARG(r->text), (int)fault.kind, fault.offset,
				 fault.reason ? fault.reason : "accepted", (int)r->kind, r->offset);
		assert_int_equal(doc.n_nodes, 0);
	}
	assert_int_equal(jdoc_parse(&doc, &arena, STR("["), &JDOC_LIMITS, NULL), ERR_INVALID);
	assert_int_equal(parse(STR_NONE), ERR_INVALID);
}

static void accepts_what_is_json(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"0",
		"-0",
		"1",
		"-1",
		"0.0",
		"1.5e3",
		"1E+2",
		"1e-2",
		"0e0",
		"123456789012345678901234567890",
		"1e308",
		"1e-400",
		"1.7976931348623157e308",
		"true",
		"false",
		"null",
		"\"\"",
		" [ ] ",
		"{}",
		"{ }",
		"[[]]",
		"[{},{}]",
		"\t{\"a\"\r\n:\t1 , \"b\" : [ 2 ] } ",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
		"\"\\u00e9\\uD83D\\uDE00\"",
		"\"\x7f\"",
		"\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\"",
		"\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
		"\"\\uFFFF\\uFDD0\"",
		"{\"a\":{\"a\":{\"a\":1}}}",
		"{\"a\":1,\"A\":2,\"\":3}",
		"[\"12345678\",\"1234567\\\"\"]",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		parse_ok(texts[i]);
}

/* ---- limits ---- */

static struct str nested(unsigned depth, const char *open, const char *close)
{
	struct buf b = BUF_INIT;
	for (unsigned i = 0; i < depth; i++)
		buf_addz(&b, open);
	buf_addc(&b, '1');
	for (unsigned i = 0; i < depth; i++)
		buf_addz(&b, close);
	struct str s = arena_dup(&arena, buf_str(&b));
	buf_release(&b);
	return s;
}

static void limits_the_depth(void **state)
{
	(void)state;
	assert_int_equal(parse(nested(DEPTH, "[", "]")), 0);
	assert_int_equal(parse(nested(DEPTH + 1, "[", "]")), ERR_LIMIT);
	assert_int_equal(fault.kind, JFAULT_DEPTH);
	assert_int_equal(fault.offset, DEPTH);
	assert_int_equal(parse(nested(DEPTH, "{\"a\":", "}")), 0);
	assert_int_equal(parse(nested(1000000, "[", "")), ERR_LIMIT);
	assert_int_equal(jdoc_parse(&doc, &arena, nested(4, "[", "]"), &JDOC_TOKEN_LIMITS, &fault), 0);
	assert_int_equal(jdoc_parse(&doc, &arena, nested(5, "[", "]"), &JDOC_TOKEN_LIMITS, &fault), ERR_LIMIT);
}

static struct str array_of(unsigned items)
{
	struct buf b = BUF_INIT;
	for (unsigned i = 0; i < items; i++)
		buf_addc(&b, i ? ',' : '['), buf_addu(&b, i % 10);
	buf_addc(&b, ']');
	struct str s = arena_dup(&arena, buf_str(&b));
	buf_release(&b);
	return s;
}

static void limits_the_nodes(void **state)
{
	(void)state;
	assert_int_equal(parse(array_of(NODES - 1)), 0);
	assert_int_equal(doc.n_nodes, NODES);
	assert_int_equal(doc.nodes[0].count, NODES - 1);
	assert_int_equal(parse(array_of(NODES)), ERR_LIMIT);
	assert_int_equal(fault.kind, JFAULT_NODES);
}

static void reports_a_full_arena(void **state)
{
	(void)state;
	struct str text = array_of(5000);
	struct arena small;
	arena_init(&small, 1000);
	assert_int_equal(jdoc_parse(&doc, &small, text, &JDOC_LIMITS, &fault), ERR_NOMEM);
	assert_int_equal(fault.kind, JFAULT_MEMORY);
	arena_release(&small);
}

/* An object of n keys; the last one repeats the key number `again`, written with an escape, unless it is n. */
static struct str object_of(unsigned n, unsigned again)
{
	struct buf b = BUF_INIT;
	for (unsigned i = 0; i < n; i++)
		buf_addf(&b, "%s\"key%u\":%u", i ? "," : "{", i, i);
	if (again < n)
		buf_addf(&b, ",\"\\u006bey%u\":0", again);
	buf_addc(&b, '}');
	struct str s = arena_dup(&arena, buf_str(&b));
	buf_release(&b);
	return s;
}

static void finds_duplicates_in_objects_of_any_size(void **state)
{
	(void)state;
	static const unsigned sizes[] = {2, 15, 16, 17, 100, 40000};
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(parse(object_of(sizes[i], sizes[i])), 0);
		assert_int_equal(parse(object_of(sizes[i], sizes[i] / 2)), ERR_INVALID);
		assert_int_equal(fault.kind, JFAULT_DUPLICATE_KEY);
	}
}

/* ---- reading ---- */

static void finds_its_way(void **state)
{
	(void)state;
	parse_ok("{\"a\": [1, [2, 3], {\"b\":4}], \"\\u0063\\n\": \"x\\u00e9y\", \"d\":\"plain\"}");
	uint32_t a = jdoc_get(&doc, JDOC_ROOT, "a");
	assert_int_equal(jdoc_type(&doc, a), J_ARRAY);
	assert_int_equal(doc.nodes[a].count, 3);
	assert_true(str_is(jdoc_raw(&doc, a), "[1, [2, 3], {\"b\":4}]"));
	static const char *const items[] = {"1", "[2, 3]", "{\"b\":4}"};
	size_t i = 0;
	for (uint32_t c = jdoc_first(&doc, a); c != JDOC_NONE; c = jdoc_next(&doc, a, c))
		assert_true(str_is(jdoc_raw(&doc, c), items[i++]));
	assert_int_equal(i, 3);
	uint32_t c = jdoc_get(&doc, JDOC_ROOT, "c\n");
	assert_true(str_is(jdoc_raw(&doc, c), "\"x\\u00e9y\""));
	assert_true(str_is(jdoc_string(&doc, c, &arena), "x\xc3\xa9y"));
	assert_true(str_is(jdoc_key(&doc, c, &arena), "c\n"));
	uint32_t d = jdoc_get(&doc, JDOC_ROOT, "d");
	struct str plain = jdoc_string(&doc, d, &arena);
	assert_true(str_is(plain, "plain"));
	assert_true(plain.p > doc.text.p && plain.p < doc.text.p + doc.text.n);
}

static void answers_for_what_is_not_there(void **state)
{
	(void)state;
	parse_ok("[{}, \"s\"]");
	int64_t i;
	double d;
	assert_int_equal(jdoc_get(&doc, JDOC_ROOT, "a"), JDOC_NONE);
	assert_int_equal(jdoc_get(&doc, JDOC_NONE, "a"), JDOC_NONE);
	assert_int_equal(jdoc_first(&doc, JDOC_NONE), JDOC_NONE);
	assert_int_equal(jdoc_first(&doc, 1), JDOC_NONE);
	assert_int_equal(jdoc_type(&doc, JDOC_NONE), J_NULL);
	assert_int_equal(jdoc_raw(&doc, JDOC_NONE).n, 0);
	assert_null(jdoc_string(&doc, 1, &arena).p);
	assert_null(jdoc_string(&doc, JDOC_NONE, &arena).p);
	assert_int_equal(jdoc_int(&doc, 2, &i), ERR_INVALID);
	assert_int_equal(jdoc_int(&doc, JDOC_NONE, &i), ERR_INVALID);
	assert_int_equal(jdoc_double(&doc, 2, &d), ERR_INVALID);
	assert_false(jdoc_is_integer(&doc, 2));
}

static void decodes_escapes(void **state)
{
	(void)state;
	parse_ok("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00E9\\u20ac\\ud83d\\ude00\\udbff\\udfff\"");
	assert_true(str_is(jdoc_string(&doc, 0, &arena), "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"));
}

static void reads_integers_exactly(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t value;
	} cases[] = {
		{"0", 0},
		{"-0", 0},
		{"0.0", 0},
		{"0e9", 0},
		{"7", 7},
		{"-3", -3},
		{"2.0", 2},
		{"1e3", 1000},
		{"1.5e1", 15},
		{"1200e-2", 12},
		{"0.00012e5", 12},
		{"10.0e-1", 1},
		{"9007199254740993", 9007199254740993},
		{"9223372036854775807", INT64_MAX},
		{"-9223372036854775808", INT64_MIN},
		{"922337203685477580.7e1", INT64_MAX},
		{"100000000000000000000e-2", 1000000000000000000},
		{"0e99999999999999999999", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t v = 99;
		parse_ok(cases[i].text);
		assert_int_equal(jdoc_int(&doc, 0, &v), 0);
		if (v != cases[i].value)
			fail_msg("%s is not %lld", cases[i].text, (long long)v);
		assert_true(jdoc_is_integer(&doc, 0));
	}
	static const char *const not_integers[] = {"0.5", "1e-1", "15e-1", "-2.50", "1e-99999999999999999999"};
	static const char *const too_large[] = {"9223372036854775808", "-9223372036854775809", "1e19", "99999999999999999999", "1e300"};
	int64_t v;
	for (size_t i = 0; i < ARRAY_LEN(not_integers); i++) {
		parse_ok(not_integers[i]);
		assert_int_equal(jdoc_int(&doc, 0, &v), ERR_INVALID);
		assert_false(jdoc_is_integer(&doc, 0));
	}
	for (size_t i = 0; i < ARRAY_LEN(too_large); i++) {
		parse_ok(too_large[i]);
		assert_int_equal(jdoc_int(&doc, 0, &v), ERR_INVALID);
		assert_true(jdoc_is_integer(&doc, 0));
	}
}

static void reads_doubles_as_strtod_does(void **state)
{
	(void)state;
	struct buf halfway = BUF_INIT; /* 2^-1074 / 2 and a digit behind: only that digit makes it round up */
	buf_addf(&halfway, "%.1100f", 0x1p-1074);
	static const char *const texts[] = {
		"0.1",
		"-0.1",
		"3.14159265358979",
		"1e22",
		"1e23",
		"123456789012345678",
		"9007199254740993",
		"5e-324",
		"2.4703282292062328e-324",
		"2.2250738585072011e-308",
		"1.7976931348623157e308",
		"0.000001e-5",
		"-0",
		"1e-5000",
		"8.5e-7",
		"12345.678e-30",
	};
	for (size_t i = 0; i <= ARRAY_LEN(texts); i++) {
		const char *text = i < ARRAY_LEN(texts) ? texts[i] : halfway.p;
		double d = 99;
		parse_ok(text);
		assert_int_equal(jdoc_double(&doc, 0, &d), 0);
		double expected = strtod(text, NULL);
		if (memcmp(&d, &expected, sizeof(d)) != 0)
			fail_msg("%s reads as %.17g, not %.17g", text, d, expected);
	}
	buf_release(&halfway);
}

/* ---- mutations, with jansson as the second opinion ---- */

static void check_nodes(void)
{
	for (uint32_t i = 0; i < doc.n_nodes; i++) {
		const struct jnode *n = &doc.nodes[i];
		assert_true(n->len > 0 && n->off + n->len <= doc.text.n);
		assert_true(n->end > i && n->end <= doc.n_nodes);
		uint32_t count = 0;
		for (uint32_t c = jdoc_first(&doc, i); c != JDOC_NONE; c = jdoc_next(&doc, i, c))
			count++;
		assert_int_equal(count, n->count);
		assert_true(n->type != J_STRING || jdoc_string(&doc, i, &arena).p);
	}
}

static void compare_with_jansson(struct str text)
{
	char *exact = malloc(text.n ? text.n : 1); /* so that a byte read too far is seen */
	assert_non_null(exact);
	memcpy(exact, text.p, text.n);
	bool ours = parse((struct str){exact, text.n}) == 0;
	if (ours)
		check_nodes();
	json_error_t error;
	json_t *theirs = json_loadb(exact, text.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
	if (!theirs && json_error_code(&error) == json_error_numeric_overflow)
		ours = false;             /* it also refuses integers past 64 bits */
	if (memchr(text.p, '\0', text.n)) /* it loses a NUL behind a number */
		assert_false(ours);
	else if (ours != (theirs != NULL))
		fail_msg("%.*s: %s, but jansson says %s", STR_ARG(text), ours ? "accepted" : fault.reason, theirs ? "fine" : error.text);
	json_decref(theirs);
	free(exact);
	arena_reset(&arena);
}

static const char *const samples[] = {
	"{\"documentId\":\"d\\u00e9-1\",\"pages\":[1,-2.5e3,0],\"ok\":true,\"no\":null,\"o\":{\"k\":\"\xc3\xa9\xf0\x9f\x98\x80\"}}",
	"[false, \"\\ud83d\\ude00\\\\\", {\"a\" : {}, \"b\" : [[]]}, 1E+2 ]",
	"\"\xe2\x82\xac\\u20ac\\/\"",
};

static void survives_every_prefix(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		for (size_t n = 0; n <= strlen(samples[i]); n++)
			compare_with_jansson((struct str){samples[i], n});
}

static void survives_every_changed_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		char text[256];
		size_t n = strlen(samples[i]);
		assert_true(n < sizeof(text));
		memcpy(text, samples[i], n);
		for (size_t at = 0; at < n; at++) {
			for (int byte = 0; byte < 256; byte++) {
				text[at] = (char)byte;
				compare_with_jansson((struct str){text, n});
			}
			text[at] = samples[i][at];
		}
	}
}

/* ---- writing ---- */

static void writes_json(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	struct jwrite w = jwrite_into(&b);
	jw_open(&w, '{');
	jw_kstr(&w, "s", STR("a\"b\\c\n\x01\x7f/\xc3\xa9"));
	jw_kstr(&w, "none", STR_NONE);
	jw_kstrz(&w, "z", NULL);
	jw_kint(&w, "i", INT64_MIN);
	jw_kbool(&w, "t", true);
	jw_kraw(&w, "raw", STR("[1, 2]"));
	jw_kraw(&w, "empty", STR(""));
	jw_key(&w, "list");
	jw_open(&w, '[');
	jw_open(&w, '[');
	jw_close(&w, ']');
	jw_double(&w, 0.1);
	jw_double(&w, 1e300 * 1e300);
	jw_bool(&w, false);
	jw_null(&w);
	jw_close(&w, ']');
	jw_keys(&w, STR("k\"\xff"));
	jw_strz(&w, "");
	jw_close(&w, '}');
	assert_false(b.failed);
	assert_string_equal(b.p,
			    "{\"s\":\"a\\\"b\\\\c\\n\\u0001\x7f/\xc3\xa9\",\"none\":null,\"z\":null,\"i\":-9223372036854775808,\"t\":true,"
			    "\"raw\":[1, 2],\"empty\":null,\"list\":[[],0.1,null,false,null],\"k\\\"\xef\xbf\xbd\":\"\"}");
	parse_ok(b.p);
	buf_release(&b);
}

static void writes_any_bytes_as_valid_json(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 65536; i++) {
		char bytes[] = {'x', (char)(i >> 8), (char)(i & 255), 'y'};
		struct str s = {bytes, sizeof(bytes)};
		struct buf b = BUF_INIT;
		struct jwrite w = jwrite_into(&b);
		jw_str(&w, s);
		bool nul = bytes[1] == '\0' || bytes[2] == '\0';
		assert_int_equal(parse(buf_str(&b)), nul ? ERR_INVALID : 0);
		if (!nul && str_is_utf8(s))
			assert_true(str_eq(jdoc_string(&doc, 0, &arena), s));
		buf_release(&b);
		arena_reset(&arena);
	}
}

static void writes_doubles_that_read_back(void **state)
{
	(void)state;
	static const double values[] = {0, -1.5, 0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, 9007199254740993.0, 1e21, 123456.789e-20};
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct buf b = BUF_INIT;
		struct jwrite w = jwrite_into(&b);
		jw_double(&w, values[i]);
		parse_ok(b.p);
		double d = 99;
		assert_int_equal(jdoc_double(&doc, 0, &d), 0);
		assert_memory_equal(&d, &values[i], sizeof(d));
		buf_release(&b);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refuses_what_is_not_json),
		TEST(accepts_what_is_json),
		TEST(limits_the_depth),
		TEST(limits_the_nodes),
		TEST(reports_a_full_arena),
		TEST(finds_duplicates_in_objects_of_any_size),
		TEST(finds_its_way),
		TEST(answers_for_what_is_not_there),
		TEST(decodes_escapes),
		TEST(reads_integers_exactly),
		TEST(reads_doubles_as_strtod_does),
		TEST(survives_every_prefix),
		TEST(survives_every_changed_byte),
		TEST(writes_json),
		TEST(writes_any_bytes_as_valid_json),
		TEST(writes_doubles_that_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
