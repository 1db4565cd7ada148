/* What somebody who watches the queues wants to know: read only, each call a bounded piece of work for Redis.
 *
 *     bq_facts(bq, queues, n, arena, facts, deadline, &err);            how the queues stand
 *     struct bq_cursor at = {0};
 *     bq_page(bq, &queue, BQ_FAILED, false, &at, 100, arena, places, &n, deadline, &err);     ids, page by page
 *     bq_briefs(bq, &queue, places, n, arena, briefs, deadline, &err);  what filters look at
 *     bq_read_jobs(bq, &queue, BQ_FAILED, places, n, arena, jobs, deadline, &err);
 *
 * Strings in results are in the given arena. Failures of the connection are rmux.h's. Any thread. */
#ifndef SLUICE_BULLMQ_INSPECT_H
#define SLUICE_BULLMQ_INSPECT_H

#include "lib/bullmq/bq.h"

/* ---- queues ---- */

/* Why a queue was paused, where that was said: a field of our own in the queue's meta. A client that resumes and pauses again without us leaves
 * what we were told before. */
struct bq_pause_note {
	struct str reason, by; /* .p NULL: nothing was said */
	int64_t since_ms;      /* -1: not known */
};

struct bq_facts {
	struct bq_counts counts;
	struct bq_pause_note pause;             /* means something while counts.paused */
	int64_t added;                          /* the id counter: jobs ever added */
	int64_t completed_total, failed_total;  /* metrics:*; -1: no worker writes them */
	int64_t concurrency;                    /* of the queue as a whole; -1: none */
	struct bq_limiter limiter;              /* of the queue as a whole; max 0: none */
	int64_t limit_used, limit_ends_ms;      /* jobs taken in this window, and how long it lasts; 0: none is open */
	int64_t due;                            /* delayed jobs whose time has come */
	int64_t next_delayed_ms;                /* wall time of the next delayed job; -1: none */
	int64_t left_by_v5;                     /* jobs in `paused`, where bullmq 6's workers do not look; counted as waiting */
	bool marker;                            /* an idle worker would be woken */
	struct str next_id;                     /* who is next in line; .p NULL: nobody */
	int64_t next_since_ms;                  /* when that job was added; -1: not known */
	struct str version;                     /* what its creator called itself; .p NULL: nothing */
};

/* Two round trips for all. */
int bq_facts(struct bq *bq, const struct bq_queue *const *queues, size_t n, struct arena *a, struct bq_facts *out, int64_t deadline,
	     struct err *err) MUST_CHECK;

/* One step of looking for queues: the names that a SCAN of about `count` keys finds under the prefix, some perhaps twice. *cursor begins and ends
 * with 0; keys of names that bq_queue_name_ok refuses are passed over. */
int bq_discover(struct bq *bq, struct str prefix, uint64_t *cursor, int64_t count, struct arena *a, struct str **names, size_t *n,
		int64_t deadline, struct err *err) MUST_CHECK;

/* ---- pages of ids ---- */
#define BQ_PAGE_MAX 1000
#define BQ_PLACE_SIZE 32

struct bq_place {
	struct str id;
	char at[BQ_PLACE_SIZE]; /* its score, or how many stood behind it in the list */
	unsigned part;          /* which of the state's keys: v5's "paused" comes behind "wait" */
};

/* Behind which id a page begins; .id.p NULL: at the beginning. */
struct bq_cursor {
	struct bq_place last;
	bool done; /* there was no more */
};

/* Up to `limit` (BQ_PAGE_MAX) ids of a state in the order of the official client's getJobs: lists from the newest, sets from the highest score, or the
 * other way round. A job that stays where it is while pages are read is never left out (unless hundreds were added at the tail between two
 * pages); one may come twice. *cursor goes on to the last id. */
int bq_page(struct bq *bq, const struct bq_queue *q, enum bq_state state, bool ascending, struct bq_cursor *cursor, size_t limit,
	    struct arena *a, struct bq_place *out, size_t *n, int64_t deadline, struct err *err) MUST_CHECK;

/* A cursor as text that survives a URL's query once escaped, and back. ERR_INVALID: it is none of that state's. */
void bq_cursor_write(struct buf *out, const struct bq_cursor *c);
int bq_cursor_read(struct bq_cursor *c, enum bq_state state, struct str text, struct err *err) MUST_CHECK;

/* ---- jobs ---- */

/* What filters look at. */
struct bq_brief {
	struct str name, failed_reason; /* .p NULL: none; name.p NULL: no such job */
	int64_t timestamp, finished_on; /* -1: none */
};
int bq_briefs(struct bq *bq, const struct bq_queue *q, const struct bq_place *places, size_t n, struct arena *a, struct bq_brief *out,
	      int64_t deadline, struct err *err) MUST_CHECK;

/* The jobs of a page without data, returnvalue and stacktrace; their state is the one given, or BQ_STATE_UNKNOWN where the hash is missing. */
int bq_read_jobs(struct bq *bq, const struct bq_queue *q, enum bq_state state, const struct bq_place *places, size_t n, struct arena *a,
		 struct bq_job *out, int64_t deadline, struct err *err) MUST_CHECK;

struct bq_logs {
	struct str *lines;
	size_t n;
	int64_t total;
};
/* Up to BQ_PAGE_MAX lines from `start`, the oldest first. */
int bq_logs(struct bq *bq, const struct bq_queue *q, struct str id, int64_t start, size_t limit, struct arena *a, struct bq_logs *out,
	    int64_t deadline, struct err *err) MUST_CHECK;

/* Where a job stands. */
struct bq_standing {
	struct str lock;      /* the token under which it is held; .p NULL: nobody holds it. Never to be shown or logged */
	int64_t lock_ms;      /* how long the lock lasts; 0: there is none */
	bool active;          /* it stands in `active`; false when it was not asked for */
	int64_t due_ms;       /* when a delayed job is due; -1: it is not delayed */
	int64_t ahead;        /* how many are taken before it; -1: it does not wait, more than BQ_AHEAD_MAX are, or it was not asked for */
	int64_t pending;      /* children that have not ended */
	bool left_by_v5;      /* it stands in `paused`; false when it was not asked for */
	bool searched_all;    /* the lists were looked through to their ends; false when it was not asked for */
};
#define BQ_AHEAD_MAX 100000
/* with_place: also where it stands in lists, at a cost in proportion to what is before it. */
int bq_standing(struct bq *bq, const struct bq_queue *q, struct str id, bool with_place, struct arena *a, struct bq_standing *out,
		int64_t deadline, struct err *err) MUST_CHECK;

/* How many of the `limit` active jobs that were taken first nobody holds. Two round trips. */
int bq_count_unlocked(struct bq *bq, const struct bq_queue *q, size_t limit, int64_t *out, int64_t deadline, struct err *err) MUST_CHECK;

/* The keys ("P:Q:id") of up to `limit` children of the job at each key, ended or not. */
struct bq_child_keys {
	struct str *keys;
	size_t n;
	bool more;
};
int bq_child_keys(struct bq *bq, const struct str *job_keys, size_t n, size_t limit, struct arena *a, struct bq_child_keys *out,
		  int64_t deadline, struct err *err) MUST_CHECK;
/* "P:Q:id" taken apart from behind: the queue's bare name and the id. */
void bq_split_key(struct str key, struct str *queue, struct str *id);

/* ---- workers ---- */
struct bq_client {
	struct str queue;   /* the bare name, decoded */
	struct str name;    /* the worker's; .p NULL: it has none */
	struct str address;
	int64_t age_s, idle_s;
	bool plain;         /* the queue's name stood unencoded: Python, Elixir, .NET */
};
struct bq_clients {
	struct bq_client *items;
	size_t n;
	bool refused;       /* this Redis does not tell */
};
/* The workers of every queue of the prefix that have named their connection, in both spellings. The work is in proportion to Redis' clients. */
int bq_clients(struct bq *bq, struct str prefix, struct arena *a, struct bq_clients *out, int64_t deadline, struct err *err) MUST_CHECK;

#endif
