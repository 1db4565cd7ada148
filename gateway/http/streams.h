/* The thread that writes to all streams. Private to this folder; handlers know stream.h. */
#ifndef SLUICE_GATEWAY_HTTP_STREAMS_H
#define SLUICE_GATEWAY_HTTP_STREAMS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

struct mg_context;
struct metrics;
struct route_table;
struct streams;
struct worker;

struct streams *streams_start(struct metrics *m, struct err *err); /* NULL: no memory, descriptor or thread */
/* Ends all streams, and those that are yet to begin. Any thread. */
void streams_drain(struct streams *all);
void streams_stop(struct streams *all); /* NULL: nothing. All connections have ended */
int streams_count(const struct streams *all, bool websocket); /* those of one kind */

/* Answers the worker's request, whose way is ANSWER_STREAMED, to its end. The connection's thread, as all that follows. */
void stream_answer(struct worker *w);
/* ANSWER_UPGRADED: what civetweb is to do next is the handshake; then it calls the functions of stream_websocket, the first when the client has
 * been answered. */
void stream_handshake(struct worker *w);
void stream_websocket_serve(const struct route_table *routes, struct mg_context *context);
/* The connection ends, and perhaps was no WebSocket after all. */
void stream_websocket_closed(struct worker *w);

#endif
