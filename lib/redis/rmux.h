/* The Redis multiplexer: one I/O thread and one connection that pipelines for every caller.
 *
 *     struct rmux *mux = rmux_new(&options, &err);        parses nothing, connects nothing
 *     rmux_add_script(mux, &script);                      any number, before start; loaded at every connect
 *     rmux_start(mux, &err);                              starts the I/O thread; connecting goes on in the background
 *     ...
 *     struct rcmd cmd = RCMD_INIT;                        one call may carry several commands; their replies come together
 *     rcmd_begin(&cmd, 2); rcmd_argz(&cmd, "GET"); rcmd_arg(&cmd, key);
 *     struct rreplies replies;
 *     int rc = rmux_call(mux, &cmd, deadline_mono_ms, &replies, &err);
 *     ... replies.items[0] ...  rreplies_release(&replies);  rcmd_release(&cmd);
 *
 * What a failure of a call means, truthfully:
 *     ERR_UNAVAILABLE      not connected: nothing was sent, trying again is safe
 *     ERR_TIMEOUT          the deadline passed before it was sent: nothing was sent
 *     ERR_UNKNOWN_OUTCOME  sent, and then the deadline passed or the connection broke: it may have happened
 *     ERR_STOPPING         rmux_stop was called; nothing was sent
 * A reply of Redis' error type is a success of the call: look at the reply (rreply_error does).
 *
 * When a call's deadline passes after sending, its late reply is read and dropped; the connection stays. When nothing at all
 * was heard for io_timeout_ms while calls are in flight, the connection is given up. Reconnecting backs off from
 * 20 ms to 0.8 s with jitter, so that service is back within a second of Redis' return. A server that answers -READONLY, and one that is not
 * the master any more where sentinels tell (raddr.h), is left for the one that the address leads to by now. Calls wait in the queue for a short
 * outage; 250 ms after the loss all that wait fail with ERR_UNAVAILABLE, and new ones at once.
 *
 * Thread rule: rmux_call and rmux_send from any thread; rmux_add_script, rmux_start, rmux_stop, rmux_free from the owner. */
#ifndef SLUICE_REDIS_RMUX_H
#define SLUICE_REDIS_RMUX_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/parker.h"
#include "lib/base/str.h"
#include "lib/redis/raddr.h"

struct log;

/* ---- a command, or several, ready for the wire ---- */
struct rcmd {
	struct buf wire;   /* RESP */
	unsigned commands; /* replies to expect */
};
#define RCMD_INIT ((struct rcmd){BUF_INIT, 0})
#define RCMD_IN(arena) ((struct rcmd){BUF_IN(arena), 0}) /* not for rmux_send, which keeps the bytes */

void rcmd_begin(struct rcmd *c, size_t n_args); /* then exactly n_args rcmd_arg… calls */
void rcmd_arg(struct rcmd *c, struct str s);
void rcmd_argz(struct rcmd *c, const char *z);
void rcmd_argi(struct rcmd *c, int64_t v);
void rcmd_clear(struct rcmd *c);
void rcmd_release(struct rcmd *c);

/* ---- replies: hiredis' objects ---- */
struct rreplies {
	redisReply **items; /* `count` of them, in the order of the commands */
	size_t count;
};
void rreplies_release(struct rreplies *r);
/* Reading a reply; a NULL reply is treated as nil. */
bool rreply_is_nil(const redisReply *r);
struct str rreply_str(const redisReply *r); /* string or status; .p NULL otherwise */
bool rreply_int(const redisReply *r, int64_t *out); /* an integer, or a string of digits */
const redisReply *rreply_at(const redisReply *r, size_t i); /* NULL past the end or when no array */
/* 0 when r is no error; else Redis' text with ERR_UNAVAILABLE where it says that nothing was done because of its own state, which passes (it
 * loads, is a replica, cannot write to its disk, …), ERR_FULL where it is out of memory, and ERR_REPLY. */
int rreply_error(const redisReply *r, struct err *err) MUST_CHECK;
/* Is it Redis' word for a key that holds something of another kind? */
bool rreply_is_foreign(const redisReply *r);
/* The same for the text of an error that a script has caught. Never 0. */
int rreply_error_text(struct str text, struct err *err);

/* ---- scripts ---- */
struct rscript {
	const char *name;
	unsigned keys;       /* key count */
	const char *sha1;    /* 40 hex digits */
	const char *text;
	size_t text_bytes;
};
/* Begins "EVALSHA sha keys"; then the keys and n_args arguments follow with rcmd_arg. */
void rcmd_script(struct rcmd *c, const struct rscript *s, size_t n_args);

/* ---- the multiplexer ---- */
struct rmux;

struct rmux_options {
	struct raddr addr;         /* copied */
	const char *client_name;   /* CLIENT SETNAME; NULL for none */
	int64_t connect_timeout_ms; /* name, connect, TLS, greeting and scripts together; 0 = 2000 */
	int64_t io_timeout_ms;     /* silence with calls in flight after which the connection is dead; 0 = 5000 */
	size_t max_pending_bytes;  /* queued but unsent; beyond it calls fail with ERR_UNAVAILABLE; 0 = 64 MiB */
	struct log *log;
	/* Called on the I/O thread after every successful connect (scripts are loaded) and after every loss. May be NULL.
	 * `run_id_changed` tells that another Redis process answers than before. */
	void (*on_state)(void *arg, bool up, bool run_id_changed);
	void *on_state_arg;
	/* Called around the done callbacks for what has ended together, on their thread: what they make may be handed on together.
	 * Nested when a callback's own call fails at once. May be NULL. */
	void (*on_batch)(void *arg, bool begins);
	void *on_batch_arg;
};

struct rmux *rmux_new(const struct rmux_options *o, struct err *err);
int rmux_add_script(struct rmux *m, const struct rscript *s) MUST_CHECK; /* *s must outlive m; 0 or ERR_NOMEM */
int rmux_start(struct rmux *m, struct err *err) MUST_CHECK;
/* Fails what has not been sent with ERR_STOPPING, waits for what is in flight until the deadline, then closes. */
void rmux_stop(struct rmux *m, int64_t deadline_mono_ms);
void rmux_free(struct rmux *m);

bool rmux_is_up(const struct rmux *m);
/* Waits until connected: 0 or ERR_TIMEOUT. */
int rmux_wait_up(struct rmux *m, int64_t deadline_mono_ms) MUST_CHECK;

struct rmux_stats {
	uint64_t commands, calls, reconnects, unknown_outcomes, bytes_out, bytes_in;
	int64_t last_reply_age_ms; /* since any reply came; a PING goes out every second when idle */
};
void rmux_stats(const struct rmux *m, struct rmux_stats *out);

/* Sends and waits. Replies are yours on success only. A NOSCRIPT answer (SCRIPT FLUSH by somebody) reloads the scripts
 * and sends the call's failed commands again, ten times at most: the caller never sees it. (Not inside MULTI: there the
 * answer is nested in EXEC's.) Not from a done or on_state callback: they run on the thread that this waits for. The caller reads the reply itself
 * where it may (rmux_read), so done callbacks may run in here: hold no lock that one of them takes. */
int rmux_call(struct rmux *m, struct rcmd *c, int64_t deadline_mono_ms, struct rreplies *out, struct err *err) MUST_CHECK;

/* Sends and returns; done(arg, rc, replies, err) runs on the I/O thread or in rmux_read (never block there), one at a time, exactly once, also on failure;
 * replies are released by the mux after done returns (NULL on failure). The wire bytes are taken from *c (left empty). Only
 * without memory, and after rmux_stop, done runs on the caller's thread before this returns: hold no lock that it takes. */
typedef void rmux_done_fn(void *arg, int rc, const struct rreplies *replies, const struct err *err);
void rmux_send(struct rmux *m, struct rcmd *c, int64_t deadline_mono_ms, rmux_done_fn *done, void *arg);

/* Who sends a call and then has nothing to do but wait for its end may read the reply himself, which saves waking a thread:
 *     bool mine = rmux_read_begin(mux);           false: there is more to come than this reply, or TLS around it
 *     rmux_send(mux, ...);                        its done wakes the parker
 *     if (mine) rmux_read(mux, &parker);          until it is woken, a few ms at most
 *     parker_wait_until(&parker, ...);
 * done callbacks, also those of others' calls, may run in it. Any thread, one at a time has `mine`, and must call rmux_read then. */
bool rmux_read_begin(struct rmux *m) MUST_CHECK;
void rmux_read(struct rmux *m, struct parker *awaited);

#endif
