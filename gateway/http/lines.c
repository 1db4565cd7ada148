#include "gateway/http/lines.h"

#include "gateway/http/chunked.h"
#include "gateway/http/exchange.h"
#include "gateway/http/server_state.h"
#include "gateway/http/wire.h"
#include "lib/base/clock.h"
#include "lib/config/config.h"

#define STEP_BYTES ((size_t)64 << 10)
#define LOOK_UP_MS 250 /* how often a wait for input looks whether the process is on its way out */

struct lines {
	struct buf in;          /* content that has come; lines are cut from it */
	size_t from;            /* in `in`: where the next line begins */
	size_t searched;        /* up to here there is no end of it */
	size_t longest;         /* bytes that a line may have */
	struct chunked chunked;
	int64_t left;           /* of an announced length: bytes to come */
	int64_t since_ms;       /* when the line that is being read began, and how much has come since */
	int64_t since_bytes;
	bool fresh;             /* a line was cut: the next one's time begins when more is waited for */
	bool skipping;          /* inside a line that is too long */
	bool end;               /* the body has come whole */
	bool misframed;         /* nothing that comes can be believed any more; what came before can */
};

static void release_lines(void *arg)
{
	struct lines *l = arg;

	buf_release(&l->in);
}

/* What the server library has received of the body: the rest of what its last read brought, behind the head's last field. */
static bool received_early(const struct exchange *x, struct str *out)
{
	const struct mg_header *last = &x->info->http_headers[x->info->num_headers - 1];
	const char *body = last->value + strlen(last->value) + strlen("\r\n\r\n");
	const char *buffer = x->worker->receive_buffer;

	if (!x->arrived.p || x->arrived.p < buffer || x->arrived.p + x->arrived.n > buffer + RECEIVE_BUFFER_BYTES)
		return false;
	if (body > x->arrived.p + x->arrived.n)
		return false;
	*out = (struct str){body, (size_t)(x->arrived.p + x->arrived.n - body)};
	return true;
}

/* n bytes have come and stand behind the content. */
static void accept_bytes(struct exchange *x, struct lines *l, size_t n)
{
	size_t content = n;

	l->since_bytes += (int64_t)n;
	if (x->facts.chunked) {
		int rc = chunked_decode(&l->chunked, l->in.p + l->in.n, n, &content);
		l->end = rc == CHUNKED_END;
		l->misframed = rc < 0;
	} else {
		if ((int64_t)n > l->left)
			content = (size_t)l->left; /* what follows it has no say */
		l->left -= (int64_t)content;
		l->end = l->left == 0;
	}
	x->body_read += (int64_t)content;
	l->in.n += content;
}

int lines_begin(struct request *r, struct err *err)
{
	struct exchange *x = r->x_;
	struct lines *l = arena_zalloc(r->arena, sizeof(*l));
	struct str early = STR_NONE;

	x->past_server = true;
	if (!l || arena_defer(r->arena, release_lines, l) < 0)
		return err_set(err, ERR_NOMEM, "no memory for the body");
	if (!received_early(x, &early))
		return err_set(err, ERR_PROTOCOL, "lines may not be sent before the answer to the request before");
	int rc = exchange_begin_body(r, err);
	if (rc < 0)
		return rc;
	l->longest = (size_t)r->deps->config->max_body_bytes;
	l->left = x->facts.content_length;
	l->fresh = true;
	x->lines = l;
	buf_reserve(&l->in, early.n + 1);
	if (l->in.failed)
		return err_set(err, ERR_NOMEM, "no memory for the body");
	memcpy(l->in.p, early.p, early.n);
	accept_bytes(x, l, early.n);
	return 0;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------- */

/* Room for more, at the place of what has been read. */
static int make_room(struct lines *l, struct err *err)
{
	buf_drop(&l->in, l->from);
	l->searched -= l->from;
	l->from = 0;
	buf_reserve(&l->in, STEP_BYTES);
	return l->in.failed ? err_set(err, ERR_NOMEM, "no memory for a line") : 0;
}

static int may_wait(const struct request *r, const struct lines *l, struct err *err)
{
	int64_t deadline = l->since_ms + r->deps->config->request_timeout_ms + l->since_bytes / BODY_BYTES_PER_MS;
	int64_t now = clock_mono_ms();

	if (request_draining(r))
		return err_set(err, ERR_STOPPING, "this process is shutting down");
	if (now >= deadline)
		return err_set(err, ERR_TIMEOUT, "the next line did not arrive in time");
	wire_await_input(r->x_->worker->fd, now + LOOK_UP_MS < deadline ? now + LOOK_UP_MS : deadline);
	return 0;
}

/* 1: something came, or the body's end; 0: nothing yet. */
static int read_some(struct request *r, struct lines *l, bool wait, struct err *err)
{
	struct exchange *x = r->x_;
	int rc = l->misframed ? err_set(err, ERR_PROTOCOL, "the body is wrongly framed") : make_room(l, err);

	if (l->fresh) {
		l->since_ms = clock_mono_ms();
		l->since_bytes = 0;
		l->fresh = false;
	}
	while (rc == 0) {
		size_t n = x->facts.chunked || l->left > (int64_t)STEP_BYTES ? STEP_BYTES : (size_t)l->left;
		int64_t got = wire_take(x->worker->fd, l->in.p + l->in.n, n);
		if (got < 0)
			return err_set(err, ERR_PROTOCOL, "the body broke off");
		if (got > 0)
			accept_bytes(x, l, (size_t)got);
		if (got > 0 || !wait)
			return got > 0;
		rc = may_wait(r, l, err);
	}
	return rc;
}

/* ---- lines ------------------------------------------------------------------------------------------------------------- */

static enum line_state finish_line(struct lines *l, size_t end, size_t next, struct str *line)
{
	*line = str_sub(buf_str(&l->in), l->from, end - l->from);
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	bool too_long = l->skipping || line->n > l->longest;
	l->from = l->searched = next;
	l->fresh = true;
	l->skipping = false;
	return too_long ? LINE_TOO_LONG : LINE_READ;
}

/* LINE_NOT_YET when what has come holds no whole line. */
static enum line_state cut_line(struct lines *l, struct str *line)
{
	const char *newline = l->in.n > l->searched ? memchr(l->in.p + l->searched, '\n', l->in.n - l->searched) : NULL;

	if (newline) {
		size_t end = (size_t)(newline - l->in.p);
		return finish_line(l, end, end + 1, line);
	}
	l->searched = l->in.n;
	if (l->end && (l->skipping || l->in.n > l->from))
		return finish_line(l, l->in.n, l->in.n, line);
	if (l->in.n - l->from > l->longest + 1) { /* its CR may be among them */
		l->from = l->searched = l->in.n;
		l->skipping = true;
	}
	return l->end ? LINES_END : LINE_NOT_YET;
}

int request_line(struct request *r, bool wait, struct str *line, struct err *err)
{
	struct exchange *x = r->x_;
	struct lines *l = x->lines;

	for (;;) {
		enum line_state state = cut_line(l, line);
		if (state == LINES_END)
			x->body = BODY_DONE;
		if (state != LINE_NOT_YET)
			return (int)state;
		int rc = x->body == BODY_BROKEN ? err_set(err, ERR_PROTOCOL, "the body broke off before") : read_some(r, l, wait, err);
		if (rc < 0)
			x->body = BODY_BROKEN;
		if (rc <= 0)
			return rc < 0 ? rc : (int)LINE_NOT_YET;
	}
}
