/* One arena per request and per job: allocate, never free singly, reset at the end.
 *
 *     struct arena a;
 *     arena_init(&a, 4 << 20);         (limit in bytes; passing it makes allocations return NULL)
 *     char *copy = arena_dupz(&a, s);
 *     arena_defer(&a, (arena_fn *)fclose_, f);
 *     arena_reset(&a);                 (runs the deferred calls, newest first; keeps one chunk)
 *     arena_release(&a);
 *
 * One thread at a time. Memory is not zeroed unless the name says so; alignment is that of max_align_t. */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

typedef void arena_fn(void *arg);

struct arena_chunk;
struct arena_deferred;

struct arena {
	struct arena_chunk *chunks;
	struct arena_deferred *deferred;
	size_t used;  /* bytes given out since the last reset */
	size_t limit; /* bytes; 0 = none */
};

void arena_init(struct arena *a, size_t limit);
void arena_reset(struct arena *a);
void arena_release(struct arena *a);

void *arena_alloc(struct arena *a, size_t n) MUST_CHECK;              /* NULL: limit or memory */
void *arena_zalloc(struct arena *a, size_t n) MUST_CHECK;
void *arena_array(struct arena *a, size_t count, size_t size) MUST_CHECK; /* zeroed; overflow-checked */
char *arena_dupz(struct arena *a, struct str s) MUST_CHECK;           /* NUL-terminated copy */
struct str arena_dup(struct arena *a, struct str s) MUST_CHECK;       /* .p NULL on failure */
struct str arena_join(struct arena *a, const struct str *parts, size_t n) MUST_CHECK; /* one behind the other, NUL-terminated; .p NULL on failure */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

/* fn(arg) runs at the next reset or release. When there is no memory to note it, it runs at once: the return is then
 * ERR_NOMEM and arg is gone. */
int arena_defer(struct arena *a, arena_fn *fn, void *arg) MUST_CHECK;

#endif
