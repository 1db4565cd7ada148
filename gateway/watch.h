/* The watch: which queues there are, how they stand and how they have fared lately, for everybody who keeps a page open.
 *
 *     const struct watch_view *v = watch_look(w, WATCH_FRESH_MS, deadline, &err);     one picture of all queues
 *     ... v->items[0 … v->n - 1] ...
 *     watch_done(w, v);
 *
 * Its thread asks Redis only while somebody looks: at once when a picture is too old, every WATCH_STEP_MS for a minute after that. However many
 * look, one asks. Queues that are declared are always there; others are found by a SCAN, a piece at a time where Redis holds many keys.
 *
 * Thread rule: new, start, stop, free are the owner's; the rest any thread's. */
#ifndef SLUICE_GATEWAY_WATCH_H
#define SLUICE_GATEWAY_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/bullmq/inspect.h"
#include "processors/runtime/declaration.h"

#define WATCH_STEP_MS 5000
#define WATCH_MINUTE_MS 60000
#define WATCH_FRESH_MS 1000
#define WATCH_POINTS 60

struct log;
struct watch;

struct watch_options {
	struct bq *bq;
	const struct declarations *queues;
	const char *prefix;
	struct log *log;
	bool runs_jobs; /* false in role api: no processor runs here */
};

struct watch *watch_new(const struct watch_options *o, struct err *err);
int watch_start(struct watch *w, struct err *err) MUST_CHECK;
void watch_stop(struct watch *w); /* those who look get ERR_STOPPING */
void watch_free(struct watch *w);

/* Jobs a second over the last half minute; negative: not known. */
struct watch_rates {
	double in;     /* by the queue's counter of ids */
	double out;    /* by metrics:*, which only workers write that were told to; Sluice's always do */
	double failed; /* of these */
};

struct watch_queue {
	struct str name;
	const struct declaration *decl; /* NULL: found in Redis only */
	struct bq_facts facts;
	struct watch_rates rates;
	int64_t sluice_workers;         /* processes of Sluice that run it */
	int64_t bullmq_workers;         /* BullMQ's workers; -1: Redis does not tell */
};

struct watch_view {
	struct watch_queue *items; /* by name */
	size_t n;
	bool complete;             /* false: Redis is still being searched for queues, or has more than WATCH_QUEUES_MAX */
	int64_t wall_ms;
	/* the watch's own */
	struct arena arena;
	unsigned refs;
	int64_t mono_ms;
};
#define WATCH_QUEUES_MAX 1000

/* A picture at most max_age_ms old. Give it back with watch_done. NULL: *err says why. */
const struct watch_view *watch_look(struct watch *w, int64_t max_age_ms, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;
void watch_done(struct watch *w, const struct watch_view *v);
/* Something has been changed: whoever looks next sees it. */
void watch_outdated(struct watch *w);
const struct watch_queue *watch_view_find(const struct watch_view *v, struct str name); /* NULL: none */

/* What went in and out between two samples. */
struct watch_point {
	int64_t wall_ms;
	struct watch_rates rates;
	int64_t waiting, active, delayed, failed; /* at its end */
};
struct watch_series {
	struct watch_point fine[WATCH_POINTS], coarse[WATCH_POINTS]; /* one each WATCH_STEP_MS, one a minute; the oldest first */
	size_t n_fine, n_coarse;
};
/* false: the queue has not been watched yet. Counts as looking. */
bool watch_series(struct watch *w, struct str queue, struct watch_series *out);

#endif
