/* What the add script takes and answers. Inside lib/bullmq only.
 *
 *     texts[i] = bq_add_encode(&args, &jobs[i]);             each job's arguments; the bytes stand behind each other in args
 *     bq_add_command(&cmd, q, &call);                        one call for all of them, what neighbours share said once
 *     bq_add_read(rreply_at(reply, i), ...);
 */
#ifndef SLUICE_BULLMQ_ADD_WIRE_H
#define SLUICE_BULLMQ_ADD_WIRE_H

#include "lib/bullmq/bq_impl.h"

/* Jobs in one call of the script: Redis serves nobody else meanwhile. */
#define BQ_ADD_PER_CALL 100

/* What is refused without asking Redis: data over the job's sizeLimit (ERR_LIMIT). */
int bq_add_check(const struct bq_add *job, struct err *err) MUST_CHECK;
/* One job's arguments, as bytes. */
struct bq_add_text {
	struct str alike; /* what it may have in common with others; empty: it is added by itself */
	struct str own;
};
/* Appends to *args, which need not have begun with a command. The text's .p are NULL: that is for whoever knows that *args has all
 * (bq_add_place). */
struct bq_add_text bq_add_encode(struct rcmd *args, const struct bq_queue *q, const struct bq_add *job);
/* Points the n texts, encoded one after the other, at their bytes. */
void bq_add_place(struct bq_add_text *texts, size_t n, const struct rcmd *args);

struct bq_add_call {
	const struct bq_add_text *texts;
	size_t n;
	const struct str *records; /* the idempotency keys of those jobs that have one, in their order */
	size_t n_records;
};
void bq_add_command(struct rcmd *cmd, const struct bq_queue *q, const struct bq_add_call *call);
/* Which official script adds it: "standard", "delayed", "prioritized" or "parent". */
const char *bq_add_kind(const struct bq_add *job);
/* What that script takes of a flow's job: its packed arguments, the data, the packed options. A flow's parent is not released by its first
 * child. The id may be one that stands in no options. */
void bq_add_encode_in_flow(struct rcmd *args, const struct bq_queue *q, const struct bq_add *job, struct str id);
/* One job's part of the reply. */
int bq_add_read(const redisReply *r, struct arena *a, struct bq_added *out, struct err *err) MUST_CHECK;

#endif
