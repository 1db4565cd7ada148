#include "gateway/creations.h"

#include <stdlib.h>

enum fate { ENQUEUED, DEDUPLICATED, FATE_COUNT };

static const enum metric_id METRICS[FATE_COUNT] = {[ENQUEUED] = M_JOBS_ENQUEUED, [DEDUPLICATED] = M_JOBS_DEDUPLICATED};

struct creations {
	struct metrics *metrics;
	size_t n;
	struct series *declared[][FATE_COUNT]; /* by the queues' index: n of them */
};

struct creations *creations_new(struct metrics *m, const struct declarations *d)
{
	size_t n = d->count;
	struct creations *c = calloc(1, sizeof(*c) + n * sizeof(c->declared[0]));
	if (!c)
		return NULL;
	c->metrics = m;
	c->n = n;
	for (size_t i = 0; i < n; i++)
		for (unsigned f = 0; f < FATE_COUNT; f++)
			c->declared[i][f] = metrics_series(m, METRICS[f], &d->items[i]->queue.name);
	return c;
}

void creations_free(struct creations *c)
{
	free(c);
}

void creations_count(const struct creations *c, const struct bq_queue *q, const struct declaration *decl, const struct bq_added *added)
{
	enum fate fate = added->created && !added->replayed ? ENQUEUED : DEDUPLICATED;
	if (decl && decl->index < c->n)
		series_add(c->declared[decl->index][fate], 1);
	else
		metrics_add(c->metrics, METRICS[fate], 1, &q->name);
	if (added->replayed)
		metrics_add(c->metrics, M_IDEMPOTENCY_REPLAYS, 1, (struct str[]){STR("replayed")});
}
