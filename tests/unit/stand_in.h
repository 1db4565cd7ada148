/* An HTTP server for tests: on loopback, one thread, one answer for every request, in the given pieces. */
#ifndef SLUICE_TESTS_UNIT_STAND_IN_H
#define SLUICE_TESTS_UNIT_STAND_IN_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/lock.h"
#include "lib/base/panic.h"

struct stand_in {
	/* set before start */
	const char *answer;   /* NULL: none, the connection stays open; "": it is closed without one */
	bool keep_alive;      /* answer further requests on the connection */
	int listener, stop_fd;
	unsigned port;
	struct thread thread;
	/* any thread */
	_Atomic unsigned connections, requests;
	struct lock mu;
	struct buf last;      /* protected by mu: the last request */
};

/* False when the client has closed or the stand-in is to stop. */
static inline bool stand_in_wait(const struct stand_in *s, int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = s->stop_fd, .events = POLLIN}};
	while (poll(p, 2, -1) < 0)
		;
	return !p[1].revents;
}

/* The whole of a request with a Content-Length, or without a body. */
static inline bool stand_in_complete(const struct buf *b)
{
	const char *head_end = b->n ? strstr(b->p, "\r\n\r\n") : NULL;
	if (!head_end)
		return false;
	const char *length = strcasestr(b->p, "content-length:");
	size_t body = length && length < head_end ? strtoul(length + 15, NULL, 10) : 0;
	return b->n >= (size_t)(head_end - b->p) + 4 + body;
}

static inline bool stand_in_read(struct stand_in *s, int fd)
{
	struct buf request = BUF_INIT;
	bool whole = false;
	while (!whole && stand_in_wait(s, fd)) {
		char some[4096];
		ssize_t n = read(fd, some, sizeof(some));
		if (n <= 0)
			break;
		buf_add(&request, some, (size_t)n);
		whole = stand_in_complete(&request);
	}
	lock_take(&s->mu);
	if (whole) {
		buf_release(&s->last);
		s->last = request;
	} else {
		buf_release(&request);
	}
	lock_give(&s->mu);
	return whole;
}

static inline void stand_in_serve(struct stand_in *s, int fd)
{
	while (stand_in_read(s, fd)) {
		atomic_fetch_add(&s->requests, 1);
		if (!s->answer) {
			stand_in_wait(s, fd);
			break;
		}
		bug_on(write(fd, s->answer, strlen(s->answer)) < 0);
		if (!s->keep_alive)
			break;
	}
	close(fd);
}

static inline void stand_in_main(void *arg)
{
	struct stand_in *s = arg;
	while (stand_in_wait(s, s->listener)) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		atomic_fetch_add(&s->connections, 1);
		stand_in_serve(s, fd);
	}
}

static inline void stand_in_start(struct stand_in *s, const char *answer)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	s->answer = answer;
	lock_init(&s->mu);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bug_on(bind(s->listener, (struct sockaddr *)&at, n) < 0 || listen(s->listener, 16) < 0 ||
	       getsockname(s->listener, (struct sockaddr *)&at, &n) < 0);
	s->port = ntohs(at.sin_port);
	bug_on(thread_start(&s->thread, "stand-in", stand_in_main, s) < 0);
}

static inline void stand_in_stop(struct stand_in *s)
{
	bug_on(eventfd_write(s->stop_fd, 1) < 0);
	thread_join(&s->thread);
	close(s->listener);
	close(s->stop_fd);
	buf_release(&s->last);
	lock_release(&s->mu);
}

#endif
