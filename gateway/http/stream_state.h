/* What a stream is to its two threads. Private to streams.c and stream_*.c. */
#ifndef SLUICE_GATEWAY_HTTP_STREAM_STATE_H
#define SLUICE_GATEWAY_HTTP_STREAM_STATE_H

#include "gateway/http/server_state.h"
#include "gateway/http/stream.h"
#include "gateway/http/streams.h"

#define PONG_MAX 125 /* RFC 6455 5.5 */
#define STREAM_FAREWELL_SIZE 96
#define STREAM_PIECE_BYTES ((size_t)64 << 10)
#define STREAM_BUFFER_KEPT ((size_t)8 << 10) /* of a buffer that is empty */

struct stream {
	/* set before it joins; joined itself is its connection's thread's */
	struct streams *all;
	int fd;
	bool websocket;              /* else events over HTTP */
	struct stream_feed feed;
	int64_t expires_wall_ms;
	bool joined;
	struct parker over;         /* open: the streams' thread knows it no more */
	/* protected by mu */
	struct buf out;             /* said to it alone, not yet fetched by the streams' thread */
	uint64_t out_behind;        /* goes out when the channel has been told up to here */
	size_t pending;             /* bytes said to it alone that the socket has not taken */
	struct stream_seat *seat;   /* NULL: it follows no channel */
	bool turn;                  /* what the channel has for it may go out */
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

/* Of what was said the log has the end, as far as somebody has yet to take it. */
struct stream_channel {
	/* set when it is made */
	struct streams *all;
	bool messages;
	/* protected by mu */
	struct buf log;
	uint64_t begin;             /* where the log begins, in all that was said */
	struct stream_seat *first, *last; /* who had their turn goes to the end */
	enum stream_end end;
	bool awaits_round;          /* among `channels` */
	bool in_round;
	unsigned round;
	uint64_t round_end;         /* what had been said when the last round began, at round_ms */
	int64_t round_ms;
	struct stream_channel *next;
};

struct streams {
	/* set before start */
	int wake_fd, poll_fd;
	struct metrics *metrics;
	struct thread thread;
	/* protected by mu */
	struct lock mu;
	struct stream *dirty;       /* have something new for the streams' thread */
	struct stream_channel *channels; /* that have something to tell, at once or when it has gathered */
	size_t pending;             /* of all, and the logs of the channels */
	bool draining, stopping;
	_Atomic int count[2]; /* of those that have begun: [true] WebSockets */
	/* the streams' thread's */
	bool drained;               /* all have been told */
	struct stream *first;
	struct stream *work;        /* to be looked at next */
	char piece[STREAM_PIECE_BYTES]; /* of a channel's log, on its way out */
	int64_t ticked_ms;
};

const char *stream_end_word(enum stream_end why);

/* It has something new for the streams' thread, which still knows it; mu is held. */
void stream_wake(struct stream *s);
/* From here on the streams' thread knows it. The connection's thread. */
void stream_join(struct stream *s);
/* It is to be looked at. The streams' thread. */
void stream_add_work(struct stream *s);

/* ---- stream_words.c: what goes out; mu is held ---- */

/* Text as it is, or line by line as messages of a WebSocket. */
void stream_add_text(struct buf *out, bool messages, struct str text);
/* Of WebSockets only: the answer to the client's last ping, when one has come; is anybody there? */
void stream_add_pong(struct stream *s, struct buf *out);
void stream_add_ping(const struct stream *s, struct buf *out);
/* The last word, with its reason, and the close of a WebSocket; its close alone. */
void stream_add_farewell(const struct stream *s, struct buf *out, enum stream_end why);
void stream_add_close(const struct stream *s, struct buf *out, enum stream_end why);

/* ---- stream_channel.c; mu is held ---- */

/* More than this many bytes are not kept for whoever does not take them. */
size_t stream_keeps(const struct streams *all);
/* How much was said to the channel so far. */
uint64_t stream_channel_said(const struct stream_channel *c);
/* What the stream is to be told next of it, at most up to there, in its streams' `piece`. */
struct str stream_channel_piece(const struct stream *s, uint64_t up_to);
/* It took n bytes of that. */
void stream_channel_took(struct stream *s, size_t n);
/* The streams' thread; takes mu itself. Gives some of those whose turn it is to be told something new their work. When to come again: ms, at most so many. */
int stream_channels_turn(struct streams *all, int64_t now, int most_ms);

#endif
