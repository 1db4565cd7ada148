#include "lib/base/id.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "lib/base/digest.h"
#include "lib/base/panic.h"

void id_random(void *out, size_t n)
{
	unsigned char *p = out;
	while (n) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		bug_on(got <= 0);
		p += got;
		n -= (size_t)got;
	}
}

void id_random_hex(char *out, size_t n)
{
	/* The bytes go into the upper half of the room and are overwritten only after they have been read. */
	unsigned char *bytes = (unsigned char *)out + n;
	id_random(bytes, n);
	digest_hex(bytes, n, out);
}

uint64_t id_random_u64(void)
{
	uint64_t v;
	id_random(&v, sizeof(v));
	return v;
}

/* Milliseconds in the upper 52 bits, 1/4096 ms in the lower 12 (RFC 9562 6.2, method 3); each call gets a greater one. */
static uint64_t next_stamp(void)
{
	static _Atomic uint64_t last; /* the process' latest stamp: what makes its ids ordered */
	struct timespec ts;
	bug_on(clock_gettime(CLOCK_REALTIME, &ts) != 0);
	uint64_t ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	uint64_t fraction = (uint64_t)ts.tv_nsec % 1000000 * 4096 / 1000000;
	uint64_t now = ms << 12 | fraction;
	uint64_t seen = atomic_load_explicit(&last, memory_order_relaxed);
	uint64_t next;
	do {
		next = now > seen ? now : seen + 1;
	} while (!atomic_compare_exchange_weak_explicit(&last, &seen, next, memory_order_relaxed, memory_order_relaxed));
	return next;
}

/* For identifiers only, which are no secrets: the kernel is asked once for many. */
static uint64_t next_random(void)
{
	static _Thread_local struct {
		uint64_t words[32];
		unsigned left;
	} pool;
	if (pool.left == 0) {
		id_random(pool.words, sizeof(pool.words));
		pool.left = ARRAY_LEN(pool.words);
	}
	return pool.words[--pool.left];
}

static char *put_hex(char *at, uint64_t v, unsigned n_digits)
{
	for (unsigned i = n_digits; i-- > 0; v >>= 4)
		at[i] = "0123456789abcdef"[v & 15];
	return at + n_digits;
}

void id_uuid7(char out[ID_UUID_SIZE])
{
	uint64_t stamp = next_stamp();
	uint64_t tail = (next_random() & (UINT64_MAX >> 2)) | UINT64_C(1) << 63; /* variant 10 */
	const struct {
		uint64_t value;
		unsigned n_digits;
	} groups[] = {{stamp >> 28, 8}, {stamp >> 12, 4}, {0x7000 | (stamp & 0xfff), 4}, {tail >> 48, 4}, {tail, 12}};
	char *at = out;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		at = put_hex(at, groups[i].value, groups[i].n_digits);
		*at++ = '-';
	}
	at[-1] = '\0';
}
