/* Waiting for jobs on the hub's connection, one thread playing all who wait. */
#include "gateway/realtime/lease.h"
#include "lib/log/log.h"
#include "tests/unit/bullmq_world.h"

#define LONG_MS 15000 /* for what has to come */

static struct log *silent;
static struct lease_hub *hub;

static int hub_start(void **state)
{
	struct raddr addr = redis_server_addr(&world.redis);

	clean(state);
	silent = log_new(2, LOG_ERROR, LOG_FORMAT_TEXT);
	hub = lease_hub_new(world.bq, &addr, silent, &world.err);
	assert_non_null(hub);
	assert_int_equal(lease_hub_start(hub, &world.err), 0);
	return 0;
}

static int hub_stop(void **state)
{
	(void)state;
	lease_hub_stop(hub);
	lease_hub_free(hub);
	log_free(silent);
	return 0;
}

static bool sleeps_for(struct lease_wait *w, int64_t ms)
{
	return lease_wait_sleep(hub, w, clock_mono_ms() + ms);
}

/* Waits, has had the look that a new connection is due, and stands among those that sleep. */
static void begin_asleep(struct lease_wait *w, const struct bq_queue *q)
{
	assert_int_equal(lease_wait_begin(hub, w, q, &world.err), 0);
	assert_true(sleeps_for(w, LONG_MS));
	assert_false(sleeps_for(w, 1));
}

static void until_marker_is_taken(void)
{
	int64_t deadline = clock_mono_ms() + LONG_MS;

	while (REDIS("ZCARD", "bull:orders:marker")->integer && clock_mono_ms() < deadline)
		clock_sleep_ms(2);
}

/* A request that waits sleeps in naps, and sees between them whether its client is still there. */
static void who_is_woken_between_two_naps_looks(void **state)
{
	static struct lease_wait w; /* the hub knows it to the end, also when the test fails */
	const struct bq_add job = a_job();

	(void)state;
	begin_asleep(&w, &world.queue);
	add(&job);
	until_marker_is_taken();
	assert_true(sleeps_for(&w, 1000));
	lease_wait_end(hub, &w);
}

/* Jobs may be there without a marker, as when a queue with a bound of its own has room again. */
static void each_queue_looks_now_and_then_however_busy_another_is(void **state)
{
	static struct lease_wait quiet, busy;
	struct bq_queue other;
	int64_t deadline = clock_mono_ms() + LONG_MS;
	bool looks = false;

	(void)state;
	assert_int_equal(bq_queue_init(&other, STR("bull"), STR("busy"), &world.err), 0);
	begin_asleep(&quiet, &world.queue);
	assert_int_equal(lease_wait_begin(hub, &busy, &other, &world.err), 0);
	while (!looks && clock_mono_ms() < deadline) {
		REDIS("ZADD", "bull:busy:marker", "0", "0");
		(void)sleeps_for(&busy, 500);
		looks = sleeps_for(&quiet, 1);
	}
	assert_true(looks);
	lease_wait_end(hub, &busy);
	lease_wait_end(hub, &quiet);
	bq_queue_release(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_woken_between_two_naps_looks, hub_start, hub_stop),
		cmocka_unit_test_setup_teardown(each_queue_looks_now_and_then_however_busy_another_is, hub_start, hub_stop),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
