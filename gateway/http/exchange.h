/* One request on its connection: what gateway/http knows beyond struct request. Private to this folder; the connection's thread. */
#ifndef SLUICE_GATEWAY_HTTP_EXCHANGE_H
#define SLUICE_GATEWAY_HTTP_EXCHANGE_H

#include <civetweb.h>
#include <stdatomic.h>

#include "gateway/http/guard.h"
#include "gateway/http/request.h"
#include "gateway/http/server.h"

struct lines;
struct route_state;

/* A body must keep up this pace, after a first grace of as long as a request's head may take. */
#define BODY_BYTES_PER_MS 16

/* What one civetweb thread keeps from request to request. */
struct worker {
	struct server *server;
	struct arena arena;
	struct buf head;              /* header lines of the response */
	struct buf body;              /* body of the response */
	const char *receive_buffer;   /* civetweb's, learnt from the requests seen */
	char date[32];                /* of date_s */
	int64_t date_s;
	bool answered_error;          /* what this connection ended with has had its answer */
	_Atomic int fd;               /* -1 between connections; the drain shuts idle ones down */
	_Atomic bool busy;            /* a request is being answered */
	struct worker *next;          /* protected by server's mu */
};

enum body_state { BODY_UNREAD, BODY_READING, BODY_DONE, BODY_BROKEN };

struct audit_entry {
	const char *action; /* NULL: not noted */
	struct str target, before, after;
};

struct exchange {
	struct worker *worker;
	struct mg_connection *conn;
	const struct mg_request_info *info;
	struct guard_facts facts;
	struct route_state *route_state; /* NULL until routed */
	int64_t started_us;
	int64_t body_started_ms;
	int64_t body_read;               /* bytes */
	enum body_state body;
	bool continue_due;               /* the client waits for 100 Continue */
	bool waiting;                    /* holds a wait slot */
	bool past_server;                /* the body is read from the socket: civetweb no longer knows where the next request begins */
	struct str arrived;              /* in civetweb's buffer: what its last read brought; .p NULL: the head came with an earlier request */
	struct lines *lines;             /* of a body that is read line by line */
	struct audit_entry audit;
	char allow[64];                  /* methods of the path, for 405 and OPTIONS */
};

/* The most that the request's body may have. */
int64_t exchange_body_limit(const struct request *r);
/* The first step of reading it: its announced length, and the client that waits to hear that it is wanted. */
int exchange_begin_body(struct request *r, struct err *err) MUST_CHECK;
/* Is so little of the body left that reading it is better than closing the connection? */
bool exchange_body_is_small(const struct request *r);
/* Reads and forgets what is left of it, so that the connection can be used again; false: it must be closed. */
bool exchange_discard_body(struct request *r);
/* Writes the response; afterwards the connection is fit for the next request or marked for closing. */
void response_write(struct request *r, struct response *res);

#endif
