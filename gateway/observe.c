#include "gateway/observe.h"

#include "gateway/services.h"
#include "lib/base/clock.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "processors/runtime/declaration.h"

#define TIMEOUT_MS 2000

/* What is asked for each queue besides its counts, in this order. */
enum asked { ASK_COMPLETED, ASK_FAILED, ASK_LIMITER, ASK_LIMIT, ASKED };

static void ask(struct rcmd *cmd, const char *command, struct str key, const char *field)
{
	rcmd_begin(cmd, field ? 3 : 2);
	rcmd_argz(cmd, command);
	rcmd_arg(cmd, key);
	if (field)
		rcmd_argz(cmd, field);
}

static void ask_all(struct rcmd *cmd, const struct declarations *d)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct str *keys = d->items[i].queue.keys;
		ask(cmd, "HGET", keys[BQ_KEY_METRICS_COMPLETED], "count");
		ask(cmd, "HGET", keys[BQ_KEY_METRICS_FAILED], "count");
		ask(cmd, "GET", keys[BQ_KEY_LIMITER], NULL);
		ask(cmd, "HGET", keys[BQ_KEY_META], "max");
	}
	ask(cmd, "CLIENT", STR("LIST"), NULL);
}

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
static bool is_limited(const struct declaration *d, const redisReply *taken, const redisReply *limit)
{
	int64_t n = 0, max = d->limiter.max;

	(void)rreply_int(limit, &max);
	return rreply_int(taken, &n) && max > 0 && n >= max;
}

static void show_queue(struct metrics *m, const struct declaration *d, redisReply *const *replies)
{
	int64_t n = 0;

	metrics_set(m, M_BULLMQ_JOB_COMPLETED, rreply_int(replies[ASK_COMPLETED], &n) ? (double)n : 0, &d->name);
	metrics_set(m, M_BULLMQ_JOB_FAILED, rreply_int(replies[ASK_FAILED], &n) ? (double)n : 0, &d->name);
	metrics_set(m, M_QUEUE_RATE_LIMITED, is_limited(d, replies[ASK_LIMITER], replies[ASK_LIMIT]), &d->name);
}

/* Does this client's name announce a worker of the queue? Node and Rust write the queue's name in base64, others as it is. */
static bool announces(struct str client, struct str plain, struct str encoded)
{
	struct str name = str_starts(client, encoded) ? encoded : plain;

	if (!str_starts(client, name))
		return false;
	struct str rest = str_sub(client, name.n, client.n - name.n);
	return rest.n == 0 || str_starts(rest, STR(":w:"));
}

static unsigned count_workers(struct str clients, const struct bq_queue *q)
{
	struct buf encoded = BUF_INIT, plain = BUF_INIT;
	unsigned n = 0;

	bq_client_name(&encoded, q, NULL);
	buf_addf(&plain, "%.*s:%.*s", STR_ARG(q->prefix), STR_ARG(q->name));
	while (clients.p) {
		struct str line = str_cut(&clients, '\n');
		const char *at = line.n ? memmem(line.p, line.n, " name=", 6) : NULL;
		if (!at)
			continue;
		struct str rest = str_sub(line, (size_t)(at + 6 - line.p), line.n - (size_t)(at + 6 - line.p));
		n += announces(str_cut(&rest, ' '), buf_str(&plain), buf_str(&encoded));
	}
	buf_release(&encoded);
	buf_release(&plain);
	return n;
}

static void show_all(const struct services *s, const struct rreplies *replies)
{
	struct str clients = rreply_str(replies->items[replies->count - 1]);

	for (size_t i = 0; i < s->queues->count; i++) {
		const struct declaration *d = &s->queues->items[i];
		show_queue(s->metrics, d, replies->items + i * ASKED);
		if (clients.p)
			metrics_set(s->metrics, M_QUEUE_WORKERS, count_workers(clients, &d->queue), &d->name);
	}
}

static int observe_counts(const struct services *s, int64_t deadline, struct err *err)
{
	size_t n = s->queues->count;
	struct arena scratch;
	arena_init(&scratch, 0);
	const struct bq_queue **queues = arena_array(&scratch, n + 1, sizeof(struct bq_queue *));
	struct bq_counts *counts = arena_array(&scratch, n + 1, sizeof(*counts));
	int rc = queues && counts ? 0 : err_set(err, ERR_NOMEM, "out of memory");

	for (size_t i = 0; rc == 0 && i < n; i++)
		queues[i] = &s->queues->items[i].queue;
	if (rc == 0)
		rc = bq_counts_many(s->bq, queues, n, counts, deadline, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		show_counts(s->metrics, s->queues->items[i].name, &counts[i]);
	arena_release(&scratch);
	return rc;
}

static int observe_queues(const struct services *s, struct err *err)
{
	int64_t deadline = clock_mono_ms() + TIMEOUT_MS;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	int rc = observe_counts(s, deadline, err);
	if (rc < 0)
		return rc;
	ask_all(&cmd, s->queues);
	rc = rmux_call(bq_mux(s->bq), &cmd, deadline, &replies, err);
	rcmd_release(&cmd);
	if (rc < 0)
		return rc;
	show_all(s, &replies);
	rreplies_release(&replies);
	return 0;
}

void observe(struct app *app)
{
	const struct services *s = app_services(app);
	struct rmux_stats stats;
	struct err err = {0};

	rmux_stats(bq_mux(s->bq), &stats);
	metrics_set(s->metrics, M_REDIS_ERRORS, (double)stats.unknown_outcomes, (struct str[]){STR("unknown_outcome")});
	metrics_set(s->metrics, M_REDIS_ERRORS, (double)stats.reconnects, (struct str[]){STR("reconnect")});
	metrics_set(s->metrics, M_LOG_DROPPED, (double)log_dropped(s->log), NULL);
	if (rmux_is_up(bq_mux(s->bq)) && observe_queues(s, &err) < 0)
		LOG(s->log, LOG_DEBUG, "observe_failed", log_err(&err));
}
