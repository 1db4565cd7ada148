/* lib/log: lines, levels, redaction, and a reader that does not read. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/base/lock.h"
#include "lib/log/log.h"

struct sink {
	int fds[2];
	struct buf text;
};

static int sink_make(void **state)
{
	static struct sink s;
	s.text = BUF_INIT;
	*state = &s;
	return pipe(s.fds);
}

static int sink_remove(void **state)
{
	struct sink *s = *state;
	buf_release(&s->text);
	(void)close(s->fds[1]);
	return close(s->fds[0]);
}

/* What has been written so far; nothing waits, since every line is there when log_write returns. */
static const char *written(struct sink *s)
{
	char part[4096];
	ssize_t n;
	buf_clear(&s->text);
	assert_int_equal(fcntl(s->fds[0], F_SETFL, O_NONBLOCK), 0);
	while ((n = read(s->fds[0], part, sizeof(part))) > 0)
		buf_add(&s->text, part, (size_t)n);
	buf_addc(&s->text, '\0');
	return s->text.p;
}

static json_t *parsed(const char *line)
{
	json_error_t e;
	json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, &e);
	if (!j)
		fail_msg("%s: %s", e.text, line);
	return j;
}

static void test_json_line(void **state)
{
	struct sink *s = *state;
	struct log *l = log_new(s->fds[1], LOG_INFO, LOG_FORMAT_JSON);
	LOG(l, LOG_INFO, "job_completed", log_strz("queue", "a\n\"b\"\x01"), log_int("ms", -5), log_bool("ok", true),
	    log_json("opts", STR("{\"x\":1}")), log_str("gone", STR_NONE), log_err(&(struct err){ERR_IO, "it broke"}));
	const char *text = written(s);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	json_t *j = parsed(text);
	assert_string_equal(json_string_value(json_object_get(j, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(j, "event")), "job_completed");
	assert_string_equal(json_string_value(json_object_get(j, "queue")), "a\n\"b\"\x01");
	assert_int_equal(json_integer_value(json_object_get(j, "ms")), -5);
	assert_true(json_is_true(json_object_get(j, "ok")));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "opts"), "x")), 1);
	assert_string_equal(json_string_value(json_object_get(j, "error")), "it broke");
	assert_null(json_object_get(j, "gone"));
	assert_int_equal(strlen(json_string_value(json_object_get(j, "ts"))), 24);
	json_decref(j);
	log_free(l);
}

static void test_text_line(void **state)
{
	struct sink *s = *state;
	struct log *l = log_new(s->fds[1], LOG_DEBUG, LOG_FORMAT_TEXT);
	LOG(l, LOG_WARN, "odd", log_strz("plain", "x-1"), log_strz("blank", "a b\n"), log_int("n", 7), log_json("j", STR("{\n\"a\":1}")));
	const char *text = written(s);
	assert_string_equal(text + strlen("08:42:15.123"), " WARN  odd plain=x-1 blank=\"a b\\n\" n=7 j={ \"a\":1}\n");
	LOG(l, LOG_INFO, "bare");
	assert_string_equal(written(s) + strlen("08:42:15.123"), " INFO  bare\n");
	log_free(l);
}

static void test_secrets_do_not_show(void **state)
{
	struct sink *s = *state;
	static const char *const names[] = {"password", "REDIS_PASSWORD", "jwtSecret", "token", "Authorization", "set-cookie"};
	for (int format = 0; format < 2; format++) {
		struct log *l = log_new(s->fds[1], LOG_DEBUG, (enum log_format)format);
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			LOG(l, LOG_INFO, "x", log_strz(names[i], "hunter2"));
			const char *text = written(s);
			assert_null(strstr(text, "hunter2"));
			assert_non_null(strstr(text, "***"));
		}
		LOG(l, LOG_INFO, "x", log_int("token", 4242));
		assert_null(strstr(written(s), "4242"));
		LOG(l, LOG_INFO, "x", log_strz("tokenKind", "seen"));
		assert_non_null(strstr(written(s), "seen"));
		log_free(l);
	}
}

static void test_long_values_are_cut_between_characters(void **state)
{
	struct sink *s = *state;
	struct log *l = log_new(s->fds[1], LOG_DEBUG, LOG_FORMAT_JSON);
	char longer[4096];
	for (size_t i = 0; i + 3 <= sizeof(longer); i += 3)
		memcpy(longer + i, "\xe2\x82\xac", 3);
	LOG(l, LOG_INFO, "x", log_str("v", (struct str){longer, sizeof(longer) / 3 * 3}), log_json("j", (struct str){longer, 4095}));
	json_t *j = parsed(written(s));
	const char *v = json_string_value(json_object_get(j, "v"));
	assert_int_equal(strlen(v), 2046);
	assert_true(str_is_utf8(str_from(v)));
	assert_true(json_is_string(json_object_get(j, "j")));
	json_decref(j);
	log_free(l);
}

static void test_levels(void **state)
{
	struct sink *s = *state;
	struct log *l = log_new(s->fds[1], LOG_WARN, LOG_FORMAT_JSON);
	assert_false(log_enabled(NULL, LOG_ERROR));
	log_write(NULL, LOG_ERROR, "x", (const struct log_field[]){{0}});
	LOG(l, LOG_INFO, "hidden");
	assert_string_equal(written(s), "");
	LOG(l, LOG_WARN, "shown");
	assert_non_null(strstr(written(s), "shown"));
	log_free(l);
	l = log_new(s->fds[1], LOG_OFF, LOG_FORMAT_JSON);
	LOG(l, LOG_ERROR, "hidden");
	LOG(l, LOG_OFF, "hidden");
	assert_string_equal(written(s), "");
	log_free(l);
}

/* Fills what has no reader, and finds the program still running, the losses counted, and whole lines afterwards. */
static void overfill(struct sink *s)
{
	struct log *l = log_new(s->fds[1], LOG_INFO, LOG_FORMAT_JSON);
	char longer[2048];
	memset(longer, 'x', sizeof(longer));
	struct str v = {longer, sizeof(longer)};
	uint64_t sent = 0;
	while (log_dropped(l) < 5) {
		LOG(l, LOG_INFO, "fill", log_str("a", v), log_str("b", v), log_str("c", v));
		assert_true(++sent < 100000);
	}
	(void)written(s);
	LOG(l, LOG_INFO, "after");
	const char *text = written(s);
	if (text[0] == '\n')
		text++;
	json_t *j = parsed(text);
	assert_string_equal(json_string_value(json_object_get(j, "event")), "after");
	json_decref(j);
	assert_int_equal(log_dropped(l), 5);
	log_free(l);
}

static void test_full_pipe(void **state)
{
	overfill(*state);
}

static void test_full_socket(void **state)
{
	struct sink *pipe_sink = *state;
	struct sink s = {.text = BUF_INIT};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s.fds), 0);
	overfill(&s);
	buf_release(&s.text);
	(void)close(s.fds[0]);
	(void)close(s.fds[1]);
	assert_string_equal(written(pipe_sink), "");
}

static void test_closed_reader_and_full_disk(void **state)
{
	(void)state;
	int fds[2];
	(void)signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	struct log *l = log_new(fds[1], LOG_INFO, LOG_FORMAT_JSON);
	(void)close(fds[0]);
	LOG(l, LOG_INFO, "nobody");
	assert_int_equal(log_dropped(l), 1);
	log_free(l);
	(void)close(fds[1]);

	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(full >= 0);
	l = log_new(full, LOG_INFO, LOG_FORMAT_TEXT);
	LOG(l, LOG_INFO, "no room");
	assert_int_equal(log_dropped(l), 1);
	log_free(l);
	(void)close(full);
}

static void chatter(void *arg)
{
	struct log *l = arg;
	for (int i = 0; i < 100; i++)
		LOG(l, LOG_INFO, "chat", log_int("i", i), log_strz("filler", "0123456789012345678901234567890123456789"));
}

/* Over a socket that keeps packets apart, each packet is one write: whole lines, no more than a pipe takes as a whole. */
static void test_batch(void **state)
{
	int fds[2];
	char packet[1 << 16];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	struct log *l = log_new(fds[1], LOG_INFO, LOG_FORMAT_JSON);
	log_batch_begin(l);
	for (int i = 0; i < 100; i++)
		LOG(l, LOG_INFO, "one_of_many", log_int("i", i));
	log_batch_begin(l);
	LOG(l, LOG_INFO, "nested", log_int("i", 100));
	log_batch_end(l);
	LOG(l, LOG_INFO, "last", log_int("i", 101));
	log_batch_end(l);
	LOG(l, LOG_INFO, "alone", log_int("i", 102));
	int lines = 0, packets = 0;
	for (ssize_t n; (n = recv(fds[0], packet, sizeof(packet), MSG_DONTWAIT)) > 0; packets++) {
		assert_true(n <= PIPE_BUF);
		assert_int_equal(packet[0], '{');
		assert_int_equal(packet[n - 1], '\n');
		struct str rest = {packet, (size_t)n};
		for (struct str line; (line = str_cut(&rest, '\n')).n; lines++) {
			json_t *j = json_loadb(line.p, line.n, 0, NULL);
			assert_int_equal(json_integer_value(json_object_get(j, "i")), lines);
			json_decref(j);
		}
	}
	assert_int_equal(lines, 103);
	assert_in_range(packets, 3, 6);
	assert_int_equal(log_dropped(l), 0);
	log_free(l);
	close(fds[0]);
	close(fds[1]);
}

static void test_threads_do_not_mix_lines(void **state)
{
	struct sink *s = *state;
	struct log *l = log_new(s->fds[1], LOG_INFO, LOG_FORMAT_JSON);
	struct thread threads[4] = {0};
	assert_true(fcntl(s->fds[1], F_SETPIPE_SZ, 1 << 20) > 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(thread_start(&threads[i], "chatter", chatter, l), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		thread_join(&threads[i]);
	assert_int_equal(log_dropped(l), 0);
	struct str rest = str_from(written(s));
	int lines = 0;
	for (struct str line; (line = str_cut(&rest, '\n')).n; lines++) {
		json_t *j = json_loadb(line.p, line.n, 0, NULL);
		assert_non_null(j);
		json_decref(j);
	}
	assert_int_equal(lines, 400);
	log_free(l);
}

static void test_holds_lines(void **state)
{
	struct sink *s = *state;
	struct log *first = log_new(s->fds[1], LOG_INFO, LOG_FORMAT_JSON);
	struct log *l = log_new(s->fds[1], LOG_INFO, LOG_FORMAT_JSON);
	log_hold(l);
	for (int i = 1; i <= 100; i++)
		LOG(l, LOG_INFO, "held", log_int("i", i), log_strz("fill", "more than a pipe takes at once, all in all"));
	assert_string_equal(written(s), "");
	LOG(first, LOG_INFO, "first", log_int("i", 0));
	log_let_go(l);
	log_let_go(l);
	LOG(l, LOG_INFO, "later", log_int("i", 101));
	struct str rest = str_from(written(s));
	int lines = 0;
	for (struct str line; (line = str_cut(&rest, '\n')).n; lines++) {
		json_t *j = json_loadb(line.p, line.n, 0, NULL);
		assert_int_equal(json_integer_value(json_object_get(j, "i")), lines);
		json_decref(j);
	}
	assert_int_equal(lines, 102);
	log_hold(l);
	LOG(l, LOG_INFO, "last");
	log_free(l);
	assert_non_null(strstr(written(s), "last"));
	log_free(first);
}

/* Threads write while it is let go: before, meanwhile, behind. */
static void test_letting_go_loses_nothing(void **state)
{
	struct sink *s = *state;
	assert_true(fcntl(s->fds[1], F_SETPIPE_SZ, 1 << 20) > 0);
	for (int round = 0; round < 50; round++) {
		struct log *l = log_new(s->fds[1], LOG_INFO, LOG_FORMAT_JSON);
		struct thread threads[2] = {0};
		log_hold(l);
		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			assert_int_equal(thread_start(&threads[i], "chatter", chatter, l), 0);
		log_let_go(l);
		for (size_t i = 0; i < ARRAY_LEN(threads); i++)
			thread_join(&threads[i]);
		struct str rest = str_from(written(s));
		int lines = 0;
		while (str_cut(&rest, '\n').n)
			lines++;
		assert_int_equal(lines, 200);
		log_free(l);
	}
}

#define with_sink(f) cmocka_unit_test_setup_teardown(f, sink_make, sink_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_sink(test_json_line),
		with_sink(test_text_line),
		with_sink(test_secrets_do_not_show),
		with_sink(test_long_values_are_cut_between_characters),
		with_sink(test_levels),
		with_sink(test_full_pipe),
		with_sink(test_full_socket),
		cmocka_unit_test(test_closed_reader_and_full_disk),
		cmocka_unit_test(test_batch),
		with_sink(test_threads_do_not_mix_lines),
		with_sink(test_holds_lines),
		with_sink(test_letting_go_loses_nothing),
	};
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
