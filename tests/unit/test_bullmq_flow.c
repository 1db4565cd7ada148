/* Flows: trees of jobs, and what parents learn of their children. */
#include "lib/bullmq/flow.h"
#include "tests/unit/bullmq_world.h"

static struct str a_parent(const char *id)
{
	struct bq_add job = a_job();

	job.opts.job_id = str_from(id);
	job.waits_for_children = true;
	return add(&job).id;
}

static void a_child(const char *parent, const char *id, enum bq_on_parent on_parent)
{
	struct bq_add job = a_job();

	job.opts.job_id = str_from(id);
	job.opts.on_parent = on_parent;
	job.parent = (struct bq_parent){str_from(parent), STR("bull:orders")};
	add(&job);
}

static void end_next(const char *value, const char *reason)
{
	struct bq_job job = take("t");
	struct bq_failure f = {.reason = str_from(reason), .permanent = true, .retry_after_ms = -1};
	enum bq_failed how;

	int rc = value ? bq_complete(world.bq, &world.queue, &world.worker, &job, STR("t"), str_from(value), DEADLINE, &world.err)
		       : bq_fail(world.bq, &world.queue, &world.worker, &job, STR("t"), &f, &how, DEADLINE, &world.err);

	if (rc < 0)
		fail_msg("the end of %.*s: %s", STR_ARG(job.id), world.err.text);
}

static struct bq_children children(const char *id, unsigned depth)
{
	struct bq_children c;

	if (bq_children(world.bq, &world.queue, str_from(id), depth, &world.arena, &c, DEADLINE, &world.err) < 0)
		fail_msg("bq_children: %s", world.err.text);
	return c;
}

static const struct bq_child *child_called(const struct bq_children *c, const char *id)
{
	for (size_t i = 0; i < c->n; i++)
		if (str_is(c->items[i].id, id))
			return &c->items[i];
	fail_msg("no child %s", id);
	return NULL;
}

static void a_job_without_children_has_none(void **state)
{
	struct bq_add job = a_job();
	struct bq_children c;

	(void)state;
	job.opts.job_id = STR("alone");
	add(&job);
	c = children("alone", 8);
	assert_int_equal(c.n, 0);
	assert_int_equal(c.pending, 0);
	assert_false(c.more);
	assert_int_equal(children("nobody", 8).n, 0);
}

static void a_parent_learns_values_and_reasons(void **state)
{
	const struct bq_child *done, *failed;
	struct bq_children c;

	(void)state;
	a_parent("gather");
	a_child("gather", "good", BQ_PARENT_WAITS);
	a_child("gather", "bad", BQ_PARENT_IGNORES);
	a_child("gather", "open", BQ_PARENT_WAITS);
	end_next("{\"pages\":3}", NULL);
	end_next(NULL, "BROKEN: no pages");
	c = children("gather", 1);
	assert_int_equal(c.n, 2);
	assert_int_equal(c.pending, 1);
	done = child_called(&c, "good");
	assert_str(done->value, "{\"pages\":3}");
	assert_null(done->failed_reason.p);
	assert_str(done->queue, "orders");
	assert_str(done->key, "bull:orders:good");
	assert_true(done->parent == BQ_CHILD_OF_JOB);
	failed = child_called(&c, "bad");
	assert_null(failed->value.p);
	assert_str(failed->failed_reason, "BROKEN: no pages");
}

/* notify <- analyse <- read: `read` fails and takes `analyse` with it, `notify` runs nevertheless and must be able to say why. */
static void a_cause_is_found_two_levels_down(void **state)
{
	struct bq_children c;
	const struct bq_child *analyse, *cause;

	(void)state;
	a_parent("notify");
	struct bq_add job = a_job();
	job.opts.job_id = STR("analyse");
	job.opts.on_parent = BQ_PARENT_CONTINUES;
	job.parent = (struct bq_parent){STR("notify"), STR("bull:orders")};
	job.waits_for_children = true;
	add(&job);
	a_child("analyse", "read", BQ_PARENT_FAILS);
	end_next(NULL, "CORRUPT: the file is cut off");
	assert_str(take("t").deferred_failure, "child bull:orders:read failed");
	struct bq_job taken = status(STR("analyse"));
	struct bq_failure f = {.reason = taken.deferred_failure, .permanent = true, .retry_after_ms = -1};
	enum bq_failed how;
	assert_int_equal(bq_fail(world.bq, &world.queue, &world.worker, &taken, STR("t"), &f, &how, DEADLINE, &world.err), 0);
	assert_int_equal(status(STR("notify")).state, BQ_WAITING);
	c = children("notify", 8);
	assert_int_equal(c.n, 2);
	analyse = child_called(&c, "analyse");
	assert_str(analyse->failed_reason, "child bull:orders:read failed");
	assert_true(analyse->by_child);
	cause = child_called(&c, "read");
	assert_str(cause->failed_reason, "CORRUPT: the file is cut off");
	assert_false(cause->by_child);
	assert_ptr_equal(&c.items[cause->parent], analyse);
	assert_int_equal(children("notify", 1).n, 1);
	/* of the parent that was made to fail, one level is enough for the reason */
	assert_str(children("analyse", 1).items[0].failed_reason, "CORRUPT: the file is cut off");
	REDIS("DEL", "bull:orders:read");
	assert_str(children("analyse", 1).items[0].failed_reason, "");
}

static void a_long_list_is_cut(void **state)
{
	char id[16], key[32];
	struct bq_children c;

	(void)state;
	for (int i = 0; i < BQ_CHILDREN_MAX + 50; i++) {
		snprintf(id, sizeof(id), "%d", i);
		snprintf(key, sizeof(key), "a:b:orders:c%d", i); /* a prefix may hold colons */
		REDIS("HSET", "bull:orders:many:processed", key, id);
	}
	c = children("many", 1);
	assert_true(c.more);
	assert_true(c.n > 100 && c.n <= BQ_CHILDREN_MAX);
	for (size_t i = 0; i < c.n; i++) {
		assert_str(c.items[i].queue, "orders");
		assert_int_equal(c.items[i].id.p[0], 'c');
		assert_memory_equal(c.items[i].id.p + 1, c.items[i].value.p, c.items[i].value.n);
	}
}

/* ---- adding ---- */

static struct bq_flow_job flow_jobs[3];
static struct bq_flow flow;

/* notify <- analyse <- read, of one queue */
static void a_flow(void)
{
	for (size_t i = 0; i < ARRAY_LEN(flow_jobs); i++)
		flow_jobs[i] = (struct bq_flow_job){.queue = &world.queue, .add = a_job(), .parent = i - 1};
	flow_jobs[0].parent = BQ_FLOW_ROOT;
	flow_jobs[1].add.opts.on_parent = BQ_PARENT_CONTINUES;
	flow_jobs[2].add.opts.on_parent = BQ_PARENT_FAILS;
	flow = (struct bq_flow){.jobs = flow_jobs, .n = ARRAY_LEN(flow_jobs)};
}

static int flow_rc(struct bq_flow_added *added)
{
	return bq_add_flow(world.bq, &flow, &world.arena, added, DEADLINE, &world.err);
}

static int64_t keys_in_redis(void)
{
	return REDIS("DBSIZE")->integer;
}

static void a_flow_is_a_chain_of_parents(void **state)
{
	struct bq_flow_added added;
	struct bq_job middle;

	(void)state;
	a_flow();
	flow_jobs[2].add.opts.org = STR("acme");
	assert_int_equal(flow_rc(&added), 0);
	assert_true(added.root.created);
	assert_int_equal(added.root.state, BQ_WAITING_CHILDREN);
	assert_true(str_eq(added.root.id, added.ids[0]));
	for (size_t i = 0; i < flow.n; i++)
		assert_int_equal(added.ids[i].n, 36); /* UUIDs */
	assert_int_equal(status(added.ids[0]).state, BQ_WAITING_CHILDREN);
	assert_null(status(added.ids[0]).opts.job_id.p); /* FlowProducer writes only an id that was given */
	middle = status(added.ids[1]);
	assert_int_equal(middle.state, BQ_WAITING_CHILDREN);
	assert_true(str_eq(middle.parent_id, added.ids[0]));
	assert_str(middle.parent_queue, "orders");
	assert_int_equal(middle.opts.on_parent, BQ_PARENT_CONTINUES);
	assert_int_equal(status(added.ids[2]).state, BQ_WAITING);
	assert_str(status(added.ids[2]).opts.org, "acme");
	end_next("1", NULL);
	assert_true(str_eq(take("t").id, added.ids[1]));
}

static void a_flow_is_replayed_as_a_whole(void **state)
{
	struct bq_flow_added first, again;

	(void)state;
	a_flow();
	flow.idem_key = STR("bull:orders:idem:flow");
	flow.idem_fingerprint = STR("f1");
	flow.idem_ttl_ms = 60000;
	assert_int_equal(flow_rc(&first), 0);
	assert_false(first.root.replayed);
	end_next("1", NULL);
	int64_t before = keys_in_redis();
	assert_int_equal(flow_rc(&again), 0);
	assert_true(again.root.replayed);
	assert_true(again.root.created); /* the stored answer, as it was */
	assert_int_equal(again.root.state, BQ_WAITING_CHILDREN);
	for (size_t i = 0; i < flow.n; i++)
		assert_true(str_eq(first.ids[i], again.ids[i]));
	assert_int_equal(keys_in_redis(), before);
	assert_true(REDIS("PTTL", "bull:orders:idem:flow")->integer > 50000);
	flow.idem_fingerprint = STR("f2");
	assert_int_equal(flow_rc(&again), ERR_MISMATCH);
	assert_int_equal(keys_in_redis(), before);
}

static void refused_flow(int rc)
{
	struct bq_flow_added added;
	int64_t before = keys_in_redis();

	flow.idem_key = STR("bull:orders:idem:refused");
	flow.idem_fingerprint = STR("f");
	flow.idem_ttl_ms = 60000;
	assert_int_equal(flow_rc(&added), rc);
	assert_int_equal(keys_in_redis(), before);
	a_flow();
}

static void a_flow_that_is_refused_leaves_nothing(void **state)
{
	struct bq_add other = a_job();
	struct bq_flow_added added;

	(void)state;
	a_flow();
	flow_jobs[0].add.parent = (struct bq_parent){STR("gone"), STR("bull:orders")};
	refused_flow(ERR_NOT_FOUND);
	flow_jobs[1].add.opts.job_id = flow_jobs[2].add.opts.job_id = STR("twice");
	refused_flow(ERR_WRONG_STATE);
	flow_jobs[2].add.opts.size_limit = 3;
	refused_flow(ERR_LIMIT);
	other.opts.job_id = STR("theirs");
	other.opts.org = STR("acme");
	add(&other);
	flow_jobs[2].add.opts.job_id = STR("theirs");
	refused_flow(ERR_TAKEN);
	flow_jobs[2].add.max_waiting = 1;
	refused_flow(ERR_FULL);
	/* a job that waits for another parent already */
	flow_jobs[2].add.opts.job_id = STR("ours");
	assert_int_equal(flow_rc(&added), 0);
	refused_flow(ERR_WRONG_STATE);
	assert_int_equal(counts().n[BQ_WAITING_CHILDREN], 2);
}

static void a_flow_takes_in_jobs_that_are_there(void **state)
{
	struct bq_add early = a_job();
	struct bq_flow_added added;

	(void)state;
	early.opts.job_id = STR("early");
	add(&early);
	end_next("\"done\"", NULL);
	a_flow();
	flow.n = 2;
	flow_jobs[1].add.opts.job_id = STR("early");
	assert_int_equal(flow_rc(&added), 0);
	assert_true(added.root.created);
	assert_int_equal(added.root.state, BQ_WAITING); /* nothing to wait for */
	assert_int_equal(status(added.root.id).state, BQ_WAITING);
	char *root = arena_dupz(&world.arena, added.root.id);
	assert_str(children(root, 1).items[0].value, "\"done\"");
	/* the same root again: it existed */
	flow_jobs[0].add.opts.job_id = added.root.id;
	assert_int_equal(flow_rc(&added), 0);
	assert_false(added.root.created);
}

static void a_flow_spans_queues(void **state)
{
	struct bq_queue bills;
	struct bq_flow_added added;
	struct bq_job job;

	(void)state;
	assert_int_equal(bq_queue_init(&bills, STR("bull"), STR("bills"), &world.err), 0);
	a_flow();
	flow_jobs[1].queue = &bills;
	flow_jobs[1].add.max_waiting = 1;
	flow.idem_key = STR("bull:orders:idem:flow");
	flow.idem_fingerprint = STR("f1");
	flow.idem_ttl_ms = 60000;
	assert_int_equal(flow_rc(&added), 0);
	assert_int_equal(REDIS("EXISTS", "bull:orders:idem:flow")->integer, 1);
	assert_int_equal(bq_status(world.bq, &bills, added.ids[1], true, &world.arena, &job, DEADLINE, &world.err), 0);
	assert_int_equal(job.state, BQ_WAITING_CHILDREN);
	assert_str(job.parent_queue, "orders");
	assert_str(status(added.ids[2]).parent_queue, "bills");
	bq_queue_release(&bills);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_job_without_children_has_none),
		TEST(a_parent_learns_values_and_reasons),
		TEST(a_cause_is_found_two_levels_down),
		TEST(a_long_list_is_cut),
		TEST(a_flow_is_a_chain_of_parents),
		TEST(a_flow_is_replayed_as_a_whole),
		TEST(a_flow_that_is_refused_leaves_nothing),
		TEST(a_flow_takes_in_jobs_that_are_there),
		TEST(a_flow_spans_queues),
	};

	return cmocka_run_group_tests_name("bullmq_flow", tests, start, stop);
}
