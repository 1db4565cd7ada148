/* The append-only file of a Redis that is not running.
 *
 * What a script writes stands in the file between MULTI and EXEC. A Redis that was killed while it wrote that has left a beginning without an
 * end. Redis 7.0, when it starts, cuts such a file behind its last whole command and goes on behind it; when it is started once more, it runs that
 * beginning together with the next transaction. (Seen with 7.0.15: tests/unit/test_rchild.c.) None of it was ever answered, so it is cut off before
 * Redis reads it. */
#ifndef SLUICE_REDIS_RAOF_H
#define SLUICE_REDIS_RAOF_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

/* Where the transaction begins that has no end in these bytes; -1: there is none. What is no append-only file is left to Redis. */
int64_t raof_unfinished(struct str bytes);

/* folder: Redis' dir. Cuts an unfinished transaction off the last of its append-only files; *cut: how many bytes went. Without such a file
 * nothing is done. 0, ERR_IO or ERR_NOMEM. */
int raof_mend(const char *folder, int64_t *cut, struct err *err) MUST_CHECK;

#endif
