/* The runtime when other declarations come in force: workers rest, go on and are made. */
#include "tests/unit/runtime_world.h"

static void declare(struct world *w, const char *text)
{
	struct declarations *later = calloc(1, sizeof(*later));
	struct buf left = BUF_INIT;
	char file[128];

	assert_non_null(later);
	snprintf(file, sizeof(file), "%s/queues.json", w->redis.dir);
	assert_int_equal(fs_write_file(file, str_from(text), 0600, &w->err), 0);
	assert_int_equal(declarations_load(later, STR("bull"), file, STR_NONE, 0, lookup, &w->err), 0);
	assert_int_equal(declarations_compare(&w->queues, later, &left, &w->err), 0);
	declarations_adopt(&w->queues, later);
	assert_int_equal(runtime_heed_declarations(w->rt, &w->err), 0);
	buf_release(&left);
}

#define HOLD(concurrency) "{\"queues\":[{\"name\":\"hold\",\"processor\":\"hold\",\"concurrency\":" concurrency "}]}"

static void run_all(struct world *w, struct str *ids, size_t n)
{
	atomic_store(&may_end, true);
	for (size_t i = 0; i < n; i++)
		until_state(w, "hold", ids[i], BQ_COMPLETED);
	atomic_store(&may_end, false);
	atomic_store(&starts, 0);
	atomic_store(&most_running, 0);
}

static void concurrency_follows_the_declaration(void **state)
{
	struct world *w = *state;
	struct str ids[6];

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = add(w, "hold", "{}", 0);
	until_starts(2);
	declare(w, HOLD("4"));
	until_starts(4);
	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; runtime_oldest_ms(w->rt, queue(w, "hold")) <= 0;)
		assert_true(clock_mono_ms() < deadline);
	declare(w, HOLD("1")); /* while all are busy: they are not given another job when theirs end */
	assert_int_equal(runtime_busy(w->rt), 4);
	run_all(w, ids, ARRAY_LEN(ids));
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = add(w, "hold", "{}", 0);
	until_starts(1);
	atomic_store(&may_end, true);
	until_state(w, "hold", ids[5], BQ_COMPLETED);
	assert_int_equal(atomic_load(&most_running), 1);
	run_all(w, ids, ARRAY_LEN(ids));
	declare(w, HOLD("3")); /* those that rest go on */
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = add(w, "hold", "{}", 0);
	until_starts(3);
	assert_int_equal(runtime_slots(w->rt) >= 3, 1);
	run_all(w, ids, ARRAY_LEN(ids));
	declare(w, HOLD("2")); /* while all are idle */
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = add(w, "hold", "{}", 0);
	until_starts(2);
	atomic_store(&may_end, true);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		until_state(w, "hold", ids[i], BQ_COMPLETED);
	assert_int_equal(atomic_load(&most_running), 2);
}

/* The fault: idle workers for whom a call was under way did not rest, and took one more job each. */
static void those_that_are_waited_for_rest_too(void **state)
{
	struct world *w = *state;
	struct str ids[10];

	declare(w, HOLD("10"));
	struct str first = add(w, "hold", "{}", 0);
	until_starts(1);
	redis(w, "CLIENT PAUSE 600 ALL");
	atomic_store(&may_end, true);
	for (int64_t until = clock_mono_ms() + 200; clock_mono_ms() < until || atomic_load(&running); clock_sleep_ms(20))
		; /* the call that ends it, and takes for all, is under way */
	declare(w, HOLD("1"));
	atomic_store(&may_end, false);
	until_state(w, "hold", first, BQ_COMPLETED);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = add(w, "hold", "{}", 0);
	until_starts(2);
	for (int64_t until = clock_mono_ms() + 300; clock_mono_ms() < until; clock_sleep_ms(20))
		assert_int_equal(counts(w, "hold").n[BQ_ACTIVE], 1);
	run_all(w, ids, ARRAY_LEN(ids));
}

static void a_new_queue_is_worked_on(void **state)
{
	struct world *w = *state;

	declare(w, "{\"queues\":[{\"name\":\"fresh\",\"processor\":\"echo\"}]}");
	struct str id = add(w, "fresh", "{\"n\":1}", 0), later = add(w, "fresh", "{\"n\":2}", 50);
	struct bq_job job = until_state(w, "fresh", id, BQ_COMPLETED);
	assert_true(str_is(job.returnvalue, "{\"n\":1}"));
	until_state(w, "fresh", later, BQ_COMPLETED);
}

#define LOCKED(lock) "{\"queues\":[{\"name\":\"kept\",\"processor\":\"hold\",\"concurrency\":2,\"lockDuration\":" lock ",\"stalledInterval\":500}]}"

/* The fault: locks were next renewed when the longer ones would have been, and the jobs ran twice at once. */
static void shorter_locks_are_renewed_in_time(void **state)
{
	struct world *w = *state;

	declare(w, LOCKED("60000"));
	for (int64_t until = clock_mono_ms() + 1500; clock_mono_ms() < until; clock_sleep_ms(20))
		; /* upkeep has renewed, and would again in half a minute */
	declare(w, LOCKED("5000"));
	struct str id = add(w, "kept", "{}", 0);
	until_starts(1);
	for (int64_t until = clock_mono_ms() + 6500; clock_mono_ms() < until; clock_sleep_ms(20))
		assert_int_equal(look(w, "kept", id).state, BQ_ACTIVE);
	assert_int_equal(atomic_load(&starts), 1);
	atomic_store(&may_end, true);
	assert_int_equal(until_state(w, "kept", id, BQ_COMPLETED).stalled_count, 0);
}

/* With workers that rest. */
static void a_drain_ends_all_workers(void **state)
{
	struct world *w = *state;

	declare(w, HOLD("6"));
	declare(w, HOLD("1"));
	struct str id = add(w, "hold", "{}", 0);
	until_starts(1);
	atomic_store(&may_end, true);
	runtime_drain(w->rt, clock_mono_ms() + TIMEOUT_MS);
	assert_int_equal(look(w, "hold", id).state, BQ_COMPLETED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(concurrency_follows_the_declaration),
		T(those_that_are_waited_for_rest_too),
		T(a_new_queue_is_worked_on),
		T(shorter_locks_are_renewed_in_time),
		T(a_drain_ends_all_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
