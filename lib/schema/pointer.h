/* JSON Pointers (RFC 6901) over a scanned document. Any thread. */
#ifndef SLUICE_SCHEMA_POINTER_H
#define SLUICE_SCHEMA_POINTER_H

#include "lib/base/buf.h"
#include "lib/json/jdoc.h"

/* Appends "/" and one escaped segment. */
void pointer_add(struct buf *out, struct str segment);

/* Appends the way from node `from` down to its descendant `node`; the arena lends room for decoding. */
void pointer_to(struct buf *out, const struct jdoc *doc, uint32_t from, uint32_t node, struct arena *a);

/* The node that a pointer leads to from the root; JDOC_NONE when there is none. */
uint32_t pointer_find(const struct jdoc *doc, struct str pointer, struct arena *a);

#endif
