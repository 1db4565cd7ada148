/* lib/config: values, sources, and what is said about mistakes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/fs.h"
#include "lib/config/config.h"
#include "lib/log/log.h"

struct place {
	char dir[40];
	char env_file[60];
	char secret[60];
	struct config cfg;
	struct buf problems;
};

static int place_make(void **state)
{
	static struct place p;
	p = (struct place){0};
	memcpy(p.dir, "/tmp/test_config.XXXXXX", sizeof("/tmp/test_config.XXXXXX"));
	*state = &p;
	if (!mkdtemp(p.dir))
		return -1;
	(void)snprintf(p.env_file, sizeof(p.env_file), "%s/.env", p.dir);
	(void)snprintf(p.secret, sizeof(p.secret), "%s/secret", p.dir);
	return 0;
}

static int place_remove(void **state)
{
	struct place *p = *state;
	config_release(&p->cfg);
	buf_release(&p->problems);
	(void)unlink(p->env_file);
	(void)unlink(p->secret);
	return rmdir(p->dir);
}

static int load(struct place *p, char *const *environment)
{
	config_release(&p->cfg);
	buf_clear(&p->problems);
	struct config_sources from = {.environment = environment, .env_file = p->env_file};
	return config_load(&p->cfg, &from, &p->problems);
}

static void write_file(const char *path, const char *text)
{
	assert_int_equal(fs_write_file(path, str_from(text), 0600, NULL), 0);
}

#define ENV(...) ((char *[]){__VA_ARGS__, NULL})

static void assert_problem(struct place *p, const char *line)
{
	if (!p->problems.p || !strstr(p->problems.p, line))
		fail_msg("expected %s in:\n%s", line, p->problems.p ? p->problems.p : "(nothing)");
}

static void test_defaults(void **state)
{
	struct place *p = *state;
	assert_int_equal(load(p, ENV("PATH=/bin", "PORT=")), 0);
	assert_int_equal(p->problems.n, 0);
	assert_string_equal(p->cfg.host, "127.0.0.1");
	assert_int_equal(p->cfg.port, 3000);
	assert_int_equal(p->cfg.role, CONFIG_ROLE_ALL);
	assert_int_equal(p->cfg.log_level, LOG_INFO);
	assert_int_equal(p->cfg.log_format, CONFIG_LOG_AUTO);
	assert_int_equal(p->cfg.doc_sandbox, CONFIG_SANDBOX_BEST_EFFORT);
	assert_int_equal(p->cfg.jwt_expires_in_ms, 86400000);
	assert_int_equal(p->cfg.doc_tool_memory_bytes, 512 << 20);
	assert_int_equal(p->cfg.rate_limit_per_s, 0);
	assert_int_equal(p->cfg.cors_origins.n, 0);
	assert_string_equal(p->cfg.redis_url, "");
	assert_string_equal(p->cfg.default_job_options, "{}");
	assert_string_equal(p->cfg.documents_dir, "./var/documents");
	for (size_t i = 0; i < CONFIG_KEYS; i++)
		assert_int_equal(p->cfg.origin[i], CONFIG_FROM_DEFAULT);
}

static void test_every_type(void **state)
{
	struct place *p = *state;
	char *const *env = ENV("PORT=0", "DEV_LOGIN=true", "SLUICE_ROLE=worker", "LOG_LEVEL=off", "SLUICE_DRAIN_GRACE=1m",
			       "SLUICE_MAX_BODY_BYTES=2MiB", "BULLMQ_DEFAULT_JOB_OPTIONS={\"attempts\":3}", "SLUICE_RATE_LIMIT=100/s",
			       "SLUICE_CORS_ORIGINS= https://a.example , ,https://b.example", "SLUICE_KEEP_ALIVE_TIMEOUT=250ms");
	assert_int_equal(load(p, env), 0);
	assert_int_equal(p->cfg.port, 0);
	assert_true(p->cfg.dev_login);
	assert_int_equal(p->cfg.role, CONFIG_ROLE_WORKER);
	assert_int_equal(p->cfg.log_level, LOG_OFF);
	assert_int_equal(p->cfg.drain_grace_ms, 60000);
	assert_int_equal(p->cfg.max_body_bytes, 2 << 20);
	assert_string_equal(p->cfg.default_job_options, "{\"attempts\":3}");
	assert_int_equal(p->cfg.rate_limit_per_s, 100);
	assert_int_equal(p->cfg.cors_origins.n, 2);
	assert_string_equal(p->cfg.cors_origins.items[0], "https://a.example");
	assert_string_equal(p->cfg.cors_origins.items[1], "https://b.example");
	assert_int_equal(p->cfg.keep_alive_ms, 250);
}

static void test_wrong_values_are_all_reported(void **state)
{
	struct place *p = *state;
	static const struct {
		char *pair;
		const char *said;
	} rows[] = {
		{"PORT=65536", "PORT (from the environment) is \"65536\"; allowed: a whole number from 0 to 65535.\n"},
		{"DEV_LOGIN=yes", "DEV_LOGIN (from the environment) is \"yes\"; allowed: 0, 1, false or true.\n"},
		{"SLUICE_ROLE=both", "allowed: api, worker or all.\n"},
		{"JWT_EXPIRES_IN=3600", "JWT_EXPIRES_IN (from the environment) is \"3600\"; allowed: a number with ms, s, m, h or d, from 1s to 365d.\n"},
		{"SLUICE_DRAIN_GRACE=2h", "from 0 to 1h.\n"},
		{"SLUICE_DOC_MAX_AGE=9223372036854775807d", "SLUICE_DOC_MAX_AGE"},
		{"SLUICE_DOC_MAX_BYTES=1KB", "bytes, or a number with KiB, MiB, GiB or TiB, from 1 to 1TiB.\n"},
		{"BULLMQ_DEFAULT_JOB_OPTIONS=[]", "allowed: a JSON object.\n"},
		{"SLUICE_RATE_LIMIT=100", "allowed: off, or N/s with N from 1 to 1000000.\n"},
		{"HOST=a\nb", "HOST (from the environment) is \"a?b\""},
		{"SLUICE_CORS_ORIGINS=a\tb", "SLUICE_CORS_ORIGINS (from"},
		{"SLUICE_PUBLIC_URL=sluice.example.org", "SLUICE_PUBLIC_URL is no address that begins with https:// or http://.\n"},
		{"REDIS_TLS_CERT_FILE=x", "REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE belong together"},
	};
	char *env[ARRAY_LEN(rows) + 1] = {NULL};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		env[i] = rows[i].pair;
	assert_int_equal(load(p, env), ERR_INVALID);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_problem(p, rows[i].said);
	size_t lines = 0;
	for (size_t i = 0; i < p->problems.n; i++)
		lines += p->problems.p[i] == '\n';
	assert_int_equal(lines, ARRAY_LEN(rows));
}

static void test_unknown_names(void **state)
{
	struct place *p = *state;
	assert_int_equal(load(p, ENV("SLUICE_MAX_BODY_BYTE=1", "SLUICE_QQQQQQQQQQQQQ=1", "SLUICE_HTTP_PORT=80", "OTHER=1")), ERR_INVALID);
	assert_problem(p, "SLUICE_MAX_BODY_BYTE (from the environment) is no setting; did you mean SLUICE_MAX_BODY_BYTES?\n");
	assert_problem(p, "SLUICE_QQQQQQQQQQQQQ (from the environment) is no setting.\n");
	assert_problem(p, "SLUICE_HTTP_PORT");
	assert_null(strstr(p->problems.p, "OTHER"));
	assert_int_equal(load(p, ENV("SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_SERVICE_PORT_HTTP=80", "SLUICE_PORT=tcp://10.0.0.1:80",
				     "SLUICE_PORT_80_TCP=tcp://10.0.0.1:80", "SLUICE_PORT_80_TCP_PROTO=tcp")),
			 0);
}

static void test_order_of_sources(void **state)
{
	struct place *p = *state;
	write_file(p->env_file, "PORT=1\nHOST=file\nDATA_DIR=/file\n");
	struct config_sources from = {
		.overrides = ENV("PORT=3"), .environment = ENV("PORT=2", "HOST=env", "DATA_DIR="), .env_file = p->env_file};
	assert_int_equal(config_load(&p->cfg, &from, &p->problems), 0);
	assert_int_equal(p->cfg.port, 3);
	assert_string_equal(p->cfg.host, "env");
	assert_string_equal(p->cfg.data_dir, "/file");
	assert_string_equal(p->cfg.documents_dir, "/file/documents");
	assert_int_equal(p->cfg.origin[CONFIG_KEY_port], CONFIG_FROM_COMMAND_LINE);
	assert_int_equal(p->cfg.origin[CONFIG_KEY_host], CONFIG_FROM_ENVIRONMENT);
	assert_int_equal(p->cfg.origin[CONFIG_KEY_data_dir], CONFIG_FROM_FILE);
}

static void test_env_file(void **state)
{
	struct place *p = *state;
	write_file(p->env_file, "# a comment\r\n\n  export HOST = h # why\nREDIS_PASSWORD=\"a#b\\n\\\"c\\\\\" # x\nJWT_ISSUER='\\n # \"x\"'\n"
				"BULLMQ_PREFIX=a#b\nJWT_AUDIENCE=one\nJWT_AUDIENCE=two");
	assert_int_equal(load(p, NULL), 0);
	assert_string_equal(p->cfg.host, "h");
	assert_string_equal(p->cfg.redis_password, "a#b\n\"c\\");
	assert_string_equal(p->cfg.jwt_issuer, "\\n # \"x\"");
	assert_string_equal(p->cfg.bullmq_prefix, "a#b");
	assert_string_equal(p->cfg.jwt_audience, "two");

	write_file(p->env_file, "HOST\n9X=1\nHOST=\"a\nHOST='a' b\nSLUICE_QUEUS=x\nPORT=x\n");
	assert_int_equal(load(p, NULL), ERR_INVALID);
	assert_problem(p, "/.env: line 1 is not NAME=value.\n");
	assert_problem(p, "/.env: line 2 is not NAME=value.\n");
	assert_problem(p, "/.env: line 3 has a quote that does not end, or text behind the closing one.\n");
	assert_problem(p, "/.env: line 4 has a quote");
	assert_problem(p, "/.env) is no setting; did you mean SLUICE_QUEUES?\n");
	assert_problem(p, "/.env) is \"x\"; allowed");
}

static void test_public_url_has_a_scheme(void **state)
{
	struct place *p = *state;
	assert_int_equal(load(p, ENV("SLUICE_PUBLIC_URL=HTTPS://sluice.example.org")), ERR_INVALID);
	assert_int_equal(load(p, ENV("SLUICE_PUBLIC_URL=https://sluice.example.org/")), 0);
	assert_int_equal(load(p, ENV("SLUICE_PUBLIC_URL=http://localhost:3000")), 0);
}

static void test_secrets_from_files(void **state)
{
	struct place *p = *state;
	char pair[100];
	(void)snprintf(pair, sizeof(pair), "JWT_SECRET_FILE=%s", p->secret);
	write_file(p->secret, "line\n\n");
	assert_int_equal(load(p, ENV(pair)), 0);
	assert_string_equal(p->cfg.jwt_secret, "line\n");

	assert_int_equal(load(p, ENV(pair, "JWT_SECRET=hunter2")), ERR_INVALID);
	assert_problem(p, "JWT_SECRET and JWT_SECRET_FILE are both set; set one of them.\n");
	assert_null(strstr(p->problems.p, "hunter2"));

	write_file(p->env_file, "JWT_SECRET=from-the-file\n"); /* never overrides the environment, in either form */
	assert_int_equal(load(p, ENV(pair)), 0);
	assert_string_equal(p->cfg.jwt_secret, "line\n");

	write_file(p->secret, "line\r\n"); /* as an editor under Windows leaves it */
	assert_int_equal(load(p, ENV(pair)), 0);
	assert_string_equal(p->cfg.jwt_secret, "line");
	write_file(p->secret, "line\r");
	assert_int_equal(load(p, ENV(pair)), 0);
	assert_string_equal(p->cfg.jwt_secret, "line\r");

	write_file(p->secret, "\r\n");
	assert_int_equal(load(p, ENV(pair)), ERR_INVALID);
	write_file(p->secret, "\n");
	assert_int_equal(load(p, ENV(pair)), ERR_INVALID);
	assert_problem(p, "/secret is empty.\n");
	assert_int_equal(fs_write_file(p->secret, STR("a\0b"), 0600, NULL), 0);
	assert_int_equal(load(p, ENV(pair)), ERR_INVALID);
	assert_problem(p, "/secret contains a NUL byte.\n");
	assert_int_equal(load(p, ENV("REDIS_URL_FILE=/none/such")), ERR_INVALID);
	assert_problem(p, "REDIS_URL_FILE: /none/such does not exist.\n");
	assert_int_equal(load(p, ENV("REDIS_URL=redis://h", "REDIS_HOST=h")), ERR_INVALID);
	assert_problem(p, "REDIS_URL and REDIS_HOST are both set");
}

static json_t *parsed(struct buf *b)
{
	assert_false(b->failed);
	json_error_t e;
	json_t *j = json_loadb(b->p, b->n, JSON_REJECT_DUPLICATES, &e);
	if (!j)
		fail_msg("%s", e.text);
	return j;
}

static void test_dump_and_help_say_every_key(void **state)
{
	struct place *p = *state;
	struct buf dump = BUF_INIT;
	struct buf help = BUF_INIT;
	config_dump(&dump);
	config_help(&help);
	json_t *rows = parsed(&dump);
	size_t i;
	json_t *row;
	assert_int_equal(json_array_size(rows), CONFIG_KEYS);
	json_array_foreach(rows, i, row) {
		assert_non_null(strstr(help.p, json_string_value(json_object_get(row, "name"))));
		assert_non_null(strstr(help.p, json_string_value(json_object_get(row, "help"))));
		assert_true(json_string_length(json_object_get(row, "allowed")) > 3);
	}
	assert_non_null(strstr(help.p, "or name a file in JWT_SECRET_FILE\n"));
	json_decref(rows);
	buf_release(&dump);
	buf_release(&help);
	assert_int_equal(load(p, NULL), 0); /* every default is allowed */
}

static void test_show_hides_secrets(void **state)
{
	struct place *p = *state;
	assert_int_equal(load(p, ENV("JWT_SECRET=hunter2", "SLUICE_ROLE=api", "SLUICE_CORS_ORIGINS=a,b", "PORT=8")), 0);
	struct buf b = BUF_INIT;
	config_show(&p->cfg, &b);
	assert_null(strstr(b.p, "hunter2"));
	json_t *rows = parsed(&b);
	assert_int_equal(json_array_size(rows), CONFIG_KEYS);
#define VALUE(key) json_object_get(json_array_get(rows, CONFIG_KEY_##key), "value")
	assert_string_equal(json_string_value(VALUE(jwt_secret)), "***");
	assert_true(json_is_null(VALUE(redis_password)));
	assert_string_equal(json_string_value(VALUE(role)), "api");
	assert_int_equal(json_array_size(VALUE(cors_origins)), 2);
	assert_int_equal(json_integer_value(VALUE(port)), 8);
	assert_true(json_is_object(VALUE(default_job_options)));
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, CONFIG_KEY_port), "origin")), "environment");
	json_decref(rows);
	buf_release(&b);
}

#define at_place(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_defaults),
		at_place(test_every_type),
		at_place(test_wrong_values_are_all_reported),
		at_place(test_unknown_names),
		at_place(test_order_of_sources),
		at_place(test_env_file),
		at_place(test_public_url_has_a_scheme),
		at_place(test_secrets_from_files),
		at_place(test_dump_and_help_say_every_key),
		at_place(test_show_hides_secrets),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
