/* Adding jobs: what our script decides around the official ones. */
#include "lib/base/lock.h"
#include "lib/base/table.h"
#include "tests/unit/bullmq_world.h"

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

/* Jobs that share their options go to Redis as one; the answers must still be each one's own. */
static void neighbours_that_are_alike_keep_their_order(void **state)
{
	enum { N = 9 };
	static const size_t order[N] = {8, 5, 4, 3, 2, 1, 0, 6, 7}; /* from the left: the first to run stands last */
	struct bq_add jobs[N];
	struct bq_add_result results[N];
	const redisReply *waiting;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		jobs[i] = a_job();
		jobs[i].data = str_from(arena_printf(&world.arena, "{\"n\":%zu}", i));
	}
	jobs[3].opts.attempts = 7;
	jobs[6].opts.lifo = jobs[7].opts.lifo = true;
	jobs[7].opts.job_id = STR("named");
	assert_int_equal(bq_add_many(world.bq, &world.queue, jobs, N, &world.arena, results, DEADLINE, &world.err), 0);
	for (size_t i = 0; i < N; i++) {
		struct bq_job job = status(results[i].added.id);
		assert_true(str_eq(job.data, jobs[i].data));
		assert_int_equal(job.opts.attempts == 7, i == 3);
	}
	waiting = REDIS("LRANGE", "bull:orders:wait", "0", "-1");
	assert_int_equal(waiting->elements, N);
	for (size_t i = 0; i < N; i++)
		assert_true(str_eq(rreply_str(waiting->element[i]), results[order[i]].added.id));
}

static void a_run_of_jobs_stops_where_the_queue_is_full(void **state)
{
	enum { N = 6 };
	struct bq_add jobs[N];
	struct bq_add_result results[N];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		jobs[i] = a_job();
		jobs[i].max_waiting = 4;
	}
	assert_int_equal(bq_add_many(world.bq, &world.queue, jobs, N, &world.arena, results, DEADLINE, &world.err), 0);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(results[i].rc, i < 4 ? 0 : ERR_FULL);
	assert_int_equal(counts().n[BQ_WAITING], 4);
	assert_string_equal(REDIS("GET", "bull:orders:id")->str, "4");
}

/* Somebody else's key stands where the third job's hash would be. */
static void one_bad_job_spoils_no_run(void **state)
{
	enum { N = 5 };
	struct bq_add jobs[N];
	struct bq_add_result results[N];

	(void)state;
	for (size_t i = 0; i < N; i++)
		jobs[i] = a_job();
	REDIS("SET", "bull:orders:3", "no hash");
	assert_int_equal(bq_add_many(world.bq, &world.queue, jobs, N, &world.arena, results, DEADLINE, &world.err), 0);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(results[i].rc, i == 2 ? ERR_REPLY : 0);
	assert_true(str_is(results[4].added.id, "5"));
	assert_int_equal(counts().n[BQ_WAITING], N - 1);
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

/* ---- adds of many threads share calls ---- */
enum { THREADS = 16, ADDS = 60 };

struct adder {
	struct thread thread;
	struct arena arena;
	struct str ids[ADDS];
	int64_t deadline;
	int failures, rc;
};

static void add_some(void *arg)
{
	struct adder *me = arg;

	for (int i = 0; i < ADDS; i++) {
		struct bq_add job = a_job();
		struct bq_added added = {0};
		struct err err;
		char *key = arena_printf(&me->arena, "bull:orders:idem:%p-%d", arg, i);

		job.opts.priority = i % 3 == 0 ? 5 : -1;
		if (i % 2 == 0) {
			job.idem_key = str_from(key);
			job.idem_fingerprint = STR("f");
			job.idem_ttl_ms = 60000;
		}
		if (i % 10 == 9)
			job.parent = (struct bq_parent){.id = STR("missing"), .queue_key = STR("bull:orders")};
		if (bq_add(world.bq, &world.queue, &job, &me->arena, &added, DEADLINE, &err) < 0)
			me->failures++;
		me->ids[i] = added.id;
	}
}

static void many_threads_add_at_once(void **state)
{
	static struct adder adders[THREADS];
	struct table seen;
	struct bq_counts c;

	(void)state;
	table_init(&seen);
	for (size_t t = 0; t < THREADS; t++) {
		adders[t] = (struct adder){0};
		arena_init(&adders[t].arena, 0);
		assert_int_equal(thread_start(&adders[t].thread, "adder", add_some, &adders[t]), 0);
	}
	for (size_t t = 0; t < THREADS; t++) {
		thread_join(&adders[t].thread);
		assert_int_equal(adders[t].failures, ADDS / 10); /* the missing parents, and nobody else's job */
		for (size_t i = 0; i < ADDS; i++)
			if (adders[t].ids[i].p) {
				assert_null(table_get(&seen, adders[t].ids[i]));
				assert_int_equal(table_put(&seen, adders[t].ids[i], &adders[t]), 0);
			}
		arena_release(&adders[t].arena);
	}
	c = counts();
	assert_int_equal(c.n[BQ_WAITING] + c.n[BQ_PRIORITIZED], THREADS * (ADDS - ADDS / 10));
	assert_int_equal(seen.count, THREADS * (ADDS - ADDS / 10));
	table_release(&seen);
}

static void add_one(void *arg)
{
	struct adder *me = arg;
	struct bq_add job = a_job();
	struct bq_added added;

	me->rc = bq_add(world.bq, &world.queue, &job, &me->arena, &added, me->deadline, NULL);
}

static uint64_t commands_sent(void)
{
	struct rmux_stats stats;

	rmux_stats(world.mux, &stats);
	return stats.commands;
}

/* Redis holds the first call up; what gathers behind it and runs out of time was never sent. */
static void a_gathered_add_can_time_out(void **state)
{
	struct adder first = {0};
	struct bq_add job = a_job();
	struct bq_added added;
	int64_t paused, asked;
	int rc;

	arena_init(&first.arena, 0);
	do { /* again, when the second add came as the first was answered */
		clean(state);
		first.deadline = DEADLINE;
		paused = clock_mono_ms();
		REDIS("CLIENT", "PAUSE", "700");
		uint64_t before = commands_sent();
		assert_int_equal(thread_start(&first.thread, "first", add_one, &first), 0);
		while (commands_sent() == before && clock_mono_ms() < first.deadline)
			clock_sleep_ms(1);
		asked = clock_mono_ms();
		rc = bq_add(world.bq, &world.queue, &job, &world.arena, &added, asked + 50, &world.err);
		thread_join(&first.thread);
	} while (asked - paused > 600);
	assert_int_equal(rc, ERR_TIMEOUT);
	assert_int_equal(first.rc, 0);
	assert_int_equal(counts().n[BQ_WAITING], 1);
	arena_release(&first.arena);
}

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
		TEST(neighbours_that_are_alike_keep_their_order),
		TEST(a_run_of_jobs_stops_where_the_queue_is_full),
		TEST(one_bad_job_spoils_no_run),
		TEST(children_hold_their_parent),
		TEST(many_threads_add_at_once),
		TEST(a_gathered_add_can_time_out),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
