/* An answer without an end: what happens elsewhere is told to a client for as long as it listens. Only gateway/http knows how.
 *
 *     static void begin(void *arg, struct stream *s)      the connection's thread: the head is out; from here on anybody may stream_say
 *     static void idle(void *arg, struct stream *s)       the streams' thread: nothing was said for STREAM_IDLE_MS; say a word, or it ends unseen
 *     static void end(void *arg, struct stream *s)        the connection's thread: nobody may stream_say any more when this returns
 *
 *     void handler(struct request *r, struct response *res)
 *     {
 *             if (!request_wait_begin(r)) ... 503          a stream holds its thread, asleep
 *             ... headers ...
 *             response_stream(r, res, &feed);              the handler's last act
 *     }
 *
 * One thread writes to all streams and never waits for one of them. What a client does not take is kept up to STREAM_PENDING_MAX bytes, then
 * its stream ends; so it does when nothing is taken for STREAM_STALL_MS, when the caller's token expires, and when the server shuts down.
 * Unless the client is gone it is told why.
 *
 * What many are told alike is said once, to a channel that their streams follow:
 *
 *     c = stream_channel_new(r, messages);
 *     stream_seat_take(&seat, c);                          from here on what is said to c is kept for who sits here
 *     stream_follow(s, &seat);                             in begin: it is told, behind what was said to s alone
 *     stream_channel_say(c, text);                         any number of times, on any thread
 *     stream_seat_leave(&seat);                            when `end` was called, or no stream came of it
 *     stream_channel_free(c);
 *
 * After silence a channel's word goes out at once. What follows within STREAM_GATHER_MS, or until it is STREAM_GATHER_BYTES, goes out together,
 * in one write for each stream. They are written to in small portions with a rest behind each, by a thread that others go before.
 *
 * The arena of the request lives until `end` has returned. `end` is called once for each response_stream, `begin` perhaps never. */
#ifndef SLUICE_GATEWAY_HTTP_STREAM_H
#define SLUICE_GATEWAY_HTTP_STREAM_H

#include "gateway/http/request.h"

#define STREAM_IDLE_MS 15000
#define STREAM_STALL_MS 30000
#define STREAM_PENDING_MAX ((size_t)1 << 20)
#define STREAM_GATHER_MS 100
#define STREAM_GATHER_BYTES ((size_t)64 << 10)

struct stream;
struct stream_channel;

struct stream_feed {
	void (*begin)(void *arg, struct stream *s);
	void (*idle)(void *arg, struct stream *s);
	void (*end)(void *arg, struct stream *s);
	void *arg;
};

/* Why a stream ended. X(id, "word") */
#define STREAM_ENDS(X) \
	X(GONE, "client-gone") X(SLOW, "too-slow") X(EXPIRED, "token-expired") X(DRAINING, "shutting-down") X(CHANGED, "changed") \
	X(REFUSED, "nothing-is-taken") X(LEFT, "client-left")
enum stream_end {
	STREAM_GOES_ON,
#define X(id, word) STREAM_##id,
	STREAM_ENDS(X)
#undef X
	STREAM_END_COUNT
};

/* The answer is text/event-stream under the status and headers set so far. */
void response_stream(struct request *r, struct response *res, const struct stream_feed *feed);
/* The connection becomes a WebSocket (RFC 6455) on which each line that is said goes out as a message. Nothing is taken from the client but pings and
 * its leave. A request that cannot become one is answered 426, and the feed ended. */
void response_websocket(struct request *r, struct response *res, const struct stream_feed *feed);

/* Sends text: one or more whole events, or lines, behind what its channel was told before. Any thread; never blocks; under other locks, too. Does
 * nothing once the stream has ended, or when it ends with this because its client is too slow. */
void stream_say(struct stream *s, struct str text);
/* Waits until the client has taken most of what was said: for who has much to say (the connection's thread, in begin). false: the stream has ended. */
bool stream_await_room(struct stream *s) MUST_CHECK;
/* Ends it behind what was said. Any thread, more than once. */
void stream_end(struct stream *s, enum stream_end why);

/* ---- channels ---- */

/* Whoever follows a channel; its fields are the channel's. */
struct stream_seat {
	struct stream_channel *channel;
	struct stream *stream;       /* NULL: it does not follow yet, or no more */
	uint64_t at;                 /* taken up to here */
	bool lost;                   /* too far behind */
	unsigned round;              /* the last one that it had its turn in */
	struct stream_seat *prev, *next;
};

/* For streams of the server that answers r; messages: for WebSockets. NULL: no memory. */
struct stream_channel *stream_channel_new(const struct request *r, bool messages);
void stream_channel_free(struct stream_channel *c); /* nobody sits there any more; NULL: nothing */
/* As stream_say, to all who sit there. */
void stream_channel_say(struct stream_channel *c, struct str text);
/* Ends all streams that follow it, and will, behind what was said. */
void stream_channel_end(struct stream_channel *c, enum stream_end why);

void stream_seat_take(struct stream_seat *seat, struct stream_channel *c);
void stream_seat_leave(struct stream_seat *seat); /* also one that was never taken */
void stream_follow(struct stream *s, struct stream_seat *seat); /* does nothing once the stream has ended */
/* Does it follow a channel? Any thread. */
bool stream_follows(struct stream *s) MUST_CHECK;

#endif
