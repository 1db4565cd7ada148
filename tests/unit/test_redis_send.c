/* When what is handed to the multiplexer leaves. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/redis/rconn.h"
#include "tests/unit/redis_calls.h"
#include "tests/unit/redis_server.h"

static void put_words(struct rcmd *cmd, const char *a, const char *b)
{
	rcmd_begin(cmd, 2);
	rcmd_argz(cmd, a);
	rcmd_argz(cmd, b);
}

static void on_nothing(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	(void)arg, (void)rc, (void)replies, (void)err;
}

struct follower {
	struct rmux *mux;
	struct rconn *beside; /* sees what Redis has */
	_Atomic int seen;     /* 1: what the callback sent was there before the callback returned; -1: it was not */
};

static void follow(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct follower *f = arg;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies there;
	int64_t n = rc, deadline = clock_mono_ms() + SOON;
	(void)replies, (void)err;
	put_words(&cmd, "INCR", "followed");
	rmux_send(f->mux, &cmd, deadline, on_nothing, NULL);
	put_words(&cmd, "EXISTS", "followed");
	while (n == 0 && clock_mono_ms() < deadline && rconn_command(f->beside, &cmd, deadline, &there, NULL) == 0) {
		(void)rreply_int(there.items[0], &n);
		rreplies_release(&there);
	}
	rcmd_release(&cmd);
	atomic_store(&f->seen, n == 1 ? 1 : -1);
}

/* The fault: it left only when the callback was over, and Redis had nothing to do while the callback woke dozens of threads. */
static void test_a_call_of_a_callback_leaves_at_once(void **state)
{
	(void)state;
	struct redis_server redis;
	struct rcmd cmd = RCMD_INIT;
	redis_server_start(&redis, NULL);
	struct raddr addr = redis_server_addr(&redis);
	struct follower f = {.mux = start_connected_mux(addr, 0), .beside = rconn_new(&addr, NULL, NULL)};
	assert_int_equal(rconn_open(f.beside, clock_mono_ms() + SOON, NULL), 0);
	put_words(&cmd, "ECHO", "go on");
	rmux_send(f.mux, &cmd, clock_mono_ms() + SOON, follow, &f);
	for (int64_t deadline = clock_mono_ms() + 2 * SOON; !atomic_load(&f.seen) && clock_mono_ms() < deadline;)
		sched_yield();
	assert_int_equal(atomic_load(&f.seen), 1);
	rconn_free(f.beside);
	end_mux(f.mux);
	redis_server_stop(&redis);
}

static void test_what_comes_too_late_is_not_sent(void **state)
{
	(void)state;
	struct redis_server redis;
	char text[64];
	redis_server_start(&redis, NULL);
	struct rmux *m = start_connected_mux(redis_server_addr(&redis), 0);
	assert_int_equal(call_code(m, "INCR", "n", -1), ERR_TIMEOUT);
	assert_int_equal(call_text(m, "EXISTS", "n", SOON, text, NULL), 0);
	assert_string_equal(text, "0");
	end_mux(m);
	redis_server_stop(&redis);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_call_of_a_callback_leaves_at_once),
		cmocka_unit_test(test_what_comes_too_late_is_not_sent),
	};
	return cmocka_run_group_tests_name("redis sending", tests, NULL, NULL);
}
