/* A server that behaves as a test tells it to: a thread that listens on a Unix socket and gives every connection to `serve`.
 *
 *     struct fake_redis fake;
 *     fake_redis_start(&fake, serve, arg);
 *     struct raddr addr = fake_redis_addr(&fake);
 *     fake_redis_stop(&fake);              ends the connection that is open and joins
 *
 * Inside serve(c, arg), on the fake's thread, one connection after the other (c->number counts from 0):
 *     fake_greet(c)                        answers the multiplexer's greeting
 *     char text[N]; fake_next(c, text, N)  waits for a command: "SET key value"; false when the peer has gone
 *     fake_say(c, "+OK\r\n")
 * The connection is closed when serve returns. Header only: every unit test is one program of one file. */
#ifndef SLUICE_TESTS_UNIT_FAKE_REDIS_H
#define SLUICE_TESTS_UNIT_FAKE_REDIS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/redis/rmux.h"
#include "lib/redis/rparse.h"

struct fake_connection {
	int fd;
	int number;
	struct rparse requests; /* requests are arrays of strings: the reader of replies reads them */
};

typedef void fake_serve_fn(struct fake_connection *c, void *arg);

struct fake_redis {
	char dir[64];
	char socket[96];
	int listen_fd;
	_Atomic int open_fd; /* the connection being served, -1: none */
	_Atomic bool stopping;
	fake_serve_fn *serve;
	void *arg;
	pthread_t thread;
};

static inline struct raddr fake_redis_addr(const struct fake_redis *f)
{
	struct raddr addr = {0};

	snprintf(addr.unix_path, sizeof(addr.unix_path), "%s", f->socket);
	return addr;
}

static inline void fake_send(struct fake_connection *c, const char *bytes, size_t n)
{
	(void)!send(c->fd, bytes, n, MSG_NOSIGNAL); /* the peer may have hung up: the test looks at the peer */
}

static inline void fake_say(struct fake_connection *c, const char *text)
{
	fake_send(c, text, strlen(text));
}

static inline redisReply *fake_read(struct fake_connection *c)
{
	char bytes[4096];
	redisReply *request = NULL;

	for (;;) {
		if (rparse_next(&c->requests, &request, NULL) != 0)
			return request;
		ssize_t n = read(c->fd, bytes, sizeof(bytes));
		if (n <= 0 || rparse_feed(&c->requests, bytes, (size_t)n, NULL) < 0)
			return NULL;
	}
}

static inline bool fake_next(struct fake_connection *c, char *text, size_t size)
{
	redisReply *request = fake_read(c);
	size_t used = 0;

	if (!request)
		return false;
	text[0] = '\0';
	for (size_t i = 0; i < request->elements && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " " : "", request->element[i]->str);
	rreply_free(request);
	return true;
}

/* Answers the greeting; `to_ping` is what its last step gets. */
static inline void fake_greet_saying(struct fake_connection *c, const char *to_ping)
{
	static const char *const answers[][2] = {{"CLIENT ID", ":7\r\n"}, {"INFO", "$0\r\n\r\n"}};
	char text[256];

	while (fake_next(c, text, sizeof(text))) {
		const char *answer = "+OK\r\n";
		for (size_t i = 0; i < 2; i++)
			if (strncmp(text, answers[i][0], strlen(answers[i][0])) == 0)
				answer = answers[i][1];
		if (strcmp(text, "PING") == 0) {
			fake_say(c, to_ping);
			return;
		}
		fake_say(c, answer);
	}
}

static inline void fake_greet(struct fake_connection *c)
{
	fake_greet_saying(c, "+PONG\r\n");
}

static inline void *fake_redis_main(void *arg)
{
	struct fake_redis *f = arg;

	for (int number = 0; !atomic_load(&f->stopping); number++) {
		struct fake_connection c = {.fd = accept(f->listen_fd, NULL, NULL), .number = number};
		if (c.fd < 0)
			break;
		atomic_store(&f->open_fd, c.fd);
		if (rparse_init(&c.requests) < 0)
			abort();
		if (!atomic_load(&f->stopping))
			f->serve(&c, f->arg);
		rparse_release(&c.requests);
		atomic_store(&f->open_fd, -1);
		close(c.fd);
	}
	return NULL;
}

static inline void fake_redis_start(struct fake_redis *f, fake_serve_fn *serve, void *arg)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "/tmp/sluice-test-XXXXXX");
	if (!mkdtemp(f->dir))
		abort();
	snprintf(f->socket, sizeof(f->socket), "%s/fake.sock", f->dir);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", f->socket);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	f->serve = serve;
	f->arg = arg;
	atomic_store(&f->open_fd, -1);
	if (bind(f->listen_fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(f->listen_fd, 8) < 0 ||
	    pthread_create(&f->thread, NULL, fake_redis_main, f) != 0)
		abort();
}

static inline void fake_redis_stop(struct fake_redis *f)
{
	atomic_store(&f->stopping, true);
	shutdown(f->listen_fd, SHUT_RDWR);
	int fd = atomic_load(&f->open_fd);
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->listen_fd);
	unlink(f->socket);
	rmdir(f->dir);
}

#endif
