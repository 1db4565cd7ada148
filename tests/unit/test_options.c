/* lib/config/options: what is taken, what is refused, and the help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/config/options.h"

static struct {
	const char *role;
	int64_t workers;
	bool json, help;
} got;

static const struct option_row rows[] = {
	{"role", OPTION_STRING, &got.role, "ROLE", "api, worker or all"},
	{"workers", OPTION_INT, &got.workers, "N", "concurrency of every queue"},
	{"json", OPTION_FLAG, &got.json, NULL, "print JSON"},
	{"help", OPTION_FLAG, &got.help, NULL, "show this text"},
	{0},
};
static const struct options table = {.usage = "sluice serve [options]", .about = "Run the gateway.", .rows = rows, .max_arguments = 2};

static char *argv[10];
static struct err err;

static int parse(const struct options *o, const char *const *words)
{
	int argc = 0;
	memset(&got, 0, sizeof(got));
	err = (struct err){0};
	argv[argc++] = (char *)(uintptr_t)"serve"; /* as main's argv: pointers to non-const, never written through */
	for (; *words; words++)
		argv[argc++] = (char *)(uintptr_t)*words;
	argv[argc] = NULL;
	return options_parse(o, argc, argv, &err);
}

#define PARSE(...) parse(&table, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void test_forms(void **state)
{
	(void)state;
	assert_int_equal(PARSE(), 0);
	assert_int_equal(PARSE("--role=api", "--workers", "-4", "--json"), 0);
	assert_string_equal(got.role, "api");
	assert_int_equal(got.workers, -4);
	assert_true(got.json);
	assert_false(got.help);
	assert_int_equal(PARSE("-h"), 0);
	assert_true(got.help);
	assert_int_equal(PARSE("--role=", "--role", "a=b"), 0);
	assert_string_equal(got.role, "a=b");
	assert_int_equal(PARSE("--role="), 0);
	assert_string_equal(got.role, "");
}

static void test_arguments_mix_with_options(void **state)
{
	(void)state;
	assert_int_equal(PARSE("one", "--json", "two"), 2);
	assert_string_equal(argv[1], "one");
	assert_string_equal(argv[2], "two");
	assert_int_equal(PARSE("-", "--", "--json"), 2);
	assert_string_equal(argv[1], "-");
	assert_string_equal(argv[2], "--json");
	assert_false(got.json);
	assert_int_equal(PARSE("--", "-h"), 1);
	assert_string_equal(argv[1], "-h");
	assert_int_equal(PARSE("1", "2", "3"), ERR_INVALID);
	assert_string_equal(err.text, "\"3\" is one argument too many");
}

static void test_mistakes(void **state)
{
	(void)state;
	static const struct {
		const char *word, *said;
	} mistakes[] = {
		{"--rol=x", "there is no option --rol; did you mean --role?"},
		{"--workres", "there is no option --workres; did you mean --workers?"},
		{"--colour", "there is no option --colour"},
		{"--json=1", "--json takes no value"},
		{"--role", "--role needs a value"},
		{"--workers=many", "--workers needs a whole number, not \"many\""},
		{"-x", "there is no option -x; options begin with two dashes"},
	};
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		assert_int_equal(PARSE(mistakes[i].word), ERR_INVALID);
		assert_string_equal(err.text, mistakes[i].said);
	}
}

static void test_a_table_may_be_empty(void **state)
{
	(void)state;
	const struct options none = {.usage = "sluice version", .about = "Print the version."};
	assert_int_equal(parse(&none, (const char *const[]){"--json", NULL}), ERR_INVALID);
	assert_int_equal(parse(&none, (const char *const[]){NULL}), 0);
	struct buf b = BUF_INIT;
	options_help(&none, &b);
	assert_string_equal(b.p, "Print the version.\n\nUsage: sluice version\n");
	buf_release(&b);
}

static void test_help(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	options_help(&table, &b);
	assert_string_equal(b.p, "Run the gateway.\n\n"
				 "Usage: sluice serve [options]\n\n"
				 "Options:\n"
				 "  --role ROLE             api, worker or all\n"
				 "  --workers N             concurrency of every queue\n"
				 "  --json                  print JSON\n"
				 "  --help                  show this text\n");
	buf_release(&b);
}

static void test_nearest(void **state)
{
	(void)state;
	static const char *const words[] = {"serve", "token", "doctor", "dump", NULL};
	assert_string_equal(options_nearest("srve", words), "serve");
	assert_string_equal(options_nearest("docter", words), "doctor");
	assert_null(options_nearest("list", words));
	assert_null(options_nearest("", words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_arguments_mix_with_options),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_a_table_may_be_empty),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_nearest),
	};
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
