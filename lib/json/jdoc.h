/* The strict JSON scanner: the first thing that touches foreign JSON.
 *
 * It checks RFC 8259 to the letter (UTF-8, no duplicate keys, no lone surrogates, no \u0000, no byte order mark, no number
 * past a double's range, no trailing bytes), iteratively, under limits, and leaves a flat table of nodes that point into the
 * caller's bytes. Nothing is decoded or copied, so job data can be stored byte for byte as it came.
 *
 *     struct jdoc doc;
 *     struct jdoc_fault fault;
 *     if (jdoc_parse(&doc, arena, text, &JDOC_LIMITS, &fault) < 0) ...   fault says where and why
 *     uint32_t data = jdoc_get(&doc, JDOC_ROOT, "data");                 JDOC_NONE when absent
 *     struct str raw = jdoc_raw(&doc, data);                             the bytes, quotes and all
 *
 * Nodes are in document order; a container's children follow it; `end` is the index after its last descendant. In an
 * object, a child is its value; the key stands in the same node. The text must outlive the doc. One thread at a time. */
#ifndef SLUICE_JSON_JDOC_H
#define SLUICE_JSON_JDOC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

enum jtype { J_NULL, J_FALSE, J_TRUE, J_NUMBER, J_STRING, J_ARRAY, J_OBJECT };

#define JDOC_ROOT 0u
#define JDOC_NONE UINT32_MAX

struct jnode {
	uint32_t off, len;         /* the value's bytes in the text (a string with its quotes) */
	uint32_t key_off, key_len; /* the key's bytes without quotes, escapes as written; 0,0 outside objects */
	uint32_t end;              /* index of the node after this one's last descendant */
	uint32_t count;            /* children of a container */
	uint8_t type;              /* enum jtype */
	bool escaped;              /* this string has escapes */
	bool key_escaped;
};

struct jdoc_limits {
	uint32_t max_depth;
	uint32_t max_nodes;
};

extern const struct jdoc_limits JDOC_LIMITS;       /* depth 64, 50 000 nodes: DESIGN's bound for bodies */
extern const struct jdoc_limits JDOC_TOKEN_LIMITS; /* depth 4, 256 nodes: a token's header and claims */

struct jdoc {
	struct str text;
	struct jnode *nodes;
	uint32_t n_nodes;
};

enum jfault {
	JFAULT_NONE,
	JFAULT_SYNTAX,
	JFAULT_UTF8,
	JFAULT_DEPTH,
	JFAULT_NODES,
	JFAULT_DUPLICATE_KEY,
	JFAULT_SURROGATE,
	JFAULT_NUL,
	JFAULT_RANGE, /* a number beyond what a double holds, such as 1e400 */
	JFAULT_TRAILING,
	JFAULT_EMPTY,
	JFAULT_MEMORY,
};

struct jdoc_fault {
	enum jfault kind;
	uint32_t offset;    /* byte where it was noticed */
	const char *reason; /* a static sentence */
};

/* 0, or ERR_INVALID, ERR_LIMIT (depth, nodes), ERR_NOMEM, with the fault filled; fault may be NULL. Keys are compared as decoded, so
 * "\u0061" repeats "a". The node table comes from the arena. */
int jdoc_parse(struct jdoc *doc, struct arena *a, struct str text, const struct jdoc_limits *limits, struct jdoc_fault *fault)
	MUST_CHECK;

/* A member of an object by its (decoded) name; JDOC_NONE when absent or when `obj` is JDOC_NONE or no object. */
uint32_t jdoc_get(const struct jdoc *doc, uint32_t obj, const char *name);
uint32_t jdoc_find(const struct jdoc *doc, uint32_t obj, struct str name);

/* Children: for (uint32_t c = jdoc_first(doc, n); c != JDOC_NONE; c = jdoc_next(doc, n, c)) */
uint32_t jdoc_first(const struct jdoc *doc, uint32_t parent);
uint32_t jdoc_next(const struct jdoc *doc, uint32_t parent, uint32_t child);

enum jtype jdoc_type(const struct jdoc *doc, uint32_t node);
struct str jdoc_raw(const struct jdoc *doc, uint32_t node); /* "" for JDOC_NONE */

/* A string's decoded content, or a key's: points into the text when there is nothing to decode, else into the arena;
 * .p is NULL for a node that is no string, or without memory. */
struct str jdoc_string(const struct jdoc *doc, uint32_t node, struct arena *a);
struct str jdoc_key(const struct jdoc *doc, uint32_t node, struct arena *a);

/* Exact integers only ("1", "-3", also "2.0" and "1e3"); ERR_INVALID otherwise. */
int jdoc_int(const struct jdoc *doc, uint32_t node, int64_t *out) MUST_CHECK;
int jdoc_double(const struct jdoc *doc, uint32_t node, double *out) MUST_CHECK;
bool jdoc_is_integer(const struct jdoc *doc, uint32_t node);

#endif
