/* The parts of the program that need no running one: Redis' facts, the secret file, the held log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/redis_facts.h"
#include "gateway/settings.h"
#include "lib/auth/secret.h"
#include "lib/base/fs.h"
#include "lib/base/lock.h"
#include "lib/base/secret_file.h"

/* ---- facts ------------------------------------------------------------------------------------------------------------------ */

static const char server_text[] = "# Server\r\nredis_version:7.0.15\r\nrun_id:0123abcd\r\nredis_mode:standalone\r\n";
static const char memory_text[] = "# Memory\r\nused_memory:2048\r\nused_memory_peak:4096\r\nmaxmemory:1048576\r\nmaxmemory_policy:noeviction\r\n";
static const char persistence_text[] = "# Persistence\r\nloading:0\r\naof_enabled:1\r\n";
static const char replication_text[] = "# Replication\r\nrole:master\r\n";

static int read_facts(const char *server, const char *memory, const char *persistence, const char *replication, struct redis_facts *out, struct err *err)
{
	const char *texts[REDIS_FACTS_COMMANDS] = {server, memory, persistence, replication};
	redisReply replies[REDIS_FACTS_COMMANDS] = {0}, *items[REDIS_FACTS_COMMANDS];
	for (size_t i = 0; i < REDIS_FACTS_COMMANDS; i++) {
		replies[i].type = texts[i] && texts[i][0] == '-' ? REDIS_REPLY_ERROR : REDIS_REPLY_STRING;
		replies[i].str = (char *)texts[i];
		replies[i].len = strlen(texts[i]);
		items[i] = &replies[i];
	}
	struct rreplies all = {items, REDIS_FACTS_COMMANDS};
	return redis_facts_read(out, &all, 0, err);
}

static void test_facts(void **state)
{
	(void)state;
	struct redis_facts f;
	struct err err = {0};
	assert_int_equal(read_facts(server_text, memory_text, persistence_text, replication_text, &f, &err), 0);
	assert_int_equal(f.version, 70015);
	assert_string_equal(f.version_text, "7.0.15");
	assert_int_equal(f.used_bytes, 2048);
	assert_int_equal(f.max_bytes, 1048576);
	assert_string_equal(f.policy, "noeviction");
	assert_true(f.append_only && !f.replica);
	assert_int_equal(redis_facts_check(&f, &err), 0);
}

static void test_facts_refused(void **state)
{
	(void)state;
	static const struct {
		const char *server, *memory, *replication, *said;
	} rows[] = {
		{"redis_version:6.0.16\r\nrun_id:1\r\n", memory_text, replication_text, "6.2"},
		{"redis_version:5\r\nrun_id:1\r\n", memory_text, replication_text, "6.2"},
		{server_text, "used_memory:1\r\nmaxmemory:0\r\nmaxmemory_policy:volatile-lru\r\n", replication_text, "noeviction"},
		{server_text, memory_text, "role:slave\r\n", "replica"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct redis_facts f;
		struct err err = {0};
		assert_int_equal(read_facts(rows[i].server, rows[i].memory, persistence_text, rows[i].replication, &f, &err), 0);
		assert_int_equal(redis_facts_check(&f, &err), ERR_WRONG_STATE);
		assert_non_null(strstr(err.text, rows[i].said));
	}
}

static void test_facts_unreadable(void **state)
{
	(void)state;
	struct redis_facts f = {.used_bytes = 7};
	struct err err = {0};
	assert_int_equal(read_facts("-NOPERM no", memory_text, persistence_text, replication_text, &f, &err), ERR_REPLY);
	assert_int_equal(read_facts("redis_mode:x\r\n", memory_text, persistence_text, replication_text, &f, &err), ERR_PROTOCOL);
	assert_int_equal(read_facts(server_text, "used_memory:many\r\n", persistence_text, replication_text, &f, &err), ERR_PROTOCOL);
	assert_int_equal(read_facts(server_text, "xused_memory:1\r\nmaxmemory:1\r\nmaxmemory_policy:x\r\n", persistence_text, replication_text, &f, &err),
			 ERR_PROTOCOL);
	assert_int_equal(read_facts(server_text, memory_text, "", replication_text, &f, &err), ERR_PROTOCOL);
	assert_int_equal(f.used_bytes, 7); /* untouched */
}

/* ---- the secret ----------------------------------------------------------------------------------------------------------------- */

static void remove_secret(const char *dir)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/" SECRET_FILE_TOKENS, dir);
	unlink(path);
	rmdir(dir);
}

struct maker {
	struct thread thread;
	const char *dir;
	struct buf secret;
	int rc;
};

static void make(void *arg)
{
	struct maker *m = arg;
	m->rc = secret_file_ensure(m->dir, SECRET_FILE_TOKENS, &m->secret, NULL);
}

static void test_secret_made_once(void **state)
{
	(void)state;
	char dir[] = "/tmp/test_gateway.XXXXXX", inner[64], path[128];
	struct maker makers[8] = {0};
	assert_non_null(mkdtemp(dir));
	snprintf(inner, sizeof(inner), "%s/data", dir);
	assert_int_equal(secret_file_read(inner, SECRET_FILE_TOKENS, &makers[0].secret, NULL), ERR_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
		makers[i].dir = inner;
		assert_int_equal(thread_start(&makers[i].thread, "maker", make, &makers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
		thread_join(&makers[i].thread);
		assert_int_equal(makers[i].rc, 0);
		assert_true(str_eq(buf_str(&makers[i].secret), buf_str(&makers[0].secret)));
	}
	assert_null(secret_weakness(buf_str(&makers[0].secret)));
	for (size_t i = 0; i < ARRAY_LEN(makers); i++)
		buf_release(&makers[i].secret);
	struct stat st;
	snprintf(path, sizeof(path), "%s/" SECRET_FILE_TOKENS, inner);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	remove_secret(inner); /* which fails where a temporary file was left */
	assert_int_equal(rmdir(dir), 0);
}

/* ---- where Redis is ------------------------------------------------------------------------------------------------------------------ */

static int address(char *const *environment, struct raddr *out, struct err *err)
{
	struct config cfg;
	struct buf problems = BUF_INIT;
	const struct config_sources from = {.environment = environment};
	assert_int_equal(config_load(&cfg, &from, &problems), 0);
	bool embedded = settings_redis_embedded(&cfg);
	int rc = embedded ? ERR_NOT_FOUND : settings_redis_address(&cfg, out, err);
	buf_release(&problems);
	config_release(&cfg);
	return rc;
}

static void test_redis_address(void **state)
{
	(void)state;
	struct raddr a;
	struct err err = {0};
	assert_int_equal(address((char *[]){NULL}, &a, &err), ERR_NOT_FOUND);
	assert_int_equal(address((char *[]){"REDIS_HOST=db", "REDIS_PORT=7000", "REDIS_PASSWORD=x", "REDIS_DB=3", NULL}, &a, &err), 0);
	assert_string_equal(a.host, "db");
	assert_int_equal(a.port, 7000);
	assert_string_equal(a.password, "x");
	assert_int_equal(a.db, 3);
	assert_false(a.tls);
	assert_int_equal(address((char *[]){"REDIS_URL=redis://one:6380/2", NULL}, &a, &err), 0);
	assert_string_equal(a.host, "one");
	assert_int_equal(a.db, 2);
	assert_int_equal(address((char *[]){"REDIS_URL=rediss://one", "REDIS_TLS_CA_FILE=/ca.pem", NULL}, &a, &err), 0);
	assert_true(a.tls);
	assert_string_equal(a.tls_ca_file, "/ca.pem");
	assert_int_equal(address((char *[]){"REDIS_URL=rediss://one", "REDIS_TLS_CERT_FILE=/c", "REDIS_TLS_KEY_FILE=/k", NULL}, &a, &err), 0);
	assert_string_equal(a.tls_cert_file, "/c");
	assert_string_equal(a.tls_key_file, "/k");
	assert_int_equal(address((char *[]){"REDIS_HOST=db", "REDIS_TLS=1", "REDIS_TLS_CA_FILE=/ca.pem", NULL}, &a, &err), 0);
	assert_true(a.tls);
	assert_string_equal(a.tls_ca_file, "/ca.pem");
	assert_int_equal(address((char *[]){"REDIS_SENTINELS=a:1,b", "REDIS_PASSWORD=x", "REDIS_DB=3", NULL}, &a, &err), 0);
	assert_string_equal(a.host, "");
	assert_string_equal(a.password, "x");
	assert_int_equal(a.db, 3);
	assert_int_equal(address((char *[]){"REDIS_URL=http://one", NULL}, &a, &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "REDIS_URL"));
}

static int reach(char *const *environment, struct err *err)
{
	struct config cfg;
	struct buf problems = BUF_INIT;
	struct raddr addr;
	struct rsentinel *asker;
	const struct config_sources from = {.environment = environment};
	assert_int_equal(config_load(&cfg, &from, &problems), 0);
	int rc = settings_redis_reach(&cfg, NULL, &addr, &asker, err);
	assert_int_equal(asker != NULL, rc == 0 && cfg.redis_sentinels.n > 0);
	if (rc == 0)
		assert_ptr_equal(addr.master, asker ? rsentinel_master(asker) : NULL);
	rsentinel_stop(asker);
	buf_release(&problems);
	config_release(&cfg);
	return rc;
}

static void test_sentinels(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(reach((char *[]){"REDIS_HOST=db", NULL}, &err), 0);
	assert_int_equal(reach((char *[]){"REDIS_SENTINELS=127.0.0.1:1,[::1],[::1]:2,localhost", NULL}, &err), 0);
	static const char *const wrong[] = {"a:b", "redis://a", "a/1", "x@a", "a?db=1", "a:70000"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char setting[64];
		snprintf(setting, sizeof(setting), "REDIS_SENTINELS=b,%s", wrong[i]);
		assert_int_equal(reach((char *[]){setting, NULL}, &err), ERR_INVALID);
		assert_non_null(strstr(err.text, wrong[i]));
	}
	assert_int_equal(reach((char *[]){"REDIS_SENTINELS=a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", NULL}, &err), ERR_INVALID);
	assert_string_equal(err.text, "REDIS_SENTINELS: 16 at most");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),           cmocka_unit_test(test_facts_refused), cmocka_unit_test(test_facts_unreadable),
		cmocka_unit_test(test_secret_made_once),     cmocka_unit_test(test_redis_address),
		cmocka_unit_test(test_sentinels),
	};
	return cmocka_run_group_tests_name("gateway", tests, NULL, NULL);
}
