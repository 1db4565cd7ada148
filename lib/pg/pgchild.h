/* The embedded PostgreSQL: a postgres child of this process, kept running and ended with it.
 *
 *     struct pgchild *child = pgchild_start(&options, &err);    finds the programs, locks the folder; waits for nothing
 *     o.url = pgchild_url(child);                               for pg_new
 *     ...
 *     pgchild_stop(child);                                      after the pool has ended
 *
 * Its folder is DATA_DIR/postgres: data/ (made by initdb at the first start), the Unix socket (in a private folder under $XDG_RUNTIME_DIR or /tmp
 * when that path would be too long), postgres.log, .lock. It listens nowhere else; who may enter the folder, 0700, is trusted. It writes with
 * synchronous_commit on.
 *
 * When it ends by itself it is started again, with a backoff. When this process dies, also by SIGKILL, the kernel ends it; the folder's lock is
 * inherited by all its processes, so a new start waits for their end. PostgreSQL refuses to run as root: then it runs as the user postgres where
 * the folder lets that user in, else as this user inside a user namespace.
 *
 * Thread rule: pgchild_start and pgchild_stop from the owner; all else from any thread. */
#ifndef SLUICE_PG_PGCHILD_H
#define SLUICE_PG_PGCHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

struct log;
struct pgchild;

struct pgchild_options {
	const char *data_dir;     /* made when it is missing */
	const char *programs;     /* folder of initdb and postgres; NULL: the one of the data's version, else the newest of this machine */
	int64_t lock_wait_ms;     /* how long another process may take to leave the folder; 0 = 5000. Waited for in the background */
	struct log *log;
};

/* Are its programs on this machine? */
bool pgchild_is_installed(void);
/* Where the one of this data folder listens, as pg_options.url takes it, whether or not it runs. ERR_NOT_FOUND: none was ever made there. */
int pgchild_find_url(const char *data_dir, struct buf *out, struct err *err) MUST_CHECK;

/* NULL: ERR_NOT_FOUND (no programs, or not those of the data's version: the text says what to install), ERR_IO, ERR_DENIED, ERR_NOMEM. */
struct pgchild *pgchild_start(const struct pgchild_options *o, struct err *err) MUST_CHECK;
/* SIGINT (clients are cut off, what was committed stays), SIGKILL after 10 s; frees. NULL: nothing. */
void pgchild_stop(struct pgchild *c);
const char *pgchild_url(const struct pgchild *c); /* valid until pgchild_stop */
pid_t pgchild_pid(struct pgchild *c);             /* 0 while none is running */

#endif
