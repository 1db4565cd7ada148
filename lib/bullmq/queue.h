/* A BullMQ queue: its keys. Everything of queue Q under prefix P stands at "P:Q:<type>", a job at "P:Q:<id>" (bullmq 6.7.0). */
#ifndef SLUICE_BULLMQ_QUEUE_H
#define SLUICE_BULLMQ_QUEUE_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

#define BQ_QUEUE_NAME_MAX 64
#define BQ_JOB_ID_MAX 255

/* Key types, in BullMQ's own words. "" is the bare prefix "P:Q:". */
#define BQ_KEYS(X) \
	X(BASE, "") X(WAIT, "wait") X(PAUSED, "paused") X(ACTIVE, "active") X(PRIORITIZED, "prioritized") X(PC, "pc") \
	X(DELAYED, "delayed") X(WAITING_CHILDREN, "waiting-children") X(COMPLETED, "completed") X(FAILED, "failed") \
	X(STALLED, "stalled") X(STALLED_CHECK, "stalled-check") X(ID, "id") X(META, "meta") X(EVENTS, "events") \
	X(MARKER, "marker") X(LIMITER, "limiter") X(REPEAT, "repeat") X(METRICS_COMPLETED, "metrics:completed") \
	X(METRICS_FAILED, "metrics:failed") X(DE, "de") \
	X(OUTBOX, "outbox") X(OUTBOX_ADDS, "outbox:adds") X(OUTBOX_ADDS_IDS, "outbox:adds:ids")

enum bq_key {
#define X(id, type) BQ_KEY_##id,
	BQ_KEYS(X)
#undef X
	BQ_KEY_COUNT
};

struct bq_outbox;

struct bq_queue {
	struct str prefix, name;
	struct bq_outbox *outbox; /* lib/bullmq/outbox.h; NULL: nothing is written there. Set before the queue is used */
	struct str keys[BQ_KEY_COUNT];
	char *storage_; /* one block behind all of them */
};

/* Builds the keys; no outbox. Name: [A-Za-z0-9_.-]{1,64}, not "sluice". Immutable afterwards: any thread may read. */
int bq_queue_init(struct bq_queue *q, struct str prefix, struct str name, struct err *err) MUST_CHECK;
void bq_queue_release(struct bq_queue *q);

/* Appends "P:Q:<id><suffix>"; suffix like ":lock" or "". */
void bq_job_key(struct buf *out, const struct bq_queue *q, struct str id, const char *suffix);

/* May a client give this id to a job? Refused: empty, over BQ_JOB_ID_MAX, integers ("7", "-7"), "0" or "0:…", ':' anywhere,
 * control characters, not UTF-8, and the queue's own key names. */
bool bq_job_id_ok(struct str id);
bool bq_queue_name_ok(struct str name);

#endif
