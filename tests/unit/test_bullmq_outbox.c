/* What is written into a queue's outbox when its jobs are added, fail, end, stall and are removed, and how it is read. That there is one
 * end for each, whatever else happens, is tests/interop/differential.test.mjs' business. */
#include "lib/bullmq/ends.h"
#include "lib/bullmq/outbox.h"
#include "tests/unit/bullmq_world.h"

#define CAP 64

static struct bq_outbox outbox;
static unsigned woken;

static void count_wake(void *arg UNUSED)
{
	woken++;
}

static int clean_outbox(void **state)
{
	atomic_store(&outbox.data_cap, CAP);
	atomic_store(&outbox.result_cap, CAP);
	atomic_store(&outbox.fresh, false);
	outbox.adds = false;
	outbox.wake = count_wake;
	woken = 0;
	world.queue.outbox = &outbox;
	return clean(state);
}

static struct bq_entry entries[16];

static size_t read_stream(const char *key)
{
	const redisReply *all = REDIS("XRANGE", key, "-", "+");
	size_t n = 0;

	for (; rreply_at(all, n); n++)
		if (bq_outbox_read(rreply_at(all, n), &world.arena, &entries[n], &world.err) < 0)
			fail_msg("bq_outbox_read: %s", world.err.text);
	return n;
}

/* What stands in the outbox. */
static size_t read_all(void)
{
	return read_stream("bull:orders:outbox");
}

static size_t read_adds(void)
{
	return read_stream("bull:orders:outbox:adds");
}

static void complete(const struct bq_job *job, const char *value)
{
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, job, STR("t"), str_from(value), DEADLINE, &world.err), 0);
}

static enum bq_failed fail_job(const struct bq_job *job)
{
	const struct bq_failure f = {.reason = STR("SMTP_DOWN: no answer"), .retry_after_ms = -1};
	enum bq_failed how;

	assert_int_equal(bq_fail(world.bq, &world.queue, &world.worker, job, STR("t"), &f, &how, DEADLINE, &world.err), 0);
	return how;
}

static void a_completion_is_a_snapshot(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	job.opts.org = STR("acme");
	job.opts.sub = STR("ann");
	job.opts.remove_on_complete = (struct bq_keep){.set = true, .count = 0, .age_s = -1, .limit = -1};
	add(&job);
	struct bq_job taken = take("t");
	assert_int_equal(bq_log_add(world.bq, &world.queue, taken.id, STR("half \"way\""), -1, NULL, DEADLINE, &world.err), 0);
	complete(&taken, "{\"ok\":true}");
	assert_int_equal(REDIS("EXISTS", "bull:orders:1")->integer, 0); /* nothing else is left of it */

	assert_int_equal(read_all(), 1);
	const struct bq_entry *e = &entries[0];
	assert_int_equal(e->kind, BQ_ENTRY_END);
	assert_int_equal(e->job.state, BQ_COMPLETED);
	assert_str(e->job.id, "1");
	assert_str(e->job.name, "send");
	assert_str(e->job.data, "{\"n\":[],\"x\":0.10000000000000000001}");
	assert_str(e->job.returnvalue, "{\"ok\":true}");
	assert_str(e->job.opts.org, "acme");
	assert_str(e->job.opts.sub, "ann");
	assert_str(e->job.processed_by, "tester");
	assert_str(e->logs, "[\"half \\\"way\\\"\"]");
	assert_int_equal(e->job.attempts_made, 1);
	assert_int_equal(e->job.timestamp, taken.timestamp);
	assert_int_equal(e->job.processed_on, taken.processed_on);
	assert_int_equal(e->job.finished_on, e->at_ms);
	assert_int_equal(e->data_bytes, -1);
	assert_int_equal(e->result_bytes, -1);
}

static void failed_attempts_are_told_one_by_one(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	job.opts.attempts = 2;
	add(&job);
	struct bq_job first = take("t");
	assert_int_equal(fail_job(&first), BQ_FAILED_RETRIED);
	struct bq_job second = take("t");
	assert_int_equal(fail_job(&second), BQ_FAILED_FINAL);

	assert_int_equal(read_all(), 2);
	assert_int_equal(entries[0].kind, BQ_ENTRY_ATTEMPT);
	assert_int_equal(entries[0].job.state, BQ_STATE_UNKNOWN);
	assert_null(entries[0].job.data.p);
	assert_str(entries[0].job.failed_reason, "SMTP_DOWN: no answer");
	assert_int_equal(entries[0].job.processed_on, first.processed_on);
	assert_int_equal(entries[0].job.attempts_made, 1);
	assert_int_equal(entries[1].kind, BQ_ENTRY_END);
	assert_int_equal(entries[1].job.state, BQ_FAILED);
	assert_int_equal(entries[1].job.attempts_made, 2);
	assert_int_equal(entries[1].job.processed_on, second.processed_on);
	assert_true(entries[1].job.stacktrace.n > 0);
}

static void what_is_too_long_is_left_out(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	job.data = STR("\"0123456789012345678901234567890123456789012345678901234567890123456789\"");
	add(&job);
	struct bq_job taken = take("t");
	complete(&taken, "\"0123456789012345678901234567890123456789012345678901234567890123456789\"");
	atomic_store(&outbox.data_cap, 0);
	atomic_store(&outbox.result_cap, 0);
	job.data = STR("{}");
	add(&job);
	taken = take("t");
	complete(&taken, "1");

	assert_int_equal(read_all(), 2);
	assert_null(entries[0].job.data.p);
	assert_null(entries[0].job.returnvalue.p);
	assert_int_equal(entries[0].data_bytes, 72);
	assert_int_equal(entries[0].result_bytes, 72);
	assert_int_equal(entries[0].job.state, BQ_COMPLETED);
	assert_int_equal(entries[1].data_bytes, 2);
	assert_int_equal(entries[1].result_bytes, 1);
}

static void adds_are_told_where_it_is_wanted(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	add(&job);
	assert_int_equal(read_adds(), 0);
	outbox.adds = true;
	job.opts.job_id = STR("mine");
	add(&job);
	add(&job); /* it exists */
	job.opts.job_id = STR_NONE;
	job.opts.delay_ms = 60000;
	add(&job);

	assert_int_equal(read_adds(), 2);
	assert_int_equal(entries[0].kind, BQ_ENTRY_ADDED);
	assert_str(entries[0].job.id, "mine");
	assert_true(str_eq(entries[0].job.data, job.data));
	assert_int_equal(entries[1].job.delay, 60000);
	assert_int_equal(read_all(), 0);
	assert_int_equal(woken, 0); /* they have time */
}

/* A plain job is written down by what its add says, the others by their hash. */
static void an_add_says_what_the_job_is(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	outbox.adds = true;
	job.opts.timestamp_ms = 1700000000000;
	add(&job);
	job.opts.priority = 7;
	add(&job);
	atomic_store(&outbox.data_cap, (int64_t)job.data.n - 1);
	job.opts.priority = 0;
	add(&job);

	assert_int_equal(read_adds(), 3);
	for (size_t i = 0; i < 3; i++) {
		assert_true(str_eq(entries[i].job.name, job.name));
		assert_int_equal(entries[i].at_ms, job.opts.timestamp_ms);
		assert_int_equal(entries[i].job.timestamp, job.opts.timestamp_ms);
		assert_int_equal(entries[i].job.priority, i == 1 ? 7 : 0);
		assert_int_equal(entries[i].data_bytes, i == 2 ? (int64_t)job.data.n : -1);
		assert_true(str_eq(entries[i].job.data, job.data) == (i < 2));
		assert_true(str_eq(entries[i].job.opts.org, entries[0].job.opts.org));
	}
}

static void removals_and_stalled_attempts_are_told(void **state)
{
	struct bq_add job = a_job();
	struct str *ids;
	bool removed;
	size_t n;

	(void)state;
	add(&job);
	assert_int_equal(bq_remove(world.bq, &world.queue, STR("1"), &removed, DEADLINE, &world.err), 0);
	add(&job);
	struct bq_job taken = take("t");
	for (int i = 0; i < 2; i++) { /* noted by the first check, found without a lock by the second */
		REDIS("DEL", "bull:orders:2:lock", "bull:orders:stalled-check");
		assert_int_equal(bq_stalled_check(world.bq, &world.queue, 1000, 3, &world.arena, &ids, &n, DEADLINE, &world.err), 0);
	}

	assert_int_equal(read_all(), 2);
	assert_int_equal(entries[0].kind, BQ_ENTRY_REMOVED);
	assert_str(entries[0].job.id, "1");
	assert_true(entries[0].job.data.p != NULL);
	assert_int_equal(entries[1].kind, BQ_ENTRY_ATTEMPT);
	assert_str(entries[1].job.id, "2");
	assert_int_equal(entries[1].job.processed_on, taken.processed_on);
	assert_true(str_starts(entries[1].job.failed_reason, STR("STALLED: ")));
}

static void the_reader_is_woken_once(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	for (int i = 0; i < 3; i++) {
		add(&job);
		struct bq_job taken = take("t");
		complete(&taken, "1");
	}
	assert_int_equal(woken, 1);
	atomic_store(&outbox.fresh, false);
	add(&job);
	struct bq_job taken = take("t");
	complete(&taken, "1");
	assert_int_equal(woken, 2);
}

static void an_outbox_that_is_none_stops_no_job(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	REDIS("SET", "bull:orders:outbox", "x");
	add(&job);
	struct bq_job taken = take("t");
	complete(&taken, "1");
	assert_int_equal(status(taken.id).state, BQ_COMPLETED);
}

static void log_lines_that_are_none_stop_no_job(void **state)
{
	enum { N = 5 };
	const struct bq_add job = a_job();
	struct bq_held held[N];
	struct bq_end_job ends[N];
	struct bq_taken last;
	size_t n;

	(void)state;
	for (size_t i = 0; i < N; i++)
		add(&job);
	assert_int_equal(bq_take_many(world.bq, &world.queue, &world.worker, STR("t"), &world.arena, held, N, &n, &last, DEADLINE, &world.err), 0);
	assert_int_equal(n, N);
	REDIS("SET", "bull:orders:2:logs", "x");
	REDIS("RPUSH", "bull:orders:3:logs", "a line");
	for (size_t i = 0; i < N; i++)
		ends[i] = (struct bq_end_job){.id = held[i].job.id, .ending = {.kind = BQ_END_COMPLETE, .token = str_from(held[i].token), .value = STR("1")}};
	assert_int_equal(bq_ends_read(world.bq, &world.queue, ends, N, &world.arena, DEADLINE, &world.err), 0);
	assert_int_equal(bq_ends_tell(world.bq, &world.queue, &world.worker, ends, N, DEADLINE, &world.err), 0);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(status(ends[i].id).state, BQ_COMPLETED);
	assert_int_equal(read_all(), N);
	assert_null(entries[1].logs.p);
	assert_str(entries[2].logs, "[\"a line\"]");
}

static void a_job_that_is_set_aside_has_ended(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	add(&job);
	struct bq_job taken = take("t");
	REDIS("HSET", "bull:orders:1", "parent", "{\"id\":");
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &taken, STR("t"), STR("1"), DEADLINE, &world.err), ERR_BROKEN);

	assert_int_equal(read_all(), 1);
	assert_int_equal(entries[0].kind, BQ_ENTRY_END);
	assert_int_equal(entries[0].job.state, BQ_FAILED);
	assert_true(str_starts(entries[0].job.failed_reason, STR("BROKEN_JOB: ")));
	assert_int_equal(entries[0].job.finished_on, entries[0].at_ms);
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &taken, STR("t"), STR("1"), DEADLINE, &world.err), ERR_LOCK_LOST);
}

static void without_an_outbox_nothing_is_written(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	world.queue.outbox = NULL;
	add(&job);
	struct bq_job taken = take("t");
	complete(&taken, "1");
	assert_int_equal(REDIS("EXISTS", "bull:orders:outbox")->integer, 0);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup(f, clean_outbox)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_completion_is_a_snapshot),
		TEST(failed_attempts_are_told_one_by_one),
		TEST(what_is_too_long_is_left_out),
		TEST(adds_are_told_where_it_is_wanted),
		TEST(an_add_says_what_the_job_is),
		TEST(removals_and_stalled_attempts_are_told),
		TEST(the_reader_is_woken_once),
		TEST(an_outbox_that_is_none_stops_no_job),
		TEST(log_lines_that_are_none_stop_no_job),
		TEST(a_job_that_is_set_aside_has_ended),
		TEST(without_an_outbox_nothing_is_written),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
