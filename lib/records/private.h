/* What the files of lib/records share, and nobody else. */
#ifndef SLUICE_RECORDS_PRIVATE_H
#define SLUICE_RECORDS_PRIVATE_H

#include <limits.h>
#include <stdatomic.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/base/table.h"
#include "lib/bullmq/outbox.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/pg/pglink.h"
#include "lib/records/records.h"
#include "lib/records/store.h"
#include "lib/redis/rconn.h"

#define RECORDS_PG_TIMEOUT_MS 10000
#define RECORDS_PG_LAST_MS 2000 /* when the program ends */
#define RECORDS_REDIS_TIMEOUT_MS 5000
#define RECORDS_STREAM_ID_SIZE 48

/* Where a stream has been read to. */
struct stream_id {
	uint64_t ms, seq;
};
#define STREAM_ID_NONE ((struct stream_id){0, 0})

static inline bool stream_id_before(struct stream_id a, struct stream_id b)
{
	return a.ms != b.ms ? a.ms < b.ms : a.seq < b.seq;
}

/* A stream whose entries wait to be written. */
struct rec_stream {
	/* set before start */
	struct rec_queue *q;
	struct str key;
	bool adds;
	/* the writer's thread */
	bool waiting;              /* entries may be there that are due */
	size_t batch;              /* entries of the next reading: fewer when they are large, or were too many for the time */
	int64_t length, oldest_ms; /* when it was last looked at; oldest_ms 0: nothing waits */
};

struct rec_queue {
	/* set before start */
	struct records *rec;
	struct bq_queue *queue;
	struct records_policy policy;
	struct bq_outbox outbox;
	bool adds_always;         /* adds are written down whoever is there */
	struct series *m_written, *m_backlog, *m_lag, *m_dropped, *m_gaps;
	/* the writer's thread */
	struct rec_stream ends, adds; /* the outbox, and what stands beside it */
	bool followed;            /* its events are being read */
	bool foreign;             /* another program's worker was there when it was last looked for one */
	struct stream_id events;  /* read to here; NONE: not at all */
	struct stream_id past;    /* they are read up to here only, since nobody else is there; NONE: as far as they go */
	struct stream_id saved;   /* as PostgreSQL has it */
	struct table added, added_before; /* struct rec_added by job id: adds that were read among the events, and those that were read earlier */
};

struct records {
	/* set before start */
	struct records_options o;
	struct rec_queue *queues; /* room for RECORDS_QUEUES_MAX */
	const struct bq_queue **all; /* those of the queues that were admitted */
	struct thread thread;
	struct rconn *redis; /* the writer's */
	struct pglink *link; /* the writer's */
	/* the owner's thread; then any */
	_Atomic size_t n_admitted; /* of the queues */
	/* the writer's thread; any may read */
	_Atomic size_t n_queues;   /* of them, those that the writer knows of */
	/* the writer's thread */
	struct arena arena;        /* of the batch that is being drained, or of the hashes that are being read */
	struct arena events_arena; /* of the events that are being looked at, during which batches are drained */
	struct record_weeks weeks;
	int64_t look_mono_ms, foreign_mono_ms, save_mono_ms, upkeep_mono_ms; /* when each duty is due */
	bool slim, dropping, cursors_loaded, foreign_known;
	int64_t redis_ahead_ms;    /* of the monotonic clock */
	int64_t adds_left;         /* how many adds may be written until the next look */
	int64_t adds_length, adds_taken; /* of all queues: at the last look, and written since */
	/* any thread */
	_Atomic bool stopping, hurry;
	_Atomic int64_t backlog, lag_ms;
	_Atomic bool is_slim;
	_Atomic uint64_t dropped, gaps;
	/* protected by mu */
	struct lock mu;
	struct cond wake;
	bool woken;
};

static inline int64_t records_pg_deadline(const struct records *rec)
{
	return clock_mono_ms() + (atomic_load(&rec->stopping) ? RECORDS_PG_LAST_MS : RECORDS_PG_TIMEOUT_MS);
}

/* writer.c */
void records_writer_main(void *arg);
/* What fails for one queue or duty must not stop the others: of several failures the first is left in *first, which was empty. False: the others
 * would fail as well, since a store cannot be reached or the program ends. */
bool records_go_on(struct records *rec, int rc, const struct err *why, struct err *first);
/* One call on the writer's connection, which is opened when it is not; *cmd is released. */
int records_redis(struct records *rec, struct rcmd *cmd, struct rreplies *out, struct err *err) MUST_CHECK;
void stream_id_text(struct stream_id id, char out[RECORDS_STREAM_ID_SIZE]);
struct stream_id stream_id_read(struct str s); /* NONE when it is none */

/* drain.c */
/* Takes one batch of the stream into PostgreSQL, of what was written up to the moment (of Redis' clock). How many entries it had; s->waiting says
 * whether there may be more. RECORDS_ELSEWHERE: another process is at it. A failure otherwise, after which fewer are tried. */
#define RECORDS_ELSEWHERE INT_MAX
#define RECORDS_ALL INT64_MAX
int records_drain(struct rec_stream *s, int64_t up_to_ms, struct err *err) MUST_CHECK;
/* All of it. 0; RECORDS_ELSEWHERE, also when there is no more time, since the program ends; or a failure. */
int records_drain_all(struct rec_stream *s, struct err *err) MUST_CHECK;

/* adds.c */
/* An add is written so late: most jobs have ended by then. */
#define RECORDS_SETTLE_MS 5000
/* How many may be written until the next look; pressed: there is no more room for them to wait. */
void records_pace_adds(struct records *rec, bool pressed);
/* Writes those that are due; all of them when the program ends. */
int records_settle_adds(struct records *rec, int64_t until_mono_ms, struct err *err) MUST_CHECK;
/* Of the rows of adds, leaves those of jobs of whose end nothing is known; the others have a record that says all. */
int records_leave_out_ended(struct rec_queue *q, struct record_row *rows, size_t *n, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

/* bounds.c */
/* How much of a job goes into the outbox, by the queue's policy. */
void records_choose_caps(struct rec_queue *q, bool slim);
/* How long the outboxes are, and what has to be given up. */
int records_look(struct records *rec, struct err *err) MUST_CHECK;

/* follow.c */
/* Which queues have workers of other programs now. */
int records_look_for_foreign(struct records *rec, struct err *err) MUST_CHECK;
/* Reads some of the events of the queues that are followed. Positive: there may be more. */
int records_follow(struct records *rec, struct err *err) MUST_CHECK;
/* cursors.c */
/* How far events have been read, to PostgreSQL and from there. */
int records_cursors_load(struct records *rec, struct err *err) MUST_CHECK;
int records_cursors_save(struct records *rec, struct err *err) MUST_CHECK;
void records_forget_added(struct rec_queue *q);

/* expire.c */
/* Makes the partitions to come and drops the records whose time is over. */
int records_expire(struct records *rec, struct err *err) MUST_CHECK;
/* A record of what was last heard of then would be dropped at once: it is not written (again) when it comes late. */
bool records_is_over(const struct rec_queue *q, int64_t at_ms);

#endif
