#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/redis/raof.h"
#include "tests/unit/place.h"

#define SET "*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\n1\r\n"
#define MULTI "*1\r\n$5\r\nMULTI\r\n"
#define EXEC "*1\r\n$4\r\nEXEC\r\n"
#define DONE SET MULTI SET EXEC

static void test_what_has_its_end_stays(void **state)
{
	static const char *const whole[] = {"", SET, DONE, DONE DONE, "#TS:1\r\n" DONE, SET "*3\r\n$3\r\nse", "REDIS0010", "*", "*1\r\n$-1\r\n", "*0\r\n", MULTI EXEC};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		assert_int_equal(raof_unfinished(str_from(whole[i])), -1);
}

/* Every length at which a kill may have stopped the writing. */
static void test_a_transaction_is_cut_wherever_it_stops(void **state)
{
	static const char file[] = DONE MULTI SET SET EXEC;
	size_t begin = strlen(DONE), shortest = begin + strlen(MULTI);
	(void)state;
	for (size_t n = shortest; n < sizeof(file) - 1; n++)
		assert_int_equal(raof_unfinished((struct str){file, n}), (int64_t)begin);
	for (size_t n = begin; n < shortest; n++) /* Redis itself cuts behind the last whole command */
		assert_int_equal(raof_unfinished((struct str){file, n}), -1);
	assert_int_equal(raof_unfinished((struct str){file, sizeof(file) - 1}), -1);
}

/* What an earlier start has gone on behind is as good as any other. */
static void test_an_old_beginning_does_not_take_what_followed(void **state)
{
	(void)state;
	assert_int_equal(raof_unfinished(STR(MULTI SET DONE SET)), -1);
	assert_int_equal(raof_unfinished(STR(MULTI SET DONE MULTI SET)), (int64_t)strlen(MULTI SET DONE));
}

static void write_in(const struct place *p, const char *name, struct str text)
{
	char path[400];
	snprintf(path, sizeof(path), "%s/%s", p->data, name);
	assert_int_equal(fs_write_file(path, text, 0600, NULL), 0);
}

static void test_the_last_file_is_mended(void **state)
{
	const struct place *p = *state;
	struct err err = {0};
	struct buf left = BUF_INIT;
	char path[400];
	int64_t cut;

	assert_int_equal(raof_mend(p->data, &cut, &err), 0); /* no Redis was ever here */
	snprintf(path, sizeof(path), "%s/appendonlydir", p->data);
	assert_int_equal(fs_make_dirs(path, 0700, &err), 0);
	assert_int_equal(raof_mend(p->data, &cut, &err), 0);
	write_in(p, "appendonlydir/appendonly.aof.manifest",
		 STR("file a.base.rdb seq 2 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n"));
	assert_int_equal(raof_mend(p->data, &cut, &err), 0); /* made when something is written */
	write_in(p, "appendonlydir/a.1.incr.aof", STR(MULTI SET));
	write_in(p, "appendonlydir/a.2.incr.aof", STR(DONE MULTI SET "*3\r\n"));
	assert_int_equal(raof_mend(p->data, &cut, &err), 0);
	assert_int_equal(cut, (int64_t)strlen(MULTI SET "*3\r\n"));
	snprintf(path, sizeof(path), "%s/appendonlydir/a.2.incr.aof", p->data);
	assert_int_equal(fs_read_file(path, 4096, &left, &err), 0);
	assert_true(str_is(buf_str(&left), DONE));
	buf_release(&left);
	assert_int_equal(raof_mend(p->data, &cut, &err), 0);
	assert_int_equal(cut, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_has_its_end_stays),
		cmocka_unit_test(test_a_transaction_is_cut_wherever_it_stops),
		cmocka_unit_test(test_an_old_beginning_does_not_take_what_followed),
		cmocka_unit_test_setup_teardown(test_the_last_file_is_mended, place_make, place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
