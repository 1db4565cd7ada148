#include "lib/redis/rconn.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/redis/rhello.h"
#include "lib/redis/rparse.h"
#include "lib/redis/transport.h"

struct rconn {
	/* set before use */
	struct raddr addr;
	char *client_name;
	struct transport *transport;
	int wake_fd; /* written by any thread */
	/* the owning thread */
	bool open;
	int64_t client_id;
	struct rparse parse;
	char *in; /* RPARSE_PIECE_BYTES */
};

static int allocate_parts(struct rconn *c, const char *client_name, struct err *err)
{
	c->in = malloc(RPARSE_PIECE_BYTES);
	c->client_name = client_name ? strdup(client_name) : NULL;
	if (!c->in || (client_name && !c->client_name))
		return err_set(err, ERR_NOMEM, "Redis connection: %s", err_sentence(ERR_NOMEM));
	c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->wake_fd < 0)
		return err_errno(err, "eventfd");
	c->transport = transport_new(&c->addr, err);
	return c->transport ? 0 : ERR_INVALID;
}

struct rconn *rconn_new(const struct raddr *addr, const char *client_name, struct err *err)
{
	struct rconn *c = calloc(1, sizeof(*c));
	if (!c) {
		err_set(err, ERR_NOMEM, "Redis connection: %s", err_sentence(ERR_NOMEM));
		return NULL;
	}
	c->addr = *addr;
	c->wake_fd = -1;
	if (allocate_parts(c, client_name, err) < 0) {
		rconn_free(c);
		return NULL;
	}
	return c;
}

void rconn_close(struct rconn *c)
{
	transport_close(c->transport);
	rparse_release(&c->parse);
	c->open = false;
	c->client_id = 0;
}

void rconn_free(struct rconn *c)
{
	if (!c)
		return;
	if (c->transport)
		rconn_close(c);
	transport_free(c->transport);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	explicit_bzero(c->addr.password, sizeof(c->addr.password));
	free(c->client_name);
	free(c->in);
	free(c);
}

bool rconn_is_open(const struct rconn *c)
{
	return c->open && transport_check_place(c->transport, NULL) == 0;
}

int64_t rconn_client_id(const struct rconn *c)
{
	return c->client_id;
}

void rconn_wake(struct rconn *c)
{
	uint64_t one = 1;
	/* A full counter (EAGAIN) is a wake-up as well. */
	if (write(c->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		panic("eventfd");
}

static bool take_wake(struct rconn *c)
{
	uint64_t count;
	return read(c->wake_fd, &count, sizeof(count)) > 0;
}

/* Waits for the socket: 0 (look again), ERR_STOPPING (woken), ERR_TIMEOUT. */
static int wait_socket(struct rconn *c, bool want_write, int64_t deadline, struct err *err)
{
	struct pollfd p[] = {
		{.fd = c->wake_fd, .events = POLLIN},
		{.fd = transport_fd(c->transport), .events = transport_events(c->transport, want_write)},
	};
	int64_t left = deadline - clock_mono_ms();
	if (left <= 0)
		return err_set(err, ERR_TIMEOUT, "Redis: %s", err_sentence(ERR_TIMEOUT));
	if (poll(p, ARRAY_LEN(p), left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR)
		panic("poll");
	if (take_wake(c))
		return err_set(err, ERR_STOPPING, "Redis: woken while waiting");
	return 0;
}

static int connect_socket(struct rconn *c, int64_t deadline, struct err *err)
{
	int rc = transport_begin(c->transport, deadline, err);
	while (rc == 0) {
		int64_t step = transport_deadline(c->transport);
		struct err late = {0};
		int waited = wait_socket(c, false, step, &late);
		if (waited == ERR_STOPPING)
			return err_set(err, waited, "%s", late.text);
		rc = transport_advance(c->transport, err);
	}
	return rc < 0 ? rc : 0;
}

static int send_all(struct rconn *c, struct str wire, int64_t deadline, struct err *err)
{
	while (wire.n > 0) {
		ssize_t n = transport_write(c->transport, wire.p, wire.n, err);
		if (n < 0)
			return (int)n;
		wire = str_sub(wire, (size_t)n, wire.n - (size_t)n);
		int rc = n == 0 ? wait_socket(c, true, deadline, err) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Reads until one whole reply is there. */
static int read_reply(struct rconn *c, int64_t deadline, redisReply **out, struct err *err)
{
	for (;;) {
		int rc = rparse_next(&c->parse, out, err);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		ssize_t n = transport_read(c->transport, c->in, RPARSE_PIECE_BYTES, err);
		if (n < 0)
			return (int)n;
		rc = n > 0 ? rparse_feed(&c->parse, c->in, (size_t)n, err) : wait_socket(c, false, deadline, err);
		if (rc < 0)
			return rc;
	}
}

static int greet_with(struct rconn *c, struct rhello *h, int64_t deadline, struct err *err)
{
	int rc = send_all(c, buf_str(&h->cmd.wire), deadline, err);
	while (rc == 0) {
		redisReply *reply;
		rc = read_reply(c, deadline, &reply, err);
		if (rc < 0)
			break;
		rc = rhello_take(h, reply, err);
		rreply_free(reply);
	}
	return rc < 0 ? rc : 0;
}

static int greet(struct rconn *c, int64_t deadline, struct err *err)
{
	struct rhello h;
	if (rparse_init(&c->parse) < 0)
		return err_set(err, ERR_NOMEM, "Redis reader: %s", err_sentence(ERR_NOMEM));
	int rc = rhello_init(&h, &c->addr, c->client_name, NULL, 0);
	if (rc == 0)
		rc = greet_with(c, &h, deadline, err);
	else
		err_set(err, rc, "Redis greeting: %s", err_sentence(rc));
	c->client_id = h.client_id;
	rhello_release(&h);
	return rc;
}

int rconn_open(struct rconn *c, int64_t deadline_mono_ms, struct err *err)
{
	rconn_close(c);
	int rc = connect_socket(c, deadline_mono_ms, err);
	if (rc == 0)
		rc = greet(c, deadline_mono_ms, err);
	if (rc < 0)
		rconn_close(c);
	else
		c->open = true;
	return rc;
}

static int read_replies(struct rconn *c, struct rreplies *r, size_t n, int64_t deadline, struct err *err)
{
	r->items = calloc(n, sizeof(*r->items));
	if (!r->items)
		return err_set(err, ERR_NOMEM, "Redis replies: %s", err_sentence(ERR_NOMEM));
	while (r->count < n) {
		int rc = read_reply(c, deadline, &r->items[r->count], err);
		if (rc < 0)
			return rc;
		r->count++;
	}
	return 0;
}

int rconn_command(struct rconn *c, const struct rcmd *cmd, int64_t deadline_mono_ms, struct rreplies *out, struct err *err)
{
	bug_on(cmd->commands == 0);
	if (!c->open)
		return err_set(err, ERR_UNAVAILABLE, "Redis: not connected, nothing was sent");
	if (cmd->wire.failed)
		return err_set(err, ERR_NOMEM, "Redis command: %s", err_sentence(ERR_NOMEM));
	struct rreplies r = {0};
	int rc = send_all(c, buf_str(&cmd->wire), deadline_mono_ms, err);
	if (rc == 0)
		rc = read_replies(c, &r, cmd->commands, deadline_mono_ms, err);
	if (rc < 0) {
		rreplies_release(&r);
		rconn_close(c);
		return rc;
	}
	*out = r;
	return 0;
}
