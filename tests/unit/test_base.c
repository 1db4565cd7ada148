/* lib/base: each part against its header. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/digest.h"
#include "lib/base/err.h"
#include "lib/base/id.h"
#include "lib/base/panic.h"
#include "lib/base/siphash.h"
#include "lib/base/str.h"
#include "lib/base/table.h"

/* ---- err, panic ---- */

static void test_err_set_fills_and_cuts(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(err_set(&err, ERR_LIMIT, "%d of %d", 5, 4), ERR_LIMIT);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_string_equal(err.text, "5 of 4");
	assert_int_equal(err_set(NULL, ERR_IO, "nobody asks"), ERR_IO);

	char longer[400];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	(void)err_set(&err, ERR_IO, "%s", longer);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	errno = ENOENT;
	(void)err_errno(&err, "%s", longer);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void test_err_errno_appends_the_reason(void **state)
{
	(void)state;
	struct err err = {0};
	errno = ENOENT;
	assert_int_equal(err_errno(&err, "cannot open %s", "x"), ERR_IO);
	assert_string_equal(err.text, "cannot open x: No such file or directory");
}

static void test_err_names(void **state)
{
	(void)state;
	assert_int_equal(ERR_NOMEM, -1);
	assert_string_equal(err_name(ERR_LOCK_LOST), "LOCK_LOST");
	assert_string_equal(err_name(ERR_OK), "OK");
	assert_string_equal(err_name(-ERR_COUNT - 1), "?");
	assert_string_equal(err_name(INT_MIN), "?");
	assert_string_equal(err_name(7), "?");
	for (int code = -1; code >= -ERR_COUNT; code--)
		assert_true(strlen(err_sentence(code)) > 3);
}

static void test_panic_writes_one_line_and_aborts(void **state)
{
	(void)state;
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(fds[1], STDERR_FILENO);
		bug_on(1 + 1 == 2);
		_exit(0);
	}
	(void)close(fds[1]);
	char text[300];
	ssize_t n = read(fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "test_base.c:"));
	assert_non_null(strstr(text, "bug: 1 + 1 == 2\n"));
	(void)close(fds[0]);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- str ---- */

static void test_str_compares(void **state)
{
	(void)state;
	assert_true(str_eq(STR_NONE, STR("")));
	assert_false(str_eq(STR("a"), STR("b")));
	assert_true(str_is(STR("ab"), "ab"));
	assert_true(str_starts(STR("abc"), STR("ab")));
	assert_false(str_starts(STR("a"), STR("ab")));
	assert_true(str_ends(STR("abc"), STR("bc")));
	assert_true(str_ends(STR("abc"), STR("")));
	assert_true(str_ieq(STR("Content-TYPE"), STR("content-type")));
	assert_false(str_ieq(STR("a["), STR("a{")));
	assert_true(str_ieqz("Content-TYPE", "content-type"));
	assert_true(str_ieqz("", ""));
	assert_false(str_ieqz("Host", "Hos"));
	assert_false(str_ieqz("Hos", "Host"));
	assert_false(str_ieqz("a[", "a{"));
	assert_true(str_is(str_trim(STR(" \t x y \t")), "x y"));
	assert_int_equal(str_trim(STR("  ")).n, 0);
}

static void test_str_cut_splits(void **state)
{
	(void)state;
	struct str rest = STR("a,,b");
	assert_true(str_is(str_cut(&rest, ','), "a"));
	assert_true(str_is(str_cut(&rest, ','), ""));
	assert_non_null(rest.p);
	assert_true(str_is(str_cut(&rest, ','), "b"));
	assert_null(rest.p);
	assert_int_equal(str_cut(&rest, ',').n, 0);
}

static void test_str_numbers(void **state)
{
	(void)state;
	uint64_t u = 7;
	int64_t i = 7;
	assert_int_equal(str_to_u64(STR("18446744073709551615"), &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(str_to_u64(STR("18446744073709551616"), &u), ERR_INVALID);
	assert_int_equal(str_to_u64(STR("99999999999999999999"), &u), ERR_INVALID);
	assert_int_equal(str_to_i64(STR("-9223372036854775808"), &i), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(str_to_i64(STR("9223372036854775808"), &i), ERR_INVALID);
	assert_int_equal(str_to_i64(STR("-9223372036854775809"), &i), ERR_INVALID);
	const char *bad[] = {"", "-", "+1", " 1", "1 ", "1x", "--1", "0x10"};
	for (size_t k = 0; k < ARRAY_LEN(bad); k++)
		assert_int_equal(str_to_i64(str_from(bad[k]), &i), ERR_INVALID);
	assert_int_equal(str_to_u64(STR("-1"), &u), ERR_INVALID);
	assert_true(i == INT64_MIN); /* untouched by failures */
}

static void test_str_utf8(void **state)
{
	(void)state;
	const char *good[] = {"", "abc", "\xc2\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xe2\x82\xac"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(str_is_utf8(str_from(good[i])));
	const char *bad[] = {"\x80", "\xc0\xaf", "\xc1\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x82", "\xe2\x82x", "\xc3"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_is_utf8(str_from(bad[i])));
	assert_true(str_is_utf8(STR("a\0b")));
}

/* ---- buf ---- */

static void test_buf_builds(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	assert_true(str_is(buf_str(&b), ""));
	buf_addz(&b, "a");
	buf_addc(&b, 'b');
	buf_addu(&b, UINT64_MAX);
	buf_addc(&b, ' ');
	buf_addi(&b, INT64_MIN);
	buf_addf(&b, " %s%d", "x", 0);
	assert_false(b.failed);
	assert_string_equal(b.p, "ab18446744073709551615 -9223372036854775808 x0");
	buf_drop(&b, 2);
	buf_drop(&b, 0);
	assert_true(str_starts(buf_str(&b), STR("1844")));
	assert_int_equal(b.p[b.n], '\0');
	buf_clear(&b);
	assert_int_equal(b.n, 0);
	for (int i = 0; i < 10000; i++)
		buf_addc(&b, 'z');
	assert_int_equal(b.n, 10000);
	assert_int_equal(strlen(b.p), 10000);
	buf_release(&b);
	assert_null(b.p);
}

static void test_buf_limit_is_sticky(void **state)
{
	(void)state;
	struct buf b = {.max = 4};
	buf_addz(&b, "abcd");
	assert_false(b.failed);
	buf_addz(&b, "e");
	assert_true(b.failed);
	buf_drop(&b, 4);
	buf_addz(&b, "f");
	assert_int_equal(b.n, 0);
	buf_clear(&b);
	for (int i = 0; i < 5; i++)
		buf_addc(&b, 'c'); /* there is room for it, but it is over the limit */
	assert_true(b.failed);
	assert_string_equal(b.p, "cccc");
	buf_clear(&b);
	buf_addf(&b, "%d", 12345);
	assert_true(b.failed);
	buf_clear(&b);
	buf_reserve(&b, SIZE_MAX);
	assert_true(b.failed);
	buf_release(&b);
	assert_int_equal(b.max, 4);
}

/* ---- arena ---- */

static void test_buf_in_an_arena(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a, 64 << 10);
	struct buf b = BUF_IN(&a), other = BUF_IN(&a);
	for (int i = 0; i < 10000; i++) {
		buf_addc(&b, 'z');
		buf_addc(&other, 'o'); /* so that neither grows in place */
	}
	assert_false(b.failed);
	assert_int_equal(strspn(b.p, "z"), 10000);
	assert_int_equal(strspn(other.p, "o"), 10000);
	buf_release(&b);
	assert_null(b.p);
	buf_reserve(&b, 64 << 10);
	assert_true(b.failed); /* the arena's limit */
	arena_release(&a);
}

static void note(void *arg)
{
	struct buf *b = ((void **)arg)[0];
	buf_addz(b, ((void **)arg)[1]);
}

static void test_arena_defers_newest_first(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	struct arena a;
	arena_init(&a, 0);
	void *first[] = {&b, "1"};
	void *second[] = {&b, "2"};
	assert_int_equal(arena_defer(&a, note, first), 0);
	assert_int_equal(arena_defer(&a, note, second), 0);
	arena_reset(&a);
	assert_string_equal(b.p, "21");
	arena_release(&a);
	assert_string_equal(b.p, "21");

	arena_init(&a, 1); /* no room to note it: it runs at once */
	assert_int_equal(arena_defer(&a, note, first), ERR_NOMEM);
	assert_string_equal(b.p, "211");
	arena_release(&a);
	buf_release(&b);
}

static void test_arena_holds_what_it_gave(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a, 0);
	for (int round = 0; round < 3; round++) {
		unsigned char *blocks[200];
		for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
			blocks[i] = arena_alloc(&a, 1 + i * 37);
			assert_non_null(blocks[i]);
			assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
			memset(blocks[i], (int)i, 1 + i * 37);
		}
		for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
			for (size_t k = 0; k < 1 + i * 37; k++)
				assert_int_equal(blocks[i][k], (unsigned char)i);
		assert_non_null(arena_alloc(&a, 1 << 20));
		arena_reset(&a);
		assert_int_equal(a.used, 0);
	}
	arena_release(&a);
}

static void test_arena_limit(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a, 4096);
	assert_non_null(arena_alloc(&a, 4000));
	assert_null(arena_alloc(&a, 200));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_array(&a, SIZE_MAX / 2, 3));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 4096));
	assert_null(arena_alloc(&a, 1));
	arena_release(&a);
}

static void test_arena_text(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a, 0);
	assert_string_equal(arena_dupz(&a, STR_NONE), "");
	assert_string_equal(arena_printf(&a, "%s-%03d", "x", 7), "x-007");
	struct str copy = arena_dup(&a, STR("a\0b"));
	assert_int_equal(copy.n, 3);
	assert_memory_equal(copy.p, "a\0b", 4);
	const int *zeros = arena_array(&a, 10, sizeof(int));
	for (int i = 0; i < 10; i++)
		assert_int_equal(zeros[i], 0);
	arena_release(&a);
}

/* ---- clock ---- */

static void test_clock(void **state)
{
	(void)state;
	char text[CLOCK_RFC3339_SIZE];
	clock_rfc3339(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_rfc3339(951782400123, text);
	assert_string_equal(text, "2000-02-29T00:00:00.123Z");
	clock_rfc3339(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	clock_rfc3339(INT64_MIN, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");

	int64_t wall = clock_wall_ms();
	int64_t mono = clock_mono_ms();
	int64_t us = clock_mono_us();
	clock_sleep_ms(2);
	clock_sleep_ms(-1);
	assert_true(clock_wall_ms() >= wall);
	assert_true(clock_mono_ms() >= mono + 1);
	assert_true(clock_mono_us() - us >= 2000);
}

/* ---- id, digest, siphash ---- */

static void test_uuid7_is_ordered_and_marked(void **state)
{
	(void)state;
	char before[ID_UUID_SIZE];
	char next[ID_UUID_SIZE];
	id_uuid7(before);
	for (int i = 0; i < 20000; i++) {
		id_uuid7(next);
		assert_true(strcmp(before, next) < 0);
		memcpy(before, next, sizeof(next));
	}
	assert_int_equal(strlen(next), 36);
	for (size_t i = 0; i < 36; i++)
		assert_non_null(strchr(i == 8 || i == 13 || i == 18 || i == 23 ? "-" : "0123456789abcdef", next[i]));
	assert_int_equal(next[14], '7');
	assert_non_null(strchr("89ab", next[19]));
	char head[14];
	(void)snprintf(head, sizeof(head), "%.8s%.4s", next, next + 9);
	int64_t ms = strtoll(head, NULL, 16);
	assert_true(llabs(ms - clock_wall_ms()) < 5000);
}

static void test_random_hex(void **state)
{
	(void)state;
	char a[65];
	char b[65];
	id_random_hex(a, 32);
	id_random_hex(b, 32);
	assert_int_equal(strlen(a), 64);
	assert_int_equal(strspn(a, "0123456789abcdef"), 64);
	assert_string_not_equal(a, b);
	assert_true(id_random_u64() != id_random_u64());
}

static void hex_of(struct str in, char out[SHA256_HEX_SIZE])
{
	unsigned char hash[SHA256_BYTES];
	digest_sha256(in, hash);
	digest_hex(hash, sizeof(hash), out);
}

static void test_sha256(void **state)
{
	(void)state;
	char hex[SHA256_HEX_SIZE];
	hex_of(STR("abc"), hex); /* FIPS 180-2, B.1 */
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hex_of(STR_NONE, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

	unsigned char one[SHA256_BYTES];
	unsigned char two[SHA256_BYTES];
	digest_sha256_parts((struct str[]){STR("ab"), STR("c")}, 2, one);
	digest_sha256_parts((struct str[]){STR("a"), STR("bc")}, 2, two);
	assert_false(digest_equal(one, two, sizeof(one)));
	digest_sha256_parts((struct str[]){STR("a"), STR("bc")}, 2, one);
	assert_true(digest_equal(one, two, sizeof(one)));
	digest_sha256(STR("\0\0\0\0\0\0\0\1a\0\0\0\0\0\0\0\2bc"), one);
	assert_true(digest_equal(one, two, sizeof(one)));
}

static void test_base64(void **state)
{
	(void)state;
	static const struct {
		const char *plain, *padded, *url;
	} rows[] = {
		{"", "", ""},
		{"f", "Zg==", "Zg"},
		{"fo", "Zm8=", "Zm8"},
		{"foo", "Zm9v", "Zm9v"},
		{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
		{"\xfb\xff\xfe", "+//+", "-__-"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT;
		digest_b64(&b, rows[i].plain, strlen(rows[i].plain));
		assert_true(str_is(buf_str(&b), rows[i].padded));
		buf_clear(&b);
		digest_b64url(&b, rows[i].plain, strlen(rows[i].plain));
		assert_true(str_is(buf_str(&b), rows[i].url));
		buf_clear(&b);
		assert_int_equal(digest_b64url_decode(&b, str_from(rows[i].url)), 0);
		assert_true(str_is(buf_str(&b), rows[i].plain));
		buf_release(&b);
	}
	const char *bad[] = {"Z", "Zg==", "Zh", "Zm9", "+//+", "Zm9v\n", "Zm 9v", "Zm9vYmFyZ"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = BUF_INIT;
		assert_int_equal(digest_b64url_decode(&b, str_from(bad[i])), ERR_INVALID);
		buf_release(&b);
	}
}

static void test_siphash_vectors(void **state)
{
	(void)state;
	unsigned char key[16];
	char in[15];
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (unsigned char)i;
	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (char)i;
	/* The example of the SipHash paper, appendix A, and the empty message of its reference vectors. */
	assert_true(siphash(key, (struct str){in, sizeof(in)}) == UINT64_C(0xa129ca6149be45e5));
	assert_true(siphash(key, STR_NONE) == UINT64_C(0x726fdb47dd0e0e31));
}

/* ---- table ---- */

static void test_table_against_an_array(void **state)
{
	(void)state;
	enum { N = 500 };
	static int values[N];
	bool present[N] = {false};
	size_t count = 0;
	struct table t;
	table_init(&t);
	assert_null(table_get(&t, STR("0")));
	assert_null(table_remove(&t, STR("0")));
	unsigned seed = 12345;
	for (int step = 0; step < 20000; step++) {
		seed = seed * 1103515245U + 12345U;
		unsigned i = seed / 65536 % N;
		char key[8];
		(void)snprintf(key, sizeof(key), "%u", i);
		if (seed / 16 % 3) {
			assert_int_equal(table_put(&t, str_from(key), &values[i]), 0);
			count += !present[i];
			present[i] = true;
		} else {
			assert_ptr_equal(table_remove(&t, str_from(key)), present[i] ? &values[i] : NULL);
			count -= present[i];
			present[i] = false;
		}
		assert_int_equal(t.count, count);
	}
	size_t seen = 0;
	for (struct table_iter it = {0}; table_next(&t, &it); seen++) {
		uint64_t i;
		assert_int_equal(str_to_u64(it.key, &i), 0);
		assert_true(present[i]);
		assert_ptr_equal(it.value, &values[i]);
		assert_ptr_equal(table_get(&t, it.key), it.value);
	}
	assert_int_equal(seen, count);
	table_release(&t);
}

/* Few are looked for in another way than many; in between nothing gets lost. */
static void test_table_of_few(void **state)
{
	(void)state;
	static const char *const keys[] = {"", "a", "b", "aa", "ab", "abc", "abd", "x", "y", "xy", "xyz", "z"};
	bool present[ARRAY_LEN(keys)] = {false};
	struct table t;
	table_init(&t);
	unsigned seed = 4711;
	for (int step = 0; step < 2000; step++) {
		seed = seed * 1103515245U + 12345U;
		unsigned i = seed / 65536 % ARRAY_LEN(keys);
		present[i] = seed / 16 % 2;
		if (present[i])
			assert_int_equal(table_put(&t, str_from(keys[i]), &present[i]), 0);
		else
			(void)table_remove(&t, str_from(keys[i]));
		for (unsigned k = 0; k < ARRAY_LEN(keys); k++)
			assert_ptr_equal(table_get(&t, str_from(keys[k])), present[k] ? &present[k] : NULL);
	}
	table_release(&t);
}

static void test_table_replaces_and_takes_any_bytes(void **state)
{
	(void)state;
	int one;
	int two;
	struct table t;
	table_init(&t);
	assert_int_equal(table_put(&t, STR("a\0b"), &one), 0);
	assert_int_equal(table_put(&t, STR("a\0c"), &two), 0);
	assert_int_equal(table_put(&t, STR_NONE, &two), 0);
	assert_int_equal(table_put(&t, STR("a\0b"), &two), 0);
	assert_ptr_equal(table_get(&t, STR("a\0b")), &two);
	assert_ptr_equal(table_get(&t, STR("")), &two);
	assert_null(table_get(&t, STR("a")));
	assert_int_equal(t.count, 3);
	table_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err_set_fills_and_cuts),
		cmocka_unit_test(test_err_errno_appends_the_reason),
		cmocka_unit_test(test_err_names),
		cmocka_unit_test(test_panic_writes_one_line_and_aborts),
		cmocka_unit_test(test_str_compares),
		cmocka_unit_test(test_str_cut_splits),
		cmocka_unit_test(test_str_numbers),
		cmocka_unit_test(test_str_utf8),
		cmocka_unit_test(test_buf_builds),
		cmocka_unit_test(test_buf_limit_is_sticky),
		cmocka_unit_test(test_buf_in_an_arena),
		cmocka_unit_test(test_arena_defers_newest_first),
		cmocka_unit_test(test_arena_holds_what_it_gave),
		cmocka_unit_test(test_arena_limit),
		cmocka_unit_test(test_arena_text),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_uuid7_is_ordered_and_marked),
		cmocka_unit_test(test_random_hex),
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_siphash_vectors),
		cmocka_unit_test(test_table_against_an_array),
		cmocka_unit_test(test_table_of_few),
		cmocka_unit_test(test_table_replaces_and_takes_any_bytes),
	};
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
