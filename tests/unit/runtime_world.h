/* A runtime against a real Redis, with processors of the tests' own: for the tests of this folder, one case at a time.
 *
 *     #define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
 *
 * Each case gets a struct world with a fresh server; its fixture fails it where something does not come true in TIMEOUT_MS. */
#ifndef SLUICE_TESTS_UNIT_RUNTIME_WORLD_H
#define SLUICE_TESTS_UNIT_RUNTIME_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/fs.h"
#include "lib/base/id.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "processors/runtime/runtime.h"
#include "processors/runtime/tally.h"
#include "tests/unit/redis_server.h"

#define TIMEOUT_MS 15000

/* ---- processors of the test ---- */

#define STARTS_MAX 64
static _Atomic int starts;
static _Atomic int64_t started_at[STARTS_MAX];
static _Atomic int running, most_running;
static _Atomic bool may_end;

static inline void note_start(void)
{
	int i = atomic_fetch_add(&starts, 1);
	int now = atomic_fetch_add(&running, 1) + 1;

	if (i < STARTS_MAX)
		atomic_store(&started_at[i], clock_mono_ms());
	for (int most = atomic_load(&most_running); now > most && !atomic_compare_exchange_weak(&most_running, &most, now);)
		;
}

static inline void note_end(void)
{
	atomic_fetch_sub(&running, 1);
}

static inline enum outcome run_echo(void *state, struct job_context *ctx)
{
	(void)state;
	note_start();
	job_progress(ctx, 50, "half");
	job_log(ctx, "echo %s", "done");
	job_return(ctx, jdoc_raw(job_data(ctx), JDOC_ROOT));
	note_end();
	return OUTCOME_DONE;
}

static inline enum outcome run_flaky(void *state, struct job_context *ctx)
{
	(void)state;
	note_start();
	note_end();
	if (job_attempt(ctx) < 3) {
		job_fail(ctx, "FLAKY", "attempt %u", job_attempt(ctx));
		return OUTCOME_RETRY;
	}
	job_return(ctx, STR("{\"ok\":true}"));
	return OUTCOME_DONE;
}

static inline enum outcome run_refuse(void *state, struct job_context *ctx)
{
	(void)state;
	note_start();
	note_end();
	job_fail(ctx, "REFUSED", "never");
	return OUTCOME_PERMANENT;
}

/* Runs until it may end or must stop. */
static inline enum outcome run_hold(void *state, struct job_context *ctx)
{
	(void)state;
	note_start();
	while (!atomic_load(&may_end) && !job_cancelled(ctx))
		clock_sleep_ms(5);
	note_end();
	if (job_cancelled(ctx)) {
		job_fail(ctx, "STOPPED", "told to stop");
		return OUTCOME_RETRY;
	}
	job_return(ctx, STR("1"));
	return OUTCOME_DONE;
}

/* Fails when it may, whatever it is told. */
static inline enum outcome run_stumble(void *state, struct job_context *ctx)
{
	(void)state;
	note_start();
	while (!atomic_load(&may_end))
		clock_sleep_ms(1);
	note_end();
	job_fail(ctx, "STUMBLED", "over something");
	return OUTCOME_RETRY;
}

static inline struct str needs_n(void)
{
	return STR("{\"type\":\"object\",\"required\":[\"n\"],\"properties\":{\"n\":{\"type\":\"integer\"}}}");
}

static char handed_token[BQ_TOKEN_SIZE]; /* written before starts counts */

static inline enum outcome run_hand_over(void *state UNUSED, struct job_context *ctx)
{
	snprintf(handed_token, sizeof(handed_token), "%.*s", STR_ARG(job_token(ctx)));
	note_start();
	note_end();
	return OUTCOME_HANDED_OVER;
}

/* The settings of the queue are the result. */
static inline enum outcome run_settings(void *state UNUSED, struct job_context *ctx)
{
	job_return(ctx, str_from(job_settings(ctx)));
	return OUTCOME_DONE;
}

static inline int settings_new(struct str json, void **settings, struct err *err)
{
	*settings = json.p ? strndup(json.p, json.n) : NULL;
	return *settings ? 0 : err_set(err, ERR_INVALID, "settings are needed");
}

static const struct processor PROCESSORS[] = {
	{.name = "document", .log_name = "DocumentTest", .run = run_echo}, /* the built-in queues name these */
	{.name = "notification", .log_name = "NotificationTest", .payload_schema = needs_n, .run = run_echo},
	{.name = "compliance", .log_name = "ComplianceTest", .payload_schema = needs_n, .run = run_echo},
	{.name = "echo", .log_name = "EchoTest", .payload_schema = needs_n, .run = run_echo},
	{.name = "flaky", .log_name = "FlakyTest", .run = run_flaky}, {.name = "refuse", .log_name = "RefuseTest", .run = run_refuse},
	{.name = "hold", .log_name = "HoldTest", .run = run_hold},
	{.name = "stumble", .log_name = "StumbleTest", .run = run_stumble},
	{.name = "hand-over", .log_name = "HandOverTest", .run = run_hand_over},
	{.name = "webhook", .log_name = "SettingsTest", .run = run_settings, .settings_new = settings_new, .settings_free = free},
};

static inline const struct processor *lookup(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(PROCESSORS); i++)
		if (str_is(name, PROCESSORS[i].name))
			return &PROCESSORS[i];
	return NULL;
}

static const char QUEUES[] =
	"{\"queues\":["
	"{\"name\":\"echo\",\"processor\":\"echo\",\"concurrency\":3,\"removeOnComplete\":{\"count\":5},\"attempts\":2},"
	"{\"name\":\"flaky\",\"processor\":\"flaky\",\"attempts\":3,\"backoff\":{\"type\":\"exponential\",\"delay\":200}},"
	"{\"name\":\"refuse\",\"processor\":\"refuse\",\"attempts\":5},"
	"{\"name\":\"hold\",\"processor\":\"hold\",\"concurrency\":2,\"lockDuration\":5000,\"stalledInterval\":500,\"timeout\":60000},"
	"{\"name\":\"stumble\",\"processor\":\"stumble\",\"attempts\":2,\"backoff\":{\"type\":\"fixed\",\"delay\":200}},"
	"{\"name\":\"steady\",\"processor\":\"hold\",\"concurrency\":1,\"lockDuration\":60000},"
	"{\"name\":\"brief\",\"processor\":\"hold\",\"timeout\":200,\"attempts\":1},"
	"{\"name\":\"given\",\"processor\":\"hand-over\",\"concurrency\":1,\"lockDuration\":60000},"
	"{\"name\":\"set\",\"processor\":\"webhook\",\"webhook\":{\"url\":\"http://localhost/\"}},"
	"{\"name\":\"aged\",\"processor\":\"echo\",\"removeOnComplete\":{\"age\":1}}"
	"]}";

/* ---- a whole runtime ---- */

struct world {
	struct redis_server redis;
	struct raddr addr;
	struct log *log;
	struct metrics *metrics;
	struct tallies *tallies;
	struct rmux *mux;
	struct bq *bq;
	struct declarations queues;
	struct runtime *rt;
	struct arena arena;
	struct err err;
};

static inline void on_state(void *arg, bool up, bool run_id_changed)
{
	struct world *w = arg;

	(void)run_id_changed;
	if (w->rt)
		runtime_redis_state(w->rt, up);
}

static inline void world_start(struct world *w, bool run_jobs)
{
	char file[128];

	snprintf(file, sizeof(file), "%s/queues.json", w->redis.dir);
	assert_int_equal(fs_write_file(file, str_from(QUEUES), 0600, &w->err), 0);
	w->addr = redis_server_addr(&w->redis);
	w->log = log_new(2, LOG_ERROR, LOG_FORMAT_TEXT);
	w->metrics = metrics_new();
	struct rmux_options mo = {.addr = w->addr, .client_name = "test", .connect_timeout_ms = 1000, .log = w->log, .on_state = on_state, .on_state_arg = w};
	assert_non_null(w->mux = rmux_new(&mo, &w->err));
	assert_non_null(w->bq = bq_new(w->mux, &w->err));
	if (declarations_load(&w->queues, STR("bull"), file, STR_NONE, 0, lookup, &w->err) < 0)
		fail_msg("%s", w->err.text);
	assert_non_null(w->tallies = tallies_new(w->metrics, &w->queues));
	struct runtime_options ro = {.bq = w->bq, .redis = &w->addr, .queues = &w->queues, .tallies = w->tallies, .run_jobs = run_jobs, .redis_timeout_ms = 1000,
				     .env = {.log = w->log, .metrics = w->metrics}};
	assert_non_null(w->rt = runtime_new(&ro, &w->err));
	assert_int_equal(rmux_start(w->mux, &w->err), 0);
	assert_int_equal(runtime_start(w->rt, &w->err), 0);
	assert_int_equal(rmux_wait_up(w->mux, clock_mono_ms() + TIMEOUT_MS), 0);
}

static inline void world_end(struct world *w)
{
	runtime_stop(w->rt);
	rmux_stop(w->mux, clock_mono_ms() + 1000);
	runtime_free(w->rt);
	bq_free(w->bq);
	rmux_free(w->mux);
	tallies_free(w->tallies);
	declarations_release(&w->queues);
	metrics_free(w->metrics);
	log_free(w->log);
	w->rt = NULL;
}

static inline int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	atomic_store(&starts, 0);
	atomic_store(&running, 0);
	atomic_store(&most_running, 0);
	atomic_store(&may_end, false);
	arena_init(&w->arena, 0);
	redis_server_start(&w->redis, NULL);
	world_start(w, true);
	*state = w;
	return 0;
}

static inline int teardown(void **state)
{
	struct world *w = *state;

	atomic_store(&may_end, true);
	if (w->rt)
		world_end(w);
	redis_server_stop(&w->redis);
	arena_release(&w->arena);
	free(w);
	return 0;
}

/* ---- steps ---- */

static inline const struct declaration *queue(const struct world *w, const char *name)
{
	return declarations_find(&w->queues, str_from(name));
}

static inline struct str add(struct world *w, const char *name, const char *data, int64_t delay_ms)
{
	const struct declaration *d = queue(w, name);
	struct bq_add job = {.name = d->terms->job_name, .data = str_from(data)};
	struct bq_added added;

	bq_opts_init(&job.opts);
	if (delay_ms)
		job.opts.delay_ms = delay_ms;
	bq_opts_merge(&job.opts, &d->terms->defaults);
	if (bq_add(w->bq, &d->queue, &job, &w->arena, &added, clock_mono_ms() + TIMEOUT_MS, &w->err) < 0)
		fail_msg("%s", w->err.text);
	return added.id;
}

static inline struct bq_job look(struct world *w, const char *name, struct str id)
{
	struct bq_job job = {0};

	if (bq_status(w->bq, &queue(w, name)->queue, id, true, &w->arena, &job, clock_mono_ms() + TIMEOUT_MS, &w->err) < 0)
		job.state = BQ_STATE_UNKNOWN;
	return job;
}

static inline struct bq_job until_state(struct world *w, const char *name, struct str id, enum bq_state state)
{
	struct bq_job job = {0};

	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; clock_mono_ms() < deadline; clock_sleep_ms(5)) {
		job = look(w, name, id);
		if (job.state == state)
			return job;
	}
	fail_msg("job %.*s of %s is %s, not %s", STR_ARG(id), name, bq_state_word(job.state), bq_state_word(state));
	return job;
}

static inline void until_starts(int n)
{
	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; atomic_load(&starts) < n; clock_sleep_ms(2))
		if (clock_mono_ms() > deadline)
			fail_msg("%d jobs started, not %d", atomic_load(&starts), n);
}

static inline struct bq_counts counts(struct world *w, const char *name)
{
	struct bq_counts c;

	assert_int_equal(bq_counts(w->bq, &queue(w, name)->queue, &c, clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	return c;
}

/* A command in words; what it answers with is in the world's arena. */
PRINTF_LIKE(2, 3) static inline struct str redis(struct world *w, const char *fmt, ...)
{
	char text[256];
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	size_t n = 1;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (const char *p = text; *p; p++)
		n += *p == ' ';
	rcmd_begin(&cmd, n);
	for (struct str left = str_from(text); n > 0; n--)
		rcmd_arg(&cmd, str_cut(&left, ' '));
	assert_int_equal(rmux_call(w->mux, &cmd, clock_mono_ms() + TIMEOUT_MS, &replies, &w->err), 0);
	struct str answer = arena_dup(&w->arena, rreply_str(replies.items[0]));
	rreplies_release(&replies);
	rcmd_release(&cmd);
	return answer;
}

#endif
