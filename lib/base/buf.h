/* A growing byte builder with a sticky failure flag: append freely, test once.
 *
 *     struct buf b = BUF_INIT;
 *     buf_addz(&b, "GET ");
 *     buf_addf(&b, "%d", 5);
 *     if (b.failed) ...            (out of memory, or over b.max)
 *     buf_release(&b);
 *
 * With BUF_IN(arena) its memory is the arena's: nothing is to be released (though it may be), and what it outgrows stays with the arena, so
 * reserve what it will need. It is for what lives as long as a request and is short: no allocation, and none that another thread gives back.
 *
 * The bytes are always followed by a NUL that is not counted. One thread at a time. */
#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct arena;

struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t max; /* bytes; 0 = no limit */
	bool failed;
	struct arena *arena; /* NULL: its memory is its own */
};

#define BUF_INIT ((struct buf){0})
#define BUF_IN(a) ((struct buf){.arena = (a)})

void buf_release(struct buf *b);         /* frees the memory; b is as BUF_INIT or BUF_IN again (max kept) */
void buf_clear(struct buf *b);           /* forgets the bytes and the failure, keeps the memory */
void buf_reserve(struct buf *b, size_t more);
void buf_addu(struct buf *b, uint64_t v); /* decimal */
void buf_addi(struct buf *b, int64_t v);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_drop(struct buf *b, size_t n); /* removes n bytes at the front */

/* Is there room for n more bytes, and their NUL? With a limit or after a failure the answer is no. */
static inline bool buf_has_room(const struct buf *b, size_t n)
{
	return !b->failed && !b->max && n < b->cap - b->n;
}

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
	if (!buf_has_room(b, n)) {
		buf_reserve(b, n);
		if (b->failed)
			return;
	}
	if (n == 0)
		return;
	memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

static inline void buf_adds(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

static inline void buf_addz(struct buf *b, const char *z)
{
	buf_adds(b, str_from(z));
}

static inline void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){b->p ? b->p : "", b->n};
}

#endif
