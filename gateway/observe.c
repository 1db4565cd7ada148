#include "gateway/observe.h"

#include "gateway/services.h"
#include "lib/base/clock.h"
#include "lib/bullmq/inspect.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "processors/runtime/runtime.h"

#define TIMEOUT_MS 2000

static void show_counts(struct metrics *m, struct str queue, const struct bq_counts *c)
{
	for (unsigned i = 0; i < BQ_STATE_COUNT; i++) {
		const struct str labels[] = {queue, str_from(bq_state_word((enum bq_state)i))};
		metrics_set(m, M_JOBS, (double)c->n[i], labels);
		metrics_set(m, M_BULLMQ_JOB_COUNT, (double)c->n[i], labels);
	}
	metrics_set(m, M_QUEUE_PAUSED, c->paused, &queue);
}

/* The limiter counts jobs in its window; at the limit (the queue's own in Redis, else the declared one) it holds back. */
static bool is_limited(const struct declaration *d, const struct bq_facts *f)
{
	int64_t max = f->limiter.max > 0 ? f->limiter.max : d->terms->limiter.max;

	return max > 0 && f->limit_used >= max;
}

/* How long ago that was; 0 when it is not known, or still to come by this machine's clock. */
static double seconds_since(int64_t then_ms, int64_t now_ms)
{
	return then_ms >= 0 && then_ms < now_ms ? (double)(now_ms - then_ms) / 1000 : 0;
}

static void show_queue(struct metrics *m, const struct declaration *d, const struct bq_facts *f, int64_t now_ms)
{
	show_counts(m, d->name, &f->counts);
	metrics_set(m, M_BULLMQ_JOB_COMPLETED, f->completed_total > 0 ? (double)f->completed_total : 0, &d->name);
	metrics_set(m, M_BULLMQ_JOB_FAILED, f->failed_total > 0 ? (double)f->failed_total : 0, &d->name);
	metrics_set(m, M_QUEUE_RATE_LIMITED, is_limited(d, f), &d->name);
	metrics_set(m, M_QUEUE_LATENCY_SECONDS, seconds_since(f->next_since_ms, now_ms), &d->name);
	metrics_set(m, M_QUEUE_DELAYED_OVERDUE_SECONDS, f->due > 0 ? seconds_since(f->next_delayed_ms, now_ms) : 0, &d->name);
}

static int observe_queues(const struct services *s, struct arena *a, int64_t deadline, struct err *err)
{
	size_t n = s->queues->count;
	const struct bq_queue **queues = arena_array(a, n + 1, sizeof(struct bq_queue *));
	struct bq_facts *facts = arena_array(a, n + 1, sizeof(*facts));

	if (!queues || !facts)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		queues[i] = &s->queues->items[i]->queue;
	int rc = bq_facts(s->bq, queues, n, a, facts, deadline, err);
	int64_t now = clock_wall_ms();
	for (size_t i = 0; rc == 0 && i < n; i++)
		show_queue(s->metrics, s->queues->items[i], &facts[i], now);
	return rc;
}

static int observe_workers(const struct services *s, struct arena *a, int64_t deadline, struct err *err)
{
	struct bq_clients clients;

	int rc = bq_clients(s->bq, str_from(s->prefix), a, &clients, deadline, err);
	if (rc < 0 || clients.refused)
		return rc;
	for (size_t i = 0; i < s->queues->count; i++) {
		struct str name = s->queues->items[i]->name;
		unsigned n = 0;
		for (size_t c = 0; c < clients.n; c++)
			n += str_eq(clients.items[c].queue, name);
		metrics_set(s->metrics, M_QUEUE_WORKERS, n, &name);
	}
	return 0;
}

static int observe_redis(const struct services *s, struct err *err)
{
	int64_t deadline = clock_mono_ms() + TIMEOUT_MS;
	struct arena scratch;

	arena_init(&scratch, 0);
	int rc = observe_queues(s, &scratch, deadline, err);
	if (rc == 0)
		rc = observe_workers(s, &scratch, deadline, err);
	arena_release(&scratch);
	return rc;
}

void observe(struct app *app)
{
	const struct services *s = app_services(app);
	struct rmux_stats stats;
	struct err err = {0};

	rmux_stats(bq_mux(s->bq), &stats);
	metrics_set(s->metrics, M_REDIS_ERRORS, (double)stats.unknown_outcomes, (struct str[]){STR("unknown_outcome")});
	metrics_set(s->metrics, M_REDIS_ERRORS, (double)stats.reconnects, (struct str[]){STR("reconnect")});
	runtime_observe(s->runtime);
	metrics_set(s->metrics, M_LOG_DROPPED, (double)log_dropped(s->log), NULL);
	if (rmux_is_up(bq_mux(s->bq)) && observe_redis(s, &err) < 0)
		LOG(s->log, LOG_DEBUG, "observe_failed", log_err(&err));
}
