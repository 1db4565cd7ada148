/* The runtime against a real Redis, with processors of the test's own. */
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
#include "tests/unit/redis_server.h"

#define TIMEOUT_MS 15000

/* ---- processors of the test ---- */

#define STARTS_MAX 64
static _Atomic int starts;
static _Atomic int64_t started_at[STARTS_MAX];
static _Atomic int running, most_running;
static _Atomic bool may_end;

static void note_start(void)
{
	int i = atomic_fetch_add(&starts, 1);
	int now = atomic_fetch_add(&running, 1) + 1;

	if (i < STARTS_MAX)
		atomic_store(&started_at[i], clock_mono_ms());
	for (int most = atomic_load(&most_running); now > most && !atomic_compare_exchange_weak(&most_running, &most, now);)
		;
}

static void note_end(void)
{
	atomic_fetch_sub(&running, 1);
}

static enum outcome run_echo(void *state, struct job_context *ctx)
{
	(void)state;
	note_start();
	job_progress(ctx, 50, "half");
	job_log(ctx, "echo %s", "done");
	job_return(ctx, jdoc_raw(job_data(ctx), JDOC_ROOT));
	note_end();
	return OUTCOME_DONE;
}

static enum outcome run_flaky(void *state, struct job_context *ctx)
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

static enum outcome run_refuse(void *state, struct job_context *ctx)
{
	(void)state;
	note_start();
	note_end();
	job_fail(ctx, "REFUSED", "never");
	return OUTCOME_PERMANENT;
}

/* Runs until it may end or must stop. */
static enum outcome run_hold(void *state, struct job_context *ctx)
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

static struct str needs_n(void)
{
	return STR("{\"type\":\"object\",\"required\":[\"n\"],\"properties\":{\"n\":{\"type\":\"integer\"}}}");
}

static char handed_token[BQ_TOKEN_SIZE]; /* written before starts counts */

static enum outcome run_hand_over(void *state UNUSED, struct job_context *ctx)
{
	snprintf(handed_token, sizeof(handed_token), "%.*s", STR_ARG(job_token(ctx)));
	note_start();
	note_end();
	return OUTCOME_HANDED_OVER;
}

/* The settings of the queue are the result. */
static enum outcome run_settings(void *state UNUSED, struct job_context *ctx)
{
	job_return(ctx, str_from(job_settings(ctx)));
	return OUTCOME_DONE;
}

static int settings_new(struct str json, void **settings, struct err *err)
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
	{.name = "hand-over", .log_name = "HandOverTest", .run = run_hand_over},
	{.name = "webhook", .log_name = "SettingsTest", .run = run_settings, .settings_new = settings_new, .settings_free = free},
};

static const struct processor *lookup(struct str name)
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
	"{\"name\":\"hold\",\"processor\":\"hold\",\"concurrency\":2,\"lockDuration\":600,\"stalledInterval\":300,\"timeout\":60000},"
	"{\"name\":\"brief\",\"processor\":\"hold\",\"timeout\":200,\"attempts\":1},"
	"{\"name\":\"given\",\"processor\":\"hand-over\",\"concurrency\":1,\"lockDuration\":3000},"
	"{\"name\":\"set\",\"processor\":\"webhook\",\"webhook\":{\"url\":\"http://localhost/\"}},"
	"{\"name\":\"aged\",\"processor\":\"echo\",\"removeOnComplete\":{\"age\":1}}"
	"]}";

/* ---- a whole runtime ---- */

struct world {
	struct redis_server redis;
	struct raddr addr;
	struct log *log;
	struct metrics *metrics;
	struct rmux *mux;
	struct bq *bq;
	struct declarations queues;
	struct runtime *rt;
	struct arena arena;
	struct err err;
};

static void on_state(void *arg, bool up, bool run_id_changed)
{
	struct world *w = arg;

	(void)run_id_changed;
	if (w->rt)
		runtime_redis_state(w->rt, up);
}

static void world_start(struct world *w, bool run_jobs)
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
	struct runtime_options ro = {.bq = w->bq, .redis = &w->addr, .queues = &w->queues, .run_jobs = run_jobs, .redis_timeout_ms = 1000,
				     .env = {.log = w->log, .metrics = w->metrics}};
	assert_non_null(w->rt = runtime_new(&ro, &w->err));
	assert_int_equal(rmux_start(w->mux, &w->err), 0);
	assert_int_equal(runtime_start(w->rt, &w->err), 0);
	assert_int_equal(rmux_wait_up(w->mux, clock_mono_ms() + TIMEOUT_MS), 0);
}

static void world_end(struct world *w)
{
	runtime_stop(w->rt);
	rmux_stop(w->mux, clock_mono_ms() + 1000);
	runtime_free(w->rt);
	bq_free(w->bq);
	rmux_free(w->mux);
	declarations_release(&w->queues);
	metrics_free(w->metrics);
	log_free(w->log);
	w->rt = NULL;
}

static int setup(void **state)
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

static int teardown(void **state)
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

static const struct declaration *queue(const struct world *w, const char *name)
{
	return declarations_find(&w->queues, str_from(name));
}

static struct str add(struct world *w, const char *name, const char *data, int64_t delay_ms)
{
	const struct declaration *d = queue(w, name);
	struct bq_add job = {.name = d->job_name, .data = str_from(data)};
	struct bq_added added;

	bq_opts_init(&job.opts);
	if (delay_ms)
		job.opts.delay_ms = delay_ms;
	bq_opts_merge(&job.opts, &d->defaults);
	if (bq_add(w->bq, &d->queue, &job, &w->arena, &added, clock_mono_ms() + TIMEOUT_MS, &w->err) < 0)
		fail_msg("%s", w->err.text);
	return added.id;
}

static struct bq_job look(struct world *w, const char *name, struct str id)
{
	struct bq_job job = {0};

	if (bq_status(w->bq, &queue(w, name)->queue, id, true, &w->arena, &job, clock_mono_ms() + TIMEOUT_MS, &w->err) < 0)
		job.state = BQ_STATE_UNKNOWN;
	return job;
}

static struct bq_job until_state(struct world *w, const char *name, struct str id, enum bq_state state)
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

static void until_starts(int n)
{
	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; atomic_load(&starts) < n; clock_sleep_ms(2))
		if (clock_mono_ms() > deadline)
			fail_msg("%d jobs started, not %d", atomic_load(&starts), n);
}

static struct bq_counts counts(struct world *w, const char *name)
{
	struct bq_counts c;

	assert_int_equal(bq_counts(w->bq, &queue(w, name)->queue, &c, clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	return c;
}

/* ---- tests ---- */

static void runs_a_job_and_keeps_its_result(void **state)
{
	struct world *w = *state;
	struct bq_job job = until_state(w, "echo", add(w, "echo", "{\"n\":1,\"x\":0.10}", 0), BQ_COMPLETED);

	assert_true(str_is(job.returnvalue, "{\"n\":1,\"x\":0.10}"));
	assert_true(str_is(job.progress, "{\"pct\":50,\"step\":\"half\"}"));
	assert_int_equal(job.attempts_made, 1);
	assert_true(job.processed_on > 0 && job.finished_on >= job.processed_on);
}

static void uses_its_concurrency_and_no_more(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 6; i++)
		add(w, "hold", "{}", 0);
	until_starts(2);
	struct bq_counts c = counts(w, "hold");
	assert_int_equal(c.n[BQ_ACTIVE], 2);
	assert_int_equal(c.n[BQ_WAITING], 4);
	atomic_store(&may_end, true);
	until_starts(6);
	assert_int_equal(atomic_load(&most_running), 2);
}

static void retries_with_exponential_backoff(void **state)
{
	struct world *w = *state;
	struct bq_job job = until_state(w, "flaky", add(w, "flaky", "{}", 0), BQ_COMPLETED);

	assert_int_equal(job.attempts_made, 3);
	int64_t first = started_at[1] - started_at[0], second = started_at[2] - started_at[1];
	assert_in_range(first, 195, 900);  /* 200 ms */
	assert_in_range(second, 395, 1200); /* 400 ms */
}

static void a_permanent_error_fails_at_once(void **state)
{
	struct world *w = *state;
	struct bq_job job = until_state(w, "refuse", add(w, "refuse", "{}", 0), BQ_FAILED);

	assert_true(str_is(job.failed_reason, "REFUSED: never"));
	assert_int_equal(job.attempts_made, 1);
	assert_int_equal(atomic_load(&starts), 1);
}

static void data_that_breaks_the_schema_fails_before_the_processor(void **state)
{
	struct world *w = *state;
	struct bq_job job = until_state(w, "echo", add(w, "echo", "{\"n\":\"x\"}", 0), BQ_FAILED);

	assert_true(str_starts(job.failed_reason, STR("INVALID_PAYLOAD: /n")));
	job = until_state(w, "echo", add(w, "echo", "{\"n\":1", 0), BQ_FAILED);
	assert_true(str_starts(job.failed_reason, STR("INVALID_PAYLOAD: ")));
	assert_int_equal(atomic_load(&starts), 0);
}

static void delayed_jobs_run_when_due(void **state)
{
	struct world *w = *state;
	int64_t added = clock_mono_ms();

	until_state(w, "echo", add(w, "echo", "{\"n\":1}", 300), BQ_COMPLETED);
	assert_in_range(started_at[0] - added, 299, 900);
}

static void retention_keeps_the_policys_number(void **state)
{
	struct world *w = *state;
	struct str last = STR_NONE;

	for (int i = 0; i < 12; i++)
		last = add(w, "echo", "{\"n\":1}", 0);
	until_starts(12);
	until_state(w, "echo", last, BQ_COMPLETED);
	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; counts(w, "echo").n[BQ_ACTIVE]; clock_sleep_ms(5))
		assert_true(clock_mono_ms() < deadline);
	assert_int_equal(counts(w, "echo").n[BQ_COMPLETED], 5);
}

static void an_idle_queue_does_not_keep_old_jobs(void **state)
{
	struct world *w = *state;
	struct str id = add(w, "aged", "{\"n\":1}", 0);

	until_state(w, "aged", id, BQ_COMPLETED);
	until_state(w, "aged", id, BQ_STATE_UNKNOWN);
}

static void a_job_past_its_timeout_is_stopped(void **state)
{
	struct world *w = *state;
	struct bq_job job = until_state(w, "brief", add(w, "brief", "{}", 0), BQ_FAILED);

	assert_true(str_starts(job.failed_reason, STR("TIMEOUT: ")));
}

static void locks_are_renewed_while_a_job_runs(void **state)
{
	struct world *w = *state;
	struct str id = add(w, "hold", "{}", 0);

	until_starts(1);
	/* lock 600 ms, check 300 ms: without renewal it would be put back within 900 ms and started again by the idle worker */
	for (int64_t until = clock_mono_ms() + 2500; clock_mono_ms() < until; clock_sleep_ms(20))
		assert_int_equal(look(w, "hold", id).state, BQ_ACTIVE);
	assert_int_equal(atomic_load(&starts), 1);
	atomic_store(&may_end, true);
	assert_int_equal(until_state(w, "hold", id, BQ_COMPLETED).stalled_count, 0);
}

static void cancelling_ends_a_running_job(void **state)
{
	struct world *w = *state;
	struct str id = add(w, "hold", "{}", 0);

	until_starts(1);
	assert_false(runtime_cancel(w->rt, &queue(w, "hold")->queue, STR("nobody")));
	assert_true(runtime_cancel(w->rt, &queue(w, "hold")->queue, id));
	assert_true(str_starts(until_state(w, "hold", id, BQ_FAILED).failed_reason, STR("CANCELLED: ")));
}

/* The wish is in Redis, where a process that does not run the job has put it. */
static void a_wish_from_elsewhere_cancels_a_running_job(void **state)
{
	struct world *w = *state;
	const struct bq_queue *q = &queue(w, "hold")->queue;
	struct str id = add(w, "hold", "{}", 0);

	struct bq_job job = until_state(w, "hold", id, BQ_ACTIVE);
	assert_int_equal(bq_cancel_ask(w->bq, q, &job, 60000, clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	job = until_state(w, "hold", id, BQ_FAILED);
	assert_true(str_starts(job.failed_reason, STR("CANCELLED: ")));
}

/* The slot is free for the next job; the job stays active until whoever has the token ends it. */
static void a_job_that_is_handed_over_stays_active(void **state)
{
	struct world *w = *state;
	const struct declaration *d = queue(w, "given");
	const struct bq_worker as = declaration_worker(d, STR_NONE);
	struct str first = add(w, "given", "{}", 0);
	char token[BQ_TOKEN_SIZE];

	until_starts(1);
	memcpy(token, handed_token, sizeof(token));
	struct str second = add(w, "given", "{}", 0);
	until_starts(2);
	struct bq_job job = look(w, "given", first);
	assert_int_equal(job.state, BQ_ACTIVE);
	assert_int_equal(look(w, "given", second).state, BQ_ACTIVE);
	assert_int_equal(bq_complete(w->bq, &d->queue, &as, &job, str_from(token), STR("\"later\""), clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	assert_true(str_is(until_state(w, "given", first, BQ_COMPLETED).returnvalue, "\"later\""));
}

static void a_queue_has_settings_of_its_own(void **state)
{
	struct world *w = *state;
	struct bq_job job = until_state(w, "set", add(w, "set", "{}", 0), BQ_COMPLETED);

	assert_true(str_is(job.returnvalue, "{\"url\":\"http://localhost/\"}"));
}

static void draining_puts_running_jobs_back_unharmed(void **state)
{
	struct world *w = *state;
	struct str id = add(w, "hold", "{}", 0);

	until_starts(1);
	runtime_drain(w->rt, clock_mono_ms() + 100);
	struct bq_job job = look(w, "hold", id);
	assert_int_equal(job.state, BQ_WAITING);
	assert_int_equal(job.attempts_made, 0);
	assert_int_equal(runtime_busy(w->rt), 0);
}

static void draining_lets_a_running_job_finish(void **state)
{
	struct world *w = *state;
	struct str id = add(w, "hold", "{}", 0);

	until_starts(1);
	atomic_store(&may_end, true);
	runtime_drain(w->rt, clock_mono_ms() + TIMEOUT_MS);
	assert_int_equal(look(w, "hold", id).state, BQ_COMPLETED);
}

/* Redis killed under a running job for longer than its lock: the job is neither lost, nor failed, nor run twice. */
static void an_outage_neither_fails_nor_repeats_a_running_job(void **state)
{
	struct world *w = *state;
	const char *const aof[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};

	world_end(w);
	redis_server_kill(&w->redis);
	redis_server_run(&w->redis, aof);
	world_start(w, true);
	struct str id = add(w, "hold", "{}", 0);
	until_starts(1);
	redis_server_kill(&w->redis);
	for (int64_t until = clock_mono_ms() + 1500; clock_mono_ms() < until; clock_sleep_ms(20))
		; /* longer than the lock of 600 ms */
	redis_server_run(&w->redis, aof);
	until_state(w, "hold", id, BQ_ACTIVE); /* the lock is taken again */
	for (int64_t until = clock_mono_ms() + 1500; clock_mono_ms() < until; clock_sleep_ms(20))
		assert_int_equal(look(w, "hold", id).state, BQ_ACTIVE);
	atomic_store(&may_end, true);
	struct bq_job job = until_state(w, "hold", id, BQ_COMPLETED);
	assert_int_equal(job.stalled_count, 0);
	assert_int_equal(atomic_load(&starts), 1);
}

/* Role api runs nothing, and still promotes and recovers for others. */
static void without_workers_due_jobs_are_promoted_all_the_same(void **state)
{
	struct world *w = *state;

	world_end(w);
	world_start(w, false);
	struct str id = add(w, "echo", "{\"n\":1}", 100);
	until_state(w, "echo", id, BQ_WAITING);
	assert_int_equal(atomic_load(&starts), 0);
	assert_int_equal(runtime_slots(w->rt), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(runs_a_job_and_keeps_its_result),
		T(uses_its_concurrency_and_no_more),
		T(retries_with_exponential_backoff),
		T(a_permanent_error_fails_at_once),
		T(data_that_breaks_the_schema_fails_before_the_processor),
		T(delayed_jobs_run_when_due),
		T(retention_keeps_the_policys_number),
		T(an_idle_queue_does_not_keep_old_jobs),
		T(a_job_past_its_timeout_is_stopped),
		T(locks_are_renewed_while_a_job_runs),
		T(cancelling_ends_a_running_job),
		T(a_wish_from_elsewhere_cancels_a_running_job),
		T(a_job_that_is_handed_over_stays_active),
		T(a_queue_has_settings_of_its_own),
		T(draining_puts_running_jobs_back_unharmed),
		T(draining_lets_a_running_job_finish),
		T(an_outage_neither_fails_nor_repeats_a_running_job),
		T(without_workers_due_jobs_are_promoted_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
