/* What SIGHUP takes anew: the keys of tokens, and the declared queues. Each of the two comes in force whole, or not at all.
 *
 * Of queues: what is said of their jobs (limits, retries, retention, deadlines, schema, concurrency), and new queues. Another processor, its
 * settings, what records keep, and a queue's removal wait for a restart: the log says so, and readiness (?verbose) until then. */
#ifndef SLUICE_GATEWAY_RELOAD_H
#define SLUICE_GATEWAY_RELOAD_H

#include "lib/base/err.h"
#include "lib/base/lock.h"

struct app;

struct reload {
	struct lock mu;
	/* protected by mu */
	struct err waits; /* for a restart; code 0: nothing does */
	struct err wrong; /* with the file when it was read last; code 0: nothing is */
};

void reload_init(struct reload *r);
void reload_release(struct reload *r);
/* The files that were read at the start are in force: for the metrics. */
void reload_shown_from_start(const struct app *a);
/* Says in the log and the metrics how it went. The main thread, between the start of the last part and the drain. */
void reload(struct app *a);
/* A health_fn; arg is the struct reload. */
int reload_note(void *arg, struct err *err);

#endif
