/* The embedded Redis: a redis-server child of this process, kept running and ended with it.
 *
 *     struct rchild *child = rchild_start(&options, &err);   locks the folder, starts, waits until it answers
 *     struct raddr addr;
 *     rchild_addr(child, &addr);                             for rmux and rconn
 *     ...
 *     rchild_stop(child);                                    after everything that talks to it has ended
 *
 * It listens on a Unix socket in the folder (in a private folder under $XDG_RUNTIME_DIR or /tmp when that path would be too
 * long), writes every change to its append-only file before it answers (appendfsync always), and never evicts. Files:
 * DATA_DIR/redis.conf (0600, written anew at each start), DATA_DIR/redis.log, DATA_DIR/redis.sock, DATA_DIR/redis/ (the data),
 * DATA_DIR/.lock.
 *
 * When it ends by itself it is started again, with a backoff. When this process dies, also by SIGKILL, the kernel kills
 * it (nothing acknowledged is lost: it is on the disk by then). Thread rule: rchild_start and rchild_stop from the owner; all
 * else from any thread. */
#ifndef SLUICE_REDIS_RCHILD_H
#define SLUICE_REDIS_RCHILD_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/redis/raddr.h"

struct log;
struct rchild;

struct rchild_options {
	const char *data_dir;     /* made when it is missing */
	const char *listen;       /* "host:port" or "[IPv6]:port" in addition to the socket; NULL: none */
	const char *password;     /* needed with listen; NULL: none. Printable ASCII */
	uint64_t maxmemory_bytes; /* 0: half of this machine's (or container's) memory */
	const char *program;      /* NULL: redis-server, found in PATH */
	int64_t lock_wait_ms;     /* how long to wait for another process to leave the folder; 0 = 5000 */
	struct log *log;
};

/* NULL: ERR_NOT_FOUND (no redis-server: the text says what to install), ERR_TAKEN (the folder is in use, by whom),
 * ERR_INVALID, ERR_IO, ERR_UNAVAILABLE (it ended or did not answer; the text holds the last line of its log), ERR_NOMEM. */
struct rchild *rchild_start(const struct rchild_options *o, struct err *err) MUST_CHECK;
/* SIGTERM, SIGKILL after 10 s; frees. NULL: nothing. */
void rchild_stop(struct rchild *c);
void rchild_addr(const struct rchild *c, struct raddr *out);
pid_t rchild_pid(struct rchild *c); /* 0 while none is running */

/* Where another process' embedded Redis of this folder listens, without the password. ERR_NOT_FOUND when the folder never had one. */
int rchild_find_addr(const char *data_dir, struct raddr *out, struct err *err) MUST_CHECK;

#endif
