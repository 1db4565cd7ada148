/* The last samples of a queue, and what happened between them. The watch's own. */
#ifndef SLUICE_GATEWAY_WATCH_RING_H
#define SLUICE_GATEWAY_WATCH_RING_H

#include "gateway/watch.h"

/* Counters as they stood at a time. */
struct sample {
	int64_t mono_ms, wall_ms;
	int64_t added, completed_total, failed_total; /* -1: not known */
	int64_t waiting, active, delayed, failed;
};

#define RING_SAMPLES (WATCH_POINTS + 1) /* a point lies between two samples */
struct ring {
	struct sample items[RING_SAMPLES];
	unsigned first, n;
};

struct sample sample_of(const struct bq_facts *f, int64_t mono_ms, int64_t wall_ms);
/* Keeps the sample unless the newest is younger than step_ms. */
void ring_note(struct ring *r, const struct sample *s, int64_t step_ms);
/* From the oldest sample of the last half minute to `now`. */
struct watch_rates ring_rates(const struct ring *r, const struct sample *now);
/* How many points were written, at most WATCH_POINTS. */
size_t ring_points(const struct ring *r, struct watch_point *out);

#endif
