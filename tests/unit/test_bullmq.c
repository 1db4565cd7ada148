/* lib/bullmq against a real Redis: working on jobs, locks, upkeep. That the official scripts are called as the official client
 * calls them is tests/interop/differential.test.mjs' business. */
#include "tests/unit/bullmq_world.h"

/* ---- working ---- */
static void completes(void **state)
{
	struct bq_add job = a_job();
	struct bq_job taken, read;

	(void)state;
	add(&job);
	taken = take("t");
	assert_int_equal(taken.state, BQ_ACTIVE);
	assert_int_equal(taken.attempts_started, 1);
	assert_str(taken.processed_by, "tester");
	assert_int_equal(status(taken.id).state, BQ_ACTIVE);
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &taken, STR("wrong"), STR("1"), DEADLINE, &world.err),
			 ERR_LOCK_LOST);
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &taken, STR("t"), STR("{\"ok\":true}"), DEADLINE, &world.err), 0);
	read = status(taken.id);
	assert_int_equal(read.state, BQ_COMPLETED);
	assert_str(read.returnvalue, "{\"ok\":true}");
	assert_true(read.finished_on > 0);
	assert_int_equal(read.attempts_made, 1);
	assert_true(nothing_to_take());
}

static enum bq_failed fail_with(const struct bq_job *job, struct bq_failure f)
{
	enum bq_failed how;

	assert_int_equal(bq_fail(world.bq, &world.queue, &world.worker, job, STR("t"), &f, &how, DEADLINE, &world.err), 0);
	return how;
}

static void fails_by_its_policy(void **state)
{
	const struct bq_failure plain = {.reason = STR("SMTP_DOWN: no \"answer\""), .retry_after_ms = -1};
	struct bq_add job = a_job();
	struct bq_job read;

	(void)state;
	job.opts.attempts = 4;
	job.opts.stack_trace_limit = 2;
	add(&job);
	for (int i = 0; i < 3; i++) {
		struct bq_job taken = take("t");

		assert_int_equal(fail_with(&taken, plain), BQ_FAILED_RETRIED);
	}
	read = take("t");
	assert_int_equal(read.attempts_made, 3);
	assert_str(read.stacktrace, "[\"SMTP_DOWN: no \\\"answer\\\"\",\"SMTP_DOWN: no \\\"answer\\\"\"]");
	assert_int_equal(fail_with(&read, plain), BQ_FAILED_FINAL);
	read = status(read.id);
	assert_int_equal(read.state, BQ_FAILED);
	assert_str(read.failed_reason, "SMTP_DOWN: no \"answer\"");
}

static void a_backoff_delays_and_a_permanent_failure_ends(void **state)
{
	const struct bq_failure plain = {.reason = STR("X: y"), .retry_after_ms = -1}, soon = {.reason = STR("X: y"), .retry_after_ms = 0},
				permanent = {.reason = STR("X: y"), .retry_after_ms = -1, .permanent = true};
	struct bq_add job = a_job();
	struct bq_job taken;

	(void)state;
	job.opts.attempts = 9;
	job.opts.backoff = (struct bq_backoff){.set = true, .type = STR("fixed"), .delay_ms = 60000};
	add(&job);
	taken = take("t");
	assert_int_equal(fail_with(&taken, soon), BQ_FAILED_RETRIED);
	taken = take("t");
	assert_int_equal(fail_with(&taken, plain), BQ_FAILED_DELAYED);
	assert_int_equal(status(taken.id).state, BQ_DELAYED);
	add(&job);
	taken = take("t");
	assert_int_equal(fail_with(&taken, permanent), BQ_FAILED_FINAL);
}

static void giving_back_uses_no_attempt(void **state)
{
	struct bq_add job = a_job();
	struct bq_job taken;
	int64_t promoted, next;

	(void)state;
	add(&job);
	taken = take("t");
	assert_int_equal(bq_release(world.bq, &world.queue, &taken, STR("t"), DEADLINE, &world.err), 0);
	taken = take("t");
	assert_int_equal(taken.attempts_made, 0);
	assert_int_equal(bq_delay(world.bq, &world.queue, &taken, STR("t"), 60000, DEADLINE, &world.err), 0);
	assert_int_equal(status(taken.id).attempts_made, 0);
	assert_int_equal(status(taken.id).state, BQ_DELAYED);
	assert_int_equal(bq_promote_due(world.bq, &world.queue, &promoted, &next, DEADLINE, &world.err), 0);
	assert_int_equal(promoted, 0);
	assert_in_range(next, clock_wall_ms() + 50000, clock_wall_ms() + 60000);
}

static void promotes_what_is_due_without_taking_it(void **state)
{
	struct bq_add job = a_job();
	int64_t promoted, next;

	(void)state;
	job.opts.delay_ms = 10;
	job.opts.timestamp_ms = clock_wall_ms() - 1000;
	add(&job);
	job.opts.priority = 3;
	add(&job);
	assert_int_equal(bq_promote_due(world.bq, &world.queue, &promoted, &next, DEADLINE, &world.err), 0);
	assert_int_equal(promoted, 2);
	assert_int_equal(next, 0);
	assert_int_equal(counts().n[BQ_WAITING], 1);
	assert_int_equal(counts().n[BQ_PRIORITIZED], 1);
	assert_int_equal(counts().n[BQ_ACTIVE], 0);
	assert_int_equal(REDIS("ZCARD", "bull:orders:marker")->integer, 2); /* "jobs may be ready" and the old due time */
}

static void pausing_holds_jobs_back(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	add(&job);
	assert_int_equal(bq_pause(world.bq, &world.queue, true, DEADLINE, &world.err), 0);
	assert_true(counts().paused);
	assert_true(nothing_to_take());
	REDIS("LPUSH", "bull:orders:paused", "old"); /* as bullmq 5 left it */
	assert_int_equal(counts().n[BQ_WAITING], 2);
	assert_int_equal(bq_pause(world.bq, &world.queue, false, DEADLINE, &world.err), 0);
	assert_false(counts().paused);
	assert_int_equal(REDIS("LLEN", "bull:orders:paused")->integer, 0);
	assert_int_equal(REDIS("LLEN", "bull:orders:wait")->integer, 2);
}

/* ---- locks ---- */
static void locks_are_renewed_and_lost(void **state)
{
	const struct str tokens[] = {STR("t1"), STR("t2")};
	struct bq_add job = a_job();
	struct str ids[2];
	bool lost[2], ours[2];

	(void)state;
	add(&job);
	add(&job);
	ids[0] = take("t1").id;
	ids[1] = take("t2").id;
	assert_int_equal(bq_extend_locks(world.bq, &world.queue, ids, tokens, 2, LOCK_MS, lost, DEADLINE, &world.err), 0);
	assert_false(lost[0] || lost[1]);
	REDIS("DEL", "bull:orders:1:lock");
	REDIS("SET", "bull:orders:2:lock", "somebody");
	assert_int_equal(bq_extend_locks(world.bq, &world.queue, ids, tokens, 2, LOCK_MS, lost, DEADLINE, &world.err), 0);
	assert_true(lost[0] && lost[1]);
	assert_int_equal(bq_relock(world.bq, &world.queue, ids, tokens, 2, LOCK_MS, ours, DEADLINE, &world.err), 0);
	assert_true(ours[0]);
	assert_false(ours[1]);
	assert_string_equal(REDIS("GET", "bull:orders:1:lock")->str, "t1");
	REDIS("LREM", "bull:orders:active", "0", "1"); /* it went on elsewhere */
	REDIS("DEL", "bull:orders:1:lock");
	assert_int_equal(bq_relock(world.bq, &world.queue, ids, tokens, 1, LOCK_MS, ours, DEADLINE, &world.err), 0);
	assert_false(ours[0]);
}

static void stalled_jobs_come_back(void **state)
{
	struct bq_add job = a_job();
	struct str *stalled;
	struct bq_job taken;
	size_t n;

	(void)state;
	add(&job);
	for (int round = 1; round <= 2; round++) {
		taken = take("t");
		REDIS("DEL", "bull:orders:1:lock", "bull:orders:stalled-check");
		assert_int_equal(bq_stalled_check(world.bq, &world.queue, 30000, 1, &world.arena, &stalled, &n, DEADLINE, &world.err), 0);
		assert_int_equal(n, 0); /* seen for the first time */
		REDIS("DEL", "bull:orders:stalled-check");
		assert_int_equal(bq_stalled_check(world.bq, &world.queue, 30000, 1, &world.arena, &stalled, &n, DEADLINE, &world.err), 0);
		assert_int_equal(n, 1);
		assert_true(str_eq(stalled[0], taken.id));
	}
	taken = take("t");
	assert_int_equal(taken.stalled_count, 2);
	assert_str(taken.deferred_failure, "job stalled more than allowable limit");
}

/* ---- retention ---- */
static void finish_jobs(size_t n)
{
	struct bq_add job = a_job();

	for (size_t i = 0; i < n; i++) {
		struct bq_job taken;

		add(&job);
		taken = take("t");
		assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &taken, STR("t"), STR("1"), DEADLINE, &world.err), 0);
	}
}

static int64_t trim(struct bq_keep keep)
{
	int64_t removed;

	assert_int_equal(bq_trim_finished(world.bq, &world.queue, BQ_COMPLETED, &keep, &removed, DEADLINE, &world.err), 0);
	return removed;
}

static void retention_is_bounded(void **state)
{
	(void)state;
	finish_jobs(10);
	assert_int_equal(trim((struct bq_keep){.set = true, .count = -1, .age_s = -1, .limit = -1}), 0);
	assert_int_equal(trim((struct bq_keep){.set = true, .count = 6, .age_s = -1, .limit = 3}), 3);
	assert_int_equal(trim((struct bq_keep){.set = true, .count = 6, .age_s = -1, .limit = -1}), 1);
	assert_int_equal(REDIS("EXISTS", "bull:orders:1", "bull:orders:4", "bull:orders:5")->integer, 1); /* the oldest went */
	REDIS("ZADD", "bull:orders:completed", "1000", "5", "1000", "6");
	assert_int_equal(trim((struct bq_keep){.set = true, .count = 6, .age_s = 3600, .limit = -1}), 2);
	assert_int_equal(counts().n[BQ_COMPLETED], 4);
	assert_int_equal(trim((struct bq_keep){.set = true, .count = 0, .age_s = -1, .limit = -1}), 4);
	assert_int_equal(REDIS("KEYS", "bull:orders:[0-9]*")->elements, 0);
}

/* ---- the rest ---- */
static void unknown_jobs_are_not_found(void **state)
{
	const struct str ids[] = {STR("none"), STR("1")};
	struct bq_add job = a_job();
	struct bq_job jobs[2];

	(void)state;
	assert_int_equal(bq_status(world.bq, &world.queue, STR("none"), true, &world.arena, jobs, DEADLINE, &world.err), ERR_NOT_FOUND);
	add(&job);
	assert_int_equal(bq_status_many(world.bq, &world.queue, ids, 2, &world.arena, jobs, DEADLINE, &world.err), 0);
	assert_int_equal(jobs[0].state, BQ_STATE_UNKNOWN);
	assert_int_equal(jobs[1].state, BQ_WAITING);
	assert_null(jobs[1].data.p);
	assert_int_equal(bq_progress(world.bq, &world.queue, STR("none"), STR("1"), DEADLINE, &world.err), ERR_NOT_FOUND);
}

/* An id may spell one of the queue's own keys: lists, streams, strings, and hashes that have fields of a job. */
static void the_queues_own_keys_are_no_jobs(void **state)
{
	static const char *const names[] = {"wait", "events", "meta", "id", "delayed", "repeat:often", "dn:acme:1", "1:logs", ""};
	struct bq_add job = a_job();
	struct bq_job found;

	(void)state;
	add(&job);
	REDIS("RPUSH", "bull:orders:1:logs", "line");
	REDIS("ZADD", "bull:orders:delayed", "1", "x");
	REDIS("HSET", "bull:orders:repeat:often", "name", "n", "data", "{}", "opts", "{}", "ic", "1");
	REDIS("HSET", "bull:orders:dn:acme:1", "name", "n", "data", "{\"secret\":1}", "opts", "{}", "jid", "7");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(bq_status(world.bq, &world.queue, str_from(names[i]), true, &world.arena, &found, DEADLINE, &world.err),
				 ERR_NOT_FOUND);
}

static void older_hashes_are_read(void **state)
{
	struct bq_job job;

	(void)state;
	REDIS("HSET", "bull:orders:9", "name", "old", "data", "{}", "opts", "{\"attempts\":2,\"kl\":5,\"fpof\":true,\"own\":[1]}",
	      "attemptsMade", "4", "atm", "1", "failedReason", "\"Error: \\u00e9\"", "timestamp", "17");
	job = status(STR("9"));
	assert_int_equal(job.attempts_made, 4);
	assert_int_equal(job.opts.keep_logs, 5);
	assert_int_equal(job.opts.on_parent, BQ_PARENT_FAILS);
	assert_str(job.opts.rest, "{\"own\":[1]}");
	assert_str(job.failed_reason, "Error: \xc3\xa9");
	assert_int_equal(job.state, BQ_WAITING);
}

/* Whatever a neighbour wrote, a clock can be added to it. */
static void numbers_stay_within_javascripts(void **state)
{
	struct bq_job job;

	(void)state;
	REDIS("HSET", "bull:orders:10", "name", "odd", "data", "{}", "opts", "{}", "timestamp", "-9223372036854775808", "atm",
	      "9223372036854775807", "ats", "99999999999999999999", "stc", "many");
	job = status(STR("10"));
	assert_int_equal(job.timestamp, -9007199254740991);
	assert_int_equal(job.attempts_made, 9007199254740991);
	assert_int_equal(job.attempts_started, 0);
	assert_int_equal(job.stalled_count, 0);
}

static void logs_are_kept_to_their_number(void **state)
{
	struct bq_add job = a_job();
	int64_t n = 0;

	(void)state;
	add(&job);
	for (int i = 0; i < 4; i++)
		assert_int_equal(bq_log_add(world.bq, &world.queue, STR("1"), STR("line"), i < 3 ? -1 : 2, &n, DEADLINE, &world.err), 0);
	assert_int_equal(n, 2);
	assert_int_equal(REDIS("LLEN", "bull:orders:1:logs")->integer, 2);
}

static void scripts_come_back_after_a_flush(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	add(&job);
	REDIS("SCRIPT", "FLUSH");
	assert_str(add(&job).id, "2");
}

static void client_names_are_bullmqs(void **state)
{
	struct buf name = BUF_INIT;

	(void)state;
	bq_client_name(&name, &world.queue, "host-1");
	assert_str(buf_str(&name), "bull:b3JkZXJz:w:host-1");
	buf_release(&name);
}

static void ids_and_names_are_checked(void **state)
{
	const char *const good[] = {"a", "0x", "7-8", "--1", "caf\xc3\xa9", "-"};
	const char *const bad[] = {"", "7", "-7", "0", "a:b", "wait", "meta", "idem", "a\nb", "\xff"};
	struct bq_queue q;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(bq_job_id_ok(str_from(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(bq_job_id_ok(str_from(bad[i])));
	assert_int_equal(bq_queue_init(&q, STR("bull"), STR("a b"), &world.err), ERR_INVALID);
	assert_int_equal(bq_queue_init(&q, STR("bull"), STR("sluice"), &world.err), ERR_INVALID); /* its job "audit" would be the audit trail's stream */
	assert_int_equal(bq_queue_init(&q, STR(""), STR("a"), &world.err), ERR_INVALID);
	assert_str(world.queue.keys[BQ_KEY_BASE], "bull:orders:");
	assert_str(world.queue.keys[BQ_KEY_METRICS_FAILED], "bull:orders:metrics:failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(completes),
		TEST(fails_by_its_policy),
		TEST(a_backoff_delays_and_a_permanent_failure_ends),
		TEST(giving_back_uses_no_attempt),
		TEST(promotes_what_is_due_without_taking_it),
		TEST(pausing_holds_jobs_back),
		TEST(locks_are_renewed_and_lost),
		TEST(stalled_jobs_come_back),
		TEST(retention_is_bounded),
		TEST(unknown_jobs_are_not_found),
		TEST(the_queues_own_keys_are_no_jobs),
		TEST(older_hashes_are_read),
		TEST(numbers_stay_within_javascripts),
		TEST(logs_are_kept_to_their_number),
		TEST(scripts_come_back_after_a_flush),
		TEST(client_names_are_bullmqs),
		TEST(ids_and_names_are_checked),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
