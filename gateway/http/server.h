/* The HTTP server: the only start and stop of civetweb.
 *
 *     struct server *s = server_start(&deps, &err);       listening when it returns
 *     log "listening" with server_port(s)
 *     ...
 *     server_drain_begin(s);                               readiness fails, connections are closed after their answer
 *     server_drain(s, deadline);                           nobody can connect, new requests get 503, those in flight finish
 *     server_stop(s);
 *
 * Threads: one per connection, deps->config->http_threads of them, with 1 MiB of stack each. server_start, _drain and _stop are called
 * by one thread; server_drain_begin and the counters by any. */
#ifndef SLUICE_GATEWAY_HTTP_SERVER_H
#define SLUICE_GATEWAY_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/http/route.h"
#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/schema/schema.h"

struct audit;
struct auth;
struct config;
struct health;
struct log;
struct metrics;

/* Finds a compiled body schema by its name in the route table; NULL: there is none. */
typedef const struct schema *schema_lookup(const void *schemas, const char *name);

/* Answers a GET with a page or a file of the web page; false: there is none, and nothing was written. */
typedef bool page_fn(struct request *r, struct response *res);

/* What the server and the routes that come with it need. Copied; what it points to outlives the server. */
struct http_deps {
	struct app *app;             /* handed to handlers, never looked into here */
	const struct config *config;
	struct log *log;             /* may be NULL */
	struct metrics *metrics;
	struct auth *auth;
	struct audit *audit;         /* NULL: audit lines go to the log only */
	const struct route_table *routes;
	schema_lookup *schema;       /* may be NULL when no route names a schema */
	const void *schemas;
	void (*observe)(struct app *app); /* brings what is only measured on demand up to date, for /metrics; may be NULL */
	page_fn *page;               /* answers paths that no row has; may be NULL */
	const struct health *health; /* for the health routes */
};

struct server;

/* NULL with a sentence in err: a route without its schema, an address that cannot be listened on, too few file descriptors. */
struct server *server_start(const struct http_deps *deps, struct err *err);
unsigned server_port(const struct server *s);
/* Looks the schemas of the routes' bodies up anew: those before must stay until server_stop. The thread that has started it. */
void server_schemas_changed(struct server *s);
void server_drain_begin(struct server *s);
/* From now on new connections are refused, and new requests on those that exist (the health routes apart) get 503. Waits until none is
 * in flight: true, or false when the deadline has passed. */
bool server_drain(struct server *s, int64_t deadline_mono_ms);
void server_stop(struct server *s);

/* Around what makes many answers on one thread (request.h, response_ready): they are sent at the end, when their log lines have been
 * written. Nests. */
void server_answers_begin(void);
void server_answers_end(void);

/* Brings the gauges of threads and requests in flight up to date, for /metrics. */
void server_observe(const struct request *r);

#endif
