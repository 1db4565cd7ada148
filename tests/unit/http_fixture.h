/* A server with a few routes of its own on a free port, and short ways to ask it things. For tests of gateway/http. */
#ifndef SLUICE_TESTS_UNIT_HTTP_FIXTURE_H
#define SLUICE_TESTS_UNIT_HTTP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "gateway/http/server.h"
#include "gateway/routes/health.h"
#include "lib/base/lock.h"
#include "lib/config/config.h"
#include "tests/unit/http_client.h"


#define HTTP_TOKEN_SIZE 512

struct app {
	atomic_int smuggled, held;
	atomic_bool broken; /* what the health check says */
	struct lock mu;
	struct cond released;
	/* protected by mu */
	bool release;
	struct deferral *deferred; /* in their order */
	int n_deferred;
};

struct fixture {
	struct config config;
	struct app app;
	struct http_deps deps;
	struct health health;
	struct schema *schema;
	struct server *server;
	int log_fd;
	char token[HTTP_TOKEN_SIZE], other_token[HTTP_TOKEN_SIZE];
};

/* Setup and teardown. The test's initial state may be a void (*)(struct config *) that changes the settings. */
int http_start(void **state);
int http_stop(void **state);

/* Does this text stand in the log? A response is written before its log line, so a test may have to wait for one. */
bool http_logged(const struct fixture *f, const char *text);
void http_await_log(const struct fixture *f, const char *text);

/* Sends, expects one response with this status, and the connection's end when `closed`. */
void http_expect(const struct fixture *f, const char *raw, size_t n, int status, bool closed);
/* Sends on a new connection and returns the response. */
struct reply http_ask(const struct fixture *f, const char *raw);
void http_token(const struct fixture *f, const char *org, const char *sub, role_set roles, char out[HTTP_TOKEN_SIZE]);
/* POST {} under a token. */
struct reply http_ask_as(const struct fixture *f, const char *path, const char *token);

/* GET and POST /later are answered by http_answer, on the test's thread, in the order in which they came: it waits for one. The body tells what
 * the request was (query parameter q, header X-Tag, the body) with so many bytes of padding behind it. */
void http_answer(struct fixture *f, size_t padding);
void http_await_deferred(struct fixture *f, int n); /* so many have come, answered or not */

/* GET /hold blocks: waits until n requests do, and lets them go. */
void http_await_held(struct fixture *f, int n);
void http_release(struct fixture *f);

#define EXPECT(f, raw, status, closed) http_expect(f, raw, sizeof(raw) - 1, status, closed)
#define REQ(line, headers) line " HTTP/1.1\r\nHost: h\r\n" headers "\r\n"
#define JSON "Content-Type: application/json\r\n"

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, http_start, http_stop)
#define TEST_WITH(fn, change) {#fn, fn, http_start, http_stop, (void *)(uintptr_t)(change)}

#endif
