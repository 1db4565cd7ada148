/* How the runtime ends jobs where their end is not taken as it is told. */
#include "tests/unit/runtime_world.h"

/* The fault: the end was given up, the job's lock ran out, and its processor ran again and again. */
static void a_job_with_children_left_fails_instead_of_completing(void **state)
{
	struct world *w = *state;
	struct str id = add(w, "hold", "{}", 0);

	until_starts(1);
	redis(w, "SADD bull:hold:%.*s:dependencies bull:other:1", STR_ARG(id));
	atomic_store(&may_end, true);
	struct bq_job job = until_state(w, "hold", id, BQ_FAILED);
	assert_true(str_starts(job.failed_reason, STR("CHILDREN_NOT_DONE: ")));
	assert_int_equal(job.stalled_count, 0);
	assert_int_equal(job.attempts_made, atomic_load(&starts));
}

/* The fault: the wish was forgotten, since it had come when the end was told, though the end was another one. */
static void a_wish_that_comes_too_late_is_for_the_next_attempt(void **state)
{
	struct world *w = *state;
	const struct bq_queue *q = &queue(w, "stumble")->queue;
	struct str id = add(w, "stumble", "{}", 0);

	until_starts(1);
	struct bq_job job = look(w, "stumble", id);
	assert_int_equal(bq_cancel_ask(w->bq, q, &job, 60000, clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	redis(w, "CLIENT PAUSE 600 ALL");
	atomic_store(&may_end, true);
	for (int64_t until = clock_mono_ms() + 100; clock_mono_ms() < until || atomic_load(&running); clock_sleep_ms(10))
		; /* it has failed, and tells so */
	(void)runtime_cancel(w->rt, q, id); /* should the end be told by now, this finds nobody */
	job = until_state(w, "stumble", id, BQ_FAILED);
	assert_true(str_starts(job.failed_reason, STR("CANCELLED: ")));
	assert_int_equal(atomic_load(&starts), 1);
}

/* The fault: the call that ends a job takes the next one; where its answer came too late, that one was nobody's until its lock had run out. */
static void what_an_unheard_answer_took_is_given_back(void **state)
{
	struct world *w = *state;
	struct str first = add(w, "steady", "{}", 0);

	until_starts(1);
	struct str next = add(w, "steady", "{}", 0);
	redis(w, "CLIENT PAUSE 1600 ALL"); /* longer than is waited for an answer */
	atomic_store(&may_end, true);
	assert_int_equal(until_state(w, "steady", next, BQ_COMPLETED).stalled_count, 0);
	until_state(w, "steady", first, BQ_COMPLETED);
	assert_int_equal(atomic_load(&starts), 2);
}

/* As for a worker over HTTP, who has nobody that looks after his queue: it is not declared. */
static int take_for_another(struct world *w, const struct bq_queue *q, const char *token, size_t n, struct bq_held *held, int64_t patience_ms)
{
	const struct bq_worker as = {.name = STR("another"), .lock_ms = 60000};
	struct bq_taken last;
	size_t got;
	int rc = bq_take_many(w->bq, q, &as, str_from(token), &w->arena, held, n, &got, &last, clock_mono_ms() + patience_ms, &w->err);

	return rc < 0 ? rc : (int)got;
}

/* The same fault there. What is held under other tokens, however alike, is theirs who know them. */
static void what_others_took_unheard_is_given_back_in_order(void **state)
{
	struct world *w = *state;
	struct bq_queue q;
	struct bq_add job = {.name = STR("work"), .data = STR("{}")};
	struct bq_added added;
	struct bq_held first, held[3];

	assert_int_equal(bq_queue_init(&q, STR("bull"), STR("elsewhere"), &w->err), 0);
	bq_opts_init(&job.opts);
	for (int i = 0; i < 4; i++)
		assert_int_equal(bq_add(w->bq, &q, &job, &w->arena, &added, clock_mono_ms() + TIMEOUT_MS, &w->err), 0);
	assert_int_equal(take_for_another(w, &q, "sluice-12", 1, &first, TIMEOUT_MS), 1);
	kill(w->redis.pid, SIGSTOP);
	assert_int_equal(take_for_another(w, &q, "sluice-1", 3, held, 1000), ERR_UNKNOWN_OUTCOME);
	runtime_unheard(w->rt, &q, "sluice-1");
	bq_queue_release(&q);
	kill(w->redis.pid, SIGCONT);
	/* they were taken, since this comes after it */
	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; !str_is(redis(w, "LINDEX bull:elsewhere:wait 2"), "2"); clock_sleep_ms(5))
		assert_true(clock_mono_ms() < deadline);
	assert_true(str_is(redis(w, "HGET bull:elsewhere:2 ats"), "1"));
	assert_true(str_is(redis(w, "LINDEX bull:elsewhere:wait 1"), "3"));
	assert_true(str_is(redis(w, "LINDEX bull:elsewhere:wait 0"), "4"));
	assert_true(str_is(redis(w, "LINDEX bull:elsewhere:active 0"), "1"));
	assert_true(str_is(redis(w, "GET bull:elsewhere:1:lock"), first.token));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_job_with_children_left_fails_instead_of_completing),
		T(a_wish_that_comes_too_late_is_for_the_next_attempt),
		T(what_an_unheard_answer_took_is_given_back),
		T(what_others_took_unheard_is_given_back_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
