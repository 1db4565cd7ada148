/* The compliance processor: text, findings, verdicts, result. The rules are read at the start, so that a wrong file is noticed then; the patterns
 * are compiled for the first job, since that takes longer than a start may. */
#include <openssl/crypto.h>

#include "lib/base/clock.h"
#include "lib/base/embed.h"
#include "lib/base/lock.h"
#include "lib/base/secret_file.h"
#include "lib/config/config.h"
#include "lib/log/log.h"
#include "processors/compliance/analysis.h"
#include "processors/compliance/redact.h"
#include "processors/compliance/source.h"
#include "processors/runtime/context.h"

#define KEY_FILE "compliance-hmac-key"
#define LEAST_PERCENT 50
#define MAX_KEPT_FINDINGS 20000
#define MAX_RESULT_BYTES ((size_t)60 << 10) /* the runtime takes 64 KiB */
#define NOT_READY_DELAY_MS 2000

EMBED_FILE(compliance_payload_schema, "processors/compliance/payload.schema.json");

extern const struct processor compliance_processor;

struct compliance {
	/* set at the start */
	struct document_settings document;
	struct rulebook *rules;
	struct buf key;
	int64_t max_text_bytes;
	size_t max_findings;
	enum scanner_engine engine;
	/* protected by mu */
	struct lock mu;
	struct scanner *scanner; /* NULL until the first job; then it stays */
};

/* One job. */
struct task {
	struct compliance *c;
	struct job_context *ctx;
	struct source source;
	struct scanner *scanner;
	struct findings found;
	struct analysis analysis;
	enum outcome outcome; /* of a step that failed */
};

static struct str payload_schema(void)
{
	return EMBEDDED(compliance_payload_schema);
}

/* ---- start and stop ---- */

static int read_key(struct compliance *c, const struct config *cfg, struct err *err)
{
	if (!*cfg->compliance_hmac_key)
		return secret_file_ensure(cfg->data_dir, KEY_FILE, &c->key, err);
	buf_addz(&c->key, cfg->compliance_hmac_key);
	return c->key.failed ? err_set(err, ERR_NOMEM, "no memory for the compliance processor") : 0;
}

static void stop(void *state)
{
	struct compliance *c = state;
	scanner_free(c->scanner);
	rulebook_free(c->rules);
	if (c->key.p)
		OPENSSL_cleanse(c->key.p, c->key.n);
	buf_release(&c->key);
	lock_release(&c->mu);
	free(c);
}

static int start(const struct processor_env *env, void **state, struct err *err)
{
	const struct config *cfg = env->config;
	struct compliance *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, ERR_NOMEM, "no memory for the compliance processor");
	lock_init(&c->mu);
	c->document = document_settings_of(cfg);
	c->max_text_bytes = cfg->compliance_max_text_bytes;
	c->max_findings = (size_t)cfg->compliance_max_findings;
	c->engine = (enum scanner_engine)cfg->compliance_engine;
	c->rules = rulebook_new(cfg->compliance_rules_dir, err);
	int rc = c->rules ? read_key(c, cfg, err) : ERR_INVALID;
	if (rc < 0)
		stop(c);
	else
		*state = c;
	return rc;
}

/* ---- how a step fails ---- */

enum trouble {
#define X(code, outcome, sentence) TROUBLE_##code,
#include "processors/compliance/failures.def"
#undef X
};

static const struct {
	const char *name, *sentence;
	enum outcome outcome;
} troubles[] = {
#define X(code, outcome, sentence) {#code, sentence, OUTCOME_##outcome},
#include "processors/compliance/failures.def"
#undef X
};

static bool fail(struct task *t, enum trouble f)
{
	job_fail(t->ctx, troubles[f].name, "%s", troubles[f].sentence);
	t->outcome = troubles[f].outcome;
	return false;
}

/* The document cannot be read. One that is not there yet is waited for without using up an attempt. */
static bool fail_source(struct task *t)
{
	enum failure f = t->source.failure;
	int64_t age_ms = clock_wall_ms() - job_added_wall_ms(t->ctx), grace_ms = t->c->document.not_found_grace_ms;
	job_fail(t->ctx, failure_name(f), "%s", t->source.detail);
	t->outcome = failure_may_retry(f, job_attempt(t->ctx), age_ms, grace_ms) ? OUTCOME_RETRY : OUTCOME_PERMANENT;
	if (f == FAILURE_NOT_FOUND && t->outcome == OUTCOME_RETRY) {
		job_fail(t->ctx, "TEXT_NOT_READY", "the document is not stored yet");
		job_delay(t->ctx, NOT_READY_DELAY_MS);
		t->outcome = OUTCOME_DELAY;
	}
	return false;
}

/* ---- the steps ---- */

static struct str member(const struct task *t, const char *name)
{
	const struct jdoc *data = job_data(t->ctx);
	uint32_t node = jdoc_get(data, JDOC_ROOT, name);
	return node == JDOC_NONE ? STR_NONE : jdoc_string(data, node, job_arena(t->ctx));
}

static bool choose(struct task *t, size_t i, const struct framework *f)
{
	if (!f)
		return fail(t, TROUBLE_UNKNOWN_FRAMEWORK);
	t->analysis.judged[i].framework = f;
	return true;
}

/* Those that are named, or all. */
static bool choose_frameworks(struct task *t)
{
	const struct jdoc *data = job_data(t->ctx);
	const struct rulebook *rules = t->c->rules;
	struct analysis *a = &t->analysis;
	uint32_t list = jdoc_get(data, JDOC_ROOT, "complianceFrameworks");
	size_t named = list != JDOC_NONE && jdoc_type(data, list) == J_ARRAY ? data->nodes[list].count : 0;
	size_t i = 0;
	bool ok = true;
	a->n_judged = named ? named : rulebook_count(rules);
	a->judged = arena_array(job_arena(t->ctx), a->n_judged, sizeof(*a->judged));
	if (!a->judged)
		return fail(t, TROUBLE_NO_MEMORY);
	if (named)
		for (uint32_t c = jdoc_first(data, list); ok && c != JDOC_NONE; c = jdoc_next(data, list, c))
			ok = choose(t, i++, rulebook_find(rules, jdoc_string(data, c, job_arena(t->ctx))));
	else
		for (; i < a->n_judged; i++)
			a->judged[i].framework = rulebook_at(rules, i);
	return ok;
}

static bool read_payload(struct task *t)
{
	t->source.document_id = member(t, "documentId");
	t->source.path = member(t, "documentPath");
	t->source.mime_type = member(t, "mimeType");
	if (!t->source.document_id.p) /* jobs of other clients have not passed the schema */
		return fail(t, TROUBLE_INVALID_PAYLOAD);
	if (!t->source.path.p)
		t->source.path = STR("");
	if (!t->source.mime_type.p)
		t->source.mime_type = STR("application/octet-stream");
	return choose_frameworks(t);
}

/* Reading a document is the first fifth of an analysis. */
static void on_progress(void *arg, unsigned pct, const char *step)
{
	job_progress(arg, 5 + pct / 7, step);
}

static bool read_text(struct task *t)
{
	const struct processor_env *env = job_env(t->ctx);
	struct source *s = &t->source;
	int64_t begin_ms = clock_mono_ms();
	s->settings = &t->c->document;
	s->store = env->documents;
	s->log = env->log;
	s->helper_path = env->helper_path;
	s->arena = job_arena(t->ctx);
	s->org = job_org(t->ctx);
	s->max_text_bytes = t->c->max_text_bytes;
	s->deadline_mono_ms = job_deadline_mono_ms(t->ctx);
	s->cancel_fd = job_cancel_fd(t->ctx);
	s->progress = on_progress;
	s->progress_arg = t->ctx;
	job_progress(t->ctx, 5, "rules");
	if (source_read(s) != FAILURE_NONE)
		return fail_source(t);
	t->analysis.load_ms = clock_mono_ms() - begin_ms;
	struct buf offsets = BUF_INIT;
	t->analysis.stats = text_stats(s->text, 1, &offsets);
	buf_release(&offsets);
	return t->analysis.stats.words > 0 || fail(t, TROUBLE_NO_TEXT);
}

/* Compiled once, by the first job that comes here; others wait for it. */
static bool ready_scanner(struct task *t)
{
	struct compliance *c = t->c;
	const struct processor_env *env = job_env(t->ctx);
	struct err err = {0};
	int64_t begin_ms = clock_mono_ms();
	lock_take(&c->mu);
	bool fresh = !c->scanner;
	if (fresh)
		c->scanner = scanner_new(c->engine, rulebook_phrases(c->rules), rulebook_phrases_count(c->rules), &err);
	t->scanner = c->scanner;
	lock_give(&c->mu);
	if (!t->scanner) {
		LOG(env->log, LOG_ERROR, "compliance_engine_failed", log_err(&err));
		return fail(t, TROUBLE_ENGINE_UNAVAILABLE);
	}
	if (fresh)
		LOG(env->log, LOG_INFO, "compliance_engine_ready", log_strz("engine", scanner_engine_name(t->scanner)),
		    log_int("frameworks", (int64_t)rulebook_count(c->rules)), log_int("ms", clock_mono_ms() - begin_ms));
	return true;
}

static bool must_stop(void *arg)
{
	return job_cancelled(arg);
}

static bool scan(struct task *t)
{
	const struct scan_options o = {.least_percent = LEAST_PERCENT, .max_findings = MAX_KEPT_FINDINGS, .stop = must_stop, .arg = t->ctx};
	struct err err = {0};
	int64_t begin_ms = clock_mono_ms();
	if (!ready_scanner(t))
		return false;
	job_progress(t->ctx, 25, "scanning");
	int rc = scanner_run(t->scanner, t->source.text, &o, &t->found, &err);
	if (rc == ERR_STOPPING)
		return fail(t, TROUBLE_CANCELLED);
	if (rc < 0)
		return fail(t, rc == ERR_NOMEM ? TROUBLE_NO_MEMORY : TROUBLE_SCAN_FAILED);
	findings_paginate(&t->found, t->source.text, t->source.offsets, t->source.pages);
	findings_hash(&t->found, t->source.text, buf_str(&t->c->key), t->source.org);
	t->analysis.scan_ms = clock_mono_ms() - begin_ms;
	job_progress(t->ctx, 75, "scanned");
	return true;
}

static bool judge(struct task *t)
{
	struct analysis *a = &t->analysis;
	int64_t begin_ms = clock_mono_ms();
	a->document_id = t->source.document_id;
	a->rules_digest = rulebook_digest(t->c->rules);
	a->engine = scanner_engine_name(t->scanner);
	a->engine_version = scanner_engine_version(t->scanner);
	a->text = t->source.text;
	a->text_truncated = t->source.truncated;
	a->text_origin = t->source.origin;
	a->found = &t->found;
	if (analysis_judge(a, job_arena(t->ctx)) < 0)
		return fail(t, TROUBLE_NO_MEMORY);
	a->judge_ms = clock_mono_ms() - begin_ms;
	job_progress(t->ctx, 85, "controls");
	return true;
}

static bool store(struct task *t)
{
	struct buf all = BUF_INIT;
	struct err err = {0};
	const struct source *s = &t->source;
	analysis_write_findings(&t->analysis, &all);
	int rc = all.failed ? ERR_NOMEM
			    : docstore_put_derived(s->store, s->org, s->document_id, s->info.sha256, "findings.json", buf_str(&all), &err);
	buf_release(&all);
	if (rc == ERR_NOMEM)
		return fail(t, TROUBLE_NO_MEMORY);
	if (rc == ERR_MISMATCH)
		return fail(t, TROUBLE_REPLACED);
	if (rc < 0)
		return fail(t, TROUBLE_STORE_UNAVAILABLE);
	job_progress(t->ctx, 99, "stored");
	return true;
}

static bool tell(struct task *t)
{
	struct buf result = BUF_INIT;
	analysis_write(&t->analysis, t->c->max_findings, MAX_RESULT_BYTES, &result);
	bool ok = !result.failed || fail(t, TROUBLE_NO_MEMORY);
	if (ok) {
		job_return(t->ctx, buf_str(&result));
		job_progress(t->ctx, 100, "done");
	}
	buf_release(&result);
	return ok;
}

static enum outcome run(void *state, struct job_context *ctx)
{
	static bool (*const steps[])(struct task *) = {read_payload, read_text, scan, judge, store, tell};
	struct task t = {.c = state, .ctx = ctx, .outcome = OUTCOME_DONE};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (!steps[i](&t))
			break;
	findings_release(&t.found);
	return t.outcome;
}

const struct processor compliance_processor = {
	.name = "compliance",
	.log_name = "ComplianceAnalysisProcessor",
	.payload_schema = payload_schema,
	.start = start,
	.stop = stop,
	.run = run,
};
