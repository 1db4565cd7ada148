/* lib/redis/rmaster and rsentinel: who is believed, what is said while nobody tells, and who is no master after all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/redis/rhello.h"
#include "lib/redis/rmaster.h"
#include "lib/redis/rsentinel.h"
#include "tests/unit/fake_redis.h"

#define SOON 10000

/* A sentinel that answers every question with `answer`, which the test may change. */
struct oracle {
	_Atomic(const char *) answer;
	struct fake_redis fake;
};

static void serve(struct fake_connection *c, void *arg)
{
	struct oracle *o = arg;
	char text[256];
	fake_greet(c);
	while (fake_next(c, text, sizeof(text))) {
		assert_string_equal(text, "SENTINEL GET-MASTER-ADDR-BY-NAME jobs");
		fake_say(c, atomic_load(&o->answer));
	}
}

#define AT_7001 "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7001\r\n"
#define AT_7002 "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7002\r\n"

static struct rsentinel *start(struct oracle *o, const char *answer)
{
	struct rsentinel_options options = {.n = 2, .name = "jobs"};
	struct err err = {0};
	atomic_store(&o->answer, answer);
	fake_redis_start(&o->fake, serve, o);
	options.sentinels[0] = (struct raddr){.unix_path = "/nonexistent/sentinel.sock"};
	options.sentinels[1] = fake_redis_addr(&o->fake);
	struct rsentinel *s = rsentinel_start(&options, &err);
	assert_non_null(s);
	return s;
}

static void end(struct oracle *o, struct rsentinel *s)
{
	rsentinel_stop(s);
	fake_redis_stop(&o->fake);
}

static void test_the_first_that_answers_is_believed(void **state)
{
	(void)state;
	struct oracle o;
	struct rmaster_place place = {0};
	struct rsentinel *s = start(&o, AT_7001);
	struct rmaster *m = rsentinel_master(s);
	assert_int_equal(rmaster_await(m, clock_mono_ms() + SOON, NULL), 0);
	assert_int_equal(rmaster_where(m, &place, NULL), 0);
	assert_string_equal(place.host, "127.0.0.1");
	assert_int_equal(place.port, 7001);
	assert_false(rmaster_has_moved(m, place.number));
	end(&o, s);
}

static void test_another_master_is_noticed(void **state)
{
	(void)state;
	struct oracle o;
	struct rmaster_place before = {0}, after = {0};
	struct rsentinel *s = start(&o, AT_7001);
	struct rmaster *m = rsentinel_master(s);
	assert_int_equal(rmaster_await(m, clock_mono_ms() + SOON, NULL), 0);
	assert_int_equal(rmaster_where(m, &before, NULL), 0);
	atomic_store(&o.answer, AT_7002);
	int64_t deadline = clock_mono_ms() + SOON;
	while (!rmaster_has_moved(m, before.number))
		assert_true(clock_mono_ms() < deadline);
	assert_int_equal(rmaster_where(m, &after, NULL), 0);
	assert_int_equal(after.port, 7002);
	end(&o, s);
}

/* What is told while nobody knows; an answer of another form is none. */
static void assert_trouble(const char *answer, const char *part)
{
	struct oracle o;
	struct err err = {0};
	struct rmaster_place place;
	struct rsentinel *s = start(&o, answer);
	struct rmaster *m = rsentinel_master(s);
	int64_t deadline = clock_mono_ms() + SOON;
	do {
		assert_true(clock_mono_ms() < deadline);
		assert_int_equal(rmaster_where(m, &place, &err), ERR_UNAVAILABLE);
	} while (!strstr(err.text, part));
	assert_non_null(strstr(err.text, "no sentinel tells where the master jobs is"));
	end(&o, s);
}

static void test_trouble_is_told(void **state)
{
	(void)state;
	assert_trouble("*-1\r\n", "it knows no master called jobs");
	assert_trouble("-NOAUTH Authentication required.\r\n", "NOAUTH");
	assert_trouble("*2\r\n$1\r\nx\r\n$5\r\n70000\r\n", "no host and port");
	assert_trouble("*2\r\n$0\r\n\r\n$4\r\n7000\r\n", "no host and port");
	assert_trouble(":1\r\n", "no host and port");
}

/* The reply to the greeting's i-th command: of a server that says it is `role`. */
static int greet(struct rhello *h, const char *role, struct err *err)
{
	static char pong[] = "PONG";
	char text[64];
	int rc = 0;
	snprintf(text, sizeof(text), "# Replication\r\nrole:%s\r\nconnected_slaves:0\r\n", role);
	redisReply info = {.type = REDIS_REPLY_STRING, .str = text, .len = strlen(text)};
	redisReply other = {.type = REDIS_REPLY_STATUS, .str = pong, .len = 4};
	bool replication = h->cmd.wire.p && memmem(h->cmd.wire.p, h->cmd.wire.n, "replication", 11);
	for (unsigned i = 0; rc == 0; i++)
		rc = rhello_take(h, replication && i + 2 == h->cmd.commands ? &info : &other, err);
	return rc;
}

static void test_a_replica_is_refused_where_sentinels_tell(void **state)
{
	(void)state;
	struct rmaster *m = rmaster_new("jobs");
	const struct {
		struct rmaster *master;
		const char *role;
		int rc;
	} cases[] = {{m, "master", 1}, {m, "slave", ERR_UNAVAILABLE}, {NULL, "slave", 1}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct raddr addr = {.host = "x", .port = 1, .master = cases[i].master};
		struct err err = {0};
		struct rhello h;
		assert_int_equal(rhello_init(&h, &addr, "name", NULL, 0), 0);
		assert_int_equal(greet(&h, cases[i].role, &err), cases[i].rc);
		if (cases[i].rc < 0)
			assert_string_equal(err.text, "INFO replication: it says role:slave");
		rhello_release(&h);
	}
	rmaster_free(m);
}

static void test_how_a_master_is_shown(void **state)
{
	(void)state;
	struct rmaster *m = rmaster_new("jobs");
	struct raddr addr = {.master = m, .db = 3};
	char text[RADDR_SHOW_SIZE];
	raddr_show(&addr, text);
	assert_string_equal(text, "redis://jobs/3");
	rmaster_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_that_answers_is_believed),
		cmocka_unit_test(test_another_master_is_noticed),
		cmocka_unit_test(test_trouble_is_told),
		cmocka_unit_test(test_a_replica_is_refused_where_sentinels_tell),
		cmocka_unit_test(test_how_a_master_is_shown),
	};
	return cmocka_run_group_tests_name("rsentinel", tests, NULL, NULL);
}
