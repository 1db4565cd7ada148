/* A keyed hash of a JSON value by its meaning: numbers by value, strings decoded, members in any order. Two values with the
 * same hash are taken as equal: with a secret key and 64 bits that errs once in 2^64 pairs, and it keeps enum and uniqueItems
 * linear. Any thread. */
#ifndef SLUICE_SCHEMA_VALUEHASH_H
#define SLUICE_SCHEMA_VALUEHASH_H

#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/json/jdoc.h"

/* 0 or ERR_NOMEM (the arena lends room for large values). */
int valuehash(const struct jdoc *doc, uint32_t node, const unsigned char secret[16], struct arena *a, uint64_t *out) MUST_CHECK;

/* The same for each child of an array. */
int valuehash_items(const struct jdoc *doc, uint32_t array, const unsigned char secret[16], struct arena *a, uint64_t *out)
	MUST_CHECK;

#endif
