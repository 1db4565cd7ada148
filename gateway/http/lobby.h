/* Where connections wait until they are worth a thread.
 *
 * civetweb gives a connection a thread as soon as it stands, so that as many clients as there are threads stop a server by sending their
 * requests slowly. Here a connection costs a descriptor and nothing else until its first request has come: the whole head and, of a JSON
 * document of up to LOBBY_BODY_BYTES from a client with a token, the body. Then it gets the next thread that is free. Larger bodies, and those that are read as they
 * come, are their thread's to wait for.
 *
 *     not all of that within the timeout    408 where something had come, and the end
 *     no thread free within the timeout     503 with Retry-After, and the end
 *     more connections than there is room   who has waited longest for its request gives way
 *     no descriptors                        the same; where nobody waits, nothing is accepted for a moment
 *
 * Some threads are kept for connections that begin with a question for health or metrics. While those are in use, or connections wait for a
 * thread, an answer is the last of its connection (lobby_is_crowded), so that nobody keeps a thread by asking quickly once.
 *
 * It is civetweb's accepting thread that waits here, inside its poll(2), and is handed connections by its accept(2) (wire.h). Calls that are
 * not marked otherwise are that thread's. */
#ifndef SLUICE_GATEWAY_HTTP_LOBBY_H
#define SLUICE_GATEWAY_HTTP_LOBBY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

#define LOBBY_BODY_BYTES (32 << 10) /* well below what a socket takes before anybody reads */

/* Why a connection was sent away, or was not taken in. */
enum lobby_event { LOBBY_SLOW, LOBBY_NO_THREAD, LOBBY_GAVE_WAY, LOBBY_NO_DESCRIPTORS };

/* What is to be said to the client; may be empty. Valid until the next call. On the accepting thread. */
typedef struct str lobby_event_fn(void *arg, enum lobby_event event);

struct lobby_options {
	unsigned threads;      /* of connections */
	unsigned room;         /* connections that may wait; at least 1 */
	size_t head_bytes;     /* a head that is longer is handed on as it is */
	int64_t timeout_ms;    /* for a request, and for a thread */
	_Atomic int *accepted; /* counts connections from accept(2) on; who was handed over is counted off by whoever ends it */
	lobby_event_fn *on_event;
	void *arg;
};

struct lobby;

struct lobby *lobby_new(const struct lobby_options *o, struct err *err);
/* Closes who still waits. When the accepting thread has ended; NULL: nothing. */
void lobby_free(struct lobby *l);

/* Waits for a connection to hand over: true when there is one. */
bool lobby_wait(struct lobby *l, int listener, int timeout_ms);
/* That connection, and its peer as accept(2) tells it; -1 with EAGAIN when there is none. */
int lobby_hand_over(struct lobby *l, struct sockaddr *peer, socklen_t *size);

/* A connection that was handed over has ended. Any thread. */
void lobby_thread_free(struct lobby *l);
/* Is this a moment to end connections after their answer? Any thread. */
bool lobby_is_crowded(const struct lobby *l);
/* How many connections are here. Any thread. */
int lobby_count(const struct lobby *l);
/* From now on lobby_wait returns soon, so that the accepting thread hears that it is to end. Any thread. */
void lobby_close(struct lobby *l);

/* Looks at the first bytes of a connection: how many of it must be there before a thread can work on it without waiting, 0 while the head is
 * not whole. `seen` of them have been looked at before, in vain. What no head can be needs no more bytes. Any thread. */
size_t lobby_bytes_wanted(struct str bytes, size_t seen);
/* Is it a question for health or metrics? */
bool lobby_is_urgent(struct str bytes);

#endif
