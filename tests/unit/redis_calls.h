/* Short forms of what tests do with a multiplexer. Header only: every unit test is one program of one file. */
#ifndef SLUICE_TESTS_UNIT_REDIS_CALLS_H
#define SLUICE_TESTS_UNIT_REDIS_CALLS_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/redis/rmux.h"

#define SOON 10000 /* ms; what should be done by then on any machine */

static inline struct rmux *start_mux(struct raddr addr, int64_t io_timeout_ms)
{
	struct rmux_options o = {.addr = addr, .client_name = "test", .io_timeout_ms = io_timeout_ms};
	struct rmux *m = rmux_new(&o, NULL);
	assert_non_null(m);
	assert_int_equal(rmux_start(m, NULL), 0);
	return m;
}

static inline struct rmux *start_connected_mux(struct raddr addr, int64_t io_timeout_ms)
{
	struct rmux *m = start_mux(addr, io_timeout_ms);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	return m;
}

static inline void end_mux(struct rmux *m)
{
	rmux_stop(m, clock_mono_ms());
	rmux_free(m);
}

static inline void wait_down(struct rmux *m)
{
	int64_t deadline = clock_mono_ms() + SOON;
	while (rmux_is_up(m)) {
		assert_true(clock_mono_ms() < deadline);
		sched_yield();
	}
}

/* One command of two words; its reply as text, or "" when it failed. */
static inline int call_text(struct rmux *m, const char *a, const char *b, int64_t within_ms, char out[64], struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int64_t number;
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, a);
	rcmd_argz(&cmd, b);
	out[0] = '\0';
	int rc = rmux_call(m, &cmd, clock_mono_ms() + within_ms, &replies, err);
	if (rc == 0) {
		struct str s = rreply_str(replies.items[0]);
		if (s.p)
			snprintf(out, 64, "%.*s", STR_ARG(s));
		else if (rreply_int(replies.items[0], &number))
			snprintf(out, 64, "%lld", (long long)number);
		rreplies_release(&replies);
	}
	rcmd_release(&cmd);
	return rc;
}

static inline int call_code(struct rmux *m, const char *a, const char *b, int64_t within_ms)
{
	char text[64];
	return call_text(m, a, b, within_ms, text, NULL);
}

/* It is sent, and not answered by its deadline. One that was not even sent by then, as on a busy machine, is asked again. */
static inline void call_in_vain(struct rmux *m, const char *a, const char *b, int64_t within_ms)
{
	int64_t deadline = clock_mono_ms() + SOON;
	int rc;
	do
		rc = call_code(m, a, b, within_ms);
	while (rc == ERR_TIMEOUT && clock_mono_ms() < deadline);
	assert_int_equal(rc, ERR_UNKNOWN_OUTCOME);
}

static inline void assert_echo(struct rmux *m, const char *text)
{
	char got[64];
	assert_int_equal(call_text(m, "ECHO", text, SOON, got, NULL), 0);
	assert_string_equal(got, text);
}

#endif
