/* A connection whose owner blocks on it (BZPOPMIN, XREAD BLOCK) over a set that others enlarge meanwhile.
 *
 *     owner:   rblock_choose(b);            from here on, a refresh is noticed   (while choosing the set, under the owner's lock)
 *              rblock_call(b, &cmd, …);     blocks; returns early after a refresh
 *     others:  rblock_refresh(b);           the set has grown: CLIENT UNBLOCK over the multiplexer, again until the owner has heard it
 *
 * rblock_refresh never blocks: any thread, also under the owner's lock. Release it after rmux_stop, since an answer may be
 * under way until then. */
#ifndef SLUICE_REDIS_RBLOCK_H
#define SLUICE_REDIS_RBLOCK_H

#include <stdatomic.h>

#include "lib/redis/rconn.h"

struct rblock {
	/* set at init */
	struct rconn *conn;
	struct rmux *mux;
	/* any thread */
	_Atomic int64_t blocked_as; /* CLIENT ID while the owner is in rblock_call, else 0 */
	_Atomic bool stale;         /* the owner has to choose anew */
};

int rblock_init(struct rblock *b, const struct raddr *addr, const char *client_name, struct rmux *mux, struct err *err) MUST_CHECK;
void rblock_release(struct rblock *b);
void rblock_choose(struct rblock *b);
int rblock_call(struct rblock *b, const struct rcmd *cmd, int64_t deadline_mono_ms, struct rreplies *out, struct err *err) MUST_CHECK;
void rblock_refresh(struct rblock *b);
bool rblock_is_stale(const struct rblock *b);

#endif
