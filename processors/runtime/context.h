/* What a processor sees of its job. Owned by the runtime; valid during run(); the processor's thread only, except
 * job_cancelled, which any thread may ask. */
#ifndef SLUICE_PROCESSORS_RUNTIME_CONTEXT_H
#define SLUICE_PROCESSORS_RUNTIME_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/bullmq/flow.h"
#include "lib/json/jdoc.h"
#include "processors/runtime/processor.h"

struct config;
struct docstore;
struct fetcher;
struct log;
struct metrics;
struct rmux;

/* What processors may use; built in main, immutable while they run. */
struct processor_env {
	struct log *log;
	struct metrics *metrics;
	struct docstore *documents;
	struct fetcher *fetcher; /* outbound HTTP */
	struct rmux *redis;      /* for what a processor keeps itself, under keys of its own */
	const struct config *config;
	const char *helper_path; /* sluice-helper */
};

struct job_context;

const struct processor_env *job_env(const struct job_context *ctx);
/* What the processor's settings_new made of this queue's settings. */
const void *job_settings(const struct job_context *ctx);
struct arena *job_arena(struct job_context *ctx); /* reset when the job ends */
struct str job_id(const struct job_context *ctx);
struct str job_queue(const struct job_context *ctx);
struct str job_name(const struct job_context *ctx);
struct str job_org(const struct job_context *ctx); /* "default" for jobs of other clients */
const struct jdoc *job_data(const struct job_context *ctx);
unsigned job_attempt(const struct job_context *ctx);  /* 1 for the first */
unsigned job_attempts(const struct job_context *ctx); /* allowed */
int64_t job_deadline_mono_ms(const struct job_context *ctx);
/* The proof that the job is held, for OUTCOME_HANDED_OVER: whoever has it may finish the job. Never log it. */
struct str job_token(const struct job_context *ctx);
int64_t job_lock_ms(const struct job_context *ctx); /* how long the lock lives without being renewed */
int64_t job_added_wall_ms(const struct job_context *ctx); /* the job's timestamp */

/* True when the job must stop: cancelled, its lock lost, its deadline passed, or the process is shutting down past its grace.
 * Long work asks at least every 100 ms. */
bool job_cancelled(const struct job_context *ctx);
/* An eventfd that becomes readable at the same moment (for poll). */
int job_cancel_fd(const struct job_context *ctx);

/* {"pct":…,"step":"…"}; at most 4 a second go out, the last one always does. Never fails. */
void job_progress(struct job_context *ctx, unsigned pct, const char *step);
/* A line in the job's log list (BullMQ's), kept to keepLogs. */
void job_log(struct job_context *ctx, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* What became of the jobs that this one waited for, and of those that they waited for: their values and reasons (lib/bullmq/flow.h),
 * in the job's arena. Asks Redis; on failure trying the job again is right. */
int job_children(struct job_context *ctx, struct bq_children *out, struct err *err) MUST_CHECK;

/* The return value: JSON text, copied; at most 64 KiB, else the job fails with RESULT_TOO_LARGE. */
void job_return(struct job_context *ctx, struct str json);
/* The reason: failedReason becomes "CODE: sentence". */
void job_fail(struct job_context *ctx, const char *code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* For OUTCOME_DELAY. */
void job_delay(struct job_context *ctx, int64_t ms);

#endif
