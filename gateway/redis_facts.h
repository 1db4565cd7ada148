/* What Redis tells about itself by INFO: the facts on which the promises of the gateway rest. CONFIG is not needed, since managed services
 * forbid it. Any thread. */
#ifndef SLUICE_GATEWAY_REDIS_FACTS_H
#define SLUICE_GATEWAY_REDIS_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/redis/rmux.h"

#define REDIS_LEAST_VERSION 60200 /* 6.2: the first with the commands of BullMQ's scripts (LMOVE, ZRANGE … BYSCORE) */

#define REDIS_RUN_ID_SIZE 48

struct redis_facts {
	int64_t used_bytes, max_bytes; /* max 0: no limit */
	int64_t version;               /* 70015 for 7.0.15 */
	char version_text[24];
	char policy[32];               /* maxmemory-policy */
	char run_id[REDIS_RUN_ID_SIZE]; /* of this process; another one has another */
	bool append_only;
	bool replica;                  /* it takes no writes */
	bool disk_fails;               /* its append-only file cannot be written: until it can, it takes no writes */
};

/* Appends the commands that ask; their replies go to redis_facts_read in the same order, from items[first] on. */
#define REDIS_FACTS_COMMANDS 4
void redis_facts_ask(struct rcmd *cmd);
/* ERR_REPLY, ERR_PROTOCOL (a field is missing). */
int redis_facts_read(struct redis_facts *out, const struct rreplies *replies, size_t first, struct err *err) MUST_CHECK;

/* Do they allow jobs at all? ERR_WRONG_STATE with a sentence that says what to change: eviction, an old version, a replica. */
int redis_facts_check(const struct redis_facts *f, struct err *err) MUST_CHECK;

#endif
