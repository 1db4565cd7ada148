#include "lib/bullmq/msgpack.h"

/* Format bytes of the MessagePack specification. */
enum {
	MP_FIXARRAY = 0x90,
	MP_FIXSTR = 0xa0,
	MP_NIL = 0xc0,
	MP_FALSE = 0xc2,
	MP_TRUE = 0xc3,
	MP_DOUBLE = 0xcb,
	MP_UINT8 = 0xcc,
	MP_INT8 = 0xd0,
	MP_STR8 = 0xd9,
	MP_ARRAY16 = 0xdc,
	MP_MAP16 = 0xde,
	MP_ARRAY32 = 0xdd,
};

static void put_big_endian(struct buf *b, uint64_t v, unsigned bytes)
{
	while (bytes-- > 0)
		buf_addc(b, (char)(unsigned char)(v >> (8 * bytes)));
}

static void put_byte(struct buf *b, unsigned v)
{
	put_big_endian(b, v, 1);
}

void mp_nil(struct buf *b)
{
	put_byte(b, MP_NIL);
}

void mp_bool(struct buf *b, bool v)
{
	put_byte(b, v ? MP_TRUE : MP_FALSE);
}

void mp_double(struct buf *b, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_byte(b, MP_DOUBLE);
	put_big_endian(b, bits, 8);
}

/* `head` is the format byte for one byte of payload; those for two and four follow it. */
static void put_sized(struct buf *b, unsigned head, uint64_t v, unsigned log2_bytes)
{
	put_byte(b, head + log2_bytes);
	put_big_endian(b, v, 1u << log2_bytes);
}

static void put_unsigned(struct buf *b, uint64_t v)
{
	if (v < 0x80)
		put_byte(b, (unsigned)v);
	else if (v <= UINT8_MAX)
		put_sized(b, MP_UINT8, v, 0);
	else if (v <= UINT16_MAX)
		put_sized(b, MP_UINT8, v, 1);
	else if (v <= UINT32_MAX)
		put_sized(b, MP_UINT8, v, 2);
	else
		mp_double(b, (double)v);
}

void mp_int(struct buf *b, int64_t v)
{
	if (v >= 0)
		put_unsigned(b, (uint64_t)v);
	else if (v >= -32)
		put_byte(b, 0x100u + (unsigned)v);
	else if (v >= INT8_MIN)
		put_sized(b, MP_INT8, (uint64_t)v, 0);
	else if (v >= INT16_MIN)
		put_sized(b, MP_INT8, (uint64_t)v, 1);
	else if (v >= INT32_MIN)
		put_sized(b, MP_INT8, (uint64_t)v, 2);
	else
		mp_double(b, (double)v);
}

void mp_str(struct buf *b, struct str s)
{
	if (!s.p) {
		mp_nil(b);
		return;
	}
	if (s.n < 32)
		put_byte(b, MP_FIXSTR + (unsigned)s.n);
	else if (s.n <= UINT8_MAX)
		put_sized(b, MP_STR8, s.n, 0);
	else if (s.n <= UINT16_MAX)
		put_sized(b, MP_STR8, s.n, 1);
	else if (s.n <= UINT32_MAX)
		put_sized(b, MP_STR8, s.n, 2);
	else
		b->failed = true;
	buf_adds(b, s);
}

void mp_strz(struct buf *b, const char *z)
{
	mp_str(b, str_from(z));
}

void mp_array(struct buf *b, size_t n)
{
	if (n < 16) {
		put_byte(b, MP_FIXARRAY + (unsigned)n);
	} else if (n <= UINT16_MAX) {
		put_byte(b, MP_ARRAY16);
		put_big_endian(b, n, 2);
	} else if (n <= UINT32_MAX) {
		put_byte(b, MP_ARRAY32);
		put_big_endian(b, n, 4);
	} else {
		b->failed = true;
	}
}

void mp_map(struct buf *b, size_t n)
{
	if (n > UINT16_MAX)
		b->failed = true;
	put_byte(b, MP_MAP16);
	put_big_endian(b, n, 2);
}

struct mp_map mp_map_open(struct buf *b)
{
	struct mp_map m = {.b = b, .at = b->n + 1};

	mp_map(b, 0);
	return m;
}

void mp_keys(struct mp_map *m, struct str name)
{
	mp_str(m->b, name);
	m->n++;
}

void mp_key(struct mp_map *m, const char *name)
{
	mp_keys(m, str_from(name));
}

void mp_map_close(struct mp_map *m)
{
	if (m->n > UINT16_MAX)
		m->b->failed = true;
	if (m->b->failed)
		return;
	m->b->p[m->at] = (char)(unsigned char)(m->n >> 8);
	m->b->p[m->at + 1] = (char)(unsigned char)m->n;
}
