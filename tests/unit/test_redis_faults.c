/* lib/redis when the server is away, lies, is late or hangs up: what a failed call says is the truth. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/redis/rmux.h"
#include "tests/unit/fake_redis.h"
#include "tests/unit/redis_calls.h"

/* ---- nobody there ---- */

#define PATIENCE_MS 250 /* lib/redis/rmux_link.c: from then on calls do not wait for a connection */

/* A call to nobody waits until its deadline. One that came to its end later than the mux has patience says nothing: another mux is asked. */
static struct rmux *start_mux_that_waits(void)
{
	struct raddr addr = {.unix_path = "/nonexistent/redis.sock"};
	for (int64_t deadline = clock_mono_ms() + SOON;;) {
		int64_t began = clock_mono_ms();
		struct rmux *m = start_mux(addr, 0);
		int rc = call_code(m, "ECHO", "x", 50);
		if (rc == ERR_TIMEOUT)
			return m;
		assert_int_equal(rc, ERR_UNAVAILABLE);
		assert_in_range(clock_mono_ms(), began + PATIENCE_MS, deadline);
		end_mux(m);
	}
}

static void test_without_redis_calls_wait_and_then_fail_fast(void **state)
{
	(void)state;
	struct err err = {0};
	char text[64];
	struct rmux *m = start_mux_that_waits();
	int64_t deadline = clock_mono_ms() + SOON;
	while (call_text(m, "ECHO", "x", 20, text, &err) != ERR_UNAVAILABLE)
		assert_true(clock_mono_ms() < deadline);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	/* At once, however late its deadline. */
	int64_t before = clock_mono_ms();
	assert_int_equal(call_code(m, "ECHO", "x", SOON), ERR_UNAVAILABLE);
	assert_true(clock_mono_ms() - before < SOON / 2);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + 10), ERR_TIMEOUT);
	end_mux(m);
}

/* The fault: a call handed in before the outage was noticed kept its client waiting for all of a long deadline. */
static void test_without_redis_a_waiting_call_is_given_up(void **state)
{
	(void)state;
	struct raddr addr = {.unix_path = "/nonexistent/redis.sock"};
	struct err err = {0};
	char text[64];
	struct rmux *m = start_mux(addr, 0);
	int64_t before = clock_mono_ms();
	assert_int_equal(call_text(m, "ECHO", "x", SOON, text, &err), ERR_UNAVAILABLE);
	assert_true(clock_mono_ms() - before < SOON / 2);
	assert_string_equal(err.text, "Redis is not connected, nothing was sent");
	end_mux(m);
}

struct ended {
	struct lock mu;
	struct cond changed;
	int count;
	int code;
	pthread_t thread;
};

static void ended_init(struct ended *e)
{
	*e = (struct ended){0};
	lock_init(&e->mu);
	cond_init(&e->changed);
}

static void ended_release(struct ended *e)
{
	cond_release(&e->changed);
	lock_release(&e->mu);
}

static void note_end(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct ended *e = arg;
	lock_take(&e->mu);
	e->count++;
	e->code = rc;
	e->thread = pthread_self();
	/* A code is always explained, and replies come with success only. */
	if ((rc == 0) != (replies != NULL) || (rc < 0 && err->code != rc))
		e->code = ERR_BUG;
	cond_broadcast(&e->changed);
	lock_give(&e->mu);
}

static void send_one(struct rmux *m, int64_t within_ms, struct ended *e)
{
	struct rcmd cmd = RCMD_INIT;
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "ECHO");
	rcmd_argz(&cmd, "sent");
	rmux_send(m, &cmd, clock_mono_ms() + within_ms, note_end, e);
	rcmd_release(&cmd);
}

static int wait_ended(struct ended *e, int count)
{
	lock_take(&e->mu);
	while (e->count < count)
		assert_true(cond_wait_until(&e->changed, &e->mu, clock_mono_ms() + SOON));
	int code = e->code;
	lock_give(&e->mu);
	return code;
}

/* Of what went to nobody, by a mux that was started at `began` or later. */
static void assert_ended_as(int rc, int wanted, int64_t began)
{
	if (rc == ERR_UNAVAILABLE && clock_mono_ms() - began >= PATIENCE_MS)
		return; /* too late to tell */
	assert_int_equal(rc, wanted);
}

static void test_unsent_sends_end_once_and_on_the_io_thread(void **state)
{
	(void)state;
	struct raddr addr = {.unix_path = "/nonexistent/redis.sock"};
	struct ended e;
	ended_init(&e);
	int64_t began = clock_mono_ms();
	struct rmux *m = start_mux(addr, 0);
	send_one(m, 30, &e);
	assert_ended_as(wait_ended(&e, 1), ERR_TIMEOUT, began);
	while (call_code(m, "ECHO", "x", 20) != ERR_UNAVAILABLE)
		continue;
	send_one(m, SOON, &e);
	assert_int_equal(wait_ended(&e, 2), ERR_UNAVAILABLE);
	assert_false(pthread_equal(e.thread, pthread_self()));
	end_mux(m);
	assert_int_equal(e.count, 2);
	ended_release(&e);
}

static void test_stop_ends_what_waits(void **state)
{
	(void)state;
	struct raddr addr = {.unix_path = "/nonexistent/redis.sock"};
	struct ended e;
	ended_init(&e);
	int64_t began = clock_mono_ms();
	struct rmux *m = start_mux(addr, 0);
	for (int i = 0; i < 3; i++)
		send_one(m, SOON, &e);
	end_mux(m);
	assert_int_equal(e.count, 3);
	assert_ended_as(e.code, ERR_STOPPING, began);
	ended_release(&e);
}

/* ---- a server that misbehaves ---- */

/* Answers ECHO, in the manner that arg (a struct manner) asks for on the first connection, and properly on the next ones. */
struct manner {
	void (*first)(struct fake_connection *c);
	const char *greeting; /* to PING, on the first two connections */
};

static void serve_well(struct fake_connection *c)
{
	char text[128];
	while (fake_next(c, text, sizeof(text))) {
		char reply[160];
		const char *word = strchr(text, ' ');
		snprintf(reply, sizeof(reply), "+%s\r\n", word ? word + 1 : "PONG");
		fake_say(c, reply);
	}
}

static void serve_manner(struct fake_connection *c, void *arg)
{
	const struct manner *m = arg;
	if (m->greeting && c->number < 2) {
		fake_greet_saying(c, m->greeting);
		return;
	}
	fake_greet(c);
	if (c->number == 0 && m->first)
		m->first(c);
	else
		serve_well(c);
}

static void close_after_request(struct fake_connection *c)
{
	char text[64];
	(void)fake_next(c, text, sizeof(text));
}

static void close_mid_reply(struct fake_connection *c)
{
	char text[64];
	if (fake_next(c, text, sizeof(text)))
		fake_say(c, "$10\r\nhalf");
}

static void send_garbage(struct fake_connection *c)
{
	char text[64];
	if (fake_next(c, text, sizeof(text)))
		fake_say(c, "\x16\x03\x01 what is this\r\n");
	(void)fake_next(c, text, sizeof(text));
}

static void claim_huge(struct fake_connection *c)
{
	char text[64];
	if (fake_next(c, text, sizeof(text)))
		fake_say(c, "*2000000000\r\n");
	(void)fake_next(c, text, sizeof(text));
}

/* The first connection is to a server that has become a replica, without hanging up. */
static void refuse_writes(struct fake_connection *c)
{
	char text[64];
	while (fake_next(c, text, sizeof(text)))
		fake_say(c, strcmp(text, "PING") == 0 ? "+PONG\r\n" : "-READONLY You can't write against a read only replica.\r\n");
}

/* The fault: behind an address that leads to the master of the moment, the old master's connection was kept for ever. */
static void test_a_server_that_has_become_a_replica_is_left(void **state)
{
	(void)state;
	struct manner manner = {.first = refuse_writes};
	struct fake_redis fake;
	char text[64];
	fake_redis_start(&fake, serve_manner, &manner);
	struct rmux *m = start_connected_mux(fake_redis_addr(&fake), 0);
	int64_t deadline = clock_mono_ms() + 2 * (int64_t)SOON;
	do {
		assert_true(clock_mono_ms() < deadline);
		clock_sleep_ms(20);
	} while (call_text(m, "ECHO", "word", SOON, text, NULL) != 0 || strcmp(text, "word") != 0);
	end_mux(m);
	fake_redis_stop(&fake);
}

static void test_broken_replies_are_unknown_outcomes(void **state)
{
	(void)state;
	static void (*const first[])(struct fake_connection *) = {close_after_request, close_mid_reply, send_garbage, claim_huge};
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct fake_redis fake;
		struct manner manner = {.first = first[i]};
		struct err err = {0};
		char text[64];
		fake_redis_start(&fake, serve_manner, &manner);
		struct rmux *m = start_connected_mux(fake_redis_addr(&fake), 0);
		assert_int_equal(call_text(m, "ECHO", "lost", SOON, text, &err), ERR_UNKNOWN_OUTCOME);
		assert_int_equal(err.code, ERR_UNKNOWN_OUTCOME);
		/* Not sent yet when the connection broke: it waits for the next one. */
		assert_echo(m, "next");
		struct rmux_stats stats;
		rmux_stats(m, &stats);
		assert_int_equal(stats.unknown_outcomes, 1);
		assert_int_equal(stats.reconnects, 1);
		end_mux(m);
		fake_redis_stop(&fake);
	}
}

static void unasked(struct fake_connection *c)
{
	char text[64];
	fake_say(c, "+nobody asked\r\n");
	(void)fake_next(c, text, sizeof(text));
}

static void test_a_reply_that_nobody_asked_for_ends_the_connection(void **state)
{
	(void)state;
	struct fake_redis fake;
	struct manner manner = {.first = unasked};
	struct rmux_stats stats = {0};
	fake_redis_start(&fake, serve_manner, &manner);
	struct rmux *m = start_mux(fake_redis_addr(&fake), 0);
	while (stats.reconnects < 1)
		rmux_stats(m, &stats);
	assert_echo(m, "mine");
	end_mux(m);
	fake_redis_stop(&fake);
}

static void byte_by_byte(struct fake_connection *c)
{
	char text[128];
	while (fake_next(c, text, sizeof(text))) {
		char reply[160];
		int n = snprintf(reply, sizeof(reply), "*2\r\n:1\r\n$%zu\r\n%s\r\n", strlen(text), text);
		for (int i = 0; i < n; i++)
			fake_send(c, reply + i, 1);
	}
}

static void test_replies_may_come_byte_by_byte(void **state)
{
	(void)state;
	struct fake_redis fake;
	struct manner manner = {.first = byte_by_byte};
	fake_redis_start(&fake, serve_manner, &manner);
	struct rmux *m = start_connected_mux(fake_redis_addr(&fake), 0);
	for (int i = 0; i < 20; i++) {
		struct rcmd cmd = RCMD_INIT;
		struct rreplies replies;
		char word[16], want[32];
		snprintf(word, sizeof(word), "%d", i);
		snprintf(want, sizeof(want), "GET %d", i);
		rcmd_begin(&cmd, 2);
		rcmd_argz(&cmd, "GET");
		rcmd_argz(&cmd, word);
		assert_int_equal(rmux_call(m, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
		assert_true(str_is(rreply_str(rreply_at(replies.items[0], 1)), want));
		rreplies_release(&replies);
		rcmd_release(&cmd);
	}
	end_mux(m);
	fake_redis_stop(&fake);
}

static void test_not_up_while_the_server_is_not_ready(void **state)
{
	(void)state;
	static const char *const greetings[] = {"-LOADING Redis is loading\r\n", "-NOAUTH Authentication required.\r\n",
	                                        "-MASTERDOWN Link with MASTER is down\r\n", "+PO"};
	for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
		struct fake_redis fake;
		struct manner manner = {.greeting = greetings[i]};
		fake_redis_start(&fake, serve_manner, &manner);
		struct rmux *m = start_connected_mux(fake_redis_addr(&fake), 0);
		assert_echo(m, "ready");
		end_mux(m);
		fake_redis_stop(&fake);
	}
}

static void serve_silent_once(struct fake_connection *c, void *arg)
{
	char text[256];
	(void)arg;
	if (c->number == 0)
		while (fake_next(c, text, sizeof(text)))
			continue;
	fake_greet(c);
	serve_well(c);
}

static void test_a_server_that_never_greets_is_left(void **state)
{
	(void)state;
	struct fake_redis fake;
	fake_redis_start(&fake, serve_silent_once, NULL);
	struct rmux_options o = {.addr = fake_redis_addr(&fake), .connect_timeout_ms = 100};
	struct rmux *m = rmux_new(&o, NULL);
	assert_int_equal(rmux_start(m, NULL), 0);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	assert_echo(m, "the second one greets");
	end_mux(m);
	fake_redis_stop(&fake);
}

/* ---- how often it tries ---- */

#define TRIES 16
#define GAPS 9 /* the last ones, when the steps are as long as they get */

struct tries {
	_Atomic int n;
	int64_t at[TRIES];
};

static void hang_up(struct fake_connection *c, void *arg)
{
	struct tries *t = arg;
	if (c->number >= TRIES)
		return;
	t->at[c->number] = clock_mono_ms();
	atomic_store(&t->n, c->number + 1);
}

/* Every second at least, so that service is back within one. Each gap may be longer where the machine pauses, but not most of them. */
static void test_it_tries_again_within_a_second(void **state)
{
	(void)state;
	struct fake_redis fake;
	struct tries tries = {0};
	int soon = 0, pauses = 0;
	fake_redis_start(&fake, hang_up, &tries);
	struct rmux *m = start_mux(fake_redis_addr(&fake), 0);
	for (int64_t deadline = clock_mono_ms() + 3 * (int64_t)SOON; atomic_load(&tries.n) < TRIES; clock_sleep_ms(20))
		assert_true(clock_mono_ms() < deadline);
	for (int i = TRIES - GAPS; i < TRIES; i++) {
		int64_t gap = tries.at[i] - tries.at[i - 1];
		soon += gap <= 1000;
		pauses += gap >= 50;
	}
	assert_true(soon > GAPS / 2 && pauses > GAPS / 2);
	end_mux(m);
	fake_redis_stop(&fake);
}

/* A reply is held back until the test says so. */
struct gate {
	struct lock mu;
	struct cond changed;
	int asked;    /* requests seen */
	bool open;    /* replies may go out */
};

static void gate_init(struct gate *g)
{
	*g = (struct gate){0};
	lock_init(&g->mu);
	cond_init(&g->changed);
}

static void gate_open(struct gate *g)
{
	lock_take(&g->mu);
	g->open = true;
	cond_broadcast(&g->changed);
	lock_give(&g->mu);
}

static void gate_wait_asked(struct gate *g, int n)
{
	lock_take(&g->mu);
	while (g->asked < n)
		assert_true(cond_wait_until(&g->changed, &g->mu, clock_mono_ms() + SOON));
	lock_give(&g->mu);
}

static void gate_release(struct gate *g)
{
	cond_release(&g->changed);
	lock_release(&g->mu);
}

static void serve_gate(struct fake_connection *c, void *arg)
{
	struct gate *g = arg;
	char text[128], reply[160];
	fake_greet(c);
	while (fake_next(c, text, sizeof(text))) {
		lock_take(&g->mu);
		g->asked++;
		cond_broadcast(&g->changed);
		while (!g->open)
			cond_wait(&g->changed, &g->mu);
		lock_give(&g->mu);
		snprintf(reply, sizeof(reply), "+%s\r\n", text);
		fake_say(c, reply);
	}
}

static void test_late_replies_are_dropped(void **state)
{
	(void)state;
	struct fake_redis fake;
	struct gate gate;
	struct ended e;
	char text[64];
	gate_init(&gate);
	ended_init(&e);
	fake_redis_start(&fake, serve_gate, &gate);
	struct rmux *m = start_connected_mux(fake_redis_addr(&fake), SOON * 6);
	call_in_vain(m, "ECHO", "first", 30);
	send_one(m, 30, &e);
	assert_int_equal(wait_ended(&e, 1), ERR_UNKNOWN_OUTCOME);
	gate_wait_asked(&gate, 1);
	gate_open(&gate);
	assert_int_equal(call_text(m, "ECHO", "third", SOON, text, NULL), 0);
	assert_string_equal(text, "ECHO third");
	struct rmux_stats stats;
	rmux_stats(m, &stats);
	assert_int_equal(stats.reconnects, 0);
	assert_int_equal(stats.unknown_outcomes, 2);
	end_mux(m);
	assert_int_equal(e.count, 1);
	fake_redis_stop(&fake);
	ended_release(&e);
	gate_release(&gate);
}

static void *stop_thread(void *arg)
{
	rmux_stop(arg, clock_mono_ms() + SOON);
	return NULL;
}

static void test_stop_waits_for_what_is_in_flight(void **state)
{
	(void)state;
	struct fake_redis fake;
	struct gate gate;
	struct ended e;
	pthread_t id;
	gate_init(&gate);
	ended_init(&e);
	fake_redis_start(&fake, serve_gate, &gate);
	struct rmux *m = start_connected_mux(fake_redis_addr(&fake), SOON * 6);
	send_one(m, SOON, &e);
	gate_wait_asked(&gate, 1);
	assert_int_equal(pthread_create(&id, NULL, stop_thread, m), 0);
	while (call_code(m, "ECHO", "later", 50) != ERR_STOPPING)
		continue;
	lock_take(&e.mu);
	assert_int_equal(e.count, 0);
	lock_give(&e.mu);
	gate_open(&gate);
	pthread_join(id, NULL);
	assert_int_equal(e.count, 1);
	assert_int_equal(e.code, 0);
	rmux_free(m);
	fake_redis_stop(&fake);
	ended_release(&e);
	gate_release(&gate);
}

static void test_stop_does_not_wait_past_its_deadline(void **state)
{
	(void)state;
	struct fake_redis fake;
	struct gate gate;
	struct ended e;
	gate_init(&gate);
	ended_init(&e);
	fake_redis_start(&fake, serve_gate, &gate);
	struct rmux *m = start_connected_mux(fake_redis_addr(&fake), SOON * 6);
	send_one(m, SOON, &e);
	gate_wait_asked(&gate, 1);
	rmux_stop(m, clock_mono_ms() + 20);
	assert_int_equal(e.count, 1);
	assert_int_equal(e.code, ERR_UNKNOWN_OUTCOME);
	rmux_free(m);
	gate_open(&gate);
	fake_redis_stop(&fake);
	ended_release(&e);
	gate_release(&gate);
}

static void test_too_much_waiting_is_refused(void **state)
{
	(void)state;
	struct rmux_options o = {.addr = {.unix_path = "/nonexistent/redis.sock"}, .max_pending_bytes = 100};
	struct ended e;
	struct err err = {0};
	char text[64];
	ended_init(&e);
	struct rmux *m = rmux_new(&o, NULL);
	/* Not started yet: what is handed in waits. */
	for (int i = 0; i < 3; i++)
		send_one(m, SOON, &e);
	assert_int_equal(call_text(m, "ECHO", "a word that does not fit any more, whatever was there before it: that was a hundred", SOON, text, &err),
	                 ERR_UNAVAILABLE);
	end_mux(m);
	assert_int_equal(e.count, 3);
	ended_release(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_redis_calls_wait_and_then_fail_fast),
		cmocka_unit_test(test_without_redis_a_waiting_call_is_given_up),
		cmocka_unit_test(test_unsent_sends_end_once_and_on_the_io_thread),
		cmocka_unit_test(test_stop_ends_what_waits),
		cmocka_unit_test(test_a_server_that_has_become_a_replica_is_left),
		cmocka_unit_test(test_broken_replies_are_unknown_outcomes),
		cmocka_unit_test(test_a_reply_that_nobody_asked_for_ends_the_connection),
		cmocka_unit_test(test_replies_may_come_byte_by_byte),
		cmocka_unit_test(test_not_up_while_the_server_is_not_ready),
		cmocka_unit_test(test_a_server_that_never_greets_is_left),
		cmocka_unit_test(test_it_tries_again_within_a_second),
		cmocka_unit_test(test_late_replies_are_dropped),
		cmocka_unit_test(test_stop_waits_for_what_is_in_flight),
		cmocka_unit_test(test_stop_does_not_wait_past_its_deadline),
		cmocka_unit_test(test_too_much_waiting_is_refused),
	};
	return cmocka_run_group_tests_name("redis faults", tests, NULL, NULL);
}
