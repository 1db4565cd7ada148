/* How the runtime hears of jobs. */
#include "processors/runtime/private.h"
#include "tests/unit/runtime_world.h"

/* A job that nothing tells of: there was no room for it when it came, and whoever made some did not look for another. */
static struct str add_unheard(struct world *w)
{
	redis(w, "HSET bull:echo:meta concurrency 1");
	redis(w, "LPUSH bull:echo:active somebody");
	struct str id = add(w, "echo", "{\"n\":2}", 0);
	redis(w, "LREM bull:echo:active 0 somebody");
	return id;
}

/* The fault: any marker put the next look off, also another queue's. */
static void each_queue_is_looked_at_now_and_then_however_busy_another_is(void **state)
{
	struct world *w = *state;
	struct str id = add(w, "echo", "{\"n\":1}", 0);

	until_state(w, "echo", id, BQ_COMPLETED);
	id = add_unheard(w);
	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; look(w, "echo", id).state != BQ_COMPLETED; clock_sleep_ms(200)) {
		assert_true(clock_mono_ms() < deadline);
		redis(w, "ZADD bull:refuse:marker 0 0");
	}
}

/* Over all queues, with nothing that would make it choose anew. */
static bool blocks(struct runtime *rt)
{
	bool all = true;

	lock_take(&rt->mu);
	for (size_t i = 0; i < rt->n_queues; i++)
		all = all && rt->queues[i].watched && rt->queues[i].n_idle == rt->queues[i].n_workers;
	lock_give(&rt->mu);
	return all && atomic_load(&rt->watch.blocked_as) && !rblock_is_stale(&rt->watch);
}

static void until_it_blocks(struct runtime *rt, bool it_should)
{
	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; blocks(rt) != it_should; clock_sleep_ms(2))
		assert_true(clock_mono_ms() < deadline);
}

/* Draining begins while a marker is on its way: before the idle workers have heard of it, they count among those it is for. */
static void a_marker_that_comes_as_draining_begins_goes_back(void **state)
{
	struct world *w = *state;

	until_it_blocks(w->rt, true);
	atomic_store(&w->rt->draining, true);
	redis(w, "ZADD bull:hold:marker 0 0");
	until_it_blocks(w->rt, false);
	for (int64_t deadline = clock_mono_ms() + TIMEOUT_MS; !redis(w, "ZSCORE bull:hold:marker 0").n; clock_sleep_ms(2))
		assert_true(clock_mono_ms() < deadline);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_queue_is_looked_at_now_and_then_however_busy_another_is),
		T(a_marker_that_comes_as_draining_begins_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
