/* A worker: takes a job, runs its processor, finishes it, and again until nothing is left; then it waits for a permit. */
#include "lib/base/id.h"
#include "lib/schema/schema.h"
#include "processors/runtime/private.h"

#define RETRY_PAUSE_MS 100
#define TAKE_AGAIN_MS 1000
#define SCHEMA_ISSUES_TOLD 5

bool rqueue_permit(struct rqueue *q)
{
	struct runtime *rt = q->rt;

	lock_take(&rt->mu);
	bool idle = q->idle > 0;
	if (q->permits < q->idle) {
		q->permits++;
		cond_signal(&q->wake);
	}
	lock_give(&rt->mu);
	return idle;
}

/* Waits until this worker may try to take a job; false when the runtime is draining. */
static bool wait_permit(struct worker *w)
{
	struct rqueue *q = w->q;
	struct runtime *rt = q->rt;

	lock_take(&rt->mu);
	q->idle++;
	if (!q->watched)
		watcher_refresh(rt);
	cond_broadcast(&rt->idle_changed);
	while (!q->permits && !atomic_load(&rt->draining))
		cond_wait(&q->wake, &rt->mu);
	q->idle--;
	if (q->permits)
		q->permits--;
	lock_give(&rt->mu);
	return !atomic_load(&rt->draining);
}

/* ---- taking ---- */

static void take_again_at(struct rqueue *q, int64_t mono_ms)
{
	struct runtime *rt = q->rt;

	lock_take(&rt->mu);
	if (!q->next_take_mono_ms || mono_ms < q->next_take_mono_ms)
		q->next_take_mono_ms = mono_ms;
	cond_signal(&rt->upkeep_wake);
	lock_give(&rt->mu);
}

static void nothing_taken(struct rqueue *q, const struct bq_taken *taken)
{
	if (taken->limited_ms > 0)
		take_again_at(q, clock_mono_ms() + taken->limited_ms);
	if (taken->next_delayed_ms > 0)
		upkeep_hint(q->rt, taken->next_delayed_ms);
}

static bool take(struct worker *w)
{
	struct rqueue *q = w->q;
	struct runtime *rt = q->rt;
	struct job_context *ctx = &w->ctx;
	struct bq_taken taken = {0};
	struct err err = {0};

	context_clear(ctx);
	id_random_hex(ctx->token, (TOKEN_SIZE - 1) / 2);
	int rc = bq_take(rt->bq, &q->decl->queue, &q->as_worker, str_from(ctx->token), &ctx->arena, &ctx->job, &taken,
			 runtime_deadline(rt), &err);
	if (rc < 0) {
		if (rc != ERR_UNAVAILABLE && rc != ERR_STOPPING)
			LOG(rt->env.log, LOG_WARN, "take_failed", log_str("queue", q->decl->name), log_err(&err));
		take_again_at(q, clock_mono_ms() + TAKE_AGAIN_MS);
		return false;
	}
	if (!taken.got)
		nothing_taken(q, &taken);
	return taken.got;
}

static void list_as_running(struct worker *w)
{
	struct rqueue *q = w->q;
	struct job_context *ctx = &w->ctx;

	ctx->id = ctx->job.id;
	ctx->started_mono_ms = clock_mono_ms();
	ctx->deadline_mono_ms = ctx->started_mono_ms + q->decl->timeout_ms;
	lock_take(&q->rt->mu);
	ctx->running = true;
	lock_give(&q->rt->mu);
	atomic_fetch_add(&q->rt->busy, 1);
	series_add(q->m_busy, 1);
	series_observe(q->m_wait_seconds, (double)(clock_wall_ms() - ctx->job.timestamp) / 1000.0);
	if (atomic_load(&q->rt->stopping)) /* it was taken while the others were being told to stop */
		context_cancel(ctx, CANCEL_SHUTDOWN);
}

static void unlist(struct worker *w)
{
	struct rqueue *q = w->q;

	lock_take(&q->rt->mu);
	w->ctx.running = false;
	cond_broadcast(&q->rt->idle_changed);
	lock_give(&q->rt->mu);
	atomic_fetch_sub(&q->rt->busy, 1);
	series_add(q->m_busy, -1);
	series_observe(q->m_run_seconds, (double)(clock_mono_ms() - w->ctx.started_mono_ms) / 1000.0);
}

/* ---- running ---- */

/* Jobs of BullMQ clients have passed no gateway: their data is scanned and checked here like everybody's. */
static bool data_is_valid(struct job_context *ctx)
{
	const struct declaration *decl = ctx->q->decl;
	struct jdoc_fault fault;
	struct schema_report report = {.arena = &ctx->arena};
	struct buf told = BUF_INIT;

	if (jdoc_parse(&ctx->data, &ctx->arena, ctx->job.data, &JDOC_LIMITS, &fault) < 0) {
		job_fail(ctx, "INVALID_PAYLOAD", "the data is not JSON that can be taken: byte %u: %s", fault.offset, fault.reason);
		return false;
	}
	if (!decl->payload || schema_check(decl->payload, &ctx->data, JDOC_ROOT, STR(""), &report) == 0)
		return true;
	unsigned n = 0;
	for (const struct schema_issue *i = report.first; i && n < SCHEMA_ISSUES_TOLD; i = i->next, n++)
		buf_addf(&told, "%s%.*s %.*s", n ? "; " : "", STR_ARG(i->pointer), STR_ARG(i->detail));
	job_fail(ctx, "INVALID_PAYLOAD", "%s", told.p ? told.p : "the data does not fit the queue's schema");
	buf_release(&told);
	return false;
}

static enum outcome run(struct worker *w)
{
	struct rqueue *q = w->q;
	struct runtime *rt = q->rt;
	struct job_context *ctx = &w->ctx;
	struct err err = {0};

	if (job_cancelled(ctx))
		return OUTCOME_RETRY;
	if (ctx->job.repeat_key.p && bq_schedule_next(rt->bq, &q->decl->queue, &ctx->job, runtime_deadline(rt), &err) < 0)
		LOG(rt->env.log, LOG_ERROR, "schedule_next_failed", log_str("queue", q->decl->name), log_str("jobId", ctx->job.id),
		    log_err(&err));
	if (ctx->job.deferred_failure.p) {
		buf_adds(&ctx->reason, ctx->job.deferred_failure);
		return OUTCOME_PERMANENT;
	}
	if (!data_is_valid(ctx))
		return OUTCOME_PERMANENT;
	enum outcome outcome = q->decl->processor->run(q->processor_state, ctx);
	if (outcome == OUTCOME_DONE && ctx->reason.n) /* the result was refused */
		return OUTCOME_PERMANENT;
	return outcome;
}

/* ---- finishing ---- */

/* What is to be told to Redis about the job's end; told again until it is known to have arrived. */
struct ending {
	enum { END_COMPLETE, END_FAIL, END_DELAY, END_RELEASE, END_DROP } kind;
	bool permanent;
	enum bq_failed how; /* filled when failing */
};

struct cancel_rule {
	int kind;
	bool permanent;
	const char *reason;
};

/* How a job ends that did not get done because it had to stop. */
static const struct cancel_rule CANCEL_RULES[] = {
	[CANCEL_ASKED] = {END_FAIL, true, "CANCELLED: the job was cancelled"},
	[CANCEL_TIMEOUT] = {END_FAIL, false, "TIMEOUT: the job ran longer than the queue's timeout allows"},
	[CANCEL_LOCK_LOST] = {END_DROP, false, NULL},
	[CANCEL_SHUTDOWN] = {END_RELEASE, false, NULL},
};

static struct ending decide(struct job_context *ctx, enum outcome outcome)
{
	int why = atomic_load(&ctx->cancel);

	if (why == CANCEL_LOCK_LOST)
		return (struct ending){.kind = END_DROP};
	if (outcome == OUTCOME_DONE)
		return (struct ending){.kind = END_COMPLETE};
	if (why == CANCEL_NONE && outcome == OUTCOME_DELAY)
		return (struct ending){.kind = END_DELAY};
	if (why == CANCEL_NONE || outcome == OUTCOME_PERMANENT) {
		if (!ctx->reason.n)
			job_fail(ctx, "INTERNAL", "the processor gave no reason");
		return (struct ending){.kind = END_FAIL, .permanent = outcome == OUTCOME_PERMANENT};
	}
	const struct cancel_rule *rule = &CANCEL_RULES[why];
	if (rule->reason) {
		buf_clear(&ctx->reason);
		buf_addz(&ctx->reason, rule->reason);
	}
	return (struct ending){.kind = (unsigned)rule->kind, .permanent = rule->permanent};
}

static int tell(struct worker *w, struct ending *end, struct err *err)
{
	struct rqueue *q = w->q;
	struct bq *bq = q->rt->bq;
	struct job_context *ctx = &w->ctx;
	struct str token = str_from(ctx->token);
	int64_t deadline = runtime_deadline(q->rt);
	struct bq_failure failure = {
		.reason = buf_str(&ctx->reason), .trace = STR_NONE, .permanent = end->permanent, .retry_after_ms = -1};

	switch (end->kind) {
	case END_COMPLETE:
		return bq_complete(bq, &q->decl->queue, &q->as_worker, &ctx->job, token, ctx->result.n ? buf_str(&ctx->result) : STR("null"),
				   deadline, err);
	case END_FAIL:
		return bq_fail(bq, &q->decl->queue, &q->as_worker, &ctx->job, token, &failure, &end->how, deadline, err);
	case END_DELAY:
		return bq_delay(bq, &q->decl->queue, &ctx->job, token, ctx->delay_ms, deadline, err);
	case END_RELEASE:
		return bq_release(bq, &q->decl->queue, &ctx->job, token, deadline, err);
	case END_DROP:
		break;
	}
	return 0;
}

static bool relock_one(struct worker *w)
{
	struct rqueue *q = w->q;
	struct str id = w->ctx.job.id, token = str_from(w->ctx.token);
	bool taken = false;
	struct err err = {0};

	return bq_relock(q->rt->bq, &q->decl->queue, &id, &token, 1, q->decl->lock_ms, &taken, runtime_deadline(q->rt), &err) == 0 && taken;
}

static bool worth_telling_again(int rc)
{
	return rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT || rc == ERR_UNKNOWN_OUTCOME || rc == ERR_REPLY;
}

/* Redis may be away just now: a finished job's result is held until it is told, or until the lock is somebody else's. */
static int tell_until_known(struct worker *w, struct ending *end, struct err *err)
{
	struct runtime *rt = w->q->rt;
	bool maybe_done = false, relocked = false;

	for (;;) {
		int rc = tell(w, end, err);
		if (rc == ERR_LOCK_LOST && !relocked && relock_one(w)) {
			relocked = true; /* it had expired during an outage, and nobody took the job meanwhile */
			continue;
		}
		if (rc < 0 && maybe_done && !worth_telling_again(rc))
			return 0; /* the first telling did arrive */
		if (!worth_telling_again(rc) || atomic_load(&rt->stopping))
			return rc;
		maybe_done = maybe_done || rc == ERR_UNKNOWN_OUTCOME;
		clock_sleep_ms(RETRY_PAUSE_MS);
	}
}

struct ending_row {
	const char *event;
	const char *attempt; /* the label of sluice_job_attempts_total */
	const char *outcome; /* the label of sluice_jobs_finished_total, NULL: not finished */
	enum log_level level;
};

static const struct ending_row *ending_row(const struct ending *end)
{
	static const struct ending_row rows[] = {
		[END_COMPLETE] = {"job_completed", "completed", "completed", LOG_INFO},
		[END_FAIL] = {"job_failed", "failed", "failed", LOG_WARN},
		[END_DELAY] = {"job_delayed", "delayed", NULL, LOG_INFO},
		[END_RELEASE] = {"job_released", "released", NULL, LOG_INFO},
		[END_DROP] = {"job_dropped", "dropped", NULL, LOG_WARN},
	};
	static const struct ending_row retry = {"job_retry", "retried", NULL, LOG_INFO};

	return end->kind == END_FAIL && end->how != BQ_FAILED_FINAL ? &retry : &rows[end->kind];
}

/* "CODE: sentence" → CODE; a reason of another form is another client's. */
static struct str code_of(struct str reason)
{
	struct str code = str_cut(&reason, ':');

	for (size_t i = 0; i < code.n; i++)
		if (code.p[i] != '_' && !(code.p[i] >= 'A' && code.p[i] <= 'Z'))
			return STR("OTHER");
	return code.n ? code : STR("OTHER");
}

static void report(struct worker *w, const struct ending *end, int rc, const struct err *err)
{
	struct rqueue *q = w->q;
	struct runtime *rt = q->rt;
	const struct job_context *ctx = &w->ctx;
	const struct ending_row *row = ending_row(end);

	LOG(rt->env.log, rc < 0 ? LOG_ERROR : row->level, rc < 0 ? "job_finish_failed" : row->event,
	    log_strz("processor", q->decl->processor->log_name), log_str("queue", q->decl->name), log_str("jobId", ctx->job.id),
	    log_int("attempt", job_attempt(ctx)), log_int("ms", clock_mono_ms() - ctx->started_mono_ms),
	    log_str("reason", end->kind == END_FAIL ? buf_str(&ctx->reason) : STR_NONE), log_strz("error", rc < 0 ? err->text : NULL));
	if (rc < 0)
		return;
	if (end->kind == END_FAIL)
		metrics_add(rt->env.metrics, M_PROCESSOR_ERRORS, 1, (struct str[]){q->decl->processor_name, code_of(buf_str(&ctx->reason))});
	metrics_add(rt->env.metrics, M_JOB_ATTEMPTS, 1, (struct str[]){q->decl->name, str_from(row->attempt)});
	if (row->outcome)
		metrics_add(rt->env.metrics, M_JOBS_FINISHED, 1, (struct str[]){q->decl->name, str_from(row->outcome)});
}

static void work(struct worker *w)
{
	struct err err = {0};

	list_as_running(w);
	LOG(w->q->rt->env.log, LOG_DEBUG, "job_active", log_strz("processor", w->q->decl->processor->log_name),
	    log_str("queue", w->q->decl->name), log_str("jobId", w->ctx.job.id), log_int("attempt", job_attempt(&w->ctx)));
	struct ending end = decide(&w->ctx, run(w));
	context_flush_progress(&w->ctx);
	int rc = tell_until_known(w, &end, &err);
	unlist(w);
	report(w, &end, rc, &err);
}

void worker_main(void *arg)
{
	struct worker *w = arg;

	while (wait_permit(w))
		while (!atomic_load(&w->q->rt->draining) && take(w))
			work(w);
}
