/* Asks Redis' sentinels where the master of their group is: a thread of its own.
 *
 *     struct rsentinel *s = rsentinel_start(&options, &err);    connecting goes on in the background
 *     addr.master = rsentinel_master(s);                        every connection made with addr goes to the master of the moment
 *     ...
 *     rsentinel_stop(s);                                        after everything that was made with addr
 *
 * One sentinel is asked once a second, and at once when somebody is about to connect; then another one than before, since the first may
 * be cut off from the rest. The first that answers is believed: whether it still was right shows at the server itself, which says whether
 * it is a master (rhello.h). Connections to a place that is not the master's any more are given up within a second.
 *
 * The owner's thread calls; rsentinel_master's is for any. */
#ifndef SLUICE_REDIS_RSENTINEL_H
#define SLUICE_REDIS_RSENTINEL_H

#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/redis/raddr.h"

struct log;

#define RSENTINEL_MAX 16
#define RSENTINEL_PORT 26379 /* redis.io/docs, Sentinel */

struct rsentinel_options {
	struct raddr sentinels[RSENTINEL_MAX]; /* copied */
	size_t n;
	char name[RMASTER_NAME_SIZE]; /* of the group */
	struct log *log;              /* may be NULL */
};

struct rsentinel;

struct rsentinel *rsentinel_start(const struct rsentinel_options *o, struct err *err);
void rsentinel_stop(struct rsentinel *s); /* NULL: nothing */
struct rmaster *rsentinel_master(struct rsentinel *s);

#endif
