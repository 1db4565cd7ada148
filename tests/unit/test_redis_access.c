/* lib/redis: signing in (password, ACL user, database) and TLS with a certificate authority of the test's own. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/redis/rconn.h"
#include "lib/redis/rmux.h"
#include "tests/unit/redis_calls.h"
#include "tests/unit/redis_server.h"

/* ---- signing in ---- */

/* Sends one command of up to six words. */
static void tell(struct raddr addr, const char *const *words)
{
	struct rconn *c = rconn_new(&addr, NULL, NULL);
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	size_t n = 0;
	while (words[n])
		n++;
	rcmd_begin(&cmd, n);
	for (size_t i = 0; i < n; i++)
		rcmd_argz(&cmd, words[i]);
	assert_int_equal(rconn_open(c, clock_mono_ms() + SOON, NULL), 0);
	assert_int_equal(rconn_command(c, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	assert_int_equal(rreply_error(replies.items[0], NULL), 0);
	rreplies_release(&replies);
	rcmd_release(&cmd);
	rconn_free(c);
}
#define TELL(addr, ...) tell((addr), (const char *const[]){__VA_ARGS__, NULL})

static int start_redis(void **state)
{
	static struct redis_server redis;
	redis_server_start(&redis, NULL);
	struct raddr addr = redis_server_addr(&redis);
	TELL(addr, "ACL", "SETUSER", "sluice", "on", ">pa:ss@", "~bull:*", "+@all", "-info", "-client");
	TELL(addr, "CONFIG", "SET", "requirepass", "s3cret");
	*state = &redis;
	return 0;
}

static int stop_redis(void **state)
{
	redis_server_stop(*state);
	return 0;
}

static void set_credentials(struct raddr *a, const char *user, const char *password)
{
	snprintf(a->user, sizeof(a->user), "%s", user);
	snprintf(a->password, sizeof(a->password), "%s", password);
}

static void test_a_password_lets_in(void **state)
{
	struct raddr addr = redis_server_addr(*state);
	set_credentials(&addr, "", "s3cret");
	struct rmux *m = start_connected_mux(addr, 0);
	assert_echo(m, "in");
	end_mux(m);
}

static void test_a_wrong_or_missing_password_does_not(void **state)
{
	static const char *const wrong[] = {"", "S3cret"};
	for (size_t i = 0; i < 2; i++) {
		struct raddr addr = redis_server_addr(*state);
		struct err err = {0};
		set_credentials(&addr, "", wrong[i]);
		struct rconn *c = rconn_new(&addr, NULL, NULL);
		assert_int_equal(rconn_open(c, clock_mono_ms() + SOON, &err), ERR_UNAVAILABLE);
		assert_non_null(strstr(err.text, i == 0 ? "NOAUTH" : "WRONGPASS"));
		assert_false(rconn_is_open(c));
		rconn_free(c);
		struct rmux *m = start_mux(addr, 0);
		while (call_code(m, "ECHO", "x", 20) != ERR_UNAVAILABLE)
			continue;
		assert_false(rmux_is_up(m));
		end_mux(m);
	}
}

/* One who may use neither CLIENT nor INFO, and only its own keys. */
static void test_a_restricted_user_gets_in(void **state)
{
	struct raddr addr = redis_server_addr(*state);
	char text[64];
	set_credentials(&addr, "sluice", "pa:ss@");
	struct rmux *m = start_connected_mux(addr, 0);
	assert_int_equal(call_text(m, "INCR", "bull:n", SOON, text, NULL), 0);
	assert_string_equal(text, "1");
	assert_int_equal(call_text(m, "INCR", "other", SOON, text, NULL), 0);
	assert_string_equal(text, "");
	end_mux(m);
}

static void test_the_database_is_chosen(void **state)
{
	struct raddr addr = redis_server_addr(*state);
	char text[64];
	set_credentials(&addr, "", "s3cret");
	addr.db = 5;
	struct rmux *five = start_connected_mux(addr, 0);
	addr.db = 0;
	struct rmux *zero = start_connected_mux(addr, 0);
	assert_int_equal(call_text(five, "INCR", "where", SOON, text, NULL), 0);
	assert_int_equal(call_text(five, "EXISTS", "where", SOON, text, NULL), 0);
	assert_string_equal(text, "1");
	assert_int_equal(call_text(zero, "EXISTS", "where", SOON, text, NULL), 0);
	assert_string_equal(text, "0");
	end_mux(five);
	end_mux(zero);
}

/* ---- TLS ---- */

struct tls_world {
	struct redis_server redis;
	int port;
	char port_text[8];
	char ca[128], other_ca[128], cert[128], key[128];
};

static void run_shell(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static void path_in(const struct redis_server *r, char out[128], const char *name)
{
	snprintf(out, 128, "%s/%s", r->dir, name);
}

/* A CA, a certificate by it for the name "redis.test" and 127.0.0.1, and another CA. */
static void make_certificates(struct tls_world *w)
{
	char command[2048];
	snprintf(command, sizeof(command),
	         "cd '%s' && exec 2>/dev/null && new='openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2' && "
	         "$new -subj /CN=ca -keyout ca.key -out ca.pem && $new -subj /CN=other -keyout other.key -out other.pem && "
	         "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis -keyout redis.key -out redis.csr && "
	         "printf 'subjectAltName=DNS:redis.test,IP:127.0.0.1' >ext && "
	         "openssl x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out redis.pem",
	         w->redis.dir);
	run_shell(command);
	path_in(&w->redis, w->ca, "ca.pem");
	path_in(&w->redis, w->other_ca, "other.pem");
	path_in(&w->redis, w->cert, "redis.pem");
	path_in(&w->redis, w->key, "redis.key");
}

static int free_port(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&sin, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

static int start_tls_redis(void **state)
{
	static struct tls_world w;
	redis_server_start(&w.redis, NULL);
	make_certificates(&w);
	redis_server_kill(&w.redis);
	w.port = free_port();
	snprintf(w.port_text, sizeof(w.port_text), "%d", w.port);
	const char *const more[] = {"--tls-port", w.port_text, "--bind", "127.0.0.1", "--tls-cert-file", w.cert, "--tls-key-file", w.key,
	                            "--tls-ca-cert-file", w.ca, "--tls-auth-clients", "optional", NULL};
	redis_server_run(&w.redis, more);
	*state = &w;
	return 0;
}

static int stop_tls_redis(void **state)
{
	struct tls_world *w = *state;
	redis_server_stop(&w->redis);
	return 0;
}

static struct raddr tls_addr(const struct tls_world *w, const char *ca, const char *host)
{
	struct raddr a = {.port = w->port, .tls = true};
	snprintf(a.host, sizeof(a.host), "%s", host);
	snprintf(a.tls_ca_file, sizeof(a.tls_ca_file), "%s", ca);
	return a;
}

static void test_tls_carries_calls_of_any_size(void **state)
{
	struct tls_world *w = *state;
	struct rmux *m = start_connected_mux(tls_addr(w, w->ca, "127.0.0.1"), 0);
	assert_echo(m, "through TLS");
	size_t n = (size_t)3 << 20;
	char *big = malloc(n);
	memset(big, 'b', n);
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	for (int i = 0; i < 3; i++) {
		rcmd_begin(&cmd, 2);
		rcmd_argz(&cmd, "ECHO");
		rcmd_arg(&cmd, (struct str){big, n});
	}
	assert_int_equal(rmux_call(m, &cmd, clock_mono_ms() + SOON, &replies, NULL), 0);
	for (size_t i = 0; i < 3; i++)
		assert_true(str_eq(rreply_str(replies.items[i]), (struct str){big, n}));
	rreplies_release(&replies);
	rcmd_release(&cmd);
	free(big);
	end_mux(m);
}

static int try_tls(struct raddr addr, struct err *err)
{
	struct rconn *c = rconn_new(&addr, NULL, err);
	assert_non_null(c);
	int rc = rconn_open(c, clock_mono_ms() + SOON, err);
	rconn_free(c);
	return rc;
}

static void test_tls_refuses_another_authority(void **state)
{
	struct tls_world *w = *state;
	struct err err = {0};
	assert_int_equal(try_tls(tls_addr(w, w->other_ca, "127.0.0.1"), &err), ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "certificate is refused"));
	/* The system's store does not know it either. */
	assert_int_equal(try_tls(tls_addr(w, "", "127.0.0.1"), &err), ERR_UNAVAILABLE);
}

/* "localhost" is the same server, but not the name in its certificate. */
static void test_tls_refuses_another_name(void **state)
{
	struct tls_world *w = *state;
	struct err err = {0};
	struct raddr addr = tls_addr(w, w->ca, "localhost");
	assert_int_equal(try_tls(addr, &err), ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "ostname mismatch"));
	addr.tls_skip_name = true;
	assert_int_equal(try_tls(addr, NULL), 0);
	snprintf(addr.tls_ca_file, sizeof(addr.tls_ca_file), "%s", w->other_ca);
	assert_int_equal(try_tls(addr, NULL), ERR_UNAVAILABLE);
}

static void test_tls_files_are_checked_at_once(void **state)
{
	struct tls_world *w = *state;
	struct err err = {0};
	struct raddr addr = tls_addr(w, "/nonexistent/ca.pem", "127.0.0.1");
	assert_null(rconn_new(&addr, NULL, &err));
	assert_int_equal(err.code, ERR_INVALID);
	addr = tls_addr(w, w->ca, "127.0.0.1");
	snprintf(addr.tls_cert_file, sizeof(addr.tls_cert_file), "%s", w->cert);
	snprintf(addr.tls_key_file, sizeof(addr.tls_key_file), "%s", w->cert);
	assert_null(rconn_new(&addr, NULL, &err));
	snprintf(addr.tls_key_file, sizeof(addr.tls_key_file), "%s", w->key);
	assert_int_equal(try_tls(addr, &err), 0);
}

/* Plain text where TLS is expected, and the other way round: an error, not a wait. */
static void test_a_port_of_the_other_kind_is_an_error(void **state)
{
	struct tls_world *w = *state;
	struct raddr addr = tls_addr(w, w->ca, "127.0.0.1");
	struct err err = {0};
	addr.tls = false;
	assert_true(try_tls(addr, &err) < 0);
	assert_int_not_equal(err.code, ERR_TIMEOUT);
}

static void test_a_port_where_nobody_listens_is_unavailable(void **state)
{
	(void)state;
	struct raddr addr = {.host = "127.0.0.1", .port = free_port()};
	struct err err = {0};
	assert_int_equal(try_tls(addr, &err), ERR_UNAVAILABLE);
	snprintf(addr.host, sizeof(addr.host), "no-such-host.invalid");
	assert_int_equal(try_tls(addr, &err), ERR_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest access[] = {
		cmocka_unit_test(test_a_password_lets_in),
		cmocka_unit_test(test_a_wrong_or_missing_password_does_not),
		cmocka_unit_test(test_a_restricted_user_gets_in),
		cmocka_unit_test(test_the_database_is_chosen),
	};
	const struct CMUnitTest tls[] = {
		cmocka_unit_test(test_tls_carries_calls_of_any_size),
		cmocka_unit_test(test_tls_refuses_another_authority),
		cmocka_unit_test(test_tls_refuses_another_name),
		cmocka_unit_test(test_tls_files_are_checked_at_once),
		cmocka_unit_test(test_a_port_of_the_other_kind_is_an_error),
		cmocka_unit_test(test_a_port_where_nobody_listens_is_unavailable),
	};
	signal(SIGPIPE, SIG_IGN); /* as the program does: OpenSSL writes without MSG_NOSIGNAL */
	int failed = cmocka_run_group_tests_name("redis access", access, start_redis, stop_redis);
	return failed + cmocka_run_group_tests_name("redis tls", tls, start_tls_redis, stop_tls_redis);
}
