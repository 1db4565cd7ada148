/* A worker: runs the processor for a job, tells how it ended, and goes on with the next one. */
#include "lib/schema/schema.h"
#include "processors/runtime/private.h"

#define RETRY_PAUSE_MS 100
#define SCHEMA_ISSUES_TOLD 5

/* The next job becomes this one. */
static void begin(struct worker *w)
{
	struct job_context *ctx = &w->ctx;
	struct arena clean;

	context_clear(ctx);
	clean = ctx->arena;
	ctx->arena = w->next_arena;
	w->next_arena = clean;
	ctx->job = w->next;
	memcpy(ctx->token, w->next_token, sizeof(ctx->token));
	w->has_next = false;
	w->looked = false;
}

static void list_as_running(struct worker *w)
{
	struct rqueue *q = w->q;
	struct job_context *ctx = &w->ctx;

	ctx->id = ctx->job.id;
	ctx->started_mono_ms = clock_mono_ms();
	ctx->deadline_mono_ms = ctx->started_mono_ms + q->decl->terms->timeout_ms;
	lock_take(&q->rt->mu);
	ctx->running = true;
	atomic_fetch_add(&q->rt->busy, 1);
	lock_give(&q->rt->mu);
	series_add(q->m_busy, 1);
	tallies_taken(q->rt->tallies, q->decl->name, q->decl, &ctx->job);
	if (atomic_load(&q->rt->stopping)) /* it was taken while the others were being told to stop */
		context_cancel(ctx, CANCEL_SHUTDOWN);
}

static void unlist(struct worker *w)
{
	struct rqueue *q = w->q;
	double seconds = (double)(clock_mono_ms() - w->ctx.started_mono_ms) / 1000.0;

	lock_take(&q->rt->mu);
	w->ctx.running = false;
	atomic_fetch_sub(&q->rt->busy, 1); /* before it is told: who drains looks at it then */
	cond_broadcast(&q->rt->idle_changed);
	lock_give(&q->rt->mu);
	series_add(q->m_busy, -1);
	series_observe(q->m_run_seconds, seconds);
	series_observe(q->m_processor_run_seconds, seconds);
}

/* ---- running ---- */

/* Jobs of BullMQ clients have passed no gateway: their data is scanned and checked here like everybody's. */
static bool data_is_valid(struct job_context *ctx)
{
	const struct schema *payload = ctx->q->decl->terms->payload;
	struct jdoc_fault fault;
	struct schema_report report = {.arena = &ctx->arena};
	struct buf told = BUF_INIT;

	if (jdoc_parse(&ctx->data, &ctx->arena, ctx->job.data, &JDOC_LIMITS, &fault) < 0) {
		job_fail(ctx, "INVALID_PAYLOAD", "the data is not JSON that can be taken: byte %u: %s", fault.offset, fault.reason);
		return false;
	}
	if (!payload || schema_check(payload, &ctx->data, JDOC_ROOT, STR(""), &report) == 0)
		return true;
	unsigned n = 0;
	for (const struct schema_issue *i = report.first; i && n < SCHEMA_ISSUES_TOLD; i = i->next, n++)
		buf_addf(&told, "%s%.*s %.*s", n ? "; " : "", STR_ARG(i->pointer), STR_ARG(i->detail));
	job_fail(ctx, "INVALID_PAYLOAD", "%s", told.p ? told.p : "the data does not fit the queue's schema");
	buf_release(&told);
	return false;
}

/* A job that was held before may have been told to stop while its holder vanished. */
static void heed_cancel(struct job_context *ctx)
{
	struct rqueue *q = ctx->q;
	struct err err = {0};
	bool asked = false;

	if (ctx->job.attempts_started > 1 && bq_cancel_asked(q->rt->bq, &q->decl->queue, &ctx->job.id, &ctx->job.timestamp, 1, &asked,
							     runtime_deadline(q->rt), &err) == 0 && asked)
		context_cancel(ctx, CANCEL_ASKED);
}

static bool worth_telling_again(int rc)
{
	return rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT || rc == ERR_UNKNOWN_OUTCOME || rc == ERR_FULL || rc == ERR_REPLY;
}

/* Whoever takes the job after us does what is left to be done. */
static bool must_give_up(const struct job_context *ctx)
{
	int why = atomic_load(&ctx->cancel);

	return why == CANCEL_LOCK_LOST || why == CANCEL_SHUTDOWN || atomic_load(&ctx->q->rt->stopping);
}

/* The job's successor is made before the job may end in any way, or its schedule would end with it: Redis may be away or full just
 * now. False when it is not made. */
static bool schedule_next(struct job_context *ctx)
{
	struct runtime *rt = ctx->q->rt;
	const struct declaration *decl = ctx->q->decl;
	struct err err = {0};
	int64_t missed;
	int rc = 0;

	do {
		if (rc < 0)
			clock_sleep_ms(RETRY_PAUSE_MS);
		if (must_give_up(ctx))
			return false;
		bool first = rc == 0;
		rc = bq_schedule_next(rt->bq, &decl->queue, &ctx->job, &missed, runtime_deadline(rt), &err);
		if (rc < 0 && first)
			LOG(rt->env.log, LOG_ERROR, "schedule_next_failed", log_str("queue", decl->name), log_str("jobId", ctx->job.id),
			    log_err(&err));
	} while (worth_telling_again(rc));
	tallies_missed(rt->tallies, decl->name, &ctx->job, missed);
	return true;
}

static enum outcome run(struct worker *w)
{
	const struct rqueue *q = w->q;
	struct job_context *ctx = &w->ctx;

	heed_cancel(ctx);
	if (job_cancelled(ctx))
		return OUTCOME_RETRY;
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
	enum { END_COMPLETE, END_FAIL, END_DELAY, END_RELEASE, END_HAND_OVER, END_DROP, END_SET_ASIDE } kind;
	bool permanent;
	bool cancelled;     /* the wish to cancel the job has been heeded */
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
	if (outcome == OUTCOME_HANDED_OVER) /* whoever has it now hears of the wish to cancel it with the next heartbeat */
		return (struct ending){.kind = END_HAND_OVER};
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
	return (struct ending){.kind = (unsigned)rule->kind, .permanent = rule->permanent, .cancelled = why == CANCEL_ASKED};
}

/* How the job ends that has begun. */
static struct ending live(struct worker *w)
{
	struct job_context *ctx = &w->ctx;

	if (!ctx->job.repeat_key.p || schedule_next(ctx))
		return decide(ctx, run(w));
	return (struct ending){.kind = atomic_load(&ctx->cancel) == CANCEL_LOCK_LOST ? END_DROP : END_RELEASE};
}

static int extend_once(const struct worker *w, struct err *err)
{
	const struct rqueue *q = w->q;
	bool cancel; /* the next heartbeat tells it to whom it concerns */
	int rc = bq_heartbeat(q->rt->bq, &q->decl->queue, w->ctx.job.id, str_from(w->ctx.token), q->decl->terms->lock_ms, &cancel,
			      runtime_deadline(q->rt), err);

	return rc == ERR_LOCK_LOST ? 0 : rc; /* it has finished the job already */
}

static int set_aside(const struct worker *w, struct err *err)
{
	const struct rqueue *q = w->q;

	return bq_set_aside(q->rt->bq, &q->decl->queue, w->ctx.job.id, str_from(w->ctx.token), buf_str(&w->ctx.reason),
			    runtime_deadline(q->rt), err);
}

static int tell(struct worker *w, struct ending *end, struct err *err)
{
	static const enum bq_end kinds[] = {
		[END_COMPLETE] = BQ_END_COMPLETE, [END_FAIL] = BQ_END_FAIL, [END_DELAY] = BQ_END_DELAY, [END_RELEASE] = BQ_END_RELEASE};
	struct job_context *ctx = &w->ctx;
	const struct bq_failure failure = {
		.reason = buf_str(&ctx->reason), .trace = STR_NONE, .permanent = end->permanent, .retry_after_ms = -1};
	struct bq_ending e = {
		.token = str_from(ctx->token), .value = buf_str(&ctx->result), .failure = &failure, .delay_ms = ctx->delay_ms};

	if (end->kind == END_DROP)
		return 0;
	if (end->kind == END_HAND_OVER)
		return extend_once(w, err);
	if (end->kind == END_SET_ASIDE)
		return set_aside(w, err);
	e.kind = kinds[end->kind];
	return exchange_end(w, &e, &end->how, err);
}

static bool relock_one(struct worker *w)
{
	struct rqueue *q = w->q;
	struct str id = w->ctx.job.id, token = str_from(w->ctx.token);
	bool taken = false;
	struct err err = {0};

	return bq_relock(q->rt->bq, &q->decl->queue, &id, &token, 1, q->decl->terms->lock_ms, &taken, runtime_deadline(q->rt), &err) == 0 && taken;
}

/* This end of the job can be recorded neither now nor later: is there another one? One that has children which are not done fails, and may be
 * tried again when they are; where no end can be recorded it is set aside, with the reason. */
static bool decide_anew(struct worker *w, struct ending *end, const struct err *why)
{
	char reason[BQ_REASON_SIZE];

	if (why->code == ERR_WRONG_STATE && end->kind == END_COMPLETE) {
		job_fail(&w->ctx, "CHILDREN_NOT_DONE", "%s", why->text);
		end->kind = END_FAIL;
		return true;
	}
	if (why->code != ERR_BROKEN || end->kind == END_SET_ASIDE)
		return false;
	buf_clear(&w->ctx.reason);
	buf_adds(&w->ctx.reason, bq_set_aside_reason(why, reason));
	end->kind = END_SET_ASIDE;
	return true;
}

/* Redis may be away just now: a finished job's result is held until it is told, or until the lock is somebody else's. */
static int tell_until_known(struct worker *w, struct ending *end, struct err *err)
{
	struct runtime *rt = w->q->rt;
	bool maybe_done = false, relocked = false;

	for (;;) {
		int rc = tell(w, end, err);
		if (rc < 0 && decide_anew(w, end, err))
			continue;
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
	enum tally attempt, finished;
	enum log_level level;
};

static const struct ending_row *ending_row(const struct ending *end)
{
	static const struct ending_row rows[] = {
		[END_COMPLETE] = {"job_completed", TALLY_ATTEMPT_COMPLETED, TALLY_FINISHED_COMPLETED, LOG_INFO},
		[END_FAIL] = {"job_failed", TALLY_ATTEMPT_FAILED, TALLY_FINISHED_FAILED, LOG_WARN},
		[END_DELAY] = {"job_delayed", TALLY_ATTEMPT_DELAYED, TALLY_NONE, LOG_INFO},
		[END_RELEASE] = {"job_released", TALLY_ATTEMPT_RELEASED, TALLY_NONE, LOG_INFO},
		[END_HAND_OVER] = {"job_handed_over", TALLY_ATTEMPT_HANDED_OVER, TALLY_NONE, LOG_INFO},
		[END_DROP] = {"job_dropped", TALLY_ATTEMPT_DROPPED, TALLY_NONE, LOG_WARN},
		[END_SET_ASIDE] = {"job_set_aside", TALLY_ATTEMPT_FAILED, TALLY_FINISHED_FAILED, LOG_WARN},
	};
	static const struct ending_row retry = {"job_retry", TALLY_ATTEMPT_RETRIED, TALLY_NONE, LOG_INFO};
	static const struct ending_row cancelled = {"job_failed", TALLY_ATTEMPT_FAILED, TALLY_FINISHED_CANCELLED, LOG_WARN};

	if (end->kind != END_FAIL)
		return &rows[end->kind];
	if (end->how != BQ_FAILED_FINAL)
		return &retry;
	return end->cancelled ? &cancelled : &rows[END_FAIL];
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
	bool failed = end->kind == END_FAIL || end->kind == END_SET_ASIDE;

	LOG(rt->env.log, rc < 0 ? LOG_ERROR : row->level, rc < 0 ? "job_finish_failed" : row->event,
	    log_strz("processor", q->decl->processor->log_name), log_str("queue", q->decl->name), log_str("jobId", ctx->job.id),
	    log_int("attempt", job_attempt(ctx)), log_int("ms", clock_mono_ms() - ctx->started_mono_ms),
	    log_str("reason", failed ? buf_str(&ctx->reason) : STR_NONE), log_strz("error", rc < 0 ? err->text : NULL));
	if (rc < 0)
		return;
	if (failed)
		metrics_add(rt->env.metrics, M_PROCESSOR_ERRORS, 1, (struct str[]){q->decl->processor_name, code_of(buf_str(&ctx->reason))});
	tallies_ended(rt->tallies, q->decl->name, q->decl, &ctx->job, row->attempt, row->finished);
}

/* Told and heeded: a later attempt, should an operator want one, is not cancelled again. */
static void forget_cancel(const struct job_context *ctx)
{
	struct rqueue *q = ctx->q;
	struct err err = {0};

	if (bq_cancel_forget(q->rt->bq, &q->decl->queue, &ctx->job.id, 1, runtime_deadline(q->rt), &err) < 0)
		LOG(q->rt->env.log, LOG_DEBUG, "cancel_not_forgotten", log_str("queue", q->decl->name), log_str("jobId", ctx->job.id),
		    log_err(&err));
}

static void work(struct worker *w)
{
	struct err err = {0};

	begin(w);
	list_as_running(w);
	LOG(w->q->rt->env.log, LOG_DEBUG, "job_active", log_strz("processor", w->q->decl->processor->log_name),
	    log_str("queue", w->q->decl->name), log_str("jobId", w->ctx.job.id), log_int("attempt", job_attempt(&w->ctx)));
	struct ending end = live(w);
	context_flush_progress(&w->ctx);
	int rc = tell_until_known(w, &end, &err);
	if (rc == 0 && end.kind == END_FAIL && end.cancelled)
		forget_cancel(&w->ctx);
	unlist(w);
	report(w, &end, rc, &err);
}

void worker_main(void *arg)
{
	struct worker *w = arg;
	bool look = false;

	while (exchange_take(w, look)) {
		while (w->has_next)
			work(w);
		look = !w->looked;
	}
}
