/* Writes MessagePack the way the official client's packer does, so that both hand the same bytes to the scripts: the
 * shortest integer up to 32 bits, a double beyond, maps with a 16-bit length.
 *
 *     struct mp_map m = mp_map_open(&b);
 *     mp_key(&m, "attempts"); mp_int(&b, 3);
 *     mp_map_close(&m);
 *
 * Failure is the buf's sticky flag. Integers beyond 2^53 lose precision, as they do in Lua anyway. */
#ifndef SLUICE_BULLMQ_MSGPACK_H
#define SLUICE_BULLMQ_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

#define MAX_SAFE_INTEGER ((INT64_C(1) << 53) - 1) /* the greatest that JavaScript keeps exactly */

void mp_nil(struct buf *b);
void mp_bool(struct buf *b, bool v);
void mp_int(struct buf *b, int64_t v);
void mp_double(struct buf *b, double v);
void mp_str(struct buf *b, struct str s); /* nil when s.p is NULL */
void mp_strz(struct buf *b, const char *z);
void mp_array(struct buf *b, size_t n); /* then exactly n values */
void mp_map(struct buf *b, size_t n);   /* then exactly n keys and values */

struct mp_map {
	struct buf *b;
	size_t at; /* of the length in b, written by mp_map_close */
	size_t n;
};

struct mp_map mp_map_open(struct buf *b);
void mp_key(struct mp_map *m, const char *name); /* then exactly one value */
void mp_keys(struct mp_map *m, struct str name);
void mp_map_close(struct mp_map *m);

#endif
