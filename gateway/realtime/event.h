/* The entries of BullMQ's event streams: their ids, and their text for clients.
 *
 *     struct event_reader er;
 *     event_reader_init(&er);
 *     if (event_read(&er, queue, entry, &e)) ...         e is valid until the next call
 *     event_reader_release(&er);
 *
 * Not shown are the results of jobs and their data: an event says what happened, the job's status what there is. One thread at a time. */
#ifndef SLUICE_GATEWAY_REALTIME_EVENT_H
#define SLUICE_GATEWAY_REALTIME_EVENT_H

#include "lib/base/arena.h"
#include "lib/redis/rmux.h"

/* A stream entry's id, "<ms>-<sequence>". {0, 0} stands before all entries. */
struct event_id {
	uint64_t ms, seq;
};
#define EVENT_ID_SIZE 42
int event_id_read(struct str text, struct event_id *out) MUST_CHECK; /* 0 or ERR_INVALID */
struct str event_id_text(struct event_id id, char room[EVENT_ID_SIZE]);
int event_id_compare(struct event_id a, struct event_id b);
bool event_id_is_none(struct event_id id); /* {0, 0} */

/* Asks what the stream is; by the reply: has nothing been trimmed of it? There must be one, and Redis must be of version 7 or newer to tell. */
void event_stream_ask(struct rcmd *cmd, struct str key);
bool event_stream_is_whole(const redisReply *reply);

/* BullMQ's words. Any other, of a program's own events, is EVENT_OTHER. */
#define EVENT_TYPES(X) \
	X(ADDED, "added") X(WAITING, "waiting") X(WAITING_CHILDREN, "waiting-children") X(DELAYED, "delayed") X(ACTIVE, "active") \
	X(PROGRESS, "progress") X(COMPLETED, "completed") X(FAILED, "failed") X(RETRIES_EXHAUSTED, "retries-exhausted") \
	X(STALLED, "stalled") X(REMOVED, "removed") X(DUPLICATED, "duplicated") X(DEDUPLICATED, "deduplicated") \
	X(DEBOUNCED, "debounced") X(PAUSED, "paused") X(RESUMED, "resumed") X(DRAINED, "drained") X(CLEANED, "cleaned")
enum event_type {
#define X(id, word) EVENT_##id,
	EVENT_TYPES(X)
#undef X
	EVENT_OTHER,
	EVENT_TYPE_COUNT
};
const char *event_word(enum event_type t); /* "other" for EVENT_OTHER */
/* The type of that word; EVENT_TYPE_COUNT: there is none. */
enum event_type event_type_of(struct str word);

struct event {
	struct event_id id;
	enum event_type type;
	struct str job_id; /* .p NULL: an event of the queue as a whole */
	struct str json;   /* an object, at most EVENT_JSON_MAX bytes on one line */
};
#define EVENT_JSON_MAX 12288

struct event_reader {
	struct arena arena;
	struct buf json;
};
void event_reader_init(struct event_reader *er);
void event_reader_release(struct event_reader *er);

/* The id and the type of an entry, [id, [field, value, …]], and its job; false: it is none. The reply is not copied. */
bool event_head(const redisReply *entry, struct event *out) MUST_CHECK;
/* The same with its text; false also without memory. */
bool event_read(struct event_reader *er, struct str queue, const redisReply *entry, struct event *out) MUST_CHECK;

#endif
