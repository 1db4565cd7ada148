/* A connection whose owner blocks on it (BZPOPMIN, XREAD BLOCK) over a set that others enlarge meanwhile.
 *
 *     owner:   rblock_open(b, &anew);       the connection is there
 *              rblock_choose(b);            from here on, a refresh is noticed   (while choosing the set, under the owner's lock)
 *              rblock_takes(b, key);        for each key of the set: may it be in the command?
 *              rblock_call(b, &cmd, …);     blocks; returns early after a refresh
 *     others:  rblock_refresh(b);           the set has grown: CLIENT UNBLOCK over the multiplexer, again until the owner has heard it
 *
 * A key under which somebody has put something of another kind would make the command fail at once, for all other keys as well: such keys are found
 * out then, told by an error line (foreign_key), and left out for RBLOCK_FOREIGN_MS before they are tried again.
 *
 * rblock_refresh never blocks: any thread, also under the owner's lock. Release it after rmux_stop, since an answer may be
 * under way until then. */
#ifndef SLUICE_REDIS_RBLOCK_H
#define SLUICE_REDIS_RBLOCK_H

#include <stdatomic.h>

#include "lib/base/arena.h"
#include "lib/log/log.h"
#include "lib/redis/rconn.h"

#define RBLOCK_MS 5000 /* the longest that a command blocks: BullMQ's drainDelay */
#define RBLOCK_FOREIGN_MS 10000

struct rblock_kind {
	const char *client; /* the connection's name */
	const char *type;   /* of the keys, as Redis' TYPE says it */
};

struct rblock {
	/* set at init */
	struct rconn *conn;
	struct rmux *mux;
	struct log *log;
	const struct rblock_kind *kind; /* the caller's, outlives it */
	/* the owner's */
	struct arena arena;           /* of the keys that were chosen */
	struct rblock_key *chosen;    /* the last one first */
	struct rblock_key *foreign;
	/* any thread */
	_Atomic int64_t blocked_as; /* CLIENT ID while the owner is in rblock_call, else 0 */
	_Atomic bool stale;         /* the owner has to choose anew */
};

int rblock_init(struct rblock *b, const struct raddr *addr, const struct rblock_kind *kind, struct rmux *mux, struct log *log, struct err *err) MUST_CHECK;
void rblock_release(struct rblock *b);

/* *anew: it was closed, so what the owner waits for may have come and gone meanwhile. False: Redis is away; a moment has passed. */
bool rblock_open(struct rblock *b, bool *anew) MUST_CHECK;
void rblock_choose(struct rblock *b);
/* False: not now, there is something foreign under it, or no memory. */
bool rblock_takes(struct rblock *b, struct str key) MUST_CHECK;
/* A command that blocks for block_ms at most. True: release *out. False: the connection is lost, which the log says unless it was woken to stop; or
 * Redis refused it, and a moment has passed or what is foreign is known. */
bool rblock_call(struct rblock *b, const struct rcmd *cmd, int64_t block_ms, struct rreplies *out) MUST_CHECK;
/* Any thread: the present call returns, or the next one. */
void rblock_wake(struct rblock *b);
/* The owner's last word. */
void rblock_close(struct rblock *b);

void rblock_refresh(struct rblock *b);
bool rblock_is_stale(const struct rblock *b);

#endif
