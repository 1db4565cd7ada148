/* One request on its connection: what gateway/http knows beyond struct request. Private to this folder.
 *
 * The connection's thread owns all of it, except while an answer is due (answer.h): then whoever makes the answer does. */
#ifndef SLUICE_GATEWAY_HTTP_EXCHANGE_H
#define SLUICE_GATEWAY_HTTP_EXCHANGE_H

#include <civetweb.h>
#include <stdatomic.h>

#include "gateway/http/answer.h"
#include "gateway/http/guard.h"
#include "gateway/http/request.h"
#include "gateway/http/server.h"
#include "lib/base/parker.h"
#include "lib/base/stack.h"

struct lines;
struct route_state;
struct stream;

/* A body must keep up this pace, after a first grace of as long as a request's head may take. */
#define BODY_BYTES_PER_MS 16

enum body_state { BODY_UNREAD, BODY_READING, BODY_DONE, BODY_BROKEN };

struct header {
	struct str name, value; /* trimmed */
};

struct audit_entry {
	const char *action; /* NULL: not noted */
	struct str target, before, after;
	struct str ids; /* of several jobs */
};

/* How the answer of a request is written. */
enum answer_way {
	ANSWER_HERE,     /* the handler filled it; its thread writes it */
	ANSWER_AWAITED,  /* another thread fills it; the connection's waits for that and writes it */
	ANSWER_DETACHED, /* another thread fills and writes it, the connection's is at its next request */
	ANSWER_STREAMED, /* it has no end of its own (stream.h) */
	ANSWER_UPGRADED, /* the same on a WebSocket, which civetweb begins */
};

struct exchange {
	struct worker *worker;
	struct mg_connection *conn;
	const struct mg_request_info *info; /* civetweb's: the connection's thread only, until its next request */
	ptrdiff_t moved;                 /* from civetweb's receive buffer to the copy of the request's head, in the arena */
	const struct header *headers;    /* of the copy */
	unsigned n_headers;
	struct guard_facts facts;
	struct route_state *route_state; /* NULL until routed */
	int64_t started_us;
	int64_t body_started_ms;
	int64_t body_read;               /* bytes */
	enum body_state body;
	enum answer_way way;
	bool continue_due;               /* the client waits for 100 Continue */
	bool waiting;                    /* holds a wait slot */
	bool past_server;                /* the body is read from the socket: civetweb no longer knows where the next request begins */
	struct str arrived;              /* in civetweb's buffer: what its last read brought; .p NULL: the head came with an earlier request */
	struct stream *stream;           /* of a streamed or upgraded answer */
	struct lines *lines;             /* of a body that is read line by line */
	struct audit_entry audit;
	char allow[64];                  /* methods of the path, for 405 and OPTIONS */
};

/* What one civetweb thread keeps from request to request. */
struct worker {
	struct server *server;
	struct stack stack;
	int64_t stack_given_ms;       /* back to the system, when it last was */
	struct arena arena;
	struct exchange x;            /* the request at hand, or the one whose answer is due */
	struct request request;
	struct response response;
	struct buf head;              /* header lines of the response */
	struct buf body;              /* body of the response */
	struct buf headers;           /* the handler's header lines */
	struct late_answer late;
	const char *receive_buffer;   /* civetweb's, learnt from the requests seen */
	char date[32];                /* of date_s */
	int64_t date_s;
	bool answered_error;          /* what this connection ended with has had its answer */
	bool over;                    /* a detached answer was the connection's last, or could not be written */
	struct parker answered;       /* open: no answer is due */
	_Atomic bool closing;         /* the connection ends after the answer that is due */
	_Atomic int fd;               /* -1 between connections; the drain shuts idle ones down */
	_Atomic bool busy;            /* a request is being answered */
	struct worker *next;          /* protected by server's mu */
};

/* The most that the request's body may have. */
int64_t exchange_body_limit(const struct request *r);
/* The first step of reading it: its announced length, and the client that waits to hear that it is wanted. */
int exchange_begin_body(struct request *r, struct err *err) MUST_CHECK;
/* Is so little of the body left that reading it is better than closing the connection? */
bool exchange_body_is_small(const struct request *r);
/* Reads and forgets what is left of it, so that the connection can be used again; false: it must be closed. */
bool exchange_discard_body(struct request *r);
/* Writes the response; afterwards the connection is fit for the next request or marked for closing. The connection's thread. */
void response_write(struct request *r, struct response *res);
/* Decides whether the connection ends and formats the head: what is to be sent is then worker->head and, when it has one, the body. */
void response_prepare(struct request *r, struct response *res);
bool response_has_body(const struct request *r, const struct response *res);
int64_t response_deadline_ms(const struct response *res); /* by when it must have been taken */

/* What is left to do with a request when its response is filled, before it is written: wait slot, audit line, CORS. */
void exchange_conclude(struct request *r, struct response *res);
/* Gives back the request's memory; and, when its answer has been sent, the rest: it is not in flight any more. */
void exchange_clean(struct worker *w);
void exchange_leave(struct worker *w);

#endif
