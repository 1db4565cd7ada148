/* The bytes that msgpackr, the official client's packer, writes for the same values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/digest.h"
#include "lib/bullmq/msgpack.h"

static void assert_packed(struct buf *b, const char *hex)
{
	char *got = malloc(2 * b->n + 1);

	assert_non_null(got);
	assert_false(b->failed);
	digest_hex((const unsigned char *)b->p, b->n, got);
	assert_string_equal(got, hex);
	free(got);
	buf_clear(b);
}

static void integers(void **state)
{
	static const struct {
		int64_t v;
		const char *hex;
	} vectors[] = {
		{0, "00"},
		{127, "7f"},
		{128, "cc80"},
		{255, "ccff"},
		{256, "cd0100"},
		{65535, "cdffff"},
		{65536, "ce00010000"},
		{4294967295, "ceffffffff"},
		{4294967296, "cb41f0000000000000"},
		{1763715522123, "cb4279aa5a31e4b000"},
		{9007199254740991, "cb433fffffffffffff"},
		{-1, "ff"},
		{-32, "e0"},
		{-33, "d0df"},
		{-128, "d080"},
		{-129, "d1ff7f"},
		{-32768, "d18000"},
		{-32769, "d2ffff7fff"},
		{INT32_MIN, "d280000000"},
		{-2147483649, "cbc1e0000000200000"},
	};
	struct buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		mp_int(&b, vectors[i].v);
		assert_packed(&b, vectors[i].hex);
	}
	buf_release(&b);
}

static void a_map_with_everything(void **state)
{
	struct buf b = BUF_INIT;
	struct mp_map m = mp_map_open(&b), backoff;

	(void)state;
	mp_key(&m, "attempts");
	mp_int(&b, 3);
	mp_key(&m, "backoff");
	backoff = mp_map_open(&b);
	mp_key(&backoff, "type");
	mp_strz(&b, "fixed");
	mp_key(&backoff, "delay");
	mp_int(&b, 500);
	mp_map_close(&backoff);
	mp_key(&m, "list");
	mp_array(&b, 4);
	mp_int(&b, 1);
	mp_nil(&b);
	mp_bool(&b, true);
	mp_double(&b, 0.5);
	mp_key(&m, "empty");
	mp_map(&b, 0);
	mp_map_close(&m);
	assert_packed(&b, "de0004a8617474656d70747303a76261636b6f6666de0002a474797065a56669786564a564656c6179cd01f4a46c6973749401c0c3"
			  "cb3fe0000000000000a5656d707479de0000");
	buf_release(&b);
}

/* Only the head of what n bytes or elements begin with. */
static void assert_head(struct buf *b, size_t bytes, const char *hex)
{
	b->n = bytes;
	assert_packed(b, hex);
}

static void lengths(void **state)
{
	struct buf b = BUF_INIT;
	char *text = calloc(1, 65536);

	(void)state;
	assert_non_null(text);
	mp_str(&b, (struct str){text, 0});
	assert_packed(&b, "a0");
	mp_str(&b, STR_NONE);
	assert_packed(&b, "c0");
	mp_str(&b, (struct str){text, 31});
	assert_head(&b, 1, "bf");
	mp_str(&b, (struct str){text, 32});
	assert_head(&b, 2, "d920");
	mp_str(&b, (struct str){text, 256});
	assert_head(&b, 3, "da0100");
	mp_str(&b, (struct str){text, 65536});
	assert_head(&b, 5, "db00010000");
	mp_array(&b, 15);
	assert_packed(&b, "9f");
	mp_array(&b, 16);
	assert_packed(&b, "dc0010");
	mp_array(&b, 65536);
	assert_packed(&b, "dd00010000");
	mp_map(&b, 65536);
	assert_true(b.failed);
	free(text);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers),
		cmocka_unit_test(a_map_with_everything),
		cmocka_unit_test(lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
