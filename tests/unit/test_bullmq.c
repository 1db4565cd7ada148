/* lib/bullmq against a real Redis: what our own scripts add to the official ones. That the official ones are called as the
 * official client calls them is tests/interop/differential.test.mjs' business. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bullmq/bq.h"
#include "tests/unit/redis_server.h"

#define DEADLINE (clock_mono_ms() + 10000)
#define LOCK_MS 30000

struct world {
	struct redis_server redis;
	struct rmux *mux;
	struct bq *bq;
	struct bq_queue queue;
	struct bq_worker worker;
	struct arena arena;
	struct err err;
};

static struct world world;

static redisReply *command(const char *const *argv)
{
	static struct rreplies last;
	struct rcmd cmd = RCMD_INIT;
	size_t n = 0;

	rreplies_release(&last);
	while (argv[n])
		n++;
	rcmd_begin(&cmd, n);
	for (size_t i = 0; i < n; i++)
		rcmd_argz(&cmd, argv[i]);
	assert_int_equal(rmux_call(world.mux, &cmd, DEADLINE, &last, &world.err), 0);
	rcmd_release(&cmd);
	return last.items[0];
}
#define REDIS(...) command((const char *const[]){__VA_ARGS__, NULL})

static int start(void **state)
{
	struct rmux_options options = {.connect_timeout_ms = 2000};

	*state = &world;
	redis_server_start(&world.redis, NULL);
	options.addr = redis_server_addr(&world.redis);
	world.mux = rmux_new(&options, &world.err);
	assert_non_null(world.mux);
	world.bq = bq_new(world.mux, &world.err);
	assert_non_null(world.bq);
	assert_ptr_equal(bq_mux(world.bq), world.mux);
	assert_int_equal(rmux_start(world.mux, &world.err), 0);
	assert_int_equal(rmux_wait_up(world.mux, DEADLINE), 0);
	assert_int_equal(bq_queue_init(&world.queue, STR("bull"), STR("orders"), &world.err), 0);
	world.worker = (struct bq_worker){.name = STR("tester"), .lock_ms = LOCK_MS};
	arena_init(&world.arena, 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	REDIS("PING"); /* releases the last reply but one */
	arena_release(&world.arena);
	bq_queue_release(&world.queue);
	rmux_stop(world.mux, DEADLINE);
	bq_free(world.bq);
	rmux_free(world.mux);
	redis_server_stop(&world.redis);
	return 0;
}

static int clean(void **state)
{
	(void)state;
	REDIS("FLUSHALL");
	arena_reset(&world.arena);
	world.err = (struct err){0};
	return 0;
}

static struct bq_add a_job(void)
{
	struct bq_add job = {.name = STR("send"), .data = STR("{\"n\":[],\"x\":0.10000000000000000001}")};

	bq_opts_init(&job.opts);
	return job;
}

static struct bq_added add(const struct bq_add *job)
{
	struct bq_added added = {0};
	int rc = bq_add(world.bq, &world.queue, job, &world.arena, &added, DEADLINE, &world.err);

	if (rc < 0)
		fail_msg("bq_add: %s", world.err.text);
	return added;
}

static int add_rc(const struct bq_add *job)
{
	struct bq_added added;

	return bq_add(world.bq, &world.queue, job, &world.arena, &added, DEADLINE, &world.err);
}

static struct bq_job status(struct str id)
{
	struct bq_job job;

	assert_int_equal(bq_status(world.bq, &world.queue, id, true, &world.arena, &job, DEADLINE, &world.err), 0);
	return job;
}

static struct bq_job take(const char *token)
{
	struct bq_taken taken;
	struct bq_job job;

	assert_int_equal(bq_take(world.bq, &world.queue, &world.worker, str_from(token), &world.arena, &job, &taken, DEADLINE,
				 &world.err),
			 0);
	assert_true(taken.got);
	return job;
}

static bool nothing_to_take(void)
{
	struct bq_taken taken;
	struct bq_job job;

	assert_int_equal(bq_take(world.bq, &world.queue, &world.worker, STR("t"), &world.arena, &job, &taken, DEADLINE, &world.err), 0);
	return !taken.got;
}

static struct bq_counts counts(void)
{
	struct bq_counts c;

	assert_int_equal(bq_counts(world.bq, &world.queue, &c, DEADLINE, &world.err), 0);
	return c;
}

#define assert_str(s, literal) \
	do { \
		struct str got_ = (s); \
		assert_int_equal(got_.n, sizeof(literal) - 1); \
		assert_memory_equal(got_.p, literal, got_.n); \
	} while (0)

/* ---- adding ---- */
static void adds_and_reads_back(void **state)
{
	struct bq_add job = a_job();
	struct bq_added added;
	struct bq_job read;

	(void)state;
	job.opts.attempts = 3;
	job.opts.backoff = (struct bq_backoff){.set = true, .type = STR("exponential"), .delay_ms = 1000};
	job.opts.org = STR("acme");
	job.opts.sub = STR("billing");
	added = add(&job);
	assert_true(added.created);
	assert_false(added.replayed);
	assert_int_equal(added.state, BQ_WAITING);
	assert_str(added.id, "1");
	read = status(added.id);
	assert_int_equal(read.state, BQ_WAITING);
	assert_str(read.name, "send");
	assert_str(read.data, "{\"n\":[],\"x\":0.10000000000000000001}"); /* byte for byte */
	assert_int_equal(read.opts.attempts, 3);
	assert_str(read.opts.backoff.type, "exponential");
	assert_str(read.opts.org, "acme");
	assert_str(read.opts.sub, "billing");
	assert_int_equal(read.finished_on, -1);
	assert_null(read.returnvalue.p);
}

static void each_kind_gets_its_state(void **state)
{
	struct bq_add standard = a_job(), delayed = a_job(), prioritized = a_job(), parent = a_job();
	struct bq_counts c;

	(void)state;
	delayed.opts.delay_ms = 60000;
	prioritized.opts.priority = 7;
	parent.waits_for_children = true;
	assert_int_equal(add(&standard).state, BQ_WAITING);
	assert_int_equal(add(&delayed).state, BQ_DELAYED);
	assert_int_equal(add(&prioritized).state, BQ_PRIORITIZED);
	assert_int_equal(add(&parent).state, BQ_WAITING_CHILDREN);
	c = counts();
	assert_int_equal(c.n[BQ_WAITING], 1);
	assert_int_equal(c.n[BQ_DELAYED], 1);
	assert_int_equal(c.n[BQ_PRIORITIZED], 1);
	assert_int_equal(c.n[BQ_WAITING_CHILDREN], 1);
	assert_int_equal(status(STR("2")).state, BQ_DELAYED);
	assert_int_equal(status(STR("3")).state, BQ_PRIORITIZED);
	assert_int_equal(status(STR("4")).state, BQ_WAITING_CHILDREN);
}

static void an_id_is_added_once(void **state)
{
	struct bq_add job = a_job();
	struct bq_added again;

	(void)state;
	job.opts.job_id = STR("invoice-7");
	job.opts.org = STR("acme");
	assert_true(add(&job).created);
	again = add(&job);
	assert_false(again.created);
	assert_str(again.id, "invoice-7");
	assert_int_equal(counts().n[BQ_WAITING], 1);
	take("t");
	assert_int_equal(add(&job).state, BQ_ACTIVE);
	job.opts.org = STR("other");
	assert_int_equal(add_rc(&job), ERR_TAKEN);
	job.opts.org = STR_NONE; /* "default" */
	assert_int_equal(add_rc(&job), ERR_TAKEN);
}

static void deduplication_is_told_apart(void **state)
{
	struct bq_add job = a_job();
	struct bq_added first, second;

	(void)state;
	job.opts.dedup_id = STR("acme:daily");
	first = add(&job);
	second = add(&job);
	assert_true(first.created);
	assert_false(second.created);
	assert_true(str_eq(first.id, second.id));
	assert_int_equal(counts().n[BQ_WAITING], 1);
	job.opts.job_id = STR("with-id");
	assert_false(add(&job).created);
	job.opts.dedup_id = STR("acme:other");
	assert_true(add(&job).created);
}

static void an_idempotency_key_answers_again(void **state)
{
	struct bq_add job = a_job();
	struct bq_added first, again;

	(void)state;
	job.idem_key = STR("bull:orders:idem:aa");
	job.idem_fingerprint = STR("f1");
	job.idem_ttl_ms = 60000;
	job.opts.delay_ms = 5000;
	first = add(&job);
	assert_false(first.replayed);
	again = add(&job);
	assert_true(again.replayed);
	assert_true(again.created); /* the stored answer, as it was */
	assert_int_equal(again.state, BQ_DELAYED);
	assert_true(str_eq(first.id, again.id));
	assert_int_equal(counts().n[BQ_DELAYED], 1);
	assert_true(REDIS("PTTL", "bull:orders:idem:aa")->integer > 50000);
	job.idem_fingerprint = STR("f2");
	assert_int_equal(add_rc(&job), ERR_MISMATCH);
}

static void a_failed_add_leaves_no_record(void **state)
{
	struct bq_add job = a_job();

	(void)state;
	job.idem_key = STR("bull:orders:idem:aa");
	job.idem_fingerprint = STR("f1");
	job.idem_ttl_ms = 60000;
	job.parent = (struct bq_parent){.id = STR("missing"), .queue_key = STR("bull:orders")};
	assert_int_equal(add_rc(&job), ERR_NOT_FOUND);
	assert_int_equal(REDIS("EXISTS", "bull:orders:idem:aa")->integer, 0);
}

static void a_full_queue_refuses(void **state)
{
	struct bq_add job = a_job(), delayed = a_job();

	(void)state;
	delayed.opts.delay_ms = 60000;
	add(&job);
	add(&delayed);
	job.max_waiting = 3;
	job.opts.job_id = STR("third");
	add(&job);
	job.opts.job_id = STR("fourth");
	assert_int_equal(add_rc(&job), ERR_FULL);
	job.opts.job_id = STR("third"); /* it exists: no room is needed */
	assert_false(add(&job).created);
	take("t");
	job.opts.job_id = STR("fourth");
	assert_true(add(&job).created);
}

static void many_are_answered_one_by_one(void **state)
{
	enum { N = 250 };
	struct bq_add jobs[N];
	struct bq_add_result results[N];

	(void)state;
	for (size_t i = 0; i < N; i++)
		jobs[i] = a_job();
	jobs[3].opts.size_limit = 1;
	jobs[120].parent = (struct bq_parent){.id = STR("missing"), .queue_key = STR("bull:orders")};
	jobs[200].opts.job_id = jobs[201].opts.job_id = STR("twice");
	assert_int_equal(bq_add_many(world.bq, &world.queue, jobs, N, &world.arena, results, DEADLINE, &world.err), 0);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(results[i].rc, i == 3 ? ERR_LIMIT : i == 120 ? ERR_NOT_FOUND : 0);
	assert_true(results[200].added.created);
	assert_false(results[201].added.created);
	assert_int_equal(counts().n[BQ_WAITING], N - 3);
	assert_int_equal(status(results[249].added.id).state, BQ_WAITING);
}

static void children_hold_their_parent(void **state)
{
	struct bq_add parent = a_job(), child = a_job();
	struct bq_job job, done;

	(void)state;
	parent.waits_for_children = true;
	parent.opts.job_id = STR("order");
	child.parent = (struct bq_parent){.id = STR("order"), .queue_key = STR("bull:orders")};
	add(&parent);
	add(&child);
	job = take("t");
	assert_str(job.parent_id, "order");
	assert_str(job.parent_queue, "orders");
	assert_int_equal(bq_complete(world.bq, &world.queue, &world.worker, &job, STR("t"), STR("{}"), DEADLINE, &world.err), 0);
	done = take("t2");
	assert_str(done.id, "order");
}

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

static void a_queue_is_announced(void **state)
{
	(void)state;
	assert_int_equal(bq_queue_exists(world.bq, &world.queue, DEADLINE, &world.err), 0);
	REDIS("HSET", "bull:orders:meta", "opts.maxLenEvents", "77");
	assert_int_equal(bq_queue_announce(world.bq, &world.queue, DEADLINE, &world.err), 0);
	assert_int_equal(bq_queue_exists(world.bq, &world.queue, DEADLINE, &world.err), 1);
	assert_string_equal(REDIS("HGET", "bull:orders:meta", "opts.maxLenEvents")->str, "77");
	assert_string_equal(REDIS("HGET", "bull:orders:meta", "version")->str, "bullmq:6.7.0");
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
	assert_int_equal(bq_queue_init(&q, STR(""), STR("a"), &world.err), ERR_INVALID);
	assert_str(world.queue.keys[BQ_KEY_BASE], "bull:orders:");
	assert_str(world.queue.keys[BQ_KEY_METRICS_FAILED], "bull:orders:metrics:failed");
}

#define TEST(f) cmocka_unit_test_setup(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(adds_and_reads_back),
		TEST(each_kind_gets_its_state),
		TEST(an_id_is_added_once),
		TEST(deduplication_is_told_apart),
		TEST(an_idempotency_key_answers_again),
		TEST(a_failed_add_leaves_no_record),
		TEST(a_full_queue_refuses),
		TEST(many_are_answered_one_by_one),
		TEST(children_hold_their_parent),
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
		TEST(older_hashes_are_read),
		TEST(logs_are_kept_to_their_number),
		TEST(a_queue_is_announced),
		TEST(scripts_come_back_after_a_flush),
		TEST(client_names_are_bullmqs),
		TEST(ids_and_names_are_checked),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
