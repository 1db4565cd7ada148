/* What a running server is. Private to this folder. */
#ifndef SLUICE_GATEWAY_HTTP_SERVER_STATE_H
#define SLUICE_GATEWAY_HTTP_SERVER_STATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "gateway/http/exchange.h"
#include "gateway/http/lobby.h"
#include "gateway/http/ratelimit.h"
#include "gateway/http/route.h"
#include "gateway/http/server.h"
#include "lib/base/lock.h"
#include "lib/metrics/metrics.h"

enum server_phase {
	SERVER_OPEN,
	SERVER_CLOSING, /* answers say Connection: close */
	SERVER_REFUSING /* and new requests get 503 */
};

#define RECEIVE_BUFFER_BYTES 16384 /* civetweb's buffer for the request line and headers */
#define STATUS_FIRST 100
#define STATUS_LAST 599

/* What is kept for a row of the route table; the last one is for requests that match none. */
struct route_state {
	const struct route *route;    /* NULL: no row */
	const struct schema *_Atomic schema; /* of the body; NULL: none. Another one may come at any time */
	struct series *seconds;
	struct series *_Atomic requests[STATUS_LAST - STATUS_FIRST + 1]; /* by status, made when first seen */
};

struct server {
	/* Set before start. */
	struct http_deps deps;
	struct mg_context *context;
	unsigned threads;
	unsigned port;
	int listener;               /* civetweb's listening socket; -1: not known */
	struct router router;
	struct route_state *routes; /* deps.routes->count + 1 */
	struct series *request_bytes, *response_bytes;
	struct ratelimit *rate;     /* NULL: off */
	struct lateness *lateness;
	struct streams *streams;
	char keep_alive[64];        /* the header lines of an answer after which the connection goes on */

	struct lobby *lobby;        /* connections that have no thread yet */
	struct buf farewell;        /* the accepting thread's: what it says to one that gets none */
	int64_t crowd_logged_ms;    /* the accepting thread's */
	bool listens;               /* the thread that drains and stops */

	_Atomic int phase;          /* enum server_phase */
	_Atomic int connections;    /* that have a thread */
	_Atomic int accepted;       /* and those in the lobby, or on their way from there */
	_Atomic int waiting;        /* requests that hold a wait slot */
	_Atomic int public_bodies;  /* bodies being read of requests that need no token */
	_Atomic int in_flight;

	struct lock mu;
	struct cond idle;           /* in_flight or accepted became 0 */
	struct worker *workers;     /* protected by mu */
	bool started;               /* protected by mu */
	bool accepts;               /* protected by mu: the accepting thread runs */
	struct cond accepting;      /* it does now */
	char start_fault[160];      /* protected by mu: what civetweb said first while it was starting */
};

/* How many requests may wait or listen at the same time, so that threads remain for the others. */
static inline int server_waits_max(const struct server *s)
{
	return (int)(s->threads - s->threads / 4);
}

/* farewell.c: counts and logs why a connection was sent away without a thread; what it is told. `server` is a struct server. */
struct str farewell(void *server, enum lobby_event event);

/* connection.c: what civetweb calls; its user data is the server, its thread pointers are workers. */
extern const struct mg_callbacks connection_callbacks;

/* middleware.c: everything between a request that may be trusted and its response. */
void middleware_run(struct request *r, struct response *res);
/* Counts and logs the request when its answer has been written. */
void middleware_finish(struct request *r, const struct response *res);
/* Counts a request that was refused before it was routed. */
void middleware_rejected(struct server *s, const char *reason);

/* response.c: says in the server how long its idle connections last. */
void response_prepare_keep_alive(struct server *s);

/* cors.c: adds the headers for a configured origin; true: this was a preflight and the response is complete. */
bool cors_apply(const struct request *r, struct response *res);

#endif
