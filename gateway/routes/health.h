/* Readiness: named checks that the program registers before the server starts; the readiness routes ask them all.
 *
 *     struct health h = {0};
 *     health_add(&h, "redis", redis_is_up, redis);
 *     deps.health = &h;
 *
 * A check answers at once from what it knows: it never waits for another server. Any thread once the server runs. */
#ifndef SLUICE_GATEWAY_ROUTES_HEALTH_H
#define SLUICE_GATEWAY_ROUTES_HEALTH_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

#define HEALTH_MAX_CHECKS 16

/* 0, else a negative code; with a sentence that says what is missing and what to do. A sentence beside 0 is worth knowing, no more. */
typedef int health_fn(void *arg, struct err *err);

struct health {
	struct health_check {
		const char *name; /* static */
		health_fn *fn;
		void *arg;
		bool needed; /* else its failure is told, and the program ready */
	} checks[HEALTH_MAX_CHECKS];
	unsigned count;
};

void health_add(struct health *h, const char *name, health_fn *fn, void *arg);
/* The same for what the program can do without: told by ?verbose, and ready in either case. */
void health_add_note(struct health *h, const char *name, health_fn *fn, void *arg);

#endif
