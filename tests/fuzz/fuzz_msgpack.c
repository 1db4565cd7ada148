/* MessagePack: the input is a list of values; what is packed of them reads back as the same, by a reader after the specification. */
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/panic.h"
#include "lib/bullmq/msgpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *p, *end;
};

static uint64_t take(struct bytes *b, size_t n)
{
	uint64_t v = 0;
	bug_on((size_t)(b->end - b->p) < n);
	while (n--)
		v = v << 8 | *b->p++;
	return v;
}

/* As much of the input as there is. */
static uint64_t take_some(struct bytes *b, size_t n)
{
	return take(b, (size_t)(b->end - b->p) < n ? (size_t)(b->end - b->p) : n);
}

static struct str take_str(struct bytes *b, size_t n)
{
	struct str s = {(const char *)b->p, n};
	bug_on((size_t)(b->end - b->p) < n);
	b->p += n;
	return s;
}

static double as_double(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, sizeof(d));
	return d;
}

static int64_t sign_extended(uint64_t v, size_t bytes)
{
	unsigned unused = 64 - 8 * (unsigned)bytes;
	return (int64_t)(v << unused) >> unused;
}

/* ---- reading what was packed, by the format's table ---- */

static void expect_int(struct bytes *b, int64_t v)
{
	uint8_t head = (uint8_t)take(b, 1);
	size_t size = (size_t)1 << (head & 3);
	if (head < 0x80)
		bug_on(v != head);
	else if (head >= 0xe0)
		bug_on(v != (int8_t)head);
	else if (head == 0xcb)
		bug_on(as_double(take(b, 8)) != (double)v || (v >= INT32_MIN && v <= UINT32_MAX));
	else if (head >= 0xcc && head <= 0xce)
		bug_on((int64_t)take(b, size) != v);
	else
		bug_on(head < 0xd0 || head > 0xd2 || sign_extended(take(b, size), size) != v);
}

static size_t take_str_length(struct bytes *b)
{
	uint8_t head = (uint8_t)take(b, 1);
	if (head >= 0xa0 && head <= 0xbf)
		return head & 0x1f;
	bug_on(head < 0xd9 || head > 0xdb);
	return (size_t)take(b, (size_t)1 << (head - 0xd9));
}

static void expect_str(struct bytes *b, struct str s)
{
	size_t n = take_str_length(b);
	bug_on(n != s.n || !str_eq(take_str(b, n), s));
}

static void expect_array(struct bytes *b, size_t n)
{
	uint8_t head = (uint8_t)take(b, 1);
	if (head >= 0x90 && head <= 0x9f)
		bug_on(n != (head & 0xf));
	else
		bug_on((head != 0xdc && head != 0xdd) || take(b, head == 0xdc ? 2 : 4) != n);
}

static void expect_nil(struct bytes *b)
{
	bug_on(take(b, 1) != 0xc0);
}

/* ---- the kinds of values: a number or a text of the input, packed and expected ---- */

static void pack_nil(struct buf *b, uint64_t v UNUSED, struct str s UNUSED)
{
	mp_nil(b);
}

static void read_nil(struct bytes *b, uint64_t v UNUSED, struct str s UNUSED)
{
	expect_nil(b);
}

static void pack_bool(struct buf *b, uint64_t v, struct str s UNUSED)
{
	mp_bool(b, v & 1);
}

static void read_bool(struct bytes *b, uint64_t v, struct str s UNUSED)
{
	bug_on(take(b, 1) != 0xc2 + (v & 1));
}

static void pack_int(struct buf *b, uint64_t v, struct str s UNUSED)
{
	mp_int(b, (int64_t)v);
}

static void read_int(struct bytes *b, uint64_t v, struct str s UNUSED)
{
	expect_int(b, (int64_t)v);
}

static void pack_small(struct buf *b, uint64_t v, struct str s UNUSED)
{
	mp_int(b, (int16_t)v);
}

static void read_small(struct bytes *b, uint64_t v, struct str s UNUSED)
{
	expect_int(b, (int16_t)v);
}

static void pack_double(struct buf *b, uint64_t v, struct str s UNUSED)
{
	mp_double(b, as_double(v));
}

static void read_double(struct bytes *b, uint64_t v, struct str s UNUSED)
{
	bug_on(take(b, 1) != 0xcb || take(b, 8) != v);
}

static void pack_str(struct buf *b, uint64_t v UNUSED, struct str s)
{
	mp_str(b, s);
}

static void read_str(struct bytes *b, uint64_t v UNUSED, struct str s)
{
	expect_str(b, s);
}

static const char LONG[UINT16_MAX + 2];

static void pack_long(struct buf *b, uint64_t v, struct str s UNUSED)
{
	mp_str(b, (struct str){LONG, v + 1});
}

static void read_long(struct bytes *b, uint64_t v, struct str s UNUSED)
{
	expect_str(b, (struct str){LONG, v + 1});
}

static void pack_array(struct buf *b, uint64_t v, struct str s UNUSED)
{
	mp_array(b, v);
	for (uint64_t i = 0; i < v; i++)
		mp_nil(b);
}

static void read_array(struct bytes *b, uint64_t v, struct str s UNUSED)
{
	expect_array(b, v);
	for (uint64_t i = 0; i < v; i++)
		expect_nil(b);
}

static const struct kind {
	size_t bytes; /* of the number in the input */
	bool text;    /* it is the length of a text that follows */
	void (*pack)(struct buf *b, uint64_t v, struct str s);
	void (*expect)(struct bytes *b, uint64_t v, struct str s);
} KINDS[] = {
	{0, false, pack_nil, read_nil},       {1, false, pack_bool, read_bool}, {8, false, pack_int, read_int},
	{2, false, pack_small, read_small},   {8, false, pack_double, read_double}, {1, true, pack_str, read_str},
	{2, false, pack_long, read_long},     {1, false, pack_array, read_array},
};

static const struct kind *next_value(struct bytes *input, uint64_t *v, struct str *s)
{
	const struct kind *k = &KINDS[take_some(input, 1) % ARRAY_LEN(KINDS)];
	size_t left;
	*v = take_some(input, k->bytes);
	left = (size_t)(input->end - input->p);
	*s = take_str(input, !k->text ? 0 : *v < left ? *v : left);
	return k;
}

static void pack(struct bytes input, struct mp_map *map)
{
	while (input.p < input.end) {
		uint64_t v;
		struct str s;
		const struct kind *k = next_value(&input, &v, &s);
		mp_keys(map, s);
		k->pack(map->b, v, s);
	}
	mp_map_close(map);
}

static void expect(struct bytes input, struct bytes *packed, size_t n)
{
	bug_on(take(packed, 1) != 0xde || take(packed, 2) != n);
	while (input.p < input.end) {
		uint64_t v;
		struct str s;
		const struct kind *k = next_value(&input, &v, &s);
		expect_str(packed, s);
		k->expect(packed, v, s);
	}
	bug_on(packed->p != packed->end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes input = {data, data + (size < 1024 ? size : 1024)};
	struct buf b = BUF_INIT;
	struct mp_map map = mp_map_open(&b);
	pack(input, &map);
	bug_on(b.failed);
	struct bytes packed = {(const uint8_t *)b.p, (const uint8_t *)b.p + b.n};
	expect(input, &packed, map.n);
	buf_release(&b);
	return 0;
}
