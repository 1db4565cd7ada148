/* What the add script takes and answers. Inside lib/bullmq only.
 *
 *     bq_add_begin(&cmd, q, records, n_records, n);     EVALSHA with its keys
 *     bq_add_encode(&cmd, q, &jobs[i]);                 n times; or the bytes that it wrote elsewhere
 *     bq_add_read(rreply_at(reply, i), ...);
 */
#ifndef SLUICE_BULLMQ_ADD_WIRE_H
#define SLUICE_BULLMQ_ADD_WIRE_H

#include "lib/bullmq/bq_impl.h"

/* Jobs in one call of the script: Redis serves nobody else meanwhile. */
#define BQ_ADD_PER_CALL 100

/* What is refused without asking Redis: data over the job's sizeLimit (ERR_LIMIT). */
int bq_add_check(const struct bq_add *job, struct err *err) MUST_CHECK;
/* records: the idempotency keys of those jobs that have one, in their order. */
void bq_add_begin(struct rcmd *cmd, const struct bq_queue *q, const struct str *records, size_t n_records, size_t n_jobs);
/* One job's arguments; *args need not have begun with a command. */
void bq_add_encode(struct rcmd *args, const struct bq_queue *q, const struct bq_add *job);
/* Which official script adds it: "standard", "delayed", "prioritized" or "parent". */
const char *bq_add_kind(const struct bq_add *job);
/* What that script takes of a flow's job: its packed arguments, the data, the packed options. A flow's parent is not released by its first
 * child. The id may be one that stands in no options. */
void bq_add_encode_in_flow(struct rcmd *args, const struct bq_queue *q, const struct bq_add *job, struct str id);
/* One job's part of the reply. */
int bq_add_read(const redisReply *r, struct arena *a, struct bq_added *out, struct err *err) MUST_CHECK;

#endif
