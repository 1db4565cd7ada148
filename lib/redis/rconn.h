/* One blocking connection for one thread: BZPOPMIN, XREAD BLOCK, CLIENT LIST, and the named idle connections of workers.
 *
 * Opened with the same transport as the multiplexer. Calls block up to their deadline; any thread may call rconn_wake, which
 * makes a blocked rconn_open or rconn_command return ERR_STOPPING at once (the connection is then closed, since its reply is still to
 * come). A wake-up that comes while nothing is blocked counts for the next call that would block. All else: the owning
 * thread only.
 *
 * Failures: ERR_UNAVAILABLE (not connected, or no connection possible; nothing was sent), ERR_TIMEOUT, ERR_IO, ERR_PROTOCOL,
 * ERR_STOPPING. After ERR_TIMEOUT, ERR_IO and ERR_STOPPING of a command it may or may not have happened. */
#ifndef SLUICE_REDIS_RCONN_H
#define SLUICE_REDIS_RCONN_H

#include "lib/redis/rmux.h"

struct rconn;

/* Allocates; does not connect. */
struct rconn *rconn_new(const struct raddr *addr, const char *client_name, struct err *err);
void rconn_free(struct rconn *c);
/* False also when the sentinels name another master by now. */
bool rconn_is_open(const struct rconn *c);
/* TCP/Unix/TLS connect, AUTH, SELECT, CLIENT SETNAME. */
int rconn_open(struct rconn *c, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;
void rconn_close(struct rconn *c);
/* Sends every command in *cmd and reads all replies. On any failure the connection is closed. */
int rconn_command(struct rconn *c, const struct rcmd *cmd, int64_t deadline_mono_ms, struct rreplies *out, struct err *err) MUST_CHECK;
void rconn_wake(struct rconn *c);
/* CLIENT ID of this connection, known after rconn_open (for CLIENT UNBLOCK by another connection); 0 when closed. */
int64_t rconn_client_id(const struct rconn *c);

#endif
