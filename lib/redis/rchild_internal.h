/* The embedded Redis' inside: rchild_setup.c decides on paths and writes the configuration, rchild.c says how it is run. */
#ifndef SLUICE_REDIS_RCHILD_INTERNAL_H
#define SLUICE_REDIS_RCHILD_INTERNAL_H

#include <limits.h>

#include "lib/child/place.h"
#include "lib/redis/rchild.h"

struct rchild_paths {
	char data_dir[CHILD_FOLDER_MAX]; /* absolute */
	char stores[PATH_MAX];           /* the append-only file's folder */
	char config[PATH_MAX];
	char log[PATH_MAX];
	char program[PATH_MAX];
	char socket[CHILD_SOCKET_MAX];
};

/* Makes the folder and finds the program. */
int rchild_find_paths(struct rchild_paths *p, const struct rchild_options *o, struct err *err) MUST_CHECK;
int rchild_write_config(const struct rchild_paths *p, const struct rchild_options *o, struct err *err) MUST_CHECK;

#endif
