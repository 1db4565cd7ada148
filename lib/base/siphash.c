#include "lib/base/siphash.h"

#include <endian.h>

struct state {
	uint64_t a, b, c, d;
};

static uint64_t rotate(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static inline void rounds(struct state *s, int n)
{
	for (; n > 0; n--) {
		s->a += s->b;
		s->c += s->d;
		s->b = rotate(s->b, 13) ^ s->a;
		s->d = rotate(s->d, 16) ^ s->c;
		s->a = rotate(s->a, 32);
		s->c += s->b;
		s->a += s->d;
		s->b = rotate(s->b, 17) ^ s->c;
		s->d = rotate(s->d, 21) ^ s->a;
		s->c = rotate(s->c, 32);
	}
}

static uint64_t word(const unsigned char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* n < 8 bytes, the first one lowest. */
static uint64_t last_word(const unsigned char *p, size_t n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void absorb(struct state *s, uint64_t m)
{
	s->d ^= m;
	rounds(s, 2);
	s->a ^= m;
}

uint64_t siphash(const unsigned char key[16], struct str in)
{
	const unsigned char *p = (const unsigned char *)in.p;
	uint64_t k0 = word(key);
	uint64_t k1 = word(key + 8);
	struct state s = {
		k0 ^ UINT64_C(0x736f6d6570736575),
		k1 ^ UINT64_C(0x646f72616e646f6d),
		k0 ^ UINT64_C(0x6c7967656e657261),
		k1 ^ UINT64_C(0x7465646279746573),
	};
	size_t whole = in.n / 8 * 8;
	for (size_t at = 0; at < whole; at += 8)
		absorb(&s, word(p + at));
	uint64_t rest = last_word(p + whole, in.n % 8);
	absorb(&s, rest | (uint64_t)in.n << 56);
	s.c ^= 0xff;
	rounds(&s, 4);
	return s.a ^ s.b ^ s.c ^ s.d;
}
