#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/http/route.h"

static void nothing(struct request *r, struct response *res)
{
	(void)r;
	(void)res;
}

#define ROW(id, method, pattern) {id, method, pattern, ROUTE_PUBLIC, RATE_NONE, BODY_NONE, NULL, NULL, 0, "", nothing}

static const struct route rows[] = {
	ROW("root", "GET", "/"),
	ROW("any", "POST", "/api/jobs/{queue}"),
	ROW("status", "POST", "/api/jobs/status"),
	ROW("stats", "GET", "/api/jobs/stats/{queue}"),
	ROW("job", "GET", "/api/jobs/status/{queue}/{jobId}"),
	ROW("put", "PUT", "/api/documents/{id}"),
	ROW("get", "GET", "/api/documents/{id}"),
	ROW("lease", "POST", "/api/queues/{queue}/lease"),
	ROW("complete", "POST", "/api/queues/{queue}/jobs/{jobId}/complete"),
};
static const struct route_table table = {rows, ARRAY_LEN(rows)};

struct fixture {
	struct router router;
	struct arena a;
	const struct route *route;
	struct str params[REQUEST_MAX_PARAMS];
	char allow[ROUTE_ALLOW_SIZE];
};

static enum route_match find(struct fixture *f, const char *method, const char *path)
{
	memset(f->params, 0, sizeof(f->params));
	f->route = NULL;
	f->allow[0] = '\0';
	return route_find(&f->router, str_from(method), str_from(path), &f->a, &f->route, f->params, f->allow, sizeof(f->allow));
}

static void test_find(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(find(f, "GET", "/"), ROUTE_FOUND);
	assert_string_equal(f->route->id, "root");
	assert_int_equal(find(f, "GET", "/api/jobs/status/q/42"), ROUTE_FOUND);
	assert_string_equal(f->route->id, "job");
	assert_true(str_is(f->params[0], "q"));
	assert_true(str_is(f->params[1], "42"));
	assert_int_equal(find(f, "HEAD", "/api/documents/x"), ROUTE_FOUND);
	assert_string_equal(f->route->id, "get");
}

static void test_literal_wins(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(find(f, "POST", "/api/jobs/status"), ROUTE_FOUND);
	assert_string_equal(f->route->id, "status");
	assert_int_equal(find(f, "POST", "/api/jobs/notifications"), ROUTE_FOUND);
	assert_string_equal(f->route->id, "any");
}

static void test_encoded_slash_is_data(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(find(f, "GET", "/api/documents/a%2Fb%20c"), ROUTE_FOUND);
	assert_true(str_is(f->params[0], "a/b c"));
	assert_int_equal(find(f, "GET", "/api%2Fdocuments/a"), ROUTE_NO_PATH);
}

/* A parameter may begin, end or consist of what the pattern has beside it, or of what marks a parameter there. */
static void test_any_parameter(void **state)
{
	static const struct {
		const char *path, *id, *last;
	} cases[] = {
		{"/api/queues/lease/lease", "lease", "lease"},
		{"/api/queues/complete/jobs/complete/complete", "complete", "complete"},
		{"/api/queues/q/jobs/jobs/complete", "complete", "jobs"},
		{"/api/queues/{q/jobs/x}/complete", "complete", "x}"},
		{"/api/queues/{queue}/jobs/{jobId}/complete", "complete", "{jobId}"},
		{"/api/queues/q/jobs/%2Fcomplete/complete", "complete", "/complete"},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(find(f, "POST", cases[i].path), ROUTE_FOUND);
		assert_string_equal(f->route->id, cases[i].id);
		assert_true(str_is(f->params[cases[i].id[0] == 'c'], cases[i].last));
	}
	assert_int_equal(find(f, "POST", "/api/queues/q/release"), ROUTE_NO_PATH);
	assert_int_equal(find(f, "POST", "/api/queues/q/xlease"), ROUTE_NO_PATH);
	assert_int_equal(find(f, "POST", "/complete"), ROUTE_NO_PATH);
	assert_int_equal(find(f, "POST", "e"), ROUTE_BAD_PATH);
}

static void test_misses(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(find(f, "GET", "/api"), ROUTE_NO_PATH);
	assert_int_equal(find(f, "GET", "/api/documents/"), ROUTE_NO_PATH);
	assert_int_equal(find(f, "GET", "/api/documents/x/"), ROUTE_NO_PATH);
	assert_int_equal(find(f, "GET", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"), ROUTE_NO_PATH);
	assert_int_equal(find(f, "GET", "/api/../x"), ROUTE_BAD_PATH);
	assert_int_equal(find(f, "GET", "/api//x"), ROUTE_BAD_PATH);
	assert_int_equal(find(f, "GET", "/api/documents/%00"), ROUTE_BAD_PATH);
	assert_int_equal(find(f, "GET", ""), ROUTE_BAD_PATH);
}

static void test_allow(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(find(f, "DELETE", "/api/documents/x"), ROUTE_NO_METHOD);
	assert_string_equal(f->allow, "GET, HEAD, PUT");
	assert_int_equal(find(f, "GET", "/api/jobs/status"), ROUTE_NO_METHOD);
	assert_string_equal(f->allow, "POST");
}

static int setup(void **state)
{
	static struct fixture f;
	arena_init(&f.a, 0);
	*state = &f;
	return router_init(&f.router, &table);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	router_release(&f->router);
	arena_release(&f->a);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_literal_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_encoded_slash_is_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_parameter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_misses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_allow, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
