/* The runtime against a real Redis: what it does with jobs. */
#include "tests/unit/runtime_world.h"

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
	assert_in_range(first, 195, 5000);  /* 200 ms */
	assert_in_range(second, 395, 5000); /* 400 ms */
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
	assert_in_range(started_at[0] - added, 299, 5000);
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
	/* lock 5000 ms, check 500 ms: without renewal it would be put back within 5500 ms and started again by the idle worker */
	for (int64_t until = clock_mono_ms() + 6500; clock_mono_ms() < until; clock_sleep_ms(20))
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

/* Two jobs that one call took, and so with one token. */
static void hold_two_taken_together(struct world *w, struct str ids[2])
{
	const struct bq_queue *q = &queue(w, "hold")->queue;

	assert_int_equal(bq_pause(w->bq, q, true, clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	for (int i = 0; i < 2; i++)
		ids[i] = add(w, "hold", "{}", 0);
	assert_int_equal(bq_pause(w->bq, q, false, clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	until_starts(2);
	struct str token = redis(w, "GET bull:hold:%.*s:lock", STR_ARG(ids[0]));
	assert_true(token.n > 0 && str_eq(token, redis(w, "GET bull:hold:%.*s:lock", STR_ARG(ids[1]))));
}

static void until_one_runs(void)
{
	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; atomic_load(&running) != 1; clock_sleep_ms(1))
		assert_true(clock_mono_ms() < deadline);
}

static void the_one_that_runs_ends_well(struct world *w, struct str id)
{
	until_one_runs();
	atomic_store(&may_end, true);
	struct bq_job job = until_state(w, "hold", id, BQ_COMPLETED);
	assert_int_equal(job.stalled_count, 0);
	assert_int_equal(job.attempts_started, 1);
	assert_int_equal(atomic_load(&starts), 2);
}

static void cancelling_one_job_leaves_those_taken_with_it(void **state)
{
	struct world *w = *state;
	struct str ids[2];

	hold_two_taken_together(w, ids);
	struct bq_job job = look(w, "hold", ids[0]);
	assert_int_equal(bq_cancel_ask(w->bq, &queue(w, "hold")->queue, &job, 60000, clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	the_one_that_runs_ends_well(w, ids[1]);
	assert_true(str_starts(until_state(w, "hold", ids[0], BQ_FAILED).failed_reason, STR("CANCELLED: ")));
}

/* The fault: while locks were renewed a job ended, its lock counted as lost, and what had been taken with it was dropped and ran again. */
static void a_lost_lock_stops_its_own_job_only(void **state)
{
	struct world *w = *state;
	struct str ids[2];

	hold_two_taken_together(w, ids);
	redis(w, "DEL bull:hold:%.*s:lock", STR_ARG(ids[0]));
	redis(w, "LREM bull:hold:active 1 %.*s", STR_ARG(ids[0]));
	the_one_that_runs_ends_well(w, ids[1]);
}

/* ---- schedules ---- */

#define DUE_IN_MS 3000 /* what is done to the schedule before is done by then on any machine */

/* The next job of a schedule, as the official client leaves it. */
static struct str add_scheduled(struct world *w)
{
	long long due = (long long)clock_wall_ms() + DUE_IN_MS;
	struct str id = str_from(arena_printf(&w->arena, "repeat:tick:%lld", due));

	redis(w, "ZADD bull:echo:repeat %lld tick", due);
	redis(w, "HSET bull:echo:repeat:tick name tick data {\"n\":1} every 60000 ic 1");
	redis(w, "HSET bull:echo:%.*s name tick data {\"n\":1} timestamp %lld delay %d priority 0 rjk tick", STR_ARG(id), due, DUE_IN_MS);
	redis(w, "HSET bull:echo:%.*s opts {\"repeat\":{\"every\":60000,\"count\":1},\"prevMillis\":%lld}", STR_ARG(id), due);
	redis(w, "ZADD bull:echo:delayed %lld %.*s", due * 4096, STR_ARG(id));
	return id;
}

static bool has_successor(struct world *w)
{
	return str_is(redis(w, "HGET bull:echo:repeat:tick ic"), "2");
}

/* The fault: the successor was asked for once, and the job went on without one. */
static void a_schedule_goes_on_after_a_moment_with_a_full_redis(void **state)
{
	struct world *w = *state;
	struct str id = add_scheduled(w);

	redis(w, "CONFIG SET maxmemory 1");
	until_state(w, "echo", id, BQ_ACTIVE);
	for (int64_t until = clock_mono_ms() + 500; clock_mono_ms() < until; clock_sleep_ms(20))
		assert_int_equal(look(w, "echo", id).state, BQ_ACTIVE);
	assert_int_equal(atomic_load(&starts), 0);
	redis(w, "CONFIG SET maxmemory 0");
	until_state(w, "echo", id, BQ_COMPLETED);
	assert_true(has_successor(w));
}

/* Its first holder has made no successor. */
static void a_cancelled_job_does_not_end_its_schedule(void **state)
{
	struct world *w = *state;
	struct str id = add_scheduled(w);
	struct bq_job job = look(w, "echo", id);

	redis(w, "HSET bull:echo:%.*s ats 1", STR_ARG(id));
	assert_int_equal(bq_cancel_ask(w->bq, &queue(w, "echo")->queue, &job, 60000, clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	assert_true(str_starts(until_state(w, "echo", id, BQ_FAILED).failed_reason, STR("CANCELLED: ")));
	assert_true(has_successor(w));
}

static void a_broken_schedule_does_not_hold_up_its_job(void **state)
{
	struct world *w = *state;
	struct str id = add_scheduled(w);

	redis(w, "SET bull:echo:repeat:tick something-else");
	until_state(w, "echo", id, BQ_COMPLETED);
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
	for (int64_t until = clock_mono_ms() + 5500; clock_mono_ms() < until; clock_sleep_ms(20))
		; /* longer than the lock of 5000 ms */
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
		T(cancelling_one_job_leaves_those_taken_with_it),
		T(a_lost_lock_stops_its_own_job_only),
		T(a_schedule_goes_on_after_a_moment_with_a_full_redis),
		T(a_cancelled_job_does_not_end_its_schedule),
		T(a_broken_schedule_does_not_hold_up_its_job),
		T(a_job_that_is_handed_over_stays_active),
		T(a_queue_has_settings_of_its_own),
		T(draining_puts_running_jobs_back_unharmed),
		T(draining_lets_a_running_job_finish),
		T(an_outage_neither_fails_nor_repeats_a_running_job),
		T(without_workers_due_jobs_are_promoted_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
