/* The document processor: a document job is a task (task.h) with a job's deadline, progress and policy. */
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/embed.h"
#include "lib/config/config.h"
#include "lib/log/log.h"
#include "processors/document/helper.h"
#include "processors/document/task.h"
#include "processors/runtime/context.h"

#define SELFTEST_MS 10000

static const char *const TOOLS[] = {"/usr/bin/pdfinfo", "/usr/bin/pdftotext", "/usr/bin/qpdf"};

EMBED_FILE(document_payload_schema, "processors/document/payload.schema.json");

extern const struct processor document_processor;

static struct str payload_schema(void)
{
	return EMBEDDED(document_payload_schema);
}

/* Strict is a promise: better no start than jobs that fail one by one. */
static int check_sandbox(const struct processor_env *env, struct err *err)
{
	static const char *const argv[] = {"sluice-helper", "selftest", "connect", "--sandbox=strict", NULL};
	const struct helper_call call = {
		.path = env->helper_path,
		.argv = argv,
		.input_fd = -1,
		.deadline_mono_ms = clock_mono_ms() + SELFTEST_MS,
		.cancel_fd = -1,
	};
	struct helper_end end;
	helper_run(&call, &end);
	int rc = 0;
	if (end.failure != FAILURE_NONE)
		rc = err_set(err, ERR_UNAVAILABLE, "SLUICE_DOC_SANDBOX=strict, but documents cannot be confined here: %.*s",
			     STR_ARG(buf_str(&end.remarks)));
	helper_end_release(&end);
	return rc;
}

static int start(const struct processor_env *env, void **state, struct err *err)
{
	const struct config *c = env->config;
	if (access(env->helper_path, X_OK) < 0)
		return err_errno(err, "sluice-helper at %s", env->helper_path);
	/* Without them text documents still work; jobs that need them say TOOL_MISSING. */
	for (size_t i = 0; i < ARRAY_LEN(TOOLS); i++)
		if (access(TOOLS[i], X_OK) < 0)
			LOG(env->log, LOG_WARN, "document_tool_missing", log_strz("tool", TOOLS[i]));
	if (c->doc_sandbox == CONFIG_SANDBOX_STRICT) {
		int rc = check_sandbox(env, err);
		if (rc < 0)
			return rc;
	}
	struct document_settings *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, ERR_NOMEM, "no memory for the document processor");
	*s = document_settings_of(c);
	*state = s;
	return 0;
}

static void stop(void *state)
{
	free(state);
}

static const char *lacks(void *state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(TOOLS); i++)
		if (access(TOOLS[i], X_OK) < 0)
			return TOOLS[i];
	return NULL;
}

static void progress(void *arg, unsigned pct, const char *step)
{
	job_progress(arg, pct, step);
}

static enum outcome end(const struct document_task *t, struct job_context *ctx)
{
	if (t->failure == FAILURE_NONE) {
		job_return(ctx, buf_str(&t->result));
		return OUTCOME_DONE;
	}
	int64_t age_ms = clock_wall_ms() - job_added_wall_ms(ctx);
	job_fail(ctx, failure_name(t->failure), "%s", t->detail);
	bool again = failure_may_retry(t->failure, job_attempt(ctx), age_ms, t->settings->not_found_grace_ms);
	return again ? OUTCOME_RETRY : OUTCOME_PERMANENT;
}

static enum outcome run(void *state, struct job_context *ctx)
{
	const struct processor_env *env = job_env(ctx);
	struct document_task t = {
		.settings = state,
		.store = env->documents,
		.log = env->log,
		.helper_path = env->helper_path,
		.arena = job_arena(ctx),
		.org = job_org(ctx),
		.data = job_data(ctx),
		.deadline_mono_ms = job_deadline_mono_ms(ctx),
		.cancel_fd = job_cancel_fd(ctx),
		.progress = progress,
		.progress_arg = ctx,
	};
	document_task_run(&t);
	enum outcome outcome = end(&t, ctx);
	document_task_release(&t);
	return outcome;
}

const struct processor document_processor = {
	.name = "document",
	.log_name = "DocumentProcessingProcessor",
	.payload_schema = payload_schema,
	.start = start,
	.stop = stop,
	.run = run,
	.lacks = lacks,
};
