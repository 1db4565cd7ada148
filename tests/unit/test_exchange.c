/* Many workers of one queue that end and take jobs together, against a real Redis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "processors/runtime/runtime.h"
#include "processors/runtime/tally.h"
#include "tests/unit/redis_server.h"

#define TIMEOUT_MS 20000
#define DEADLINE (clock_mono_ms() + TIMEOUT_MS)
#define CONCURRENCY 80 /* enough endings gather for a second call under way */
#define JOBS 2000

static _Atomic int runs[JOBS], running, most_running;
static _Atomic bool may_end;

static int number_of(struct job_context *ctx)
{
	int64_t n = -1;
	const struct jdoc *doc = job_data(ctx);

	assert_true(jdoc_int(doc, jdoc_get(doc, JDOC_ROOT, "n"), &n) == 0 && n >= 0 && n < JOBS);
	return (int)n;
}

/* Every kind of end, by the job's number: each seventh fails for good, each fifth is tried again, each third is put off, once each. */
static enum outcome run_mixed(void *state, struct job_context *ctx)
{
	int n = number_of(ctx), now = atomic_fetch_add(&running, 1) + 1, times = atomic_fetch_add(&runs[n], 1);

	(void)state;
	for (int most = atomic_load(&most_running); now > most && !atomic_compare_exchange_weak(&most_running, &most, now);)
		;
	while (!atomic_load(&may_end) && !job_cancelled(ctx))
		clock_sleep_ms(1);
	atomic_fetch_sub(&running, 1);
	if (job_cancelled(ctx))
		return OUTCOME_RETRY;
	if (n % 7 == 0) {
		job_fail(ctx, "SEVENTH", "number %d", n);
		return OUTCOME_PERMANENT;
	}
	if (n % 5 == 0 && times == 0) {
		job_fail(ctx, "FIFTH", "not the first time");
		return OUTCOME_RETRY;
	}
	if (n % 3 == 0 && times == 0) {
		job_delay(ctx, 1);
		return OUTCOME_DELAY;
	}
	job_return(ctx, STR("1"));
	return OUTCOME_DONE;
}

static const struct processor MIXED = {.name = "mixed", .log_name = "MixedTest", .run = run_mixed};

static const struct processor *lookup(struct str name)
{
	(void)name;
	return &MIXED;
}

struct world {
	struct redis_server redis;
	struct raddr addr;
	struct metrics *metrics;
	struct tallies *tallies;
	struct rmux *mux;
	struct bq *bq;
	struct declarations queues;
	const struct declaration *queue;
	struct runtime *rt;
	struct arena arena;
	struct err err;
};

static int setup(void **state)
{
	static const char text[] = "{\"queues\":[{\"name\":\"many\",\"processor\":\"mixed\",\"concurrency\":80,\"attempts\":2,"
				   "\"removeOnComplete\":false,\"removeOnFail\":false}]}";
	struct world *w = calloc(1, sizeof(*w));
	char file[128];

	for (size_t i = 0; i < JOBS; i++)
		atomic_store(&runs[i], 0);
	atomic_store(&most_running, 0);
	atomic_store(&may_end, true);
	arena_init(&w->arena, 0);
	redis_server_start(&w->redis, NULL);
	w->addr = redis_server_addr(&w->redis);
	w->metrics = metrics_new();
	snprintf(file, sizeof(file), "%s/queues.json", w->redis.dir);
	assert_int_equal(fs_write_file(file, str_from(text), 0600, &w->err), 0);
	if (declarations_load(&w->queues, STR("bull"), file, STR_NONE, 0, lookup, &w->err) < 0)
		fail_msg("%s", w->err.text);
	assert_non_null(w->tallies = tallies_new(w->metrics, &w->queues));
	w->queue = declarations_find(&w->queues, STR("many"));
	const struct rmux_options mo = {.addr = w->addr, .connect_timeout_ms = 1000};
	assert_non_null(w->mux = rmux_new(&mo, &w->err));
	assert_non_null(w->bq = bq_new(w->mux, &w->err));
	const struct runtime_options ro = {
		.bq = w->bq, .redis = &w->addr, .queues = &w->queues, .tallies = w->tallies, .run_jobs = true, .env = {.metrics = w->metrics}};
	assert_non_null(w->rt = runtime_new(&ro, &w->err));
	assert_int_equal(rmux_start(w->mux, &w->err), 0);
	assert_int_equal(rmux_wait_up(w->mux, DEADLINE), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	rmux_stop(w->mux, clock_mono_ms() + 1000);
	runtime_free(w->rt);
	bq_free(w->bq);
	rmux_free(w->mux);
	tallies_free(w->tallies);
	declarations_release(&w->queues);
	metrics_free(w->metrics);
	redis_server_stop(&w->redis);
	arena_release(&w->arena);
	free(w);
	return 0;
}

static void add_jobs(struct world *w, int n)
{
	struct bq_add jobs[100];
	struct bq_add_result results[100];

	for (int from = 0; from < n; from += 100) {
		for (int i = 0; i < 100; i++) {
			char *data = arena_printf(&w->arena, "{\"n\":%d}", from + i);
			jobs[i] = (struct bq_add){.name = STR("one"), .data = str_from(data)};
			bq_opts_init(&jobs[i].opts);
			bq_opts_merge(&jobs[i].opts, &w->queue->terms->defaults);
		}
		assert_int_equal(bq_add_many(w->bq, &w->queue->queue, jobs, 100, &w->arena, results, DEADLINE, &w->err), 0);
	}
}

static struct bq_counts counts(struct world *w)
{
	struct bq_counts c;

	assert_int_equal(bq_counts(w->bq, &w->queue->queue, &c, DEADLINE, &w->err), 0);
	return c;
}

static void every_job_ends_as_its_processor_says(void **state)
{
	struct world *w = *state;
	struct bq_counts c = {0};

	add_jobs(w, JOBS);
	assert_int_equal(runtime_start(w->rt, &w->err), 0);
	for (int64_t deadline = DEADLINE; c.n[BQ_COMPLETED] + c.n[BQ_FAILED] < JOBS; clock_sleep_ms(5)) {
		c = counts(w);
		if (clock_mono_ms() > deadline)
			fail_msg("%lld completed, %lld failed", (long long)c.n[BQ_COMPLETED], (long long)c.n[BQ_FAILED]);
	}
	runtime_stop(w->rt);
	c = counts(w);
	assert_int_equal(c.n[BQ_FAILED], (JOBS + 6) / 7);
	assert_int_equal(c.n[BQ_ACTIVE] + c.n[BQ_WAITING] + c.n[BQ_DELAYED], 0);
	for (int n = 0; n < JOBS; n++)
		assert_int_equal(runs[n], n % 7 && (n % 5 == 0 || n % 3 == 0) ? 2 : 1);
	assert_true(atomic_load(&most_running) <= CONCURRENCY);
}

/* One look takes for all that are idle, and never for more than those. */
static void idle_workers_are_served_together(void **state)
{
	struct world *w = *state;

	atomic_store(&may_end, false);
	add_jobs(w, 100);
	assert_int_equal(runtime_start(w->rt, &w->err), 0);
	for (int64_t deadline = DEADLINE; atomic_load(&running) < CONCURRENCY; clock_sleep_ms(1))
		assert_true(clock_mono_ms() < deadline);
	struct bq_counts c = counts(w);
	assert_int_equal(c.n[BQ_ACTIVE], CONCURRENCY);
	assert_int_equal(c.n[BQ_WAITING], 100 - CONCURRENCY);
	runtime_stop(w->rt);
	assert_int_equal(counts(w).n[BQ_WAITING], 100); /* what ran was put back */
}

/* Draining in the middle of many short jobs: what was taken is run, and nothing stays behind in active. */
static void draining_leaves_nothing_active(void **state)
{
	struct world *w = *state;

	add_jobs(w, JOBS);
	assert_int_equal(runtime_start(w->rt, &w->err), 0);
	for (int64_t deadline = DEADLINE; counts(w).n[BQ_COMPLETED] < 50; clock_sleep_ms(1))
		assert_true(clock_mono_ms() < deadline);
	runtime_drain(w->rt, DEADLINE);
	runtime_stop(w->rt);
	struct bq_counts c = counts(w);
	assert_int_equal(c.n[BQ_ACTIVE], 0);
	assert_int_equal(c.n[BQ_COMPLETED] + c.n[BQ_FAILED] + c.n[BQ_WAITING] + c.n[BQ_DELAYED], JOBS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_job_ends_as_its_processor_says, setup, teardown),
		cmocka_unit_test_setup_teardown(idle_workers_are_served_together, setup, teardown),
		cmocka_unit_test_setup_teardown(draining_leaves_nothing_active, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
