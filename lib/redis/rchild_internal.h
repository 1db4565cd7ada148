/* The embedded Redis' inside: rchild_setup.c decides on paths and writes the configuration, rchild_exec.c makes the process,
 * rchild.c supervises it. */
#ifndef SLUICE_REDIS_RCHILD_INTERNAL_H
#define SLUICE_REDIS_RCHILD_INTERNAL_H

#include <limits.h>

#include "lib/redis/rchild.h"

#define RCHILD_SOCKET_MAX 100 /* bytes of path: under sun_path's 108 on Linux, 104 elsewhere */

struct rchild_paths {
	char data_dir[PATH_MAX - 32]; /* absolute */
	char stores[PATH_MAX];        /* the append-only file's folder */
	char config[PATH_MAX];
	char log[PATH_MAX];
	char program[PATH_MAX];
	char socket[RCHILD_SOCKET_MAX];
};

/* Makes the folder and finds the program. */
int rchild_find_paths(struct rchild_paths *p, const struct rchild_options *o, struct err *err) MUST_CHECK;
int rchild_write_config(const struct rchild_paths *p, const struct rchild_options *o, struct err *err) MUST_CHECK;
/* The end of the log, for an error. */
void rchild_last_log_line(const struct rchild_paths *p, char *out, size_t size);

/* Starts the program; the child holds lock_fd, dies with the calling thread, and is in a session of its own. The pid, or ERR_IO. */
pid_t rchild_spawn(const struct rchild_paths *p, int lock_fd, struct err *err) MUST_CHECK;

#endif
