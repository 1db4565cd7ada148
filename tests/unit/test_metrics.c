/* lib/metrics: counting from many threads, and a text that a strict reader of the Prometheus format 0.0.4 accepts. */
#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/lock.h"
#include "lib/metrics/metrics.h"

/* ---- the reader ---- */

struct sample {
	struct str name, labels;
	double value;
};

struct reader {
	struct str family, kind;
	struct sample samples[8000];
	size_t n;
};

static struct str take_name(struct str *rest)
{
	size_t n = 0;
	while (n < rest->n && (isalnum((unsigned char)rest->p[n]) || rest->p[n] == '_'))
		n++;
	assert_true(n > 0 && !isdigit((unsigned char)rest->p[0]));
	struct str name = str_sub(*rest, 0, n);
	*rest = str_sub(*rest, n, rest->n - n);
	return name;
}

static void take(struct str *rest, char c)
{
	assert_true(rest->n > 0 && rest->p[0] == c);
	*rest = str_sub(*rest, 1, rest->n - 1);
}

static void take_quoted(struct str *rest)
{
	take(rest, '"');
	while (rest->n && rest->p[0] != '"') {
		if (rest->p[0] == '\\') {
			take(rest, '\\');
			assert_true(rest->n && strchr("\\\"n", rest->p[0]));
		}
		take(rest, rest->p[0]);
	}
	take(rest, '"');
}

static struct str take_labels(struct str *rest)
{
	if (!rest->n || rest->p[0] != '{')
		return STR_NONE;
	take(rest, '{');
	const char *from = rest->p;
	for (;;) {
		(void)take_name(rest);
		take(rest, '=');
		take_quoted(rest);
		if (rest->p[0] != ',')
			break;
		take(rest, ',');
	}
	struct str labels = {from, (size_t)(rest->p - from)};
	take(rest, '}');
	return labels;
}

static bool belongs(const struct reader *r, struct str name)
{
	static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
	if (str_eq(name, r->family))
		return !str_is(r->kind, "histogram");
	if (!str_is(r->kind, "histogram") || !str_starts(name, r->family))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (str_is(str_sub(name, r->family.n, name.n - r->family.n), suffixes[i]))
			return true;
	return false;
}

static void read_sample(struct reader *r, struct str line)
{
	struct sample s;
	s.name = take_name(&line);
	s.labels = take_labels(&line);
	take(&line, ' ');
	char number[40];
	assert_true(line.n > 0 && line.n < sizeof(number));
	memcpy(number, line.p, line.n);
	number[line.n] = '\0';
	char *end;
	s.value = strtod(number, &end);
	assert_int_equal(*end, '\0');
	assert_true(belongs(r, s.name));
	for (size_t i = 0; i < r->n; i++)
		assert_false(str_eq(r->samples[i].name, s.name) && str_eq(r->samples[i].labels, s.labels));
	assert_true(r->n < ARRAY_LEN(r->samples));
	r->samples[r->n++] = s;
}

static void read_comment(struct reader *r, struct str line)
{
	(void)str_cut(&line, ' ');
	struct str word = str_cut(&line, ' ');
	struct str name = str_cut(&line, ' ');
	assert_true(line.n > 0);
	if (str_is(word, "HELP")) {
		r->family = name;
		r->kind = STR_NONE;
		return;
	}
	assert_true(str_is(word, "TYPE"));
	assert_true(str_eq(name, r->family));
	assert_true(str_is(line, "counter") || str_is(line, "gauge") || str_is(line, "histogram"));
	r->kind = line;
}

static struct reader *read_text(struct str text)
{
	static struct reader r;
	r.n = 0;
	assert_true(text.n && text.p[text.n - 1] == '\n');
	text.n--;
	while (text.p) {
		struct str line = str_cut(&text, '\n');
		assert_true(line.n > 0);
		if (line.p[0] == '#')
			read_comment(&r, line);
		else
			read_sample(&r, line);
	}
	return &r;
}

static double value_of(const struct reader *r, const char *name, const char *labels)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_is(r->samples[i].name, name) && str_is(r->samples[i].labels, labels))
			return r->samples[i].value;
	return NAN;
}

static bool same(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

/* ---- the tests ---- */

struct counting {
	struct metrics *m;
	struct lock gate;
};

enum { THREADS = 8, ROUNDS = 5000 };

static void count(void *arg)
{
	struct counting *c = arg;
	lock_take(&c->gate); /* all start together */
	lock_give(&c->gate);
	struct str queue = STR("q");
	for (int i = 0; i < ROUNDS; i++) {
		metrics_add(c->m, M_JOBS_ENQUEUED, 1, &queue);
		metrics_add(c->m, M_HTTP_IN_FLIGHT, i % 2 ? -1 : 1, NULL);
		metrics_observe(c->m, M_JOB_RUN_SECONDS, i % 2 ? 0.5 : 2, &queue);
	}
}

static void test_counts_from_many_threads(void **state)
{
	(void)state;
	struct counting c = {.m = metrics_new()};
	struct thread threads[THREADS] = {0};
	struct str queue = STR("q");
	lock_init(&c.gate);
	lock_take(&c.gate);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(thread_start(&threads[i], "count", count, &c), 0);
	lock_give(&c.gate);
	for (size_t i = 0; i < THREADS; i++)
		thread_join(&threads[i]);
	assert_true(same(series_value(metrics_series(c.m, M_JOBS_ENQUEUED, &queue)), THREADS * ROUNDS));
	assert_true(same(series_value(metrics_series(c.m, M_HTTP_IN_FLIGHT, NULL)), 0));
	assert_true(same(series_value(metrics_series(c.m, M_JOB_RUN_SECONDS, &queue)), THREADS * ROUNDS));
	struct buf out = BUF_INIT;
	metrics_write(c.m, &out);
	const struct reader *r = read_text(buf_str(&out));
	assert_true(same(value_of(r, "sluice_job_run_seconds_sum", "queue=\"q\""), THREADS * ROUNDS * 1.25));
	buf_release(&out);
	lock_release(&c.gate);
	metrics_free(c.m);
}

static void test_histogram_buckets_add_up(void **state)
{
	(void)state;
	struct metrics *m = metrics_new();
	struct series *s = metrics_series(m, M_HTTP_REQUEST_SECONDS, (struct str[]){STR("/a"), STR("GET")});
	static const double seen[] = {0, 0.001, 0.0011, 4.9, 5, 5.1, 1e9};
	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		series_observe(s, seen[i]);
	struct buf out = BUF_INIT;
	metrics_write(m, &out);
	const struct reader *r = read_text(buf_str(&out));
#define AT(le) value_of(r, "sluice_http_request_duration_seconds_bucket", "route=\"/a\",method=\"GET\",le=\"" le "\"")
	assert_true(same(AT("0.001"), 2));
	assert_true(same(AT("0.0025"), 3));
	assert_true(same(AT("2.5"), 3));
	assert_true(same(AT("5"), 5));
	assert_true(same(AT("+Inf"), 7));
	assert_true(same(value_of(r, "sluice_http_request_duration_seconds_count", "route=\"/a\",method=\"GET\""), 7));
	buf_release(&out);
	metrics_free(m);
}

static void test_text_escapes_and_shows_all_kinds(void **state)
{
	(void)state;
	struct metrics *m = metrics_new();
	metrics_set(m, M_JOBS, 0.25, (struct str[]){STR("a\"b\\c\nd"), STR("wait\xff")});
	metrics_set(m, M_REDIS_UP, 1, NULL);
	metrics_set(m, M_BULLMQ_JOB_COUNT, 1e20, (struct str[]){STR("q"), STR("waiting-children")});
	struct buf out = BUF_INIT;
	metrics_write(m, &out);
	const struct reader *r = read_text(buf_str(&out));
	assert_true(same(value_of(r, "sluice_jobs", "queue=\"a\\\"b\\\\c\\nd\",state=\"__invalid__\""), 0.25));
	assert_true(same(value_of(r, "sluice_redis_up", ""), 1));
	assert_true(value_of(r, "bullmq_job_count", "queue=\"q\",state=\"waiting-children\"") > 9.9e19);
	assert_non_null(strstr(out.p, "# HELP bullmq_job_count Number of jobs in the queue by state\n# TYPE bullmq_job_count gauge\n"));
	assert_null(strstr(out.p, "bullmq_job_failed_total")); /* no series yet */
	assert_non_null(strstr(out.p, "sluice_http_requests_in_flight 0\n"));
	buf_release(&out);
	metrics_free(m);
}

static void test_process_series(void **state)
{
	(void)state;
	struct metrics *m = metrics_new();
	struct buf out = BUF_INIT;
	metrics_write(m, &out);
	const struct reader *r = read_text(buf_str(&out));
	assert_true(value_of(r, "process_cpu_seconds_total", "") >= 0);
	assert_true(value_of(r, "process_resident_memory_bytes", "") > 100000);
	assert_true(value_of(r, "process_open_fds", "") >= 3);
	assert_true(value_of(r, "process_max_fds", "") >= value_of(r, "process_open_fds", ""));
	assert_true(fabs(value_of(r, "process_start_time_seconds", "") - (double)time(NULL)) < 600);
	buf_release(&out);
	metrics_free(m);
}

static void test_label_sets_are_bounded(void **state)
{
	(void)state;
	struct metrics *m = metrics_new();
	char name[16];
	for (int i = 0; i < METRICS_MAX_SERIES + 10; i++) {
		(void)snprintf(name, sizeof(name), "q%d", i);
		struct str queue = str_from(name);
		metrics_add(m, M_JOBS_ENQUEUED, 1, &queue);
	}
	struct str known = STR("q5");
	metrics_add(m, M_JOBS_ENQUEUED, 1, &known);
	struct buf out = BUF_INIT;
	metrics_write(m, &out);
	const struct reader *r = read_text(buf_str(&out));
	assert_true(same(value_of(r, "sluice_jobs_enqueued_total", "queue=\"__other__\""), 10));
	assert_true(same(value_of(r, "sluice_jobs_enqueued_total", "queue=\"q5\""), 2));
	assert_true(isnan(value_of(r, "sluice_jobs_enqueued_total", "queue=\"q2005\"")));
	buf_release(&out);
	metrics_free(m);
}

static void test_a_series_is_looked_up_once(void **state)
{
	(void)state;
	struct metrics *m = metrics_new();
	struct series *_Atomic slot = NULL;
	struct str q = STR("q");
	series_add(metrics_series_once(m, &slot, M_JOBS_ENQUEUED, &q), 1);
	series_add(metrics_series_once(m, &slot, M_JOBS_ENQUEUED, &(struct str){"x", 1}), 1); /* the slot says which */
	assert_true(same(series_value(metrics_series(m, M_JOBS_ENQUEUED, &q)), 2));
	metrics_free(m);
}

static void test_bounds_are_written_in_full(void **state)
{
	(void)state;
	struct metrics *m = metrics_new();
	struct buf out = BUF_INIT;
	metrics_observe(m, M_HTTP_REQUEST_BYTES, 1048576, NULL);
	metrics_write(m, &out);
	const struct reader *r = read_text(buf_str(&out));
	assert_true(same(value_of(r, "sluice_http_request_size_bytes_bucket", "le=\"262144\""), 0));
	assert_true(same(value_of(r, "sluice_http_request_size_bytes_bucket", "le=\"1048576\""), 1));
	buf_release(&out);
	metrics_free(m);
}

/* Prometheus' naming rules, over the whole table. */
static void test_table(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	metrics_dump(&out);
	json_t *rows = json_loads(out.p, 0, NULL);
	assert_int_equal(json_array_size(rows), M_COUNT);
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row) {
		struct str name = str_from(json_string_value(json_object_get(row, "name")));
		const char *kind = json_string_value(json_object_get(row, "kind"));
		assert_true(str_starts(name, STR("sluice_")) || str_starts(name, STR("process_")) || str_starts(name, STR("bullmq_")));
		assert_int_equal(str_ends(name, STR("_total")), strcmp(kind, "counter") == 0);
		if (strcmp(kind, "histogram") == 0)
			assert_true(str_ends(name, STR("_seconds")) || str_ends(name, STR("_bytes")) || str_ends(name, STR("_attempts_made")));
		assert_true(strlen(json_string_value(json_object_get(row, "help"))) > 5);
	}
	json_decref(rows);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_from_many_threads),
		cmocka_unit_test(test_histogram_buckets_add_up),
		cmocka_unit_test(test_text_escapes_and_shows_all_kinds),
		cmocka_unit_test(test_process_series),
		cmocka_unit_test(test_label_sets_are_bounded),
		cmocka_unit_test(test_a_series_is_looked_up_once),
		cmocka_unit_test(test_bounds_are_written_in_full),
		cmocka_unit_test(test_table),
	};
	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
