/* Bytes from a Redis server into replies: hiredis' reader with limits, since what answers may not be a Redis at all.
 *
 *     struct rparse p;
 *     if (rparse_init(&p) < 0) ...
 *     rparse_feed(&p, bytes, n, &err)                 n <= RPARSE_PIECE_BYTES: the reader moves what is left each time
 *     while ((rc = rparse_next(&p, &reply, &err)) > 0)
 *             ...                                    the reply is yours: freeReplyObject
 *     rparse_release(&p);
 *
 * After a failure the connection is of no more use. One thread at a time; *p must not move between init and release. */
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
	redisReplyObjectFunctions fn;            /* hiredis' own, but for createArray */
	void *(*create_array)(const redisReadTask *, int); /* hiredis' own */
};

int rparse_init(struct rparse *p) MUST_CHECK; /* 0 or ERR_NOMEM */
void rparse_release(struct rparse *p);        /* also after a failed init */
int rparse_feed(struct rparse *p, const char *bytes, size_t n, struct err *err) MUST_CHECK;
/* 1: *out is a whole reply; 0: more bytes are needed; ERR_PROTOCOL or ERR_NOMEM. */
int rparse_next(struct rparse *p, redisReply **out, struct err *err) MUST_CHECK;

#endif
