/* lib/redis: addresses, the wire writer, and the multiplexer against a real redis-server. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/redis/raddr.h"
#include "lib/redis/rconn.h"
#include "lib/redis/rmux.h"
#include "tests/unit/redis_server.h"

#define SOON 10000 /* ms; what should be done by then on any machine */

/* ---- addresses ---- */

static void test_raddr_reads_urls(void **state)
{
	(void)state;
	struct raddr a;
	assert_int_equal(raddr_parse(&a, STR("redis://localhost"), NULL), 0);
	assert_string_equal(a.host, "localhost");
	assert_int_equal(a.port, 6379);
	assert_int_equal(a.db, 0);
	assert_false(a.tls);

	assert_int_equal(raddr_parse(&a, STR("rediss://me:p%40ss%3a@[::1]:7000/3?verify=ca&ca=%2Fetc%2Fca.pem"), NULL), 0);
	assert_string_equal(a.user, "me");
	assert_string_equal(a.password, "p@ss:");
	assert_string_equal(a.host, "::1");
	assert_int_equal(a.port, 7000);
	assert_int_equal(a.db, 3);
	assert_true(a.tls && a.tls_skip_name);
	assert_string_equal(a.tls_ca_file, "/etc/ca.pem");

	assert_int_equal(raddr_parse(&a, STR("unix://:secret@/run/redis.sock?db=2"), NULL), 0);
	assert_string_equal(a.unix_path, "/run/redis.sock");
	assert_string_equal(a.password, "secret");
	assert_int_equal(a.db, 2);

	/* An '@' in a password that nobody escaped. */
	assert_int_equal(raddr_parse(&a, STR("redis://:a@b@host:1"), NULL), 0);
	assert_string_equal(a.password, "a@b");
	assert_string_equal(a.host, "host");
}

static void test_raddr_refuses_without_telling(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "redis:", "http://host", "redis://", "redis://host:0", "redis://host:65536", "redis://host:6x", "redis://host/x",
		"redis://host/0?nope=1", "redis://host?db", "redis://host?verify=ca", "rediss://host?verify=none", "redis://hunter2@host",
		"redis://:hunter2%4@host", "redis://:hunter2%00@host", "redis://:hunter/2@host", "redis://[::1", "redis://[::1]x", "redis://[name]",
		"redis://ho st", "unix://relative", "unix://", "rediss://host?cert=a", "redis://host/99999999999",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct raddr a = {.port = 77};
		struct err err = {0};
		if (raddr_parse(&a, str_from(bad[i]), &err) != ERR_INVALID)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(a.port, 77);
		assert_null(strstr(err.text, "hunter"));
	}
	char longer[700];
	memset(longer, 'a', sizeof(longer));
	memcpy(longer, "redis://:", 9);
	memcpy(longer + sizeof(longer) - 2, "@h", 2);
	struct raddr a;
	assert_int_equal(raddr_parse(&a, (struct str){longer, sizeof(longer)}, NULL), ERR_INVALID);
}

static void test_raddr_shows_no_secret(void **state)
{
	(void)state;
	struct raddr a;
	char text[RADDR_SHOW_SIZE];
	assert_int_equal(raddr_parse(&a, STR("rediss://me:hunter2@[::1]:7000/3"), NULL), 0);
	raddr_show(&a, text);
	assert_string_equal(text, "rediss://[::1]:7000/3");
	assert_int_equal(raddr_parse(&a, STR("unix://me:hunter2@/run/x.sock"), NULL), 0);
	raddr_show(&a, text);
	assert_string_equal(text, "unix:///run/x.sock?db=0");
}

/* ---- the wire ---- */

static void test_rcmd_writes_what_hiredis_writes(void **state)
{
	(void)state;
	const char *argv[] = {"SET", "key\r\n\0x", "", "-42"};
	size_t sizes[] = {3, 7, 0, 3};
	sds theirs = NULL;
	long long n = redisFormatSdsCommandArgv(&theirs, 4, argv, sizes);

	struct rcmd cmd = RCMD_INIT;
	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "SET");
	rcmd_arg(&cmd, (struct str){argv[1], 7});
	rcmd_argz(&cmd, "");
	rcmd_argi(&cmd, -42);
	assert_int_equal(cmd.wire.n, n);
	assert_memory_equal(cmd.wire.p, theirs, (size_t)n);
	assert_int_equal(cmd.commands, 1);
	rcmd_release(&cmd);
	redisFreeSdsCommand(theirs);
}

static void test_refusals_that_pass_are_told_apart(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{"READONLY You can't write against a read only replica.", ERR_UNAVAILABLE},
		{"MISCONF Errors writing to the AOF file: No space left on device", ERR_UNAVAILABLE},
		{"NOREPLICAS Not enough good replicas to write.", ERR_UNAVAILABLE},
		{"LOADING Redis is loading the dataset in memory", ERR_UNAVAILABLE},
		{"OOM command not allowed when used memory > 'maxmemory'.", ERR_FULL},
		{"NOPERM this user has no permissions", ERR_REPLY},
		{"READONLYX", ERR_REPLY},
		{"", ERR_REPLY},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = {0};
		assert_int_equal(rreply_error_text(str_from(cases[i].text), &err), cases[i].code);
		assert_string_equal(err.text, cases[i].text);
	}
}

/* ---- the multiplexer on a real Redis ---- */

static struct rscript add_script = {.name = "add", .keys = 1, .text = "return redis.call('INCRBY', KEYS[1], ARGV[1])"};
static char add_sha[41];

struct world {
	struct redis_server redis;
	struct rmux *mux;
};

/* The SHA-1 as Redis itself computes it. */
static void learn_sha(const struct redis_server *redis)
{
	struct raddr addr = redis_server_addr(redis);
	struct rconn *c = rconn_new(&addr, NULL, NULL);
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	assert_int_equal(rconn_open(c, clock_mono_ms() + SOON, NULL), 0);
	add_script.text_bytes = strlen(add_script.text);
	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "SCRIPT");
	rcmd_argz(&cmd, "LOAD");
	rcmd_argz(&cmd, add_script.text);
	assert_int_equal(rconn_command(c, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	memcpy(add_sha, rreply_str(replies.items[0]).p, 40);
	add_script.sha1 = add_sha;
	rreplies_release(&replies);
	rcmd_release(&cmd);
	rconn_free(c);
}

static int set_up(void **state)
{
	static struct world w;
	redis_server_start(&w.redis, NULL);
	learn_sha(&w.redis);
	struct rmux_options o = {.addr = redis_server_addr(&w.redis), .client_name = "test"};
	w.mux = rmux_new(&o, NULL);
	assert_int_equal(rmux_add_script(w.mux, &add_script), 0);
	assert_int_equal(rmux_start(w.mux, NULL), 0);
	assert_int_equal(rmux_wait_up(w.mux, clock_mono_ms() + SOON), 0);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	rmux_stop(w->mux, clock_mono_ms() + SOON);
	rmux_free(w->mux);
	redis_server_stop(&w->redis);
	return 0;
}

static void add_command(struct rcmd *cmd, const char *a, const char *b, const char *c)
{
	rcmd_begin(cmd, c ? 3 : b ? 2 : 1);
	rcmd_argz(cmd, a);
	if (b)
		rcmd_argz(cmd, b);
	if (c)
		rcmd_argz(cmd, c);
}

static int64_t call_int(struct rmux *m, struct rcmd *cmd)
{
	struct rreplies replies;
	int64_t v = -1;
	assert_int_equal(rmux_call(m, cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	assert_true(rreply_int(replies.items[replies.count - 1], &v));
	rreplies_release(&replies);
	rcmd_release(cmd);
	return v;
}

#define THREADS 32
#define CALLS 200

struct echoer {
	struct rmux *mux;
	int number;
	int wrong;
};

/* Calls of one to three commands, each answered with its own text. */
static void *echo_thread(void *arg)
{
	struct echoer *e = arg;
	struct rcmd cmd = RCMD_INIT;
	for (int i = 0; i < CALLS; i++) {
		char text[3][64];
		struct rreplies replies = {0};
		rcmd_clear(&cmd);
		for (int k = 0; k <= i % 3; k++) {
			snprintf(text[k], sizeof(text[k]), "%d.%d.%d", e->number, i, k);
			add_command(&cmd, "ECHO", text[k], NULL);
		}
		if (rmux_call(e->mux, &cmd, clock_mono_ms() + SOON, &replies, NULL) < 0 || replies.count != (size_t)(i % 3 + 1))
			e->wrong++;
		for (size_t k = 0; k < replies.count; k++)
			e->wrong += !str_is(rreply_str(replies.items[k]), text[k]);
		rreplies_release(&replies);
	}
	rcmd_release(&cmd);
	return NULL;
}

static void test_every_thread_gets_its_own_replies(void **state)
{
	struct world *w = *state;
	struct echoer e[THREADS];
	pthread_t id[THREADS];
	for (int i = 0; i < THREADS; i++) {
		e[i] = (struct echoer){w->mux, i, 0};
		assert_int_equal(pthread_create(&id[i], NULL, echo_thread, &e[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(id[i], NULL);
		assert_int_equal(e[i].wrong, 0);
	}
	struct rmux_stats stats;
	rmux_stats(w->mux, &stats);
	assert_true(stats.calls >= THREADS * CALLS);
	assert_true(stats.commands > stats.calls);
	assert_int_equal(stats.unknown_outcomes, 0);
}

static void test_an_error_reply_is_a_success_of_the_call(void **state)
{
	struct world *w = *state;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	struct err err = {0};
	add_command(&cmd, "NOSUCH", NULL, NULL);
	add_command(&cmd, "ECHO", "after", NULL);
	assert_int_equal(rmux_call(w->mux, &cmd, clock_mono_ms() + SOON, &replies, &err), 0);
	assert_int_equal(rreply_error(replies.items[0], &err), ERR_REPLY);
	assert_true(str_is(rreply_str(replies.items[1]), "after"));
	rreplies_release(&replies);
	rcmd_release(&cmd);
}

/* Larger than the socket's buffers and than one read, both ways. */
static void test_large_values_pass(void **state)
{
	struct world *w = *state;
	size_t n = (size_t)5 << 20;
	char *big = malloc(n);
	for (size_t i = 0; i < n; i++)
		big[i] = (char)('a' + i % 26);
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "ECHO");
	rcmd_arg(&cmd, (struct str){big, n});
	assert_int_equal(rmux_call(w->mux, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	assert_true(str_eq(rreply_str(replies.items[0]), (struct str){big, n}));
	rreplies_release(&replies);
	rcmd_release(&cmd);
	free(big);
}

static void add_script_call(struct rcmd *cmd, const char *key, int64_t by)
{
	rcmd_script(cmd, &add_script, 1);
	rcmd_argz(cmd, key);
	rcmd_argi(cmd, by);
}

static void test_script_flush_is_never_seen(void **state)
{
	struct world *w = *state;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int64_t v[4] = {0};
	add_command(&cmd, "SCRIPT", "FLUSH", NULL);
	assert_int_equal(rmux_call(w->mux, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	rreplies_release(&replies);
	rcmd_clear(&cmd);

	/* Commands that succeeded in the first round must not run again. */
	add_command(&cmd, "INCR", "once", NULL);
	add_script_call(&cmd, "total", 5);
	add_command(&cmd, "INCR", "once", NULL);
	add_script_call(&cmd, "total", 7);
	assert_int_equal(rmux_call(w->mux, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	for (size_t i = 0; i < 4; i++)
		assert_true(rreply_int(replies.items[i], &v[i]));
	assert_int_equal(v[0], 1);
	assert_int_equal(v[1], 5);
	assert_int_equal(v[2], 2);
	assert_int_equal(v[3], 12);
	rreplies_release(&replies);
	rcmd_release(&cmd);
}

/* A script that stays unknown (flushed by the call itself) is told after one more try, not tried for ever. */
static void test_an_unknown_script_is_told_in_the_end(void **state)
{
	struct world *w = *state;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	struct err err = {0};
	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "EVALSHA");
	rcmd_argz(&cmd, "0123456789012345678901234567890123456789");
	rcmd_argz(&cmd, "0");
	assert_int_equal(rmux_call(w->mux, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	assert_int_equal(rreply_error(replies.items[0], &err), ERR_REPLY);
	assert_memory_equal(err.text, "NOSCRIPT", 8);
	rreplies_release(&replies);
	rcmd_release(&cmd);
}

struct answers {
	struct lock mu;
	struct cond changed;
	int done, good;
	int next; /* the number that the next answer has to carry */
};

static void count_answer(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct answers *a = arg;
	int64_t v = -1;
	(void)err;
	lock_take(&a->mu);
	a->good += rc == 0 && rreply_int(replies->items[0], &v) && v == a->next;
	a->next++;
	a->done++;
	cond_broadcast(&a->changed);
	lock_give(&a->mu);
}

static void test_sends_of_one_thread_keep_their_order(void **state)
{
	struct world *w = *state;
	struct answers a = {.next = 1};
	lock_init(&a.mu);
	cond_init(&a.changed);
	for (int i = 0; i < 1000; i++) {
		struct rcmd cmd = RCMD_INIT;
		add_command(&cmd, "INCR", "ordered", NULL);
		rmux_send(w->mux, &cmd, clock_mono_ms() + SOON, count_answer, &a);
		assert_int_equal(cmd.wire.n, 0);
		rcmd_release(&cmd);
	}
	lock_take(&a.mu);
	while (a.done < 1000)
		assert_true(cond_wait_until(&a.changed, &a.mu, clock_mono_ms() + SOON));
	lock_give(&a.mu);
	assert_int_equal(a.good, 1000);
	cond_release(&a.changed);
	lock_release(&a.mu);
}

static void test_it_shows_its_name(void **state)
{
	struct world *w = *state;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	add_command(&cmd, "CLIENT", "GETNAME", NULL);
	assert_int_equal(rmux_call(w->mux, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	assert_true(str_is(rreply_str(replies.items[0]), "test"));
	rreplies_release(&replies);
	rcmd_release(&cmd);
}

static void test_stop_refuses_what_comes_later(void **state)
{
	struct world *w = *state;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	struct rmux_options o = {.addr = redis_server_addr(&w->redis)};
	struct rmux *m = rmux_new(&o, NULL);
	assert_int_equal(rmux_start(m, NULL), 0);
	assert_int_equal(rmux_wait_up(m, clock_mono_ms() + SOON), 0);
	rmux_stop(m, clock_mono_ms() + SOON);
	assert_false(rmux_is_up(m));
	add_command(&cmd, "PING", NULL, NULL);
	assert_int_equal(rmux_call(m, &cmd, clock_mono_ms() + SOON, &replies, NULL), ERR_STOPPING);
	struct answers a = {0};
	lock_init(&a.mu);
	cond_init(&a.changed);
	rmux_send(m, &cmd, clock_mono_ms() + SOON, count_answer, &a);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.good, 0);
	cond_release(&a.changed);
	lock_release(&a.mu);
	rcmd_release(&cmd);
	rmux_free(m);
}

/* ---- the blocking connection ---- */

struct blocker {
	struct rconn *c;
	_Atomic int64_t id;
	int rc;
};

static void *block_thread(void *arg)
{
	struct blocker *b = arg;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	add_command(&cmd, "BLPOP", "nothing", "0");
	b->rc = rconn_command(b->c, &cmd, clock_mono_ms() + SOON * 6, &replies, NULL);
	rcmd_release(&cmd);
	return NULL;
}

static void wait_until_blocked(struct rmux *m)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	add_command(&cmd, "INFO", "clients", NULL);
	for (bool blocked = false; !blocked;) {
		assert_int_equal(rmux_call(m, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
		blocked = strstr(rreply_str(replies.items[0]).p, "blocked_clients:1") != NULL;
		rreplies_release(&replies);
	}
	rcmd_release(&cmd);
}

static void test_a_blocked_connection_can_be_woken(void **state)
{
	struct world *w = *state;
	struct raddr addr = redis_server_addr(&w->redis);
	struct blocker b = {.c = rconn_new(&addr, "blocked", NULL)};
	pthread_t id;
	assert_int_equal(rconn_open(b.c, clock_mono_ms() + SOON, NULL), 0);
	assert_true(rconn_client_id(b.c) > 0);
	assert_int_equal(pthread_create(&id, NULL, block_thread, &b), 0);
	wait_until_blocked(w->mux);
	rconn_wake(b.c);
	pthread_join(id, NULL);
	assert_int_equal(b.rc, ERR_STOPPING);
	assert_false(rconn_is_open(b.c));
	assert_int_equal(rconn_client_id(b.c), 0);
	assert_int_equal(rconn_open(b.c, clock_mono_ms() + SOON, NULL), 0);
	rconn_free(b.c);
}

static void test_a_blocking_call_keeps_its_deadline(void **state)
{
	struct world *w = *state;
	struct raddr addr = redis_server_addr(&w->redis);
	struct rconn *c = rconn_new(&addr, NULL, NULL);
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	assert_int_equal(rconn_open(c, clock_mono_ms() + SOON, NULL), 0);
	add_command(&cmd, "BLPOP", "nothing", "0");
	assert_int_equal(rconn_command(c, &cmd, clock_mono_ms() + 20, &replies, NULL), ERR_TIMEOUT);
	assert_false(rconn_is_open(c));
	assert_int_equal(rconn_command(c, &cmd, clock_mono_ms() + 20, &replies, NULL), ERR_UNAVAILABLE);
	rcmd_release(&cmd);
	rconn_free(c);
}

static void test_counters_add_up(void **state)
{
	struct world *w = *state;
	struct rcmd cmd = RCMD_INIT;
	for (int i = 1; i <= 3; i++) {
		add_command(&cmd, "INCR", "counter", NULL);
		assert_int_equal(call_int(w->mux, &cmd), i);
	}
}

int main(void)
{
	const struct CMUnitTest values[] = {
		cmocka_unit_test(test_raddr_reads_urls),
		cmocka_unit_test(test_raddr_refuses_without_telling),
		cmocka_unit_test(test_raddr_shows_no_secret),
		cmocka_unit_test(test_rcmd_writes_what_hiredis_writes),
	};
	const struct CMUnitTest calls[] = {
		cmocka_unit_test(test_counters_add_up),
		cmocka_unit_test(test_every_thread_gets_its_own_replies),
		cmocka_unit_test(test_refusals_that_pass_are_told_apart),
		cmocka_unit_test(test_an_error_reply_is_a_success_of_the_call),
		cmocka_unit_test(test_large_values_pass),
		cmocka_unit_test(test_script_flush_is_never_seen),
		cmocka_unit_test(test_an_unknown_script_is_told_in_the_end),
		cmocka_unit_test(test_sends_of_one_thread_keep_their_order),
		cmocka_unit_test(test_it_shows_its_name),
		cmocka_unit_test(test_stop_refuses_what_comes_later),
		cmocka_unit_test(test_a_blocked_connection_can_be_woken),
		cmocka_unit_test(test_a_blocking_call_keeps_its_deadline),
	};
	int failed = cmocka_run_group_tests_name("redis values", values, NULL, NULL);
	return failed + cmocka_run_group_tests_name("redis calls", calls, set_up, tear_down);
}
