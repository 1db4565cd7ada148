/* Bytes from a Redis server into replies: hiredis' reader with limits, since what answers may not be a Redis at all.
 *
 *     struct rparse p;
 *     if (rparse_init(&p) < 0) ...
 *     rparse_feed(&p, bytes, n, &err)                 n <= RPARSE_PIECE_BYTES: the reader moves what is left each time
 *     while ((rc = rparse_next(&p, &reply, &err)) > 0)
 *             ...                                    the reply is yours: rreply_free
 *     rparse_release(&p);
 *
 * After a failure the connection is of no more use. One thread at a time; *p must not move between init and release.
 *
 * A reply is one block of memory, or a few where it is large. hiredis makes a block of every text, number and list in it: thousands for some
 * jobs, made by the thread that reads and freed by the one that asked. The allocator keeps some of each size for every thread that has freed
 * any, which came to 90 KiB a thread, and to as much again in heaps that could not shrink around them. */
#ifndef SLUICE_REDIS_RPARSE_H
#define SLUICE_REDIS_RPARSE_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"

#define RPARSE_PIECE_BYTES ((size_t)64 << 10)
#define RPARSE_MAX_BYTES ((size_t)512 << 20) /* of replies not yet complete: Redis' own limit of one string */
#define RPARSE_MAX_ELEMENTS (1 << 22)        /* of one array */

struct rparse {
	redisReader *reader;
	struct rparse_block *block; /* of the reply that is being read */
};

int rparse_init(struct rparse *p) MUST_CHECK; /* 0 or ERR_NOMEM */
void rparse_release(struct rparse *p);        /* also after a failed init */
int rparse_feed(struct rparse *p, const char *bytes, size_t n, struct err *err) MUST_CHECK;
/* 1: *out is a whole reply; 0: more bytes are needed; ERR_PROTOCOL or ERR_NOMEM. */
int rparse_next(struct rparse *p, redisReply **out, struct err *err) MUST_CHECK;

/* Frees what rparse_next has given, as a whole; not freeReplyObject. Any thread. */
void rreply_free(redisReply *reply);

#endif
