/* Ends of jobs that many callers tell at once: they share calls, and each gets its own answer. */
#include "lib/base/lock.h"
#include "lib/bullmq/ends.h"
#include "lib/bullmq/work.h"
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
	char token[BQ_TOKEN_SIZE];

	bq_token(token);
	for (size_t i = 0; i < JOBS; i++)
		jobs[i] = a_job();
	assert_int_equal(bq_add_many(world.bq, &world.queue, jobs, JOBS, &world.arena, results, DEADLINE, &world.err), 0);
	assert_int_equal(bq_take_many(world.bq, &world.queue, &world.worker, str_from(token), &world.arena, c->held, JOBS, &c->n, &last, DEADLINE,
				      &world.err),
			 0);
	assert_int_equal(c->n, JOBS);
}

static struct bq_job a_job_that_is_held(const char *token)
{
	const struct bq_add job = a_job();

	add(&job);
	return take(token);
}

static struct bq_job released_and_held_again(const struct bq_job *job, const char *before, const char *token)
{
	assert_int_equal(bq_release(world.bq, &world.queue, job, str_from(before), DEADLINE, &world.err), 0);
	return take(token);
}

static uint64_t calls_sent(void)
{
	struct rmux_stats stats;

	rmux_stats(world.mux, &stats);
	return stats.calls;
}

/* Callers that end their jobs at the same time: how many calls it took. */
static uint64_t calls_of_callers(void (*end)(void *caller))
{
	static struct caller callers[THREADS];
	uint64_t before, calls;
	size_t lost = 0, failed = 0;

	memset(callers, 0, sizeof(callers));
	for (size_t i = 0; i < JOBS; i++) {
		lost += i % 5 == 4;
		failed += i % 7 == 6 && i % 5 != 4;
	}
	for (size_t t = 0; t < THREADS; t++)
		take_for(&callers[t]);
	before = calls_sent();
	for (size_t t = 0; t < THREADS; t++)
		assert_int_equal(thread_start(&callers[t].thread, "ender", end, &callers[t]), 0);
	for (size_t t = 0; t < THREADS; t++) {
		thread_join(&callers[t].thread);
		assert_int_equal(callers[t].rc, 0);
		assert_int_equal(callers[t].wrong, 0);
	}
	calls = calls_sent() - before;
	assert_int_equal(counts().n[BQ_ACTIVE], THREADS * lost);
	assert_int_equal(counts().n[BQ_FAILED], THREADS * failed);
	assert_int_equal(counts().n[BQ_COMPLETED], THREADS * (JOBS - lost - failed));
	return calls;
}

static void ends_of_many_callers_share_calls(void **state)
{
	(void)state;
	assert_true(calls_of_callers(end_all) < THREADS * JOBS);
}

static const struct bq_failure SEVENTH = {.reason = {"SEVENTH: no", 11}, .permanent = true, .retry_after_ms = -1};

/* The same jobs, all in one telling. */
static void end_together(void *arg)
{
	struct caller *me = arg;
	struct bq_end_job ends[JOBS];
	struct err err = {0};
	struct arena a;

	arena_init(&a, 0);
	for (size_t i = 0; i < JOBS; i++) {
		struct str token = i % 5 == 4 ? STR("nobody's") : str_from(me->held[i].token);
		ends[i] = (struct bq_end_job){.id = me->held[i].job.id, .ending = {.kind = BQ_END_COMPLETE, .token = token, .value = STR("1")}};
		if (i % 7 == 6) {
			ends[i].ending.kind = BQ_END_FAIL;
			ends[i].ending.failure = &SEVENTH;
		}
	}
	me->rc = bq_ends_read(world.bq, &world.queue, ends, JOBS, &a, DEADLINE, &err);
	if (me->rc == 0)
		me->rc = bq_ends_tell(world.bq, &world.queue, &world.worker, ends, JOBS, DEADLINE, &err);
	for (size_t i = 0; i < JOBS; i++)
		me->wrong += ends[i].err.code != (i % 5 == 4 ? ERR_LOCK_LOST : 0);
	arena_release(&a);
}

static void tellings_of_many_share_calls_as_far_as_there_is_room(void **state)
{
	(void)state;
	assert_in_range(calls_of_callers(end_together), THREADS + THREADS * JOBS / BQ_WORK_PER_CALL, 2 * THREADS);
}

static void what_cannot_be_read_is_not_told(void **state)
{
	const struct bq_ending release = {.kind = BQ_END_RELEASE};
	struct bq_end_job ends[] = {
		{.id = STR("1"), .ending = release}, {.id = STR("never-was"), .ending = release}, {.id = STR("meta"), .ending = release}, {.id = STR("events"), .ending = release}};
	struct bq_job job = a_job_that_is_held("t1");

	(void)state;
	ends[0].ending.token = STR("t1");
	assert_int_equal(bq_cancel_ask(world.bq, &world.queue, &job, 60000, DEADLINE, &world.err), 0);
	assert_int_equal(bq_ends_read(world.bq, &world.queue, ends, ARRAY_LEN(ends), &world.arena, DEADLINE, &world.err), 0);
	assert_int_equal(ends[0].err.code, 0);
	assert_true(ends[0].cancelled);
	for (size_t i = 1; i < ARRAY_LEN(ends); i++)
		assert_int_equal(ends[i].err.code, ERR_NOT_FOUND);
	assert_int_equal(bq_ends_tell(world.bq, &world.queue, &world.worker, ends, ARRAY_LEN(ends), DEADLINE, &world.err), 0);
	assert_int_equal(ends[0].err.code, 0);
	assert_int_equal(counts().n[BQ_WAITING], 1);
	for (size_t i = 1; i < ARRAY_LEN(ends); i++)
		assert_int_equal(ends[i].err.code, ERR_NOT_FOUND);
	assert_int_equal(bq_ends_tell(world.bq, &world.queue, &world.worker, ends + 1, 1, DEADLINE, &world.err), 0);
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

/* What decides how a job ends may change while it is held, and is not read again where the count of its fields says that it has not. */
static void a_held_job_that_gets_a_parent_tells_it(void **state)
{
	struct bq_job job = a_job_that_is_held("t1");

	(void)state;
	assert_int_equal(job.plain_fields, 9); /* as added, and processedOn, ats, pb */
	REDIS("HSET", "bull:orders:mother", "name", "m", "data", "{}", "opts", "{}", "timestamp", "1", "delay", "0", "priority", "0");
	REDIS("ZADD", "bull:orders:waiting-children", "1", "mother");
	REDIS("SADD", "bull:orders:mother:dependencies", "bull:orders:1");
	REDIS("HSET", "bull:orders:1", "parentKey", "bull:orders:mother", "parent", "{\"id\":\"mother\",\"queueKey\":\"bull:orders\"}");
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &job, STR("t1"), STR("1"), DEADLINE, &world.err), 0);
	assert_int_equal(counts().n[BQ_WAITING_CHILDREN], 0);
	assert_int_equal(counts().n[BQ_WAITING], 1);
	assert_int_equal(counts().n[BQ_COMPLETED], 1);
}

static void a_held_job_that_gets_a_child_cannot_complete(void **state)
{
	struct bq_job job = a_job_that_is_held("t1");

	(void)state;
	REDIS("SADD", "bull:orders:1:dependencies", "bull:orders:child");
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &job, STR("t1"), STR("1"), DEADLINE, &world.err), ERR_WRONG_STATE);
	REDIS("DEL", "bull:orders:1:dependencies");
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &job, STR("t1"), STR("1"), DEADLINE, &world.err), 0);
}

/* Other fields, and keys that are asked for in the same breath as children, change nothing. */
static void a_held_job_with_progress_completes_beside_stalled_and_delayed_ones(void **state)
{
	struct bq_job job = a_job_that_is_held("t1");
	struct bq_add late = a_job();

	(void)state;
	late.opts.delay_ms = 60000;
	add(&late);
	REDIS("SADD", "bull:orders:stalled", "1", "other");
	assert_int_equal(bq_progress(world.bq, &world.queue, job.id, STR("50"), DEADLINE, &world.err), 0);
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &job, STR("t1"), STR("1"), DEADLINE, &world.err), 0);
	assert_int_equal(REDIS("SISMEMBER", "bull:orders:stalled", "1")->integer, 0);
	assert_int_equal(REDIS("SISMEMBER", "bull:orders:stalled", "other")->integer, 1);
	assert_int_equal(counts().n[BQ_COMPLETED], 1);
	assert_int_equal(counts().n[BQ_DELAYED], 1);
	assert_int_equal(status(job.id).attempts_made, 1);
}

static void a_job_with_an_attempt_behind_it_is_not_plain(void **state)
{
	struct bq_job job = a_job_that_is_held("t1");

	(void)state;
	job = released_and_held_again(&job, "t1", "t2");
	assert_int_equal(job.plain_fields, 9);
	REDIS("HSET", "bull:orders:1", "atm", "1");
	job = released_and_held_again(&job, "t2", "t3");
	assert_int_equal(job.plain_fields, 0);
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &job, STR("t3"), STR("1"), DEADLINE, &world.err), 0);
	assert_int_equal(status(job.id).attempts_made, 2);
}

/* Gives the job back when the marker that its take left has been used up; how many there are then. */
static int64_t markers_after_release(const struct bq_job *job, const char *token)
{
	REDIS("DEL", "bull:orders:marker");
	assert_int_equal(bq_release(world.bq, &world.queue, job, str_from(token), DEADLINE, &world.err), 0);
	assert_int_equal(REDIS("ZCARD", "bull:orders:prioritized")->integer, 1);
	return REDIS("ZCARD", "bull:orders:marker")->integer;
}

/* BullMQ's script sets no marker there: whoever waited already did not hear of the job. */
static void a_prioritized_job_that_is_given_back_wakes_somebody(void **state)
{
	struct bq_add urgent = a_job();
	struct bq_job job;

	(void)state;
	urgent.opts.priority = 3;
	add(&urgent);
	job = take("t1");
	assert_int_equal(markers_after_release(&job, "t1"), 1);
	a_job_that_is_held("t2");
	job = take("t3");
	REDIS("HSET", "bull:orders:meta", "concurrency", "1");
	assert_int_equal(markers_after_release(&job, "t3"), 0); /* there is room for the other one only */
}

/* Completes the job by the official script, since it is no plain one, and takes the next under another token in the same call. */
static void complete_and_take(const struct bq_job *job, const char *token, const char *next_token)
{
	const struct bq_ending e = {.kind = BQ_END_COMPLETE, .token = str_from(token), .value = STR("1")};
	struct bq_end_args args = {0};
	const struct bq_end_args *const all[] = {&args};
	const struct bq_work work = {
		.queue = &world.queue, .worker = &world.worker, .token_stem = str_from(next_token), .frees = true, .endings = all, .n_endings = 1};
	struct bq_work_answer answer;
	struct bq_job taken;
	struct str its_token;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	enum bq_failed how;

	bq_end_encode(&args, &world.worker, job, &e, &how);
	bq_work_command(&cmd, &work);
	assert_int_equal(rmux_call(world.mux, &cmd, DEADLINE, &replies, &world.err), 0);
	assert_int_equal(bq_work_read(replies.items[0], &answer, &world.err), 0);
	assert_int_equal(bq_work_ended(&answer, 0, &world.err), 0);
	assert_int_equal(answer.n_taken, 1);
	assert_int_equal(bq_work_taken(&answer, 0, NULL, &world.arena, &taken, &its_token, &world.err), 0);
	assert_true(str_is(its_token, next_token));
	rreplies_release(&replies);
	rcmd_release(&cmd);
	bq_end_release(&args);
}

/* The fault: two jobs were taken together; one was lost and put back, and the end of the other fetched it under the token of both. */
static void who_has_lost_a_job_cannot_end_it_for_the_next(void **state)
{
	struct bq_add only = a_job();
	struct bq_job lost = a_job_that_is_held("t1"), other;

	(void)state;
	only.opts.dedup_id = STR("d");
	add(&only);
	other = take("t1");
	REDIS("DEL", "bull:orders:1:lock"); /* it stalls */
	REDIS("LREM", "bull:orders:active", "1", "1");
	REDIS("RPUSH", "bull:orders:wait", "1");
	complete_and_take(&other, "t1", "t2");
	assert_string_equal(REDIS("GET", "bull:orders:1:lock")->str, "t2");
	assert_true(REDIS("PTTL", "bull:orders:1:lock")->integer > 0);
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &lost, STR("t1"), STR("\"late\""), DEADLINE, &world.err), ERR_LOCK_LOST);
	assert_int_equal(status(lost.id).state, BQ_ACTIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ends_of_many_callers_share_calls),
		TEST(tellings_of_many_share_calls_as_far_as_there_is_room),
		TEST(what_cannot_be_read_is_not_told),
		TEST(a_gathered_end_can_time_out),
		TEST(a_held_job_that_gets_a_parent_tells_it),
		TEST(a_held_job_that_gets_a_child_cannot_complete),
		TEST(a_held_job_with_progress_completes_beside_stalled_and_delayed_ones),
		TEST(a_job_with_an_attempt_behind_it_is_not_plain),
		TEST(a_prioritized_job_that_is_given_back_wakes_somebody),
		TEST(who_has_lost_a_job_cannot_end_it_for_the_next),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
