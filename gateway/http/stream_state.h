/* What a stream is to its two threads. Private to streams.c, stream_writing.c and stream_answers.c. */
#ifndef SLUICE_GATEWAY_HTTP_STREAM_STATE_H
#define SLUICE_GATEWAY_HTTP_STREAM_STATE_H

#include "gateway/http/server_state.h"
#include "gateway/http/stream.h"
#include "gateway/http/streams.h"

#define PONG_MAX 125 /* RFC 6455 5.5 */
#define STREAM_FAREWELL_SIZE 96

struct stream {
	/* set before it joins; joined itself is its connection's thread's */
	struct streams *all;
	int fd;
	struct mg_connection *websocket; /* NULL: events over HTTP */
	struct stream_feed feed;
	int64_t expires_wall_ms;
	bool joined;
	struct parker over;         /* open: the streams' thread knows it no more */
	/* protected by mu */
	struct buf out;             /* said, not yet fetched by the streams' thread */
	size_t pending;             /* bytes said that the socket has not taken */
	enum stream_end end;
	bool dirty;                 /* among `dirty` */
	char pong[PONG_MAX];        /* what the last ping brought */
	size_t pong_bytes;
	bool pong_due;
	struct stream *next_dirty;
	struct cond room;           /* little is pending, or it has ended */
	/* the streams' thread's */
	struct stream *prev, *next; /* among `first` */
	struct buf sending;
	size_t sent;                /* of it */
	bool full;                  /* the socket takes no more; since stalled_ms it has not taken any */
	int64_t stalled_ms, quiet_ms;
	bool gone, working;
	struct stream *next_work;
};

struct streams {
	/* set before start */
	int wake_fd, poll_fd;
	struct metrics *metrics;
	struct thread thread;
	/* protected by mu */
	struct lock mu;
	struct stream *dirty;       /* have something new for the streams' thread */
	size_t pending;             /* of all */
	bool draining, stopping;
	_Atomic int count;
	/* the streams' thread's */
	bool drained;               /* all have been told */
	struct stream *first;
	struct stream *work;        /* to be looked at in this round */
	int64_t ticked_ms;
};

const char *stream_end_word(enum stream_end why);

/* It has something new for the streams' thread; mu is held. */
void stream_wake(struct stream *s);
/* From here on the streams' thread knows it. The connection's thread. */
void stream_join(struct stream *s);

/* ---- stream_writing.c: the streams' thread ---- */

/* Sends `left` bytes at `at`, as much as the socket takes: 0 when it took all, 1 when not, or ERR_IO. *taken is how much it took. */
int stream_write(struct stream *s, const char *at, size_t left, size_t *taken) MUST_CHECK;
/* Answers the client's last ping, when one has come. */
void stream_write_pong(struct stream *s);
/* Is anybody there? */
void stream_write_ping(struct stream *s);
/* The last word but one, as a text; and the close of a WebSocket. */
struct str stream_farewell(const struct stream *s, enum stream_end why, char room[STREAM_FAREWELL_SIZE]);
void stream_write_close(struct stream *s, enum stream_end why);

#endif
