#include "gateway/watch_ring.h"

#define RATE_WINDOW_MS 30000
#define RATE_LEAST_MS 500 /* over less, a rate says nothing */

struct sample sample_of(const struct bq_facts *f, int64_t mono_ms, int64_t wall_ms)
{
	const int64_t *n = f->counts.n;

	return (struct sample){
		.mono_ms = mono_ms,
		.wall_ms = wall_ms,
		.added = f->added,
		.completed_total = f->completed_total,
		.failed_total = f->failed_total,
		.waiting = n[BQ_WAITING] + n[BQ_PRIORITIZED],
		.active = n[BQ_ACTIVE],
		.delayed = n[BQ_DELAYED],
		.failed = n[BQ_FAILED],
	};
}

static const struct sample *at(const struct ring *r, unsigned i)
{
	return &r->items[(r->first + i) % RING_SAMPLES];
}

/* Passes come a little early or late; half a step is no new sample. */
void ring_note(struct ring *r, const struct sample *s, int64_t step_ms)
{
	if (r->n > 0 && s->mono_ms - at(r, r->n - 1)->mono_ms < step_ms - step_ms / 10)
		return;
	if (r->n == RING_SAMPLES)
		r->first = (r->first + 1) % RING_SAMPLES;
	else
		r->n++;
	r->items[(r->first + r->n - 1) % RING_SAMPLES] = *s;
}

/* A counter that somebody deleted begins anew. */
static double per_second(int64_t from, int64_t to, int64_t ms)
{
	return from < 0 || to < from || ms < RATE_LEAST_MS ? -1 : (double)(to - from) * 1000 / (double)ms;
}

/* metrics:* come one by one: whoever has only ever completed jobs has no count of failed ones. */
static int64_t known(int64_t total)
{
	return total < 0 ? 0 : total;
}

static struct watch_rates between(const struct sample *a, const struct sample *b)
{
	int64_t ms = b->mono_ms - a->mono_ms;
	bool told = b->completed_total >= 0 || b->failed_total >= 0;
	struct watch_rates rates = {.in = per_second(a->added, b->added, ms), .out = -1, .failed = -1};

	if (told) {
		rates.out = per_second(known(a->completed_total) + known(a->failed_total), known(b->completed_total) + known(b->failed_total), ms);
		rates.failed = per_second(known(a->failed_total), known(b->failed_total), ms);
	}
	return rates;
}

struct watch_rates ring_rates(const struct ring *r, const struct sample *now)
{
	for (unsigned i = 0; i < r->n; i++)
		if (now->mono_ms - at(r, i)->mono_ms <= RATE_WINDOW_MS)
			return between(at(r, i), now);
	return (struct watch_rates){-1, -1, -1};
}

size_t ring_points(const struct ring *r, struct watch_point *out)
{
	for (unsigned i = 0; i + 1 < r->n; i++) {
		const struct sample *to = at(r, i + 1);

		out[i] = (struct watch_point){
			.wall_ms = to->wall_ms,
			.rates = between(at(r, i), to),
			.waiting = to->waiting,
			.active = to->active,
			.delayed = to->delayed,
			.failed = to->failed,
		};
	}
	return r->n > 0 ? r->n - 1 : 0;
}
