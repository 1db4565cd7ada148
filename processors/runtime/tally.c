#include "processors/runtime/tally.h"

#include <stdlib.h>

#include "lib/base/clock.h"

static const struct {
	enum metric_id metric;
	const char *label;
} ROWS[TALLY_COUNT] = {
#define X(id, metric, label) [TALLY_##id] = {M_##metric, label},
	TALLIES(X)
#undef X
};

struct tallies {
	struct metrics *metrics;
	struct series *_Atomic declared[DECLARATIONS_MAX][TALLY_COUNT]; /* by the queues' index; any thread */
};

struct tallies *tallies_new(struct metrics *m, const struct declarations *d)
{
	struct tallies *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->metrics = m;
	for (size_t i = 0; i < d->count; i++) {
		(void)tallies_series(t, d->items[i]->name, d->items[i], TALLY_ENQUEUED);
		(void)tallies_series(t, d->items[i]->name, d->items[i], TALLY_DEDUPLICATED);
	}
	return t;
}

void tallies_free(struct tallies *t)
{
	free(t);
}

struct series *tallies_series(struct tallies *t, struct str queue, const struct declaration *decl, enum tally what)
{
	const struct str labels[] = {queue, str_from(ROWS[what].label)};

	if (!decl)
		return metrics_series(t->metrics, ROWS[what].metric, labels);
	return metrics_series_once(t->metrics, &t->declared[decl->index][what], ROWS[what].metric, labels);
}

void tallies_add(struct tallies *t, struct str queue, const struct declaration *decl, enum tally what, double n)
{
	series_add(tallies_series(t, queue, decl, what), n);
}

static void observe(struct tallies *t, struct str queue, const struct declaration *decl, enum tally what, double value)
{
	series_observe(tallies_series(t, queue, decl, what), value);
}

void tallies_created(struct tallies *t, struct str queue, const struct declaration *decl, const struct bq_added *added, size_t data_bytes)
{
	bool is_new = added->created && !added->replayed;

	tallies_add(t, queue, decl, is_new ? TALLY_ENQUEUED : TALLY_DEDUPLICATED, 1);
	if (is_new)
		observe(t, queue, decl, TALLY_PAYLOAD_BYTES, (double)data_bytes);
	if (added->replayed)
		metrics_add(t->metrics, M_IDEMPOTENCY_REPLAYS, 1, (struct str[]){STR("replayed")});
}

void tallies_refused(struct tallies *t, const struct err *err)
{
	if (err->code == ERR_MISMATCH)
		metrics_add(t->metrics, M_IDEMPOTENCY_REPLAYS, 1, (struct str[]){STR("mismatch")});
}

/* Later attempts waited for a backoff, or for somebody to find that the one before had stalled: nobody has noted when they were due. */
void tallies_taken(struct tallies *t, struct str queue, const struct declaration *decl, const struct bq_job *job)
{
	int64_t delay = job->opts.delay_ms > 0 ? job->opts.delay_ms : 0;
	int64_t waited = clock_wall_ms() - job->timestamp - delay;

	if (job->attempts_started <= 1 && job->attempts_made == 0)
		observe(t, queue, decl, TALLY_WAIT_SECONDS, waited > 0 ? (double)waited / 1000 : 0);
}

void tallies_ended(struct tallies *t, struct str queue, const struct declaration *decl, const struct bq_job *job, enum tally attempt,
		   enum tally finished)
{
	const struct str schedule[] = {queue, job->repeat_key};

	tallies_add(t, queue, decl, attempt, 1);
	if (finished == TALLY_NONE)
		return;
	tallies_add(t, queue, decl, finished, 1);
	observe(t, queue, decl, TALLY_ATTEMPTS_MADE, (double)(job->attempts_made + 1));
	if (finished == TALLY_FINISHED_COMPLETED && job->repeat_key.p)
		metrics_set(t->metrics, M_SCHEDULE_SUCCESS_SECONDS, (double)clock_wall_ms() / 1000, schedule);
}

void tallies_missed(struct tallies *t, struct str queue, const struct bq_job *job, int64_t runs)
{
	const struct str schedule[] = {queue, job->repeat_key};

	metrics_add(t->metrics, M_SCHEDULE_MISSED, (double)runs, schedule);
}
