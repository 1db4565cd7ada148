/* What civetweb calls: a request, an input that is none, a thread, a connection, a line for the log. */
#include <stdio.h>

#include "gateway/http/audit.h"
#include "gateway/http/server_state.h"
#include "gateway/http/streams.h"
#include "gateway/http/wire.h"
#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/panic.h"
#include "lib/config/config.h"
#include "lib/log/log.h"

/* From one request of a connection to the next; a thread without a connection keeps nothing. */
#define ARENA_KEPT_BYTES (16 << 10)
#define BUFFER_KEPT_BYTES (16 << 10)
#define STACK_KEPT_MS 10000 /* giving it back for every short connection costs half as much as the connection */

/* ---- one request ------------------------------------------------------------------------------------------------------ */

_Static_assert(sizeof(struct guard_header) == sizeof(struct mg_header), "the guard reads civetweb's table in place");

static bool is_request_id(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
		if (!alnum && c != '.' && c != '_' && c != '-')
			return false;
	}
	return s.n > 0 && s.n < REQUEST_ID_SIZE;
}

static void set_request_id(struct request *r)
{
	struct str given = request_header(r, "X-Request-Id");
	if (given.p && is_request_id(given))
		snprintf(r->id, sizeof(r->id), "%.*s", STR_ARG(given));
	else
		id_uuid7(r->id);
}

/* civetweb's receive buffer never moves, malloc aligns it to 16, and an honest request starts where it starts: the lowest place at which
 * a request line was seen is its start. */
static const char *receive_buffer(struct worker *w, const char *request_line)
{
	const char *aligned = (const char *)((uintptr_t)request_line & ~(uintptr_t)15);
	if (!w->receive_buffer || aligned < w->receive_buffer)
		w->receive_buffer = aligned;
	return w->receive_buffer;
}

static int guard(struct exchange *x)
{
	const struct mg_request_info *info = x->info;
	struct guard_request in = {
		.method = info->request_method,
		.uri = info->request_uri,
		.query = info->query_string,
		.version = info->http_version,
		.headers = (const struct guard_header *)(const void *)info->http_headers,
		.n_headers = (unsigned)info->num_headers,
	};
	int rc = guard_check(&in, &x->facts);
	if (rc < 0)
		return rc;
	const char *trace = guard_check_traces(&in, receive_buffer(x->worker, in.method), RECEIVE_BUFFER_BYTES);
	if (!trace)
		return 0;
	x->facts.keep_alive = false;
	x->facts.problem = PROBLEM_BAD_REQUEST;
	x->facts.reason = trace;
	return ERR_INVALID;
}

/* civetweb reads the next request into the same buffer, maybe while this one is answered elsewhere: nothing of a request points there. Its
 * head is one piece of memory, from the method to the end of the last field. */
static int keep_head(struct exchange *x)
{
	const struct mg_request_info *info = x->info;
	const char *from = info->request_method, *last = info->http_version;
	unsigned n = (unsigned)info->num_headers;
	if (n > 0)
		last = info->http_headers[n - 1].value;
	const char *to = arena_dupz(&x->worker->arena, (struct str){from, (size_t)(last - from) + strlen(last)});
	struct header *headers = arena_alloc(&x->worker->arena, n * sizeof(*headers));
	if (!to || !headers)
		return ERR_NOMEM;
	x->moved = to - from;
	for (unsigned i = 0; i < n; i++)
		headers[i] = (struct header){str_from(info->http_headers[i].name + x->moved), str_trim(str_from(info->http_headers[i].value + x->moved))};
	x->headers = headers;
	x->n_headers = n;
	return 0;
}

/* ERR_NOMEM: the request is to be answered at once. */
static int fill_request(struct request *r, struct exchange *x)
{
	const struct mg_request_info *info = x->info;
	struct server *s = x->worker->server;
	int rc = keep_head(x);
	*r = (struct request){.app = s->deps.app, .deps = &s->deps, .arena = &x->worker->arena, .x_ = x};
	r->head_only = strcmp(info->request_method, "HEAD") == 0;
	r->method = r->head_only ? STR("GET") : str_from(info->request_method + x->moved);
	r->query = info->query_string ? str_from(info->query_string + x->moved) : STR("");
	r->client_ip = str_from(info->remote_addr);
	r->deadline_mono_ms = x->started_us / 1000 + s->deps.config->request_timeout_ms;
	set_request_id(r);
	return rc;
}

static void enter(struct worker *w, const struct mg_request_info *info)
{
	if (w->fd < 0)
		w->fd = wire_socket(info->remote_port);
	atomic_store(&w->busy, true);
	atomic_fetch_add(&w->server->in_flight, 1);
}

static void keep_or_release(struct buf *kept, struct buf used)
{
	if (used.cap > BUFFER_KEPT_BYTES)
		buf_release(&used);
	*kept = used;
}

void exchange_clean(struct worker *w)
{
	keep_or_release(&w->headers, w->response.headers);
	if (w->arena.used > ARENA_KEPT_BYTES)
		arena_release(&w->arena);
	else
		arena_reset(&w->arena);
}

void exchange_leave(struct worker *w)
{
	struct server *s = w->server;
	keep_or_release(&w->body, w->response.body);
	atomic_store(&w->busy, false);
	if (atomic_fetch_sub(&s->in_flight, 1) != 1 || atomic_load(&s->phase) == SERVER_OPEN)
		return;
	lock_take(&s->mu);
	cond_broadcast(&s->idle);
	lock_give(&s->mu);
}

static void run(struct request *r, struct response *res)
{
	struct exchange *x = r->x_;
	if (guard(x) < 0) {
		middleware_rejected(x->worker->server, "malformed");
		response_problem(r, res, x->facts.problem, "%s", x->facts.reason);
		return;
	}
	x->facts.path.p += x->moved;
	r->path = x->facts.path;
	x->continue_due = !x->facts.http10 && str_ieq(request_header(r, "Expect"), STR("100-continue"));
	middleware_run(r, res);
}

/* A request that the guard refused has no path, and nothing of it may be looked at. */
void exchange_conclude(struct request *r, struct response *res)
{
	request_wait_end(r);
	if (r->route)
		audit_finish(r, res->status ? res->status : 200);
	if (r->path.p && !str_is(r->method, "OPTIONS"))
		cors_apply(r, res);
}

static void write_here(struct worker *w)
{
	struct request *r = &w->request;
	struct response *res = &w->response;
	exchange_conclude(r, res);
	response_write(r, res);
	middleware_finish(r, res);
	exchange_clean(w);
	exchange_leave(w);
}

/* What civetweb is told: that the request was handled. It would log the number. */
#define HANDLED 200
#define NOT_HANDLED 0

static int on_request(struct mg_connection *conn)
{
	struct worker *w = mg_get_thread_pointer(conn);
	const struct mg_request_info *info = mg_get_request_info(conn);
	struct exchange *x = &w->x;
	answer_await(w);
	if (w->over) {
		mg_disable_keep_alive(conn);
		return HANDLED;
	}
	enter(w, info);
	*x = (struct exchange){.worker = w, .conn = conn, .info = info, .started_us = clock_mono_us(), .arrived = wire_received()};
	w->response = (struct response){.file_fd = -1, .content_type = "application/json", .headers = w->headers, .body = w->body};
	buf_clear(&w->response.headers);
	buf_clear(&w->response.body);
	if (fill_request(&w->request, x) < 0)
		response_problem(&w->request, &w->response, PROBLEM_INTERNAL, "There was not enough memory for the request.");
	else
		run(&w->request, &w->response);
	if (x->way == ANSWER_DETACHED)
		return HANDLED; /* what w has of the request is another thread's */
	if (x->way == ANSWER_UPGRADED) {
		stream_handshake(w);
		return NOT_HANDLED;
	}
	answer_await(w);
	if (x->way == ANSWER_STREAMED)
		stream_answer(w);
	else
		write_here(w);
	return HANDLED;
}

/* ---- what civetweb cannot read ----------------------------------------------------------------------------------------- */

static enum problem problem_of_status(const struct mg_request_info *info, int status)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
	if (status == 413 || (!info->request_method && wire_filled()))
		return PROBLEM_HEADERS_TOO_LARGE;
	if (status == 505)
		return PROBLEM_NOT_IMPLEMENTED;
	if (status >= 500)
		return PROBLEM_INTERNAL;
	/* The method is looked at when the request line was well-formed. */
	if (info->http_version && info->num_headers == 0 && info->request_method) {
		for (unsigned i = 0; i < ARRAY_LEN(methods); i++)
			if (strcmp(info->request_method, methods[i]) == 0)
				return PROBLEM_BAD_REQUEST;
		return strncmp(info->http_version, "1.", 2) == 0 ? PROBLEM_NOT_IMPLEMENTED : PROBLEM_BAD_REQUEST;
	}
	return PROBLEM_BAD_REQUEST;
}

/* An answer to something that did not become a request: no header of it may be looked at. */
static void answer_unread(struct mg_connection *conn, enum problem p, const char *detail)
{
	struct worker *w = mg_get_thread_pointer(conn);
	static const struct mg_request_info nothing = {0};
	answer_await(w);
	if (w->over)
		return;
	struct exchange x = {.worker = w, .conn = conn, .info = &nothing, .started_us = clock_mono_us()};
	struct request r = {.deps = &w->server->deps, .arena = &w->arena, .x_ = &x};
	struct response res = {.file_fd = -1, .close = true};
	if (w->fd < 0)
		w->fd = wire_socket(mg_get_request_info(conn)->remote_port);
	id_uuid7(r.id);
	w->answered_error = true;
	x.body = BODY_BROKEN;
	x.body_read = -1; /* whatever stands in the socket is not looked at */
	middleware_rejected(w->server, "malformed");
	response_problem(&r, &res, p, "%s", detail);
	response_write(&r, &res);
	middleware_finish(&r, &res);
	buf_release(&res.headers);
	buf_release(&res.body);
	arena_reset(&w->arena);
}

static int on_error(struct mg_connection *conn, int status, const char *message)
{
	answer_unread(conn, problem_of_status(mg_get_request_info(conn), status), message);
	return 0;
}

/* What civetweb says before it frees what its accepting thread goes on using. */
#define NO_WORKER "Cannot create threads"

static int on_log(const struct mg_connection *conn, const char *message)
{
	const struct mg_context *context = mg_get_context(conn);
	struct server *s = context ? mg_get_user_data(context) : NULL;
	if (!s)
		return 1;
	if (str_starts(str_from(message), STR(NO_WORKER)))
		panic("no memory for the threads of HTTP: %s", message);
	lock_take(&s->mu);
	bool started = s->started;
	if (!started && !s->start_fault[0])
		snprintf(s->start_fault, sizeof(s->start_fault), "%s", message);
	lock_give(&s->mu);
	if (started)
		LOG(s->deps.log, LOG_WARN, "http_server", log_strz("message", message));
	return 1;
}

/* ---- threads and connections ------------------------------------------------------------------------------------------- */

static void accept_begins(struct server *s)
{
	wire_accept_from(s->lobby);
	lock_take(&s->mu);
	s->accepts = true;
	cond_broadcast(&s->accepting);
	lock_give(&s->mu);
}

static void *on_thread_start(const struct mg_context *context, int type)
{
	struct server *s = mg_get_user_data(context);
	if (type == 0)
		accept_begins(s);
	if (type != 1)
		return NULL;
	struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		panic("no memory for a connection thread");
	w->server = s;
	stack_note(&w->stack);
	w->fd = -1;
	w->answered = PARKER_OPEN;
	arena_init(&w->arena, (size_t)s->deps.config->max_body_bytes * 8 + ((size_t)16 << 20));
	lock_take(&s->mu);
	w->next = s->workers;
	s->workers = w;
	lock_give(&s->mu);
	return w;
}

/* What requests have left in memory. */
static void give_back(struct worker *w)
{
	arena_release(&w->arena);
	buf_release(&w->head);
	buf_release(&w->body);
	buf_release(&w->headers);
}

static void on_thread_end(const struct mg_context *context, int type, void *pointer)
{
	struct server *s = mg_get_user_data(context);
	struct worker *w = pointer;
	if (type != 1)
		return;
	lock_take(&s->mu);
	struct worker **at = &s->workers;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	lock_give(&s->mu);
	give_back(w);
	free(w);
}

static int on_connection(const struct mg_connection *conn, void **data)
{
	struct worker *w = mg_get_thread_pointer(conn);
	*data = NULL;
	wire_begin();
	w->fd = -1;
	w->answered_error = w->over = false;
	atomic_store(&w->closing, false);
	atomic_fetch_add(&w->server->connections, 1);
	return 0;
}

/* civetweb drops a request for another host (an absolute target) without a word; it is still readable here. */
static bool was_dropped(const struct worker *w, const struct mg_request_info *info)
{
	return !w->answered_error && info && info->request_uri && info->http_version && !info->local_uri;
}

/* The connection ends with an answer still due: the client has gone, its time between requests is over, or the server stops. Closing with
 * unread input would take the answer with it. */
static void await_last_answer(struct worker *w)
{
	if (parker_is_open(&w->answered))
		return;
	atomic_store(&w->closing, true);
	answer_await(w);
	wire_linger(w->fd);
}

/* Connections go round all threads: each would stay as large as its largest request. */
static void rest(struct worker *w)
{
	int64_t now = clock_mono_ms();
	give_back(w);
	if (now - w->stack_given_ms < STACK_KEPT_MS)
		return;
	stack_give_back(&w->stack);
	w->stack_given_ms = now;
}

static void on_close(const struct mg_connection *conn)
{
	struct worker *w = mg_get_thread_pointer(conn);
	await_last_answer(w);
	stream_websocket_closed(w);
	if (was_dropped(w, mg_get_request_info(conn)))
		answer_unread((struct mg_connection *)(uintptr_t)conn, PROBLEM_BAD_REQUEST, "the request target is not on this server");
	struct server *s = w->server;
	lock_take(&s->mu);
	w->fd = -1;
	if (atomic_fetch_sub(&s->accepted, 1) == 1 && atomic_load(&s->phase) != SERVER_OPEN)
		cond_broadcast(&s->idle);
	lock_give(&s->mu);
	atomic_fetch_sub(&s->connections, 1);
	rest(w);
	lobby_thread_free(s->lobby);
}

const struct mg_callbacks connection_callbacks = {
	.begin_request = on_request,
	.http_error = on_error,
	.log_message = on_log,
	.init_thread = on_thread_start,
	.exit_thread = on_thread_end,
	.init_connection = on_connection,
	.connection_close = on_close,
};
