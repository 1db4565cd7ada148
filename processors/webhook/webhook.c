/* Delivers each job of a queue to a URL: Standard Webhooks' headers and signature, the job as JSON. What the receiver answers is how the job
 * ends; with 202 it takes the job over and ends it later by the workers' endpoints, with the token that came along. */
#include "lib/base/clock.h"
#include "lib/base/digest.h"
#include "lib/fetch/fetch.h"
#include "lib/json/jwrite.h"
#include "lib/metrics/metrics.h"
#include "processors/runtime/context.h"
#include "processors/webhook/settings.h"

#define POSTPONE_MIN_MS 1000
#define POSTPONE_FOR_MS ((int64_t)86400000) /* of a job's age; later Retry-After does not spare an attempt */
#define ID_HEX_DIGITS 32

/* ---- what is sent ---- */

struct delivery {
	struct buf id, time, signature, expires, body;
};

static void delivery_release(void *arg)
{
	struct delivery *d = arg;

	buf_release(&d->id);
	buf_release(&d->time);
	buf_release(&d->signature);
	buf_release(&d->expires);
	buf_release(&d->body);
}

/* The same for every attempt, without the dot that parts the signed text. */
static void write_id(const struct job_context *ctx, struct buf *out)
{
	unsigned char sum[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];
	int64_t added = job_added_wall_ms(ctx);
	const struct str parts[] = {job_queue(ctx), job_id(ctx), {(const char *)&added, sizeof(added)}};

	digest_sha256_parts(parts, ARRAY_LEN(parts), sum);
	digest_hex(sum, sizeof(sum), hex);
	buf_addf(out, "msg_%.*s", ID_HEX_DIGITS, hex);
}

static void write_body(const struct job_context *ctx, int64_t now_ms, struct buf *out)
{
	char time[CLOCK_RFC3339_SIZE];
	struct jwrite w = jwrite_into(out);

	clock_rfc3339(now_ms, time);
	jw_open(&w, '{');
	jw_kstrz(&w, "type", "job");
	jw_kstrz(&w, "timestamp", time);
	jw_key(&w, "data");
	jw_open(&w, '{');
	jw_kstr(&w, "id", job_id(ctx));
	jw_kstr(&w, "queue", job_queue(ctx));
	jw_kstr(&w, "name", job_name(ctx));
	jw_kraw(&w, "data", jdoc_raw(job_data(ctx), JDOC_ROOT));
	jw_kint(&w, "attempt", job_attempt(ctx));
	jw_kint(&w, "attempts", job_attempts(ctx));
	jw_kint(&w, "timestamp", job_added_wall_ms(ctx));
	jw_kstr(&w, "org", job_org(ctx));
	jw_close(&w, '}');
	jw_close(&w, '}');
}

/* NULL: no memory. It goes with the job's arena. */
static struct delivery *prepare(struct job_context *ctx, const struct hook_settings *h)
{
	struct delivery *d = arena_zalloc(job_arena(ctx), sizeof(*d));
	int64_t now_ms = clock_wall_ms();

	if (!d || arena_defer(job_arena(ctx), delivery_release, d) < 0)
		return NULL;
	write_id(ctx, &d->id);
	buf_addi(&d->time, now_ms / 1000);
	buf_addi(&d->expires, now_ms + job_lock_ms(ctx));
	write_body(ctx, now_ms, &d->body);
	if (h->n_keys && !d->body.failed)
		sign_webhook(h->keys, h->n_keys, buf_str(&d->id), now_ms / 1000, buf_str(&d->body), &d->signature);
	bool failed = d->id.failed || d->time.failed || d->expires.failed || d->body.failed || d->signature.failed;
	return failed ? NULL : d;
}

static int post(struct job_context *ctx, const struct hook_settings *h, const struct delivery *d, struct fetch_response *rs, struct err *err)
{
	const struct fetch_header headers[] = {
		{STR("Content-Type"), STR("application/json")},
		{STR("webhook-id"), buf_str(&d->id)},
		{STR("webhook-timestamp"), buf_str(&d->time)},
		{STR("sluice-job-token"), job_token(ctx)},
		{STR("sluice-lock-expires-at"), buf_str(&d->expires)},
		{STR("webhook-signature"), buf_str(&d->signature)}, /* last: left out without a secret */
	};
	int64_t deadline = clock_mono_ms() + h->timeout_ms, jobs = job_deadline_mono_ms(ctx);
	const struct fetch_request rq = {
		.method = "POST",
		.url = h->url,
		.headers = headers,
		.n_headers = ARRAY_LEN(headers) - (h->n_keys ? 0 : 1),
		.body = buf_str(&d->body),
		.deadline_mono_ms = deadline < jobs ? deadline : jobs,
		.cancel_fd = job_cancel_fd(ctx),
	};

	return fetch(job_env(ctx)->fetcher, &rq, rs, err);
}

/* ---- what came of it ---- */

/* The answer is the result: JSON as it is, other text as a string. */
static enum outcome take_result(struct job_context *ctx, const struct fetch_response *rs)
{
	struct buf text = BUF_INIT;
	struct jwrite w = jwrite_into(&text);
	struct jdoc doc;
	struct jdoc_fault fault;
	struct str body = buf_str(&rs->body);

	if (rs->truncated) {
		job_fail(ctx, "RESULT_TOO_LARGE", "the receiver answered with more than %zu bytes", rs->body.n);
		return OUTCOME_PERMANENT;
	}
	if (!body.n)
		jw_null(&w);
	else if (jdoc_parse(&doc, job_arena(ctx), body, &JDOC_LIMITS, &fault) == 0)
		jw_raw(&w, body);
	else
		jw_str(&w, body);
	job_return(ctx, buf_str(&text));
	buf_release(&text);
	return OUTCOME_DONE;
}

static enum outcome hand_over(struct job_context *ctx, const struct fetch_response *rs)
{
	(void)ctx;
	(void)rs;
	return OUTCOME_HANDED_OVER;
}

static enum outcome refused(struct job_context *ctx, const struct fetch_response *rs)
{
	job_fail(ctx, "WEBHOOK_REFUSED", "the receiver answered %d", rs->status);
	return OUTCOME_PERMANENT;
}

/* Retry-After spares the attempt, but not for ever. */
static enum outcome not_now(struct job_context *ctx, const struct fetch_response *rs)
{
	if (rs->retry_after_ms >= 0 && clock_wall_ms() - job_added_wall_ms(ctx) < POSTPONE_FOR_MS) {
		job_delay(ctx, rs->retry_after_ms > POSTPONE_MIN_MS ? rs->retry_after_ms : POSTPONE_MIN_MS);
		return OUTCOME_DELAY;
	}
	job_fail(ctx, "WEBHOOK_FAILED", "the receiver answered %d", rs->status);
	return OUTCOME_RETRY;
}

static enum outcome failed(struct job_context *ctx, const struct fetch_response *rs)
{
	job_fail(ctx, "WEBHOOK_FAILED", "the receiver answered %d", rs->status);
	return OUTCOME_RETRY;
}

static void count(const struct job_context *ctx, const char *outcome, int64_t began_us)
{
	struct metrics *m = job_env(ctx)->metrics;
	struct str labels[] = {job_queue(ctx), str_from(outcome)};

	metrics_add(m, M_WEBHOOK_DELIVERIES, 1, labels);
	metrics_observe(m, M_WEBHOOK_SECONDS, (double)(clock_mono_us() - began_us) / 1e6, labels);
}

static const char *outcome_of_status(int status)
{
	static const char *const words[] = {"2xx", "3xx", "4xx", "5xx"};
	int hundreds = status / 100;

	return hundreds >= 2 && hundreds <= 5 ? words[hundreds - 2] : "unreachable";
}

static const char *outcome_of_failure(const struct err *err)
{
	static const struct {
		int code;
		const char *word;
	} rows[] = {
		{ERR_DENIED, "blocked"}, {ERR_TIMEOUT, "timeout"}, {ERR_STOPPING, "stopped"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].code == err->code)
			return rows[i].word;
	return "unreachable";
}

/* The first row that fits. */
static enum outcome judge(struct job_context *ctx, const struct fetch_response *rs)
{
	static const struct {
		int from, to;
		enum outcome (*fn)(struct job_context *ctx, const struct fetch_response *rs);
	} rows[] = {
		{202, 202, hand_over}, {200, 299, take_result}, {300, 399, failed}, {408, 408, not_now},
		{429, 429, not_now},   {400, 499, refused},	{500, 599, not_now},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rs->status >= rows[i].from && rs->status <= rows[i].to)
			return rows[i].fn(ctx, rs);
	return failed(ctx, rs);
}

/* No usable answer. What may not be reached, or cannot be a URL, does not become better by itself. */
static enum outcome unreachable(struct job_context *ctx, const struct err *err)
{
	bool denied = err->code == ERR_DENIED, permanent = denied || err->code == ERR_INVALID;

	job_fail(ctx, denied ? "WEBHOOK_DENIED" : "WEBHOOK_UNREACHABLE", "%s", err->text);
	return permanent ? OUTCOME_PERMANENT : OUTCOME_RETRY;
}

static enum outcome run(void *state UNUSED, struct job_context *ctx)
{
	const struct hook_settings *h = job_settings(ctx);
	const struct delivery *d = prepare(ctx, h);
	struct fetch_response rs;
	struct err err = {0};
	int64_t began_us = clock_mono_us();

	if (!d) {
		job_fail(ctx, "INTERNAL", "no memory for the delivery");
		return OUTCOME_RETRY;
	}
	bool answered = post(ctx, h, d, &rs, &err) == 0;
	count(ctx, answered ? outcome_of_status(rs.status) : outcome_of_failure(&err), began_us);
	enum outcome outcome = answered ? judge(ctx, &rs) : unreachable(ctx, &err);
	fetch_response_release(&rs);
	return outcome;
}

const struct processor webhook_processor = {
	.name = "webhook",
	.log_name = "WebhookProcessor",
	.run = run,
	.settings_new = hook_settings_new,
	.settings_free = hook_settings_free,
};
