/* Looks for many short patterns in one pass and tells where each ends. Two engines with the same answers: vectorscan, and pcre2
 * where the processor or the build lacks it. Private to this folder.
 *
 * Engines differ in what they report when one place has several matches: vectorscan tells every end. A pattern here must
 * therefore have at most one end for each start; then both tell the same set, in an order of their own.
 *
 * A compiled engine is immutable; a scratch belongs to one thread at a time. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_ENGINE_H
#define SLUICE_PROCESSORS_COMPLIANCE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct engine_pattern {
	const char *regex; /* without look-around; bytes, not characters */
	bool caseless;     /* ASCII letters */
};

/* Told of each match; false stops the run. */
typedef bool engine_hit_fn(void *arg, unsigned pattern, size_t end);

struct engine_ops {
	const char *name;
	const char *(*version)(void);
	bool (*usable)(void); /* on this processor */
	void *(*compile)(const struct engine_pattern *patterns, unsigned n, struct err *err); /* NULL on failure */
	void (*release)(void *engine);
	void *(*scratch_new)(void *engine); /* NULL: no memory */
	void (*scratch_free)(void *scratch);
	/* 0 also when it was stopped; ERR_LIMIT (text too long, match limits), ERR_NOMEM. */
	int (*run)(void *engine, void *scratch, struct str text, engine_hit_fn *hit, void *arg, struct err *err);
};

extern const struct engine_ops engine_vectorscan, engine_pcre2;

#endif
