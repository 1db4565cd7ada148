/* BullMQ's markers: how whoever waits for jobs of a queue is woken. Each queue has a sorted set of at most two members: "0", jobs may be ready, and
 * "1", one is due at the score. Whoever pops a marker answers for it: uses it, remembers it, or puts it back.
 *
 *     bq_marker_wait(&cmd, n); rcmd_arg(&cmd, q->keys[BQ_KEY_MARKER]); ... bq_marker_wait_end(&cmd, 5000);    one BZPOPMIN
 *     if (bq_marker_read(replies.items[0], &marker))  ... marker.key, marker.due_wall_ms ...
 *         bq_marker_put_back(bq, &marker, deadline);
 *
 * Any thread. */
#ifndef SLUICE_BULLMQ_MARKER_H
#define SLUICE_BULLMQ_MARKER_H

#include "lib/bullmq/bq.h"

struct bq_marker {
	struct str key;       /* the queue's; points into the reply */
	int64_t due_wall_ms;  /* 0: now */
};

/* Begins the command; the keys then follow with rcmd_arg, and bq_marker_wait_end ends it. The first key with a marker is served. */
void bq_marker_wait(struct rcmd *cmd, size_t n_keys);
void bq_marker_wait_end(struct rcmd *cmd, int64_t block_ms);
/* false: nothing came. */
bool bq_marker_read(const redisReply *reply, struct bq_marker *out);
/* Returns at once; when Redis is away the marker is lost, which waiters make good by looking without one now and then. */
void bq_marker_put_back(struct bq *bq, const struct bq_marker *marker, int64_t deadline_mono_ms);

#endif
