/* Answers that are written by another thread than the connection's. Private to this folder; handlers know response_defer and
 * response_ready (request.h).
 *
 *     connection's thread                                      whoever has Redis' reply
 *     answer_await(w)       the one before is out
 *     handler: response_defer, hands its work over     ───►    fills the response, response_ready
 *     back into civetweb, to the next request                    one send that never blocks; what the socket
 *     answer_await(w)       before the next request,             did not take goes to the late answers' thread
 *                           an error's answer, and the close   the worker is its connection's again
 *
 * At most one answer of a connection is due, so answers keep the order of their requests, and nobody writes to a closed socket: the
 * connection's close waits. While it is due, the arena, the exchange, the request and the response in struct worker belong to whoever makes
 * it; the connection's thread does not look at them.
 *
 * An answer is detached when its connection goes on afterwards and the request has been read to its end; otherwise (HTTP/1.0, "Connection:
 * close", HEAD, a draining server) the connection's thread waits for it and writes it. */
#ifndef SLUICE_GATEWAY_HTTP_ANSWER_H
#define SLUICE_GATEWAY_HTTP_ANSWER_H

#include <stdint.h>
#include <sys/uio.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct server;
struct worker;

/* What the socket has not taken yet. */
struct late_answer {
	struct iovec parts[2], *rest;
	int n;
	int64_t deadline_mono_ms;
	struct worker *next; /* among those that are sent together; or protected by the lateness' mu */
};

/* Sleeps until no answer of the connection is due. The connection's thread. */
void answer_await(struct worker *w);

/* The thread that goes on with answers which their sockets did not take at once. server_start and server_stop start and stop it; when it
 * stops, all connections have ended. */
struct lateness;
struct lateness *lateness_start(unsigned connections, struct err *err); /* NULL: no memory, descriptor or thread */
void lateness_stop(struct lateness *l);                                 /* NULL: nothing */

#endif
