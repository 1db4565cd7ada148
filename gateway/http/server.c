/* Starting, draining and stopping the HTTP server. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "gateway/http/server_state.h"
#include "gateway/http/streams.h"
#include "gateway/http/wire.h"
#include "lib/base/clock.h"
#include "lib/config/config.h"

#define LAST_WORD_MS 1500     /* for clients that connected just before the end */
#define ACCEPTING_MS 10000    /* for the first step of the thread that accepts, on a machine that is busy */
#define SPARE_DESCRIPTORS 128 /* logs, stores, documents, tools */
#define LOBBY_ROOM 8192       /* connections that may wait without a thread, where there are descriptors for them */

/* There must be a descriptor for every connection that has a thread, and for as many that wait for one; more may wait where the limit
 * allows it. */
static int raise_descriptors(unsigned threads, unsigned *room, struct err *err)
{
	struct rlimit l;
	rlim_t need = (rlim_t)threads * 2 + SPARE_DESCRIPTORS, wanted = (rlim_t)threads + LOBBY_ROOM + SPARE_DESCRIPTORS;
	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return err_errno(err, "getrlimit");
	if (l.rlim_max < need)
		return err_set(err, ERR_LIMIT, "SLUICE_HTTP_THREADS=%u needs %llu file descriptors, the limit is %llu (ulimit -n)", threads,
			       (unsigned long long)need, (unsigned long long)l.rlim_max);
	if (l.rlim_cur < wanted)
		l.rlim_cur = wanted < l.rlim_max ? wanted : l.rlim_max;
	*room = l.rlim_cur < wanted ? (unsigned)l.rlim_cur - threads - SPARE_DESCRIPTORS : LOBBY_ROOM;
	return setrlimit(RLIMIT_NOFILE, &l) < 0 ? err_errno(err, "setrlimit") : 0;
}

static int prepare_lobby(struct server *s, struct err *err)
{
	struct lobby_options o = {
		.threads = s->threads,
		.head_bytes = RECEIVE_BUFFER_BYTES,
		.timeout_ms = s->deps.config->request_timeout_ms,
		.accepted = &s->accepted,
		.on_event = farewell,
		.arg = s,
	};
	int rc = raise_descriptors(s->threads, &o.room, err);
	if (rc == 0 && !(s->lobby = lobby_new(&o, err)))
		rc = ERR_NOMEM;
	return rc;
}

static int prepare_routes(struct server *s, struct err *err)
{
	const struct http_deps *d = &s->deps;
	s->routes = calloc(d->routes->count + 1, sizeof(*s->routes));
	if (!s->routes || router_init(&s->router, d->routes) < 0)
		return err_set(err, ERR_NOMEM, "no memory for the routes");
	for (unsigned i = 0; i < d->routes->count; i++) {
		const struct route *row = &d->routes->rows[i];
		s->routes[i].route = row;
		s->routes[i].schema = row->body_schema && d->schema ? d->schema(d->schemas, row->body_schema) : NULL;
		if (row->body_schema && !s->routes[i].schema)
			return err_set(err, ERR_BUG, "route %s: there is no schema %s", row->id, row->body_schema);
	}
	for (unsigned i = 0; i <= d->routes->count; i++) {
		const struct route *row = s->routes[i].route;
		struct str labels[] = {str_from(row ? row->pattern : "(none)"), str_from(row ? row->method : "(any)")};
		s->routes[i].seconds = metrics_series(d->metrics, M_HTTP_REQUEST_SECONDS, labels);
	}
	s->request_bytes = metrics_series(d->metrics, M_HTTP_REQUEST_BYTES, NULL);
	s->response_bytes = metrics_series(d->metrics, M_HTTP_RESPONSE_BYTES, NULL);
	return 0;
}

void server_schemas_changed(struct server *s)
{
	const struct http_deps *d = &s->deps;
	for (unsigned i = 0; i < d->routes->count; i++)
		if (d->routes->rows[i].body_schema)
			s->routes[i].schema = d->schema(d->schemas, d->routes->rows[i].body_schema);
}

/* Only plain ports: TLS in this library crashes on its first use. */
static int listen_address(const struct config *c, char *out, size_t size, struct err *err)
{
	const char *host = strcmp(c->host, "localhost") == 0 ? "127.0.0.1" : c->host;
	if (host[strspn(host, "0123456789.")])
		return err_set(err, ERR_INVALID, "HOST=%s is not an IPv4 address", host);
	snprintf(out, size, "%s%s%lld", host, host[0] ? ":" : "", (long long)c->port);
	return 0;
}

/* Where civetweb could start some of its threads only, it is not sure to end them, and they would go on with what is freed: it ends none without
 * the one that accepts. So the process ends, as if it had been killed. */
static NORETURN void end_here(const struct server *s)
{
	fprintf(stderr, "sluice: http: not all threads of SLUICE_HTTP_THREADS=%u can be started: %s\n", s->threads,
		s->start_fault[0] ? s->start_fault : "the one that accepts connections");
	_exit(EXIT_FAILURE);
}

/* civetweb does not say when the thread that accepts could not be started. */
static bool accepts(struct server *s)
{
	int64_t deadline = clock_mono_ms() + ACCEPTING_MS;
	lock_take(&s->mu);
	while (!s->accepts && clock_mono_ms() < deadline) /* a clock that is tampered with ends waits early */
		(void)cond_wait_until(&s->accepting, &s->mu, deadline);
	bool yes = s->accepts;
	lock_give(&s->mu);
	return yes;
}

static int start_civetweb(struct server *s, struct err *err)
{
	const struct config *c = s->deps.config;
	char address[64], threads[16], queue[16], keep_alive[24], timeout[24], buffer[16];
	int rc = listen_address(c, address, sizeof(address), err);
	if (rc < 0)
		return rc;
	snprintf(threads, sizeof(threads), "%u", s->threads);
	snprintf(queue, sizeof(queue), "%u", s->threads);
	snprintf(keep_alive, sizeof(keep_alive), "%lld", (long long)c->keep_alive_ms);
	snprintf(timeout, sizeof(timeout), "%lld", (long long)c->request_timeout_ms);
	snprintf(buffer, sizeof(buffer), "%d", RECEIVE_BUFFER_BYTES);
	const char *options[] = {
		"listening_ports", address, "num_threads", threads, "connection_queue", queue, "listen_backlog", "1024",
		"enable_keep_alive", "yes", "keep_alive_timeout_ms", keep_alive, "request_timeout_ms", timeout,
		"max_request_size", buffer, "tcp_nodelay", "1", "decode_url", "no", "decode_query_string", "no",
		"enable_auth_domain_check", "no", "enable_directory_listing", "no", "cgi_pattern", "", "cgi2_pattern", "",
		"ssi_pattern", "", "access_control_allow_origin", "", "access_control_allow_methods", "",
		"access_control_allow_headers", "", NULL};
	s->context = mg_start(&connection_callbacks, s, options);
	lock_take(&s->mu);
	bool whole = s->context && !s->start_fault[0]; /* with some threads only, it would start as well */
	s->started = s->context != NULL;
	if (whole)
		stream_websocket_serve(s->deps.routes, s->context);
	lock_give(&s->mu);
	if (s->context && (!whole || !accepts(s)))
		end_here(s);
	return whole ? 0 : err_set(err, ERR_IO, "cannot listen on %s: %s", address, s->start_fault);
}

static int read_port(struct server *s, struct err *err)
{
	struct mg_server_port port;
	if (mg_get_server_ports(s->context, 1, &port) != 1 || port.port <= 0)
		return err_set(err, ERR_IO, "the server does not say its port");
	s->port = (unsigned)port.port;
	s->listener = wire_listener(s->port);
	s->listens = s->listener >= 0;
	return 0;
}

struct server *server_start(const struct http_deps *deps, struct err *err)
{
	struct server *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(err, ERR_NOMEM, "no memory for the server");
		return NULL;
	}
	s->deps = *deps;
	s->listener = -1;
	s->threads = (unsigned)deps->config->http_threads;
	response_prepare_keep_alive(s);
	lock_init(&s->mu);
	cond_init(&s->idle);
	cond_init(&s->accepting);
	if (deps->config->rate_limit_per_s > 0)
		s->rate = ratelimit_new(deps->config->rate_limit_per_s);
	s->lateness = lateness_start(s->threads, err);
	s->streams = s->lateness ? streams_start(deps->metrics, err) : NULL;
	if (!s->streams || prepare_lobby(s, err) < 0 || prepare_routes(s, err) < 0 || start_civetweb(s, err) < 0 ||
	    read_port(s, err) < 0) {
		server_stop(s);
		return NULL;
	}
	return s;
}

unsigned server_port(const struct server *s)
{
	return s->port;
}

/* Connections that wait for their next request are woken, so that nobody waits for them. */
static void shut_idle_connections(struct server *s)
{
	lock_take(&s->mu);
	for (struct worker *w = s->workers; w; w = w->next)
		if (!w->busy && w->fd >= 0)
			shutdown(w->fd, SHUT_RD);
	lock_give(&s->mu);
}

static void close_listener(struct server *s)
{
	if (s->listens)
		wire_stop_listening(s->listener);
	s->listens = false;
}

void server_drain_begin(struct server *s)
{
	int open = SERVER_OPEN;
	atomic_compare_exchange_strong(&s->phase, &open, SERVER_CLOSING);
	streams_drain(s->streams);
}

bool server_drain(struct server *s, int64_t deadline_mono_ms)
{
	bool in_time = true;
	atomic_store(&s->phase, SERVER_REFUSING);
	close_listener(s);
	lock_take(&s->mu);
	while (in_time && atomic_load(&s->in_flight) > 0)
		in_time = cond_wait_until(&s->idle, &s->mu, deadline_mono_ms);
	lock_give(&s->mu);
	return atomic_load(&s->in_flight) == 0;
}

/* Nobody is refused without a word: what was accepted before the listener closed may still bring a request and get its 503, while
 * connections that wait for another one are closed. */
static void let_go(struct server *s)
{
	int64_t deadline = clock_mono_ms() + LAST_WORD_MS;
	close_listener(s);
	shut_idle_connections(s);
	lock_take(&s->mu);
	while (atomic_load(&s->accepted) > 0 && cond_wait_until(&s->idle, &s->mu, deadline))
		;
	lock_give(&s->mu);
	if (atomic_load(&s->accepted) > 0)
		wire_shut_connections(s->port); /* nobody knows the sockets of those that never said a word */
	lobby_close(s->lobby); /* the accepting thread wakes up, which by itself it does every two seconds only */
}

void server_stop(struct server *s)
{
	if (!s)
		return;
	atomic_store(&s->phase, SERVER_REFUSING);
	if (s->context && s->listener >= 0)
		let_go(s);
	if (s->context)
		mg_stop(s->context);
	streams_stop(s->streams);
	lateness_stop(s->lateness);
	lobby_free(s->lobby);
	buf_release(&s->farewell);
	ratelimit_free(s->rate);
	cond_release(&s->accepting);
	cond_release(&s->idle);
	lock_release(&s->mu);
	router_release(&s->router);
	free(s->routes);
	free(s);
}

/* Whoever waits for one event holds a slot, and is no stream. */
static void observe_streams(const struct server *s)
{
	static const struct str sse = {"sse", 3}, websocket = {"websocket", 9}, longpoll = {"longpoll", 8};
	struct metrics *m = s->deps.metrics;
	int events = streams_count(s->streams, false), sockets = streams_count(s->streams, true);
	int others = atomic_load(&s->waiting) - events - sockets;
	metrics_set(m, M_HTTP_STREAMS, events, &sse);
	metrics_set(m, M_HTTP_STREAMS, sockets, &websocket);
	metrics_set(m, M_HTTP_STREAMS, others > 0 ? others : 0, &longpoll);
	metrics_set(m, M_HTTP_STREAMS_MAX, server_waits_max(s), NULL);
}

void server_observe(const struct request *r)
{
	struct server *s = r->x_->worker->server;
	struct metrics *m = s->deps.metrics;
	int busy = atomic_load(&s->connections);
	struct str busy_label[] = {STR("busy")}, idle_label[] = {STR("idle")}, max_label[] = {STR("max")};
	metrics_set(m, M_HTTP_IN_FLIGHT, atomic_load(&s->in_flight), NULL);
	metrics_set(m, M_HTTP_THREADS, busy, busy_label);
	metrics_set(m, M_HTTP_THREADS, (double)s->threads - busy, idle_label);
	metrics_set(m, M_HTTP_THREADS, s->threads, max_label);
	metrics_set(m, M_HTTP_WAITING, lobby_count(s->lobby), NULL);
	observe_streams(s);
}
