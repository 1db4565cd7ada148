/* Ends of jobs that many callers tell at once: they share calls, and each gets its own answer. */
#include "lib/base/lock.h"
#include "tests/unit/bullmq_world.h"

enum { THREADS = 16, JOBS = 40 }; /* jobs of each thread */

struct caller {
	struct thread thread;
	struct bq_held held[JOBS];
	size_t n;
	int64_t deadline;
	int wrong; /* answers */
	int rc;
};

/* Every fifth under a token that is not the job's; every seventh fails for good. */
static void end_all(void *arg)
{
	struct caller *me = arg;
	const struct bq_failure failure = {.reason = STR("SEVENTH: no"), .trace = STR_NONE, .permanent = true, .retry_after_ms = -1};

	for (size_t i = 0; i < me->n; i++) {
		struct str token = i % 5 == 4 ? STR("nobody's") : str_from(me->held[i].token);
		enum bq_failed how = BQ_FAILED_RETRIED;
		struct err err = {0};
		int rc;

		if (i % 7 == 6)
			rc = bq_fail(world.bq, &world.queue, &world.worker, &me->held[i].job, token, &failure, &how, DEADLINE, &err);
		else
			rc = bq_complete(world.bq, &world.queue, &world.worker, &me->held[i].job, token, STR("1"), DEADLINE, &err);
		me->wrong += rc != (i % 5 == 4 ? ERR_LOCK_LOST : 0);
		me->wrong += i % 7 == 6 && how != BQ_FAILED_FINAL;
	}
}

static void take_for(struct caller *c)
{
	struct bq_add jobs[JOBS];
	struct bq_add_result results[JOBS];
	struct bq_taken last;

	for (size_t i = 0; i < JOBS; i++)
		jobs[i] = a_job();
	assert_int_equal(bq_add_many(world.bq, &world.queue, jobs, JOBS, &world.arena, results, DEADLINE, &world.err), 0);
	assert_int_equal(bq_take_many(world.bq, &world.queue, &world.worker, &world.arena, c->held, JOBS, &c->n, &last, DEADLINE, &world.err),
			 0);
	assert_int_equal(c->n, JOBS);
}

static uint64_t calls_sent(void)
{
	struct rmux_stats stats;

	rmux_stats(world.mux, &stats);
	return stats.calls;
}

static void ends_of_many_callers_share_calls(void **state)
{
	static struct caller callers[THREADS];
	uint64_t before;
	size_t lost = 0, failed = 0;

	(void)state;
	for (size_t i = 0; i < JOBS; i++) {
		lost += i % 5 == 4;
		failed += i % 7 == 6 && i % 5 != 4;
	}
	for (size_t t = 0; t < THREADS; t++)
		take_for(&callers[t]);
	before = calls_sent();
	for (size_t t = 0; t < THREADS; t++)
		assert_int_equal(thread_start(&callers[t].thread, "ender", end_all, &callers[t]), 0);
	for (size_t t = 0; t < THREADS; t++) {
		thread_join(&callers[t].thread);
		assert_int_equal(callers[t].wrong, 0);
	}
	assert_true(calls_sent() - before < THREADS * JOBS);
	assert_int_equal(counts().n[BQ_ACTIVE], THREADS * lost);
	assert_int_equal(counts().n[BQ_FAILED], THREADS * failed);
	assert_int_equal(counts().n[BQ_COMPLETED], THREADS * (JOBS - lost - failed));
}

static void end_late(void *arg)
{
	struct caller *me = arg;
	struct err err = {0};

	me->rc = bq_complete(world.bq, &world.queue, &world.worker, &me->held[1].job, str_from(me->held[1].token), STR("1"), me->deadline, &err);
}

/* Redis stands still: the first end is under way, so what comes then gathers, and is given up in time without having been sent. */
static void a_gathered_end_can_time_out(void **state)
{
	static struct caller first, second;
	uint64_t before;

	(void)state;
	take_for(&first);
	second = first;
	first.held[1] = first.held[0];
	first.deadline = clock_mono_ms() + 60000;
	kill(world.redis.pid, SIGSTOP);
	before = calls_sent();
	assert_int_equal(thread_start(&first.thread, "first", end_late, &first), 0);
	while (calls_sent() == before && clock_mono_ms() < first.deadline)
		clock_sleep_ms(1);
	second.deadline = clock_mono_ms() + 50;
	end_late(&second);
	kill(world.redis.pid, SIGCONT);
	thread_join(&first.thread);
	assert_int_equal(first.rc, 0);
	assert_int_equal(second.rc, ERR_TIMEOUT);
	assert_int_equal(counts().n[BQ_ACTIVE], JOBS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ends_of_many_callers_share_calls),
		TEST(a_gathered_end_can_time_out),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
