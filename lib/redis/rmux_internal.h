/* The multiplexer's inside, shared by its files only:
 *
 *     rmux.c        the owner's calls: new, start, stop, free, statistics
 *     rmux_call.c   the callers' side: hand a call in, wait for it, give it up; and the end of every call
 *     rmux_queue.c  what waits and what is in flight; everything here needs mu
 *     rmux_link.c   the connection's state machine: connect, greet, up, lost, back off   (I/O thread)
 *     rmux_io.c     the loop: poll, write, read, timers                                   (I/O thread)
 *
 * A call moves NEW → QUEUED → SENT → ENDED. QUEUED may go to ENDED directly (deadline, stop), and SENT goes back to
 * QUEUED when not one of its bytes was written before the connection broke, or when a script was unknown. A synchronous
 * call lives on its caller's stack: whoever takes it out of the queue or the flight list under mu ends it.
 *
 * While the I/O thread sleeps in poll, whoever hands in a call writes it himself (io_write_now), for as long as `lent` says so; the
 * I/O thread waits for the end of that before it touches anything of its own again. So it does while `reading` says that a caller
 * reads (rmux_read). When the last caller read by itself, the I/O thread sleeps without looking at the socket for a while, so that it is
 * not woken by every reply as well; whoever leaves a reply to come wakes it then. */
#ifndef SLUICE_REDIS_RMUX_INTERNAL_H
#define SLUICE_REDIS_RMUX_INTERNAL_H

#include <stdatomic.h>

#include "lib/base/lock.h"
#include "lib/base/parker.h"
#include "lib/redis/rhello.h"
#include "lib/redis/rmux.h"
#include "lib/redis/rparse.h"
#include "lib/redis/transport.h"

#define NEVER INT64_MAX

enum call_phase { CALL_NEW, CALL_QUEUED, CALL_SENT, CALL_ENDED };

struct call {
	/* set before it is handed in */
	struct str wire; /* of the caller's rcmd, or of `owned` */
	struct buf owned;
	unsigned commands;
	int64_t deadline;
	rmux_done_fn *done; /* NULL: synchronous */
	void *arg;
	/* protected by mu until CALL_ENDED, then owned by who ended it */
	enum call_phase phase;
	struct call *prev, *next; /* in the queue; `next` also in a list of ended calls */
	uint64_t seq;             /* in flight: its number */
	redisReply **items;
	unsigned answered; /* index of the next item to be filled */
	bool again;        /* another round, after NOSCRIPT: only commands so answered are sent */
	unsigned rounds;   /* of those */
	bool touched;      /* some of its commands have been executed in an earlier round */
	int rc;
	struct err err;
	struct parker parker;
};

/* One piece on the wire whose replies are to come. */
struct flight {
	struct call *call; /* NULL: replies are dropped (given up by its caller; PING; SCRIPT LOAD) */
	unsigned left;     /* replies */
	uint64_t start;    /* where its bytes begin in what was written since the connect */
};

struct flights {
	struct flight *ring;
	size_t size; /* 0 or a power of two */
	uint64_t first, end;
	size_t live; /* with a call */
};

struct call_list {
	struct call *head, *tail;
};

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_GREETING, LINK_UP, LINK_CLOSED };

struct rmux {
	/* set before start */
	struct rmux_options o;
	char *client_name;
	const struct rscript **scripts;
	size_t n_scripts;
	struct rcmd load; /* SCRIPT LOAD of all */
	struct transport *transport;
	int wake_fd;
	struct thread io;

	/* I/O thread; while it sleeps, whoever has set `reading` */
	struct rparse parse;
	char *in; /* RPARSE_PIECE_BYTES */
	/* I/O thread; while it sleeps, whoever has set `lent` */
	struct rhello hello;
	struct buf out;   /* bytes to write; the first out_pos are written */
	size_t out_pos;
	char run_id[RHELLO_RUN_ID_SIZE];
	unsigned attempts;       /* failed connects in a row */
	int64_t retry_at;        /* LINK_DOWN */
	int64_t connect_deadline; /* LINK_CONNECTING, LINK_GREETING */
	int64_t up_since;
	int64_t logged_at; /* last "cannot connect" line */
	uint64_t turns_seen; /* of `turns`, at the last sleep */
	bool read_only;    /* it has answered that it takes no writes: a replica */

	/* protected by mu */
	struct lock mu;
	struct cond changed; /* the link's state, stopping */
	struct call_list queue;
	size_t pending_bytes;
	struct flights flights;
	struct call_list refused; /* asynchronous calls to be ended by the I/O thread */
	int64_t expiry;           /* no asynchronous call has an earlier deadline */
	int64_t down_since;
	uint64_t appended, written; /* bytes since the connect */
	int64_t stop_deadline;
	bool sleeping; /* the I/O thread is (about to be) in poll: wake it */
	bool lent;     /* somebody else writes meanwhile */
	bool reading;  /* somebody else reads meanwhile */
	bool watched;  /* the I/O thread looks at the socket while it sleeps */
	bool awaited;  /* the I/O thread waits for the end of `lent` and `reading` */
	uint64_t turns; /* how often somebody else has read */
	struct err broken; /* why reading came to an end, for the I/O thread to lose the connection; its code is 0: it did not */
	struct cond returned;
	int64_t sleeps_until; /* poll returns by itself then */
	pthread_t self;       /* the I/O thread, once it runs */
	bool runs;
	bool stopping;
	bool gone; /* no I/O thread ends calls any more */

	/* any thread */
	_Atomic int state; /* enum link_state; written under mu by link_move */
	_Atomic uint64_t commands, calls, reconnects, unknown_outcomes, bytes_out, bytes_in;
	_Atomic int64_t last_reply_at;
	_Atomic int64_t heard_at; /* last byte from the server, or the moment from which silence counts */
};

/* ---- rmux_queue.c: mu is held ---- */
void list_push_back(struct call_list *l, struct call *c);
void list_push_front(struct call_list *l, struct call *c);
void list_remove(struct call_list *l, struct call *c);

void queue_add(struct rmux *m, struct call *c);
void queue_remove(struct rmux *m, struct call *c);
/* Moves queued calls to the wire while it is short. false: no memory. */
bool queue_take(struct rmux *m);
/* A piece whose replies are dropped. */
bool flights_send_dropped(struct rmux *m, const struct rcmd *cmd);
/* Gives the reply to the oldest flight; a call that is complete goes to *ended. ERR_PROTOCOL: nothing was asked. */
int flights_take_reply(struct rmux *m, redisReply *reply, struct call_list *ended);
void flights_abandon(struct rmux *m, struct call *c);
/* The connection is gone: what was not written goes back to the queue, the rest ends with ERR_UNKNOWN_OUTCOME. */
void flights_lose(struct rmux *m, const struct err *why, struct call_list *ended);
/* Ends asynchronous calls whose deadline has passed and computes m->expiry anew. */
void queue_expire(struct rmux *m, int64_t now, struct call_list *ended);
/* Ends all that is queued. */
void queue_fail_all(struct rmux *m, int code, struct call_list *ended);
void flights_release(struct flights *f);

/* ---- rmux_call.c ---- */
/* How a call ends that is taken out of the queue: its code, or ERR_UNKNOWN_OUTCOME when a part of it was executed. */
void call_end_unsent(struct rmux *m, struct call *c, int code, struct call_list *ended);
void call_end_unknown(struct rmux *m, struct call *c, const char *why, struct call_list *ended);
/* Tells the callers. mu is not held. */
void calls_finish(struct rmux *m, struct call_list *ended);
void rmux_wake(struct rmux *m);
/* mu is held. True: the I/O thread has to be woken, by rmux_wake. */
bool rmux_needs_wake(struct rmux *m);

/* ---- rmux_link.c: the I/O thread ---- */
/* Starts to connect when it is time. */
void link_begin(struct rmux *m, int64_t now);
void link_advance(struct rmux *m);
/* A reply during LINK_GREETING. */
void link_greet(struct rmux *m, redisReply *reply);
void link_lose(struct rmux *m, const struct err *why);
/* Connect deadline, silence, PING. */
void link_timers(struct rmux *m, int64_t now);
int64_t link_next_timer(const struct rmux *m); /* mu is held */
/* When calls stop waiting for a connection; NEVER while there is one. Any thread; mu is held. */
int64_t link_gives_up_at(const struct rmux *m);
void link_close(struct rmux *m);

/* ---- rmux_io.c: the I/O thread ---- */
void io_main(void *arg);
/* Any thread; mu is held, and given up meanwhile: writes what is queued, if nobody else does or is about to. False when the I/O
 * thread has to be woken, for this or for the rest of it. */
bool io_write_now(struct rmux *m);
/* Any thread; mu is held: rmux_read_begin. */
bool io_read_begin(struct rmux *m);
/* Ends everything that is left. Also by the owner when there never was a thread. */
void io_end_all(struct rmux *m);

#endif
