/* The connection's side of its stream: it begins, and its thread sleeps until it ends. */
#include "gateway/http/stream_state.h"
#include "gateway/http/wire.h"
#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"

#define STATUS_OK 200
#define STATUS_SWITCHING 101
#define WEBSOCKET_INPUT_BYTES 1024 /* between two messages: more than a control frame, and no room for anything else */
#define WEBSOCKET_KEY_BYTES 24

/* ---- both kinds ---- */

static bool adopt(struct request *r, struct response *res, const struct stream_feed *feed, enum answer_way way)
{
	struct exchange *x = r->x_;
	struct stream *s = arena_zalloc(r->arena, sizeof(*s));

	if (!s) {
		feed->end(feed->arg, NULL);
		response_problem(r, res, PROBLEM_INTERNAL, "There was not enough memory for the answer.");
		return false;
	}
	*s = (struct stream){.all = x->worker->server->streams, .fd = x->worker->fd, .feed = *feed, .expires_wall_ms = r->who.expires_s * 1000};
	cond_init(&s->room);
	x->stream = s;
	x->way = way;
	return true;
}

static void begin(struct stream *s)
{
	stream_join(s);
	s->feed.begin(s->feed.arg, s);
}

/* Behind this nobody knows the stream. */
static void leave(struct worker *w)
{
	struct request *r = &w->request;
	struct stream *s = w->x.stream;

	if (s->joined) {
		(void)parker_wait_until(&s->over, PARKER_FOREVER);
		LOG(r->deps->log, LOG_INFO, "stream_ended", log_strz("requestId", r->id), log_strz("reason", stream_end_word(s->end)),
		    log_int("ms", (clock_mono_us() - w->x.started_us) / 1000));
	}
	s->feed.end(s->feed.arg, s);
	buf_release(&s->out);
	buf_release(&s->sending);
	cond_release(&s->room);
	request_wait_end(r);
	exchange_clean(w);
	exchange_leave(w);
}

/* ---- Server-Sent Events ---- */

void response_stream(struct request *r, struct response *res, const struct stream_feed *feed)
{
	response_header(res, "X-Accel-Buffering", STR("no"));
	res->content_type = "text/event-stream";
	res->close = true;
	(void)adopt(r, res, feed, ANSWER_STREAMED);
}

static int send_head(struct request *r, struct response *res)
{
	struct buf *head = &r->x_->worker->head;

	cors_apply(r, res);
	response_prepare(r, res);
	if (res->status != STATUS_OK)
		return ERR_NOMEM;
	middleware_finish(r, res); /* how long it took to begin; its end is told by another line */
	struct iovec part = {head->p, head->n};
	return head->failed ? ERR_NOMEM : wire_send(r->x_->worker->fd, &part, 1, response_deadline_ms(res));
}

void stream_answer(struct worker *w)
{
	if (send_head(&w->request, &w->response) == 0 && !w->request.head_only)
		begin(w->x.stream);
	mg_disable_keep_alive(w->x.conn);
	leave(w);
}

/* ---- WebSockets ---- */

static bool lists(struct str list, struct str word)
{
	while (list.p)
		if (str_ieq(str_trim(str_cut(&list, ',')), word))
			return true;
	return false;
}

/* What civetweb would refuse in words of its own; and its handler knows the plain path only. */
static bool may_upgrade(const struct request *r)
{
	return !r->head_only && str_is(r->path, r->route->pattern) && str_ieq(request_header(r, "Upgrade"), STR("websocket")) &&
	       lists(request_header(r, "Connection"), STR("upgrade")) && str_is(request_header(r, "Sec-WebSocket-Version"), "13") &&
	       request_header(r, "Sec-WebSocket-Key").n == WEBSOCKET_KEY_BYTES;
}

void response_websocket(struct request *r, struct response *res, const struct stream_feed *feed)
{
	if (may_upgrade(r)) {
		res->status = STATUS_SWITCHING;
		if (adopt(r, res, feed, ANSWER_UPGRADED))
			r->x_->stream->websocket = true;
		return;
	}
	feed->end(feed->arg, NULL);
	response_problem(r, res, PROBLEM_UPGRADE_REQUIRED, NULL);
	response_header(res, "Upgrade", STR("websocket"));
}

void stream_handshake(struct worker *w)
{
	middleware_finish(&w->request, &w->response);
	wire_allow(WEBSOCKET_INPUT_BYTES);
}

static void on_ready(struct mg_connection *conn, void *arg UNUSED)
{
	struct worker *w = mg_get_thread_pointer(conn);

	begin(w->x.stream);
}

static void on_ping(struct stream *s, const char *data, size_t n)
{
	lock_take(&s->all->mu);
	if (s->end == STREAM_GOES_ON) {
		s->pong_bytes = n < PONG_MAX ? n : PONG_MAX;
		memcpy(s->pong, data, s->pong_bytes);
		s->pong_due = true;
		stream_wake(s);
	}
	lock_give(&s->all->mu);
}

static int on_message(struct mg_connection *conn, int bits, char *data, size_t n, void *arg UNUSED)
{
	struct worker *w = mg_get_thread_pointer(conn);
	int opcode = bits & 0xf;

	wire_allow(WEBSOCKET_INPUT_BYTES);
	if (opcode == MG_WEBSOCKET_OPCODE_PING)
		on_ping(w->x.stream, data, n);
	else if (opcode == MG_WEBSOCKET_OPCODE_CONNECTION_CLOSE)
		stream_end(w->x.stream, STREAM_LEFT);
	else if (opcode != MG_WEBSOCKET_OPCODE_PONG)
		stream_end(w->x.stream, STREAM_REFUSED);
	return opcode != MG_WEBSOCKET_OPCODE_CONNECTION_CLOSE;
}

/* The last that civetweb says before it closes the connection. */
static void on_end(const struct mg_connection *conn, void *arg UNUSED)
{
	struct worker *w = mg_get_thread_pointer(conn);

	stream_end(w->x.stream, STREAM_GONE);
	leave(w);
	w->x.way = ANSWER_HERE;
}

void stream_websocket_serve(const struct route_table *routes, struct mg_context *context)
{
	for (unsigned i = 0; i < routes->count; i++)
		if (routes->rows[i].flags & ROUTE_WEBSOCKET)
			mg_set_websocket_handler(context, routes->rows[i].pattern, NULL, on_ready, on_message, on_end, NULL);
}

void stream_websocket_closed(struct worker *w)
{
	if (w->x.way != ANSWER_UPGRADED)
		return;
	bug_on(w->x.stream->joined);
	leave(w);
	w->x.way = ANSWER_HERE;
}
