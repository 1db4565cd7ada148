#include "tests/unit/http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"

void client_open(struct client *c, unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	*c = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
	bug_on(c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0);
}

void client_close(struct client *c)
{
	close(c->fd);
	buf_release(&c->in);
}

void client_send(struct client *c, const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR)
			return; /* the server has closed: what it said is to be read */
		bytes += sent > 0 ? sent : 0;
		n -= sent > 0 ? (size_t)sent : 0;
	}
}

/* Receives some more; false at the end of the connection or of patience. */
static bool receive(struct client *c, int64_t deadline)
{
	char chunk[4096];
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	int64_t left = deadline - clock_mono_ms();
	if (left <= 0 || poll(&p, 1, (int)left) <= 0)
		return false;
	ssize_t n = recvfrom(c->fd, chunk, sizeof(chunk), 0, NULL, NULL);
	if (n <= 0)
		return false;
	buf_add(&c->in, chunk, (size_t)n);
	return true;
}

static bool await(struct client *c, size_t n)
{
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	while (c->in.n < n)
		if (!receive(c, deadline))
			return false;
	return true;
}

static bool read_head(struct client *c, struct reply *out)
{
	int64_t deadline = clock_mono_ms() + CLIENT_MS;
	const char *end;
	while (!c->in.n || !(end = memmem(c->in.p, c->in.n, "\r\n\r\n", 4)))
		if (!receive(c, deadline))
			return false;
	size_t n = (size_t)(end - c->in.p) + 4;
	buf_add(&out->head, c->in.p, n);
	buf_drop(&c->in, n);
	out->status = (int)strtol(out->head.p + strlen("HTTP/1.1 "), NULL, 10);
	return true;
}

bool client_read(struct client *c, struct reply *out, bool head_only)
{
	uint64_t length = 0;
	*out = (struct reply){0};
	if (!read_head(c, out))
		return false;
	struct str announced = reply_header(out, "Content-Length");
	if (head_only || !announced.n || str_to_u64(announced, &length) < 0)
		return true;
	if (!await(c, length))
		return false;
	buf_add(&out->body, c->in.p, length);
	buf_drop(&c->in, length);
	return true;
}

bool client_at_end(struct client *c)
{
	char byte;
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	return c->in.n == 0 && poll(&p, 1, CLIENT_MS) > 0 && recvfrom(c->fd, &byte, 1, 0, NULL, NULL) <= 0;
}

struct str reply_header(const struct reply *r, const char *name)
{
	struct str rest = buf_str(&r->head);
	while (rest.p) {
		struct str line = str_cut(&rest, '\n');
		struct str key = str_cut(&line, ':');
		if (line.p && str_ieq(key, str_from(name)))
			return str_trim(str_sub(line, 0, line.n - 1));
	}
	return STR("");
}

void reply_release(struct reply *r)
{
	buf_release(&r->head);
	buf_release(&r->body);
}
