#include "gateway/creations.h"

#include <stdlib.h>

enum fate { ENQUEUED, DEDUPLICATED, FATE_COUNT };

static const enum metric_id METRICS[FATE_COUNT] = {[ENQUEUED] = M_JOBS_ENQUEUED, [DEDUPLICATED] = M_JOBS_DEDUPLICATED};

struct creations {
	struct metrics *metrics;
	const struct declarations *queues;
	struct series *declared[][FATE_COUNT]; /* in the order of queues->items */
};

struct creations *creations_new(struct metrics *m, const struct declarations *d)
{
	struct creations *c = calloc(1, sizeof(*c) + d->count * sizeof(c->declared[0]));
	if (!c)
		return NULL;
	c->metrics = m;
	c->queues = d;
	for (size_t i = 0; i < d->count; i++)
		for (unsigned f = 0; f < FATE_COUNT; f++)
			c->declared[i][f] = metrics_series(m, METRICS[f], &d->items[i].queue.name);
	return c;
}

void creations_free(struct creations *c)
{
	free(c);
}

void creations_count(const struct creations *c, const struct bq_queue *q, const struct declaration *decl, const struct bq_added *added)
{
	enum fate fate = added->created && !added->replayed ? ENQUEUED : DEDUPLICATED;
	if (decl)
		series_add(c->declared[decl - c->queues->items][fate], 1);
	else
		metrics_add(c->metrics, METRICS[fate], 1, &q->name);
	if (added->replayed)
		metrics_add(c->metrics, M_IDEMPOTENCY_REPLAYS, 1, (struct str[]){STR("replayed")});
}
