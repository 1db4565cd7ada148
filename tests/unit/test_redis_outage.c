/* lib/redis when a real redis-server is stopped, killed and started again. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/redis/rmux.h"
#include "tests/unit/redis_calls.h"
#include "tests/unit/redis_server.h"

static void test_a_stopped_redis_makes_no_pile_and_comes_back(void **state)
{
	(void)state;
	struct redis_server redis;
	struct rmux_stats stats;
	char text[64];
	redis_server_start(&redis, NULL);
	struct rmux *m = start_connected_mux(redis_server_addr(&redis), 0);
	kill(redis.pid, SIGSTOP);
	int64_t before = clock_mono_ms();
	for (int i = 0; i < 5; i++)
		call_in_vain(m, "INCR", "n", 40);
	assert_true(clock_mono_ms() - before < SOON);
	kill(redis.pid, SIGCONT);
	/* The five were executed late, their replies went to nobody. */
	assert_int_equal(call_text(m, "INCR", "n", SOON, text, NULL), 0);
	assert_string_equal(text, "6");
	rmux_stats(m, &stats);
	assert_int_equal(stats.reconnects, 0);
	end_mux(m);
	redis_server_stop(&redis);
}

static void test_a_silent_redis_is_given_up(void **state)
{
	(void)state;
	struct redis_server redis;
	redis_server_start(&redis, NULL);
	struct rmux *m = start_connected_mux(redis_server_addr(&redis), 200);
	kill(redis.pid, SIGSTOP);
	assert_int_equal(call_code(m, "INCR", "n", SOON), ERR_UNKNOWN_OUTCOME);
	wait_down(m);
	while (call_code(m, "INCR", "n", 20) != ERR_UNAVAILABLE)
		continue;
	kill(redis.pid, SIGCONT);
	int64_t deadline = clock_mono_ms() + 2 * (int64_t)SOON;
	while (call_code(m, "ECHO", "again", SOON) != 0) /* where the machine pauses, it is given up once more */
		assert_true(clock_mono_ms() < deadline);
	end_mux(m);
	redis_server_stop(&redis);
}

/* The PING of an idle connection is what notices. */
static void test_silence_is_noticed_when_idle(void **state)
{
	(void)state;
	struct redis_server redis;
	redis_server_start(&redis, NULL);
	struct rmux *m = start_connected_mux(redis_server_addr(&redis), 100);
	kill(redis.pid, SIGSTOP);
	wait_down(m);
	kill(redis.pid, SIGCONT);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	end_mux(m);
	redis_server_stop(&redis);
}

#define WRITERS 8

struct writer {
	struct rmux *mux;
	char key[16];
	_Atomic bool *stop;
	int ok, unknown, other;
};

static void *write_thread(void *arg)
{
	struct writer *w = arg;
	while (!atomic_load(w->stop)) {
		int rc = call_code(w->mux, "INCR", w->key, SOON);
		w->ok += rc == 0;
		w->unknown += rc == ERR_UNKNOWN_OUTCOME;
		w->other += rc < 0 && rc != ERR_UNKNOWN_OUTCOME;
	}
	return NULL;
}

struct transitions {
	_Atomic int up, down, changed;
};

static void note_state(void *arg, bool up, bool run_id_changed)
{
	struct transitions *t = arg;
	atomic_fetch_add(up ? &t->up : &t->down, 1);
	atomic_fetch_add(&t->changed, run_id_changed);
}

static void wait_calls(const struct rmux *m, uint64_t more)
{
	struct rmux_stats stats;
	rmux_stats(m, &stats);
	for (uint64_t goal = stats.calls + more; stats.calls < goal;)
		rmux_stats(m, &stats);
}

static void test_a_killed_redis_leaves_only_the_truth(void **state)
{
	(void)state;
	static const char *const aof[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
	struct redis_server redis;
	struct writer w[WRITERS];
	struct transitions t = {0};
	pthread_t id[WRITERS];
	_Atomic bool stop = false;
	redis_server_start(&redis, aof);
	struct rmux_options o = {.addr = redis_server_addr(&redis), .on_state = note_state, .on_state_arg = &t};
	struct rmux *m = rmux_new(&o, NULL);
	assert_int_equal(rmux_start(m, NULL), 0);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){.mux = m, .stop = &stop};
		snprintf(w[i].key, sizeof(w[i].key), "w%d", i);
		assert_int_equal(pthread_create(&id[i], NULL, write_thread, &w[i]), 0);
	}
	for (int round = 0; round < 3; round++) {
		wait_calls(m, 200);
		redis_server_kill(&redis);
		wait_down(m);
		redis_server_run(&redis, aof);
		assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	}
	wait_calls(m, 50);
	atomic_store(&stop, true);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(id[i], NULL);
	for (int i = 0; i < WRITERS; i++) {
		char text[64];
		int64_t v = -1;
		assert_int_equal(call_text(m, "GET", w[i].key, SOON, text, NULL), 0);
		assert_int_equal(str_to_i64(str_from(text), &v), 0);
		assert_in_range(v, w[i].ok, w[i].ok + w[i].unknown);
	}
	assert_int_equal(atomic_load(&t.up), 4);
	assert_int_equal(atomic_load(&t.down), 3);
	assert_int_equal(atomic_load(&t.changed), 3);
	end_mux(m);
	redis_server_stop(&redis);
}

static void test_service_is_back(void **state)
{
	(void)state;
	struct redis_server redis;
	redis_server_start(&redis, NULL);
	struct rmux *m = start_connected_mux(redis_server_addr(&redis), 0);
	redis_server_kill(&redis);
	wait_down(m);
	/* Long enough for the backoff to be at its longest. */
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + 2500), ERR_TIMEOUT);
	redis_server_run(&redis, NULL);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	assert_echo(m, "back");
	end_mux(m);
	redis_server_stop(&redis);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stopped_redis_makes_no_pile_and_comes_back),
		cmocka_unit_test(test_a_silent_redis_is_given_up),
		cmocka_unit_test(test_silence_is_noticed_when_idle),
		cmocka_unit_test(test_a_killed_redis_leaves_only_the_truth),
		cmocka_unit_test(test_service_is_back),
	};
	return cmocka_run_group_tests_name("redis outages", tests, NULL, NULL);
}
