/* gateway/http/lobby: when a connection is worth a thread, who waits for one, and who has to go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/lobby.h"
#include "lib/base/clock.h"

#define SOON 10000

/* ---- what of a request must be there ---- */

#define GET "GET / HTTP/1.1\r\nHost: x\r\n"
#define JSON "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Type: application/json; charset=utf-8\r\n"

static void test_how_much_is_wanted(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t more; /* than the head */
	} cases[] = {
		{GET "\r\n", 0},
		{"GET / HTTP/1.0\n\n", 0},
		{"\r\n\r\n", 0},
		{JSON "Content-Length: 12\r\n\r\n", 12},
		{"POST / HTTP/1.1\r\ncookie: s=1\r\ncontent-length:\t7 \r\nCONTENT-TYPE: Application/JSON\r\n\r\n", 7},
		{JSON "Content-Length: 32768\r\n\r\n", 32768},
		{JSON "Content-Length: 32769\r\n\r\n", 0}, /* its thread waits for it */
		{JSON "Content-Length: x\r\n\r\n", 0},
		{JSON "Content-Length: 99999999999999999999999\r\n\r\n", 0},
		{JSON "Content-Length: 12\r\nExpect: 100-continue\r\n\r\n", 0},
		{JSON "Transfer-Encoding: chunked\r\n\r\n", 0},
		{"POST / HTTP/1.1\r\nContent-Type: application/x-ndjson\r\nContent-Length: 12\r\n\r\n", 0},
		{"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n", 0},
		{"PUT / HTTP/1.1\r\nContent-Length: 12\r\n\r\n", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].bytes);
		assert_int_equal(lobby_bytes_wanted(str_from(cases[i].bytes), 0), n + cases[i].more);
		/* However it comes, it is not whole before its last byte. */
		for (size_t part = 1, seen = 0; part < n; seen = part++)
			assert_int_equal(lobby_bytes_wanted((struct str){cases[i].bytes, part}, seen), 0);
		assert_int_equal(lobby_bytes_wanted(str_from(cases[i].bytes), n - 1), n + cases[i].more);
	}
}

static void test_what_is_no_head_is_handed_on(void **state)
{
	(void)state;
	assert_int_equal(lobby_bytes_wanted(STR("\x16\x03\x01"), 0), 3);
	assert_int_equal(lobby_bytes_wanted(STR("GET /\x01"), 5), 6);
	assert_int_equal(lobby_bytes_wanted(STR("GET /\t caf\xc3\xa9"), 0), 0);
}

static void test_what_is_urgent(void **state)
{
	(void)state;
	static const char *const yes[] = {"GET /livez HTTP/1.1", "HEAD /readyz?verbose", "GET /health", "GET /health/ready HTTP/1.1", "GET /metrics"};
	static const char *const no[] = {"POST /health", "GET /api/jobs", "GET", "GET ", "", "get /livez"};
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(lobby_is_urgent(str_from(yes[i])));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(lobby_is_urgent(str_from(no[i])));
}

/* ---- a lobby at a door ---- */

struct door {
	struct lobby *lobby;
	int listener;
	struct sockaddr_in at;
	_Atomic int accepted;
	unsigned events[LOBBY_NO_DESCRIPTORS + 1];
};

static struct str note(void *arg, enum lobby_event event)
{
	struct door *d = arg;
	d->events[event]++;
	return STR("bye");
}

static void open_door(struct door *d, unsigned threads, unsigned room, int64_t timeout_ms)
{
	socklen_t n = sizeof(d->at);
	memset(d, 0, sizeof(*d));
	d->at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	d->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d->listener, (struct sockaddr *)&d->at, sizeof(d->at)), 0);
	assert_int_equal(listen(d->listener, 64), 0);
	assert_int_equal(getsockname(d->listener, (struct sockaddr *)&d->at, &n), 0);
	struct lobby_options o = {
		.threads = threads, .room = room, .head_bytes = 256, .timeout_ms = timeout_ms, .accepted = &d->accepted, .on_event = note, .arg = d};
	d->lobby = lobby_new(&o, NULL);
	assert_non_null(d->lobby);
}

static void close_door(struct door *d)
{
	lobby_free(d->lobby);
	close(d->listener);
}

/* A client that says this and waits. */
static int call_on(const struct door *d, const char *words)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&d->at, sizeof(d->at)), 0);
	assert_int_equal(send(fd, words, strlen(words), MSG_NOSIGNAL), (int)strlen(words));
	return fd;
}

static int take(struct door *d)
{
	struct sockaddr_in peer = {0};
	socklen_t n = sizeof(peer);
	int64_t deadline = clock_mono_ms() + SOON;
	while (!lobby_wait(d->lobby, d->listener, 100))
		assert_true(clock_mono_ms() < deadline);
	int fd = lobby_hand_over(d->lobby, (struct sockaddr *)&peer, &n);
	assert_true(fd >= 0);
	assert_int_equal(peer.sin_family, AF_INET);
	return fd;
}

/* What the client was told before the end. */
static void assert_told(int fd, const char *words)
{
	char text[16] = "";
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
	assert_int_equal(n, (int)strlen(words));
	assert_string_equal(text, words);
	close(fd);
}

static void wait_until(struct door *d, const unsigned *counter, unsigned value)
{
	int64_t deadline = clock_mono_ms() + SOON;
	while (*counter < value) {
		assert_true(clock_mono_ms() < deadline);
		(void)lobby_wait(d->lobby, d->listener, 10);
	}
}

static void test_a_request_is_handed_over_whole(void **state)
{
	(void)state;
	struct door d;
	char text[128];
	open_door(&d, 8, 8, SOON);
	int slow = call_on(&d, JSON "Content-Length: 2\r\n\r\n{"), quick = call_on(&d, GET "\r\n");
	int first = take(&d);
	assert_int_equal(recv(first, text, sizeof(text), 0), sizeof(GET "\r\n") - 1);
	assert_false(lobby_wait(d.lobby, d.listener, 20));
	assert_int_equal(lobby_count(d.lobby), 1);
	assert_int_equal(atomic_load(&d.accepted), 2);
	assert_int_equal(send(slow, "}", 1, 0), 1);
	int second = take(&d);
	assert_int_equal(lobby_count(d.lobby), 0);
	close(first), close(second), close(slow), close(quick);
	close_door(&d);
}

static void test_threads_are_waited_for_in_turn_and_health_goes_first(void **state)
{
	(void)state;
	struct door d;
	char text[64] = "";
	open_door(&d, 2, 8, SOON); /* one of them is kept */
	int one = call_on(&d, GET "\r\n"), two = call_on(&d, GET "\r\n");
	int held = take(&d);
	assert_true(!lobby_wait(d.lobby, d.listener, 20));
	assert_true(lobby_is_crowded(d.lobby));
	int health = call_on(&d, "GET /livez HTTP/1.1\r\n\r\n");
	int urgent = take(&d);
	assert_true(recv(urgent, text, sizeof(text) - 1, 0) > 0);
	assert_memory_equal(text, "GET /livez", 10);
	assert_int_equal(lobby_hand_over(d.lobby, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	lobby_thread_free(d.lobby);
	assert_false(lobby_wait(d.lobby, d.listener, 20));
	lobby_thread_free(d.lobby);
	int next = take(&d);
	close(held), close(urgent), close(next), close(one), close(two), close(health);
	close_door(&d);
}

static void test_who_is_slow_or_finds_no_thread_is_told(void **state)
{
	(void)state;
	struct door d;
	open_door(&d, 2, 8, 50);
	int held_by = call_on(&d, GET "\r\n");
	int held = take(&d);
	int slow = call_on(&d, "GET"), silent = call_on(&d, ""), waits = call_on(&d, GET "\r\n");
	wait_until(&d, &d.events[LOBBY_SLOW], 1);
	wait_until(&d, &d.events[LOBBY_NO_THREAD], 1);
	assert_told(slow, "bye");
	assert_told(waits, "bye");
	assert_told(silent, "");
	assert_int_equal(lobby_count(d.lobby), 0);
	assert_int_equal(atomic_load(&d.accepted), 1);
	close(held), close(held_by);
	close_door(&d);
}

static void test_the_oldest_gives_way(void **state)
{
	(void)state;
	struct door d;
	int fd[4];
	open_door(&d, 8, 3, SOON);
	for (unsigned i = 0; i < 4; i++) {
		fd[i] = call_on(&d, "GET");
		(void)lobby_wait(d.lobby, d.listener, 10);
	}
	wait_until(&d, &d.events[LOBBY_GAVE_WAY], 1);
	assert_told(fd[0], "bye");
	assert_int_equal(lobby_count(d.lobby), 3);
	close(fd[1]), close(fd[2]), close(fd[3]);
	close_door(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_how_much_is_wanted),
		cmocka_unit_test(test_what_is_no_head_is_handed_on),
		cmocka_unit_test(test_what_is_urgent),
		cmocka_unit_test(test_a_request_is_handed_over_whole),
		cmocka_unit_test(test_threads_are_waited_for_in_turn_and_health_goes_first),
		cmocka_unit_test(test_who_is_slow_or_finds_no_thread_is_told),
		cmocka_unit_test(test_the_oldest_gives_way),
	};
	return cmocka_run_group_tests_name("lobby", tests, NULL, NULL);
}
