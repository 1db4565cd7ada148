/* Who waits for a reply reads it himself. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fake_redis.h"
#include "tests/unit/redis_calls.h"
#include "tests/unit/redis_server.h"

struct waiter {
	struct parker parker;
	pthread_t told_on; /* the thread of done */
	int rc;
	char text[64];
};

static void on_done(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct waiter *w = arg;
	(void)err;
	w->told_on = pthread_self();
	w->rc = rc;
	if (rc == 0)
		snprintf(w->text, sizeof(w->text), "%.*s", STR_ARG(rreply_str(replies->items[0])));
	parker_wake(&w->parker);
}

/* Sends and reads, as far as it may: the answer is waited for by the caller. True when it did read. */
static bool send_command_and_read(struct rmux *m, struct rcmd *cmd, struct waiter *w)
{
	*w = (struct waiter){0};
	bool reads = rmux_read_begin(m);
	rmux_send(m, cmd, clock_mono_ms() + SOON, on_done, w);
	if (reads)
		rmux_read(m, &w->parker);
	rcmd_release(cmd);
	return reads;
}

static bool send_and_read(struct rmux *m, const char *text, struct waiter *w)
{
	struct rcmd cmd = RCMD_INIT;
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "ECHO");
	rcmd_argz(&cmd, text);
	return send_command_and_read(m, &cmd, w);
}

static void await(struct waiter *w)
{
	assert_true(parker_wait_until(&w->parker, clock_mono_ms() + 2 * SOON));
}

/* The I/O thread goes to sleep first. */
static void begin_reading(struct rmux *m, const char *text, struct waiter *w)
{
	for (int64_t deadline = clock_mono_ms() + SOON; !send_and_read(m, text, w); await(w))
		assert_true(clock_mono_ms() < deadline);
}

static void test_the_reply_is_told_on_the_thread_that_waits(void **state)
{
	(void)state;
	struct redis_server redis;
	struct waiter w;
	redis_server_start(&redis, NULL);
	struct rmux *m = start_connected_mux(redis_server_addr(&redis), 0);
	int64_t deadline = clock_mono_ms() + SOON;
	do {
		assert_true(clock_mono_ms() < deadline); /* where Redis takes its time the I/O thread reads after all */
		begin_reading(m, "mine", &w);
		await(&w);
		assert_int_equal(w.rc, 0);
		assert_string_equal(w.text, "mine");
	} while (!pthread_equal(w.told_on, pthread_self()));
	assert_echo(m, "others still are served");
	end_mux(m);
	redis_server_stop(&redis);
}

static void note_thread(void *arg, bool begins)
{
	if (begins)
		*(pthread_t *)arg = pthread_self();
}

static void test_a_call_alone_is_ended_by_its_caller(void **state)
{
	(void)state;
	struct redis_server redis;
	pthread_t ended_on;
	redis_server_start(&redis, NULL);
	struct rmux_options o = {.addr = redis_server_addr(&redis), .client_name = "test", .on_batch = note_thread, .on_batch_arg = &ended_on};
	struct rmux *m = rmux_new(&o, NULL);
	assert_non_null(m);
	assert_int_equal(rmux_start(m, NULL), 0);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	int64_t deadline = clock_mono_ms() + SOON;
	do {
		assert_true(clock_mono_ms() < deadline); /* where Redis takes its time, or the I/O thread is awake, that one reads */
		assert_echo(m, "mine");
	} while (!pthread_equal(ended_on, pthread_self()));
	end_mux(m);
	redis_server_stop(&redis);
}

#define LARGE_BYTES ((size_t)4 << 20)

/* More than the socket takes at once: the rest is the I/O thread's to write, which a reading caller gives its place to. */
static void test_a_large_call_is_written_while_its_caller_would_read(void **state)
{
	(void)state;
	struct redis_server redis;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	char *large = malloc(LARGE_BYTES);
	assert_non_null(large);
	memset(large, 'x', LARGE_BYTES);
	redis_server_start(&redis, NULL);
	struct rmux *m = start_connected_mux(redis_server_addr(&redis), 0);
	for (int i = 0; i < 20; i++) {
		rcmd_begin(&cmd, 2);
		rcmd_argz(&cmd, "ECHO");
		rcmd_arg(&cmd, (struct str){large, LARGE_BYTES});
		assert_int_equal(rmux_call(m, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
		assert_int_equal(rreply_str(replies.items[0]).n, LARGE_BYTES);
		rreplies_release(&replies);
		rcmd_clear(&cmd);
	}
	rcmd_release(&cmd);
	end_mux(m);
	redis_server_stop(&redis);
	free(large);
}

static _Atomic bool may_answer;

static void serve_late(struct fake_connection *c, void *arg)
{
	char text[64];
	(void)arg;
	fake_greet(c);
	while (fake_next(c, text, sizeof(text))) {
		while (strstr(text, "late") && !atomic_load(&may_answer))
			sched_yield();
		fake_say(c, "$4\r\nlate\r\n");
	}
}

static void test_a_late_reply_is_left_to_the_io_thread(void **state)
{
	(void)state;
	struct fake_redis fake;
	struct waiter w;
	atomic_store(&may_answer, false);
	fake_redis_start(&fake, serve_late, NULL);
	struct rmux *m = start_connected_mux(fake_redis_addr(&fake), 0);
	int64_t deadline = clock_mono_ms() + SOON;
	while (!send_and_read(m, "late", &w)) {
		assert_true(clock_mono_ms() < deadline);
		atomic_store(&may_answer, true);
		await(&w);
		atomic_store(&may_answer, false);
	}
	assert_false(parker_is_open(&w.parker));
	atomic_store(&may_answer, true);
	await(&w);
	assert_string_equal(w.text, "late");
	assert_false(pthread_equal(w.told_on, pthread_self()));
	end_mux(m);
	fake_redis_stop(&fake);
}

static void serve_once_then_well(struct fake_connection *c, void *arg)
{
	char text[64];
	const char *first = arg;
	fake_greet(c);
	while (fake_next(c, text, sizeof(text))) {
		bool ends = strstr(text, "end") != NULL;
		fake_say(c, ends ? first : "$5\r\nagain\r\n");
		if (ends && !*first)
			return;
	}
}

/* What breaks the connection while a caller reads is told as the I/O thread tells it, and the next connection serves. */
static void lose_while_reading(char *answer)
{
	struct fake_redis fake;
	struct waiter w;
	fake_redis_start(&fake, serve_once_then_well, answer);
	struct rmux *m = start_connected_mux(fake_redis_addr(&fake), 0);
	begin_reading(m, "end", &w);
	await(&w);
	assert_int_equal(w.rc, ERR_UNKNOWN_OUTCOME);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	assert_echo(m, "again");
	end_mux(m);
	fake_redis_stop(&fake);
}

static void test_a_connection_that_ends_while_it_is_read(void **state)
{
	(void)state;
	char nothing[] = "";
	lose_while_reading(nothing);
}

static void test_an_answer_that_is_none(void **state)
{
	(void)state;
	char nonsense[] = "nonsense\r\n";
	lose_while_reading(nonsense);
}

#define FLUSHES 50
#define SLOW_AT_MOST 3 /* of them; a machine may stand still for a second */

#define SHA1 "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"

static const struct rscript script = {.name = "one", .text = "return 1", .text_bytes = 8, .sha1 = SHA1};
static _Atomic int slow_rounds;

/* The script is unknown each time it is called, until it was loaded again. A PING before that: nobody has come for a second. */
static void serve_flushed(struct fake_connection *c, void *arg)
{
	char text[128];
	bool loaded = false, refused = false;
	(void)arg;
	fake_greet(c);
	while (fake_next(c, text, sizeof(text))) {
		bool is_call = strncmp(text, "EVALSHA", 7) == 0, is_load = strncmp(text, "SCRIPT", 6) == 0;
		atomic_fetch_add(&slow_rounds, refused && !is_call && !is_load);
		fake_say(c, !is_call ? "$40\r\n" SHA1 "\r\n" : loaded ? "$3\r\none\r\n" : "-NOSCRIPT No matching script.\r\n");
		refused = is_call ? !loaded : refused && !is_load;
		loaded = is_load;
	}
}

/* A caller that reads that a script is unknown leaves its call to the I/O thread, which has to know. */
static void test_a_call_of_a_script_that_was_flushed_goes_on_at_once(void **state)
{
	(void)state;
	struct fake_redis fake;
	struct rmux_options o = {.client_name = "test"};
	struct rcmd cmd = RCMD_INIT;
	struct waiter w;
	atomic_store(&slow_rounds, 0);
	fake_redis_start(&fake, serve_flushed, NULL);
	o.addr = fake_redis_addr(&fake);
	struct rmux *m = rmux_new(&o, NULL);
	assert_non_null(m);
	assert_int_equal(rmux_add_script(m, &script), 0);
	assert_int_equal(rmux_start(m, NULL), 0);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	for (int read = 0; read < FLUSHES && atomic_load(&slow_rounds) <= SLOW_AT_MOST;) {
		rcmd_script(&cmd, &script, 0);
		read += send_command_and_read(m, &cmd, &w);
		await(&w);
		assert_int_equal(w.rc, 0);
		assert_string_equal(w.text, "one");
	}
	assert_in_range(atomic_load(&slow_rounds), 0, SLOW_AT_MOST);
	end_mux(m);
	fake_redis_stop(&fake);
}

#define TURNS 400
#define READERS 3

static void *read_again_and_again(void *mux)
{
	struct waiter w;
	char text[64];
	for (int i = 0; i < TURNS; i++) {
		snprintf(text, sizeof(text), "%d of %p", i, (void *)&w);
		(void)send_and_read(mux, text, &w);
		if (!parker_wait_until(&w.parker, clock_mono_ms() + 2 * SOON) || w.rc != 0 || strcmp(w.text, text) != 0)
			return mux;
	}
	return NULL;
}

/* Beside callers that wait on the I/O thread, and others that read. */
static void test_many_read_in_turns(void **state)
{
	(void)state;
	struct redis_server redis;
	pthread_t readers[READERS];
	redis_server_start(&redis, NULL);
	struct rmux *m = start_connected_mux(redis_server_addr(&redis), 0);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_again_and_again, m), 0);
	for (int i = 0; i < TURNS; i++)
		assert_echo(m, "beside");
	for (int i = 0; i < READERS; i++) {
		void *failed;
		pthread_join(readers[i], &failed);
		assert_null(failed);
	}
	end_mux(m);
	redis_server_stop(&redis);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_reply_is_told_on_the_thread_that_waits),
		cmocka_unit_test(test_a_call_alone_is_ended_by_its_caller),
		cmocka_unit_test(test_a_large_call_is_written_while_its_caller_would_read),
		cmocka_unit_test(test_a_late_reply_is_left_to_the_io_thread),
		cmocka_unit_test(test_a_connection_that_ends_while_it_is_read),
		cmocka_unit_test(test_an_answer_that_is_none),
		cmocka_unit_test(test_a_call_of_a_script_that_was_flushed_goes_on_at_once),
		cmocka_unit_test(test_many_read_in_turns),
	};
	return cmocka_run_group_tests_name("redis reading", tests, NULL, NULL);
}
