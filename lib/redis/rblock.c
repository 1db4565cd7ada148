#include "lib/redis/rblock.h"

#include "lib/base/clock.h"

#define UNBLOCK_TIMEOUT_MS 2000
#define OPEN_TIMEOUT_MS 1000
#define REOPEN_PAUSE_MS 200
#define GRACE_MS 3000 /* without an answer for so much longer than it may block, the connection is dead */

int rblock_init(struct rblock *b, const struct raddr *addr, const char *client_name, struct rmux *mux, struct log *log, struct err *err)
{
	*b = (struct rblock){.conn = rconn_new(addr, client_name, err), .mux = mux, .log = log, .name = client_name};
	return b->conn ? 0 : ERR_NOMEM;
}

void rblock_release(struct rblock *b)
{
	rconn_free(b->conn);
	b->conn = NULL;
}

bool rblock_open(struct rblock *b, bool *anew)
{
	struct err err = {0};

	*anew = !rconn_is_open(b->conn);
	if (!*anew || rconn_open(b->conn, clock_mono_ms() + OPEN_TIMEOUT_MS, &err) == 0)
		return true;
	clock_sleep_ms(REOPEN_PAUSE_MS);
	return false;
}

void rblock_close(struct rblock *b)
{
	rconn_close(b->conn);
}

void rblock_wake(struct rblock *b)
{
	rconn_wake(b->conn);
}

void rblock_choose(struct rblock *b)
{
	atomic_store(&b->stale, false);
}

bool rblock_is_stale(const struct rblock *b)
{
	return atomic_load(&b->stale);
}

bool rblock_call(struct rblock *b, const struct rcmd *cmd, int64_t block_ms, struct rreplies *out)
{
	struct err err = {0};

	atomic_store(&b->blocked_as, rconn_client_id(b->conn));
	if (rblock_is_stale(b)) /* refreshed between choosing and here, when there was nothing to unblock yet */
		rblock_refresh(b);
	int rc = rconn_command(b->conn, cmd, clock_mono_ms() + block_ms + GRACE_MS, out, &err);
	atomic_store(&b->blocked_as, 0);
	if (rc < 0 && rc != ERR_STOPPING)
		LOG(b->log, LOG_WARN, "blocking_connection_lost", log_strz("client", b->name), log_err(&err));
	return rc == 0;
}

/* 0: the client was not blocked: the UNBLOCK overtook its command, so it goes out again while the owner is still in there. */
static void unblock_answered(void *arg, int rc, const struct rreplies *replies, const struct err *err UNUSED)
{
	struct rblock *b = arg;
	int64_t unblocked = 1;

	if (rc == 0 && rreply_int(replies->items[0], &unblocked) && !unblocked && rblock_is_stale(b))
		rblock_refresh(b);
}

void rblock_refresh(struct rblock *b)
{
	struct rcmd cmd = RCMD_INIT;

	atomic_store(&b->stale, true);
	int64_t client = atomic_load(&b->blocked_as);
	if (client <= 0)
		return;
	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "CLIENT");
	rcmd_argz(&cmd, "UNBLOCK");
	rcmd_argi(&cmd, client);
	rmux_send(b->mux, &cmd, clock_mono_ms() + UNBLOCK_TIMEOUT_MS, unblock_answered, b);
	rcmd_release(&cmd);
}
