#include "lib/base/buf.h"

#include <stdarg.h>

#include "lib/base/arena.h"
#include "lib/base/panic.h"

/* The allocator keeps up to seven freed blocks of each size below 1 KiB, for every thread that has freed some: buffers have one size of those, the
 * next is beyond. With four sizes (128 to 1024 bytes) that was 14 KiB a thread, 512 times, and heaps that could not shrink around them. */
#define BUF_SMALL ((size_t)240)
#define BUF_LARGE ((size_t)1536)
#define BUF_IN_FIRST ((size_t)64) /* in an arena, which cuts its memory to any size */

void buf_release(struct buf *b)
{
	if (!b->arena)
		free(b->p);
	*b = (struct buf){.max = b->max, .arena = b->arena};
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
	if (b->p)
		b->p[0] = '\0';
}

/* A size above need. */
static size_t larger_cap(size_t cap, size_t need)
{
	if (need < BUF_SMALL)
		return BUF_SMALL;
	if (cap < BUF_LARGE)
		cap = BUF_LARGE;
	while (cap <= need)
		cap *= 2;
	return cap;
}

static char *larger(const struct buf *b, size_t need, size_t *cap)
{
	if (!b->arena) {
		*cap = larger_cap(b->cap, need);
		return realloc(b->p, *cap);
	}
	*cap = need < BUF_IN_FIRST ? BUF_IN_FIRST : need < b->cap * 2 ? b->cap * 2 : need + 1;
	char *p = arena_alloc(b->arena, *cap);
	if (p && b->n)
		memcpy(p, b->p, b->n);
	return p;
}

void buf_reserve(struct buf *b, size_t more)
{
	size_t need;
	if (b->failed)
		return;
	if (__builtin_add_overflow(b->n, more, &need) || need >= SIZE_MAX / 2 || (b->max && need > b->max)) {
		b->failed = true;
		return;
	}
	if (need < b->cap)
		return;
	size_t cap;
	char *p = larger(b, need, &cap);
	if (!p) {
		b->failed = true;
		return;
	}
	b->p = p;
	b->cap = cap;
	b->p[b->n] = '\0';
}

void buf_addu(struct buf *b, uint64_t v)
{
	char room[STR_U64_SIZE];
	buf_adds(b, str_of_u64(room, v));
}

void buf_addi(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_addc(b, '-');
	buf_addu(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		b->failed = true;
	else
		buf_reserve(b, (size_t)n);
	if (!b->failed) {
		(void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void buf_drop(struct buf *b, size_t n)
{
	bug_on(n > b->n);
	if (n == 0)
		return;
	b->n -= n;
	memmove(b->p, b->p + n, b->n + 1);
}
