#include "gateway/http/request.h"

#include "gateway/http/exchange.h"
#include "gateway/http/server_state.h"
#include "gateway/http/uri.h"
#include "gateway/http/wire.h"
#include "lib/base/clock.h"
#include "lib/config/config.h"

#define DISCARD_BYTES (64 << 10)
#define DISCARD_MS 1000

struct str request_header(const struct request *r, const char *name)
{
	const struct exchange *x = r->x_;
	struct str wanted = str_from(name);
	for (unsigned i = 0; i < x->n_headers; i++)
		if (str_ieq(x->headers[i].name, wanted))
			return x->headers[i].value;
	return STR_NONE;
}

struct str request_query(const struct request *r, const char *name)
{
	return uri_query_value(r->arena, r->query, name);
}

int64_t request_content_length(const struct request *r)
{
	return r->x_->facts.content_length;
}

int64_t exchange_body_limit(const struct request *r)
{
	bool stream = r->route && r->route->body == BODY_STREAM;
	if (r->by_line)
		return INT64_MAX; /* lines have a limit, and the handler counts them */
	return stream ? r->deps->config->doc_max_bytes : r->deps->config->max_body_bytes;
}

static int broken(struct exchange *x, struct err *err, int code, const char *what)
{
	x->body = BODY_BROKEN;
	return err_set(err, code, "%s", what);
}

/* The client may hold the body back until it hears that it is wanted (RFC 9110 10.1.1). */
int exchange_begin_body(struct request *r, struct err *err)
{
	struct exchange *x = r->x_;
	int64_t limit = exchange_body_limit(r);
	if (x->facts.content_length > limit)
		return err_set(err, ERR_LIMIT, "the body may have at most %lld bytes", (long long)limit);
	x->body_started_ms = clock_mono_ms();
	x->body = BODY_READING;
	if (!x->continue_due)
		return 0;
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec iov = {(void *)(uintptr_t)line, sizeof(line) - 1};
	x->continue_due = false;
	if (wire_send(x->worker->fd, &iov, 1, x->body_started_ms + DISCARD_MS) < 0)
		return broken(x, err, ERR_PROTOCOL, "the client went away before sending the body");
	return 0;
}

/* What civetweb's mg_read says is trusted in one case only: bytes came. 0 is the end for a chunked body, else a body that broke off. */
static int64_t took(struct request *r, int got, int64_t deadline_ms, struct err *err)
{
	struct exchange *x = r->x_;
	if (got > 0) {
		x->body_read += got;
		if (x->body_read > exchange_body_limit(r))
			return broken(x, err, ERR_LIMIT, "the body is larger than this operation takes");
		if (x->body_read == x->facts.content_length)
			x->body = BODY_DONE;
		return got;
	}
	if (got == 0 && x->facts.chunked) {
		x->body = BODY_DONE;
		return 0;
	}
	if (clock_mono_ms() >= deadline_ms)
		return broken(x, err, ERR_TIMEOUT, "the body did not arrive in time");
	return broken(x, err, ERR_PROTOCOL, "the body broke off or is wrongly framed");
}

int64_t request_read(struct request *r, void *into, size_t n, struct err *err)
{
	struct exchange *x = r->x_;
	if (x->body == BODY_BROKEN)
		return err_set(err, ERR_PROTOCOL, "the body broke off before");
	if (x->body == BODY_DONE || x->facts.content_length == 0 || n == 0)
		return 0;
	int rc = x->body == BODY_UNREAD ? exchange_begin_body(r, err) : 0;
	if (rc < 0)
		return rc;
	if (!x->facts.chunked && (int64_t)n > x->facts.content_length - x->body_read)
		n = (size_t)(x->facts.content_length - x->body_read);
	int64_t deadline = x->body_started_ms + r->deps->config->request_timeout_ms + (x->body_read + (int64_t)n) / BODY_BYTES_PER_MS;
	wire_watch(deadline);
	int got = mg_read(x->conn, into, n);
	wire_watch(0);
	return took(r, got, deadline, err);
}

bool exchange_body_is_small(const struct request *r)
{
	const struct exchange *x = r->x_;
	if (x->body == BODY_BROKEN || x->facts.chunked || x->continue_due || x->past_server)
		return false;
	return x->facts.content_length - x->body_read <= DISCARD_BYTES;
}

bool exchange_discard_body(struct request *r)
{
	struct exchange *x = r->x_;
	char sink[4096];
	wire_watch(clock_mono_ms() + DISCARD_MS);
	while (x->body_read < x->facts.content_length) {
		int64_t left = x->facts.content_length - x->body_read;
		int got = mg_read(x->conn, sink, left < (int64_t)sizeof(sink) ? (size_t)left : sizeof(sink));
		if (got <= 0)
			break;
		x->body_read += got;
	}
	wire_watch(0);
	return x->body_read == x->facts.content_length;
}

bool request_wait_begin(struct request *r)
{
	struct server *s = r->x_->worker->server;
	if (r->x_->waiting)
		return true;
	if (request_draining(r))
		return false;
	if (atomic_fetch_add(&s->waiting, 1) >= server_waits_max(s)) {
		atomic_fetch_sub(&s->waiting, 1);
		return false;
	}
	r->x_->waiting = true;
	return true;
}

void request_wait_end(struct request *r)
{
	if (!r->x_->waiting)
		return;
	r->x_->waiting = false;
	atomic_fetch_sub(&r->x_->worker->server->waiting, 1);
}

bool request_peer_gone(const struct request *r)
{
	return wire_peer_gone(r->x_->worker->fd);
}

bool request_draining(const struct request *r)
{
	return atomic_load(&r->x_->worker->server->phase) != SERVER_OPEN;
}
