#include "lib/base/arena.h"

#include <stdarg.h>
#include <stdint.h>

#include "lib/base/err.h"

#define CHUNK_FIRST ((size_t)4 << 10)
#define CHUNK_MOST ((size_t)256 << 10) /* a larger request gets a chunk of its own size */
#define ALIGNMENT _Alignof(max_align_t)

struct arena_chunk {
	struct arena_chunk *older;
	size_t size;
	size_t used;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct arena_deferred {
	struct arena_deferred *older;
	arena_fn *fn;
	void *arg;
};

void arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){.limit = limit};
}

static void run_deferred(struct arena *a)
{
	while (a->deferred) {
		struct arena_deferred *d = a->deferred;
		a->deferred = d->older;
		d->fn(d->arg);
	}
}

static void free_chunks(struct arena_chunk *newest)
{
	while (newest) {
		struct arena_chunk *c = newest;
		newest = c->older;
		free(c);
	}
}

/* Takes the largest chunk of ordinary size out of the list; NULL when there is none. */
static struct arena_chunk *take_largest(struct arena *a)
{
	struct arena_chunk **largest = NULL;
	for (struct arena_chunk **at = &a->chunks; *at; at = &(*at)->older)
		if ((*at)->size <= CHUNK_MOST && (!largest || (*at)->size > (*largest)->size))
			largest = at;
	if (!largest)
		return NULL;
	struct arena_chunk *c = *largest;
	*largest = c->older;
	c->older = NULL;
	c->used = 0;
	return c;
}

void arena_reset(struct arena *a)
{
	run_deferred(a);
	struct arena_chunk *kept = take_largest(a);
	free_chunks(a->chunks);
	a->chunks = kept;
	a->used = 0;
}

void arena_release(struct arena *a)
{
	run_deferred(a);
	free_chunks(a->chunks);
	arena_init(a, a->limit);
}

static struct arena_chunk *add_chunk(struct arena *a, size_t n)
{
	size_t size = a->chunks ? a->chunks->size * 2 : CHUNK_FIRST;
	if (size > CHUNK_MOST)
		size = CHUNK_MOST;
	if (size < n)
		size = n;
	struct arena_chunk *c = malloc(sizeof(*c) + size);
	if (!c)
		return NULL;
	c->size = size;
	c->used = 0;
	c->older = a->chunks;
	a->chunks = c;
	return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > SIZE_MAX / 4)
		return NULL;
	n = (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (n == 0)
		n = ALIGNMENT;
	if (a->limit && n > a->limit - a->used)
		return NULL;
	struct arena_chunk *c = a->chunks;
	if (!c || n > c->size - c->used)
		c = add_chunk(a, n);
	if (!c)
		return NULL;
	void *p = c->bytes + c->used;
	c->used += n;
	a->used += n;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);
	return p ? memset(p, 0, n) : NULL;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;
	return __builtin_mul_overflow(count, size, &n) ? NULL : arena_zalloc(a, n);
}

char *arena_dupz(struct arena *a, struct str s)
{
	if (s.n == SIZE_MAX)
		return NULL;
	char *p = arena_alloc(a, s.n + 1);
	if (!p)
		return NULL;
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct str arena_dup(struct arena *a, struct str s)
{
	const char *p = arena_dupz(a, s);
	return p ? (struct str){p, s.n} : STR_NONE;
}

struct str arena_join(struct arena *a, const struct str *parts, size_t n)
{
	size_t bytes = 0;
	for (size_t i = 0; i < n; i++)
		bytes += parts[i].n;
	char *p = arena_alloc(a, bytes + 1), *at = p;
	if (!p)
		return STR_NONE;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	*at = '\0';
	return (struct str){p, bytes};
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (p)
		(void)vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

int arena_defer(struct arena *a, arena_fn *fn, void *arg)
{
	struct arena_deferred *d = arena_alloc(a, sizeof(*d));
	if (!d) {
		fn(arg);
		return ERR_NOMEM;
	}
	*d = (struct arena_deferred){a->deferred, fn, arg};
	a->deferred = d;
	return 0;
}
