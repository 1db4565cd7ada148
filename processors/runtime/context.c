#include <errno.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/panic.h"
#include "lib/json/jwrite.h"
#include "processors/runtime/private.h"

#define RESULT_MAX_BYTES ((size_t)64 << 10)
#define REASON_MAX_BYTES ((size_t)2 << 10)
#define LOG_LINE_MAX_BYTES ((size_t)4 << 10)
#define PROGRESS_INTERVAL_MS 250
#define CHILDREN_DEPTH 8

void context_init(struct job_context *ctx, struct rqueue *q)
{
	*ctx = (struct job_context){.q = q};
	arena_init(&ctx->arena, JOB_ARENA_BYTES);
	ctx->reason.max = REASON_MAX_BYTES;
	ctx->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bug_on(ctx->cancel_fd < 0);
}

void context_release(struct job_context *ctx)
{
	buf_release(&ctx->result);
	buf_release(&ctx->reason);
	buf_release(&ctx->progress);
	arena_release(&ctx->arena);
	close(ctx->cancel_fd);
}

void context_clear(struct job_context *ctx)
{
	uint64_t drained;

	if (atomic_exchange(&ctx->cancel, CANCEL_NONE) != CANCEL_NONE)
		while (read(ctx->cancel_fd, &drained, sizeof(drained)) < 0 && errno == EINTR)
			;
	arena_reset(&ctx->arena);
	buf_clear(&ctx->result);
	buf_clear(&ctx->reason);
	buf_clear(&ctx->progress);
	ctx->delay_ms = 0;
	ctx->progress_due_mono_ms = 0;
	ctx->data = (struct jdoc){0};
	ctx->job = (struct bq_job){0};
}

void context_cancel(struct job_context *ctx, enum cancel why)
{
	int none = CANCEL_NONE;
	uint64_t one = 1;

	if (!atomic_compare_exchange_strong(&ctx->cancel, &none, (int)why))
		return;
	while (write(ctx->cancel_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

const struct processor_env *job_env(const struct job_context *ctx)
{
	return &ctx->q->rt->env;
}

const void *job_settings(const struct job_context *ctx)
{
	return ctx->q->settings;
}

struct arena *job_arena(struct job_context *ctx)
{
	return &ctx->arena;
}

struct str job_id(const struct job_context *ctx)
{
	return ctx->job.id;
}

struct str job_queue(const struct job_context *ctx)
{
	return ctx->q->decl->name;
}

struct str job_name(const struct job_context *ctx)
{
	return ctx->job.name;
}

struct str job_org(const struct job_context *ctx)
{
	return ctx->job.opts.org.p ? ctx->job.opts.org : STR("default");
}

const struct jdoc *job_data(const struct job_context *ctx)
{
	return &ctx->data;
}

unsigned job_attempt(const struct job_context *ctx)
{
	return (unsigned)ctx->job.attempts_made + 1;
}

unsigned job_attempts(const struct job_context *ctx)
{
	return ctx->job.opts.attempts > 1 ? (unsigned)ctx->job.opts.attempts : 1;
}

int64_t job_deadline_mono_ms(const struct job_context *ctx)
{
	return ctx->deadline_mono_ms;
}

struct str job_token(const struct job_context *ctx)
{
	return str_from(ctx->token);
}

int64_t job_lock_ms(const struct job_context *ctx)
{
	return ctx->q->decl->terms->lock_ms;
}

int64_t job_added_wall_ms(const struct job_context *ctx)
{
	return ctx->job.timestamp;
}

bool job_cancelled(const struct job_context *ctx)
{
	return atomic_load(&ctx->cancel) != CANCEL_NONE;
}

int job_cancel_fd(const struct job_context *ctx)
{
	return ctx->cancel_fd;
}

/* Progress is a courtesy: when Redis does not take it, the job goes on. */
void context_flush_progress(struct job_context *ctx)
{
	struct runtime *rt = ctx->q->rt;
	struct err err = {0};

	if (!ctx->progress.n || ctx->progress.failed)
		return;
	if (bq_progress(rt->bq, &ctx->q->decl->queue, ctx->job.id, buf_str(&ctx->progress), runtime_deadline(rt), &err) < 0)
		LOG(rt->env.log, LOG_DEBUG, "job_progress_lost", log_str("queue", ctx->q->decl->name), log_str("jobId", ctx->job.id),
		    log_err(&err));
	buf_clear(&ctx->progress);
	ctx->progress_due_mono_ms = clock_mono_ms() + PROGRESS_INTERVAL_MS;
}

void job_progress(struct job_context *ctx, unsigned pct, const char *step)
{
	buf_clear(&ctx->progress);
	struct jwrite w = jwrite_into(&ctx->progress);
	jw_open(&w, '{');
	jw_kint(&w, "pct", pct > 100 ? 100 : (int64_t)pct);
	jw_kstrz(&w, "step", step);
	jw_close(&w, '}');
	if (clock_mono_ms() >= ctx->progress_due_mono_ms)
		context_flush_progress(ctx);
}

void job_log(struct job_context *ctx, const char *fmt, ...)
{
	char line[LOG_LINE_MAX_BYTES];
	struct runtime *rt = ctx->q->rt;
	struct err err = {0};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (bq_log_add(rt->bq, &ctx->q->decl->queue, ctx->job.id, str_from(line), ctx->job.opts.keep_logs, NULL, runtime_deadline(rt),
		       &err) < 0)
		LOG(rt->env.log, LOG_DEBUG, "job_log_lost", log_str("queue", ctx->q->decl->name), log_str("jobId", ctx->job.id),
		    log_err(&err));
}

int job_children(struct job_context *ctx, struct bq_children *out, struct err *err)
{
	struct runtime *rt = ctx->q->rt;

	return bq_children(rt->bq, &ctx->q->decl->queue, ctx->job.id, CHILDREN_DEPTH, &ctx->arena, out, runtime_deadline(rt), err);
}

void job_return(struct job_context *ctx, struct str json)
{
	buf_clear(&ctx->result);
	if (json.n > RESULT_MAX_BYTES) {
		job_fail(ctx, "RESULT_TOO_LARGE", "the result has %zu bytes, at most %zu are kept", json.n, RESULT_MAX_BYTES);
		return;
	}
	buf_adds(&ctx->result, json);
}

void job_fail(struct job_context *ctx, const char *code, const char *fmt, ...)
{
	char sentence[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	buf_clear(&ctx->reason);
	buf_addf(&ctx->reason, "%s: %s", code, sentence);
}

void job_delay(struct job_context *ctx, int64_t ms)
{
	ctx->delay_ms = ms;
}
