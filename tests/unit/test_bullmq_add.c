/* Adding jobs: what our script decides around the official ones. */
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
	};

	return cmocka_run_group_tests(tests, start, stop);
}
