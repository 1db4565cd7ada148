/* What the files of lib/bullmq share. */
#ifndef SLUICE_BULLMQ_BQ_IMPL_H
#define SLUICE_BULLMQ_BQ_IMPL_H

#include "lib/base/lock.h"
#include "lib/base/table.h"
#include "lib/bullmq/bq.h"
#include "lib/bullmq/msgpack.h"
#include "lib/bullmq/script.h"

struct bq {
	/* set before start */
	struct rmux *mux;
	/* protected by mu, which is held for a few instructions only; nothing else is locked meanwhile */
	struct lock mu;
	struct table lanes;     /* struct bq_lane by "P:Q:": adds that wait to be sent together (add.c) */
	struct table end_lanes; /* struct bq_end_lane: endings that do (end_lane.c) */
};

void bq_lanes_release(struct bq *bq);

/* ---- end_lane.c ---- */
struct bq_end_job;
/* Sends at most BQ_WORK_PER_CALL encoded endings in one call, together with those of other callers, and sleeps: ends[i]->err as from
 * bq_work_ended, or the connection's failure, and each is as it was. */
int bq_end_with_others(struct bq *bq, const struct bq_queue *q, const struct bq_worker *w, struct bq_end_job *const *ends, size_t n,
		       int64_t deadline, struct err *err) MUST_CHECK;
void bq_end_lanes_release(struct bq *bq);

/* Sends *cmd and releases it; a command that could not be built is ERR_NOMEM. */
int bq_call(struct bq *bq, struct rcmd *cmd, int64_t deadline, struct rreplies *out, struct err *err) MUST_CHECK;
/* The same for one command of which an error that Redis answers is a failure, too: then there is nothing to release. */
int bq_ask(struct bq *bq, struct rcmd *cmd, int64_t deadline, struct rreplies *out, struct err *err) MUST_CHECK;
/* The same for one whose reply says nothing but that it was done, or why not. */
int bq_call_plain(struct bq *bq, struct rcmd *cmd, int64_t deadline, struct err *err) MUST_CHECK;
/* The same for one command that answers with an integer. An error of Redis is ERR_REPLY. */
int bq_call_int(struct bq *bq, struct rcmd *cmd, int64_t deadline, int64_t *value, struct err *err) MUST_CHECK;
/* The same where a negative integer is a script's failure: 0, else the code it stands for. ERR_BROKEN as from bq_script_error. */
int bq_call_done(struct bq *bq, struct rcmd *cmd, int64_t deadline, struct err *err) MUST_CHECK;

/* The time that a score of `delayed`, or of a marker, stands for: anybody may have written any number. */
int64_t bq_time_ms(double ms);
/* When a delayed job is due, by its score; -1: there is none. */
int64_t bq_due_ms(struct str score);

/* ---- outbox.c ---- */
/* The two arguments by which a script knows what the queue's outbox takes: the bytes of data and of the return value. */
void bq_arg_outbox(struct rcmd *cmd, const struct bq_queue *q);
/* The one of scripts that add. */
/* One argument: those of all outboxes that are kept together with this queue's, a line each. */
void bq_arg_outboxes(struct rcmd *cmd, const struct bq_queue *q);
void bq_arg_outbox_adds(struct rcmd *cmd, const struct bq_queue *q);

/* An error with which a script ended: as rreply_error says where it tells of Redis' own state, which passes, or of rights; else ERR_BROKEN: of the data. */
int bq_script_error(struct str text, struct err *err);
/* What a negative number of an official script stands for. */
int bq_script_failure(int64_t code, struct err *err);

/* A packed value as an argument; released. */
void bq_arg_packed(struct rcmd *cmd, struct buf *packed);

/* The members token, lockDuration, limiter and name, which moveToActive and moveToFinished take. */
void bq_pack_worker(struct mp_map *m, const struct bq_worker *w, struct str token);
/* The reply of a script that fetches a job: moveToActive, moveToFinished. */
int bq_read_taken(const redisReply *r, struct arena *a, struct bq_job *job, struct bq_taken *out, struct err *err) MUST_CHECK;

/* ---- finish.c: what the scripts are told of an end ---- */
/* How many finished jobs stay: the job's own wish, else the worker's, else all. */
const struct bq_keep *bq_keep_of(const struct bq_job *job, const struct bq_worker *w, bool failed);
/* moveToFinished's options, packed. */
struct buf bq_pack_finish(const struct bq_worker *w, const struct bq_job *job, struct str token, bool failed);
/* The job fields that a failed attempt leaves behind, packed: a flat array of names and values. */
struct buf bq_pack_failure(const struct bq_job *job, const struct bq_failure *f);
/* As the official client's shouldRetryJob; *delay_ms for BQ_FAILED_DELAYED. */
enum bq_failed bq_failure_kind(const struct bq_job *job, const struct bq_failure *f, int64_t *delay_ms);

/* ---- hold.c ---- */
/* The wish that the job stop: replied is the creation time of the job that is meant, or nil. */
void bq_put_cancel_mark(struct rcmd *cmd, const struct bq_queue *q, struct str id);
/* Removes a job with its children: 1, 0 when somebody holds one of them, or a failure's number. from: the sorted set that it must stand in;
 * BQ_KEY_BASE: wherever it is. */
void bq_put_remove(struct rcmd *cmd, const struct bq_queue *q, struct str id, enum bq_key from);

/* A delayed job's score is its time in ms times this, and a sequence below it. */
#define BQ_DELAYED_SHIFT 4096
/* A reply's number, or another where it is none. */
static inline int64_t bq_number_or(const redisReply *r, int64_t otherwise)
{
	int64_t v;

	return rreply_int(r, &v) ? v : otherwise;
}

/* ---- inspect.c ---- */
/* A pattern for SCAN: the prefix, which may hold what a pattern gives a meaning to, and the rest. */
void bq_pattern(struct buf *out, struct str prefix, const char *rest);

/* ---- status.c: counts ---- */
#define BQ_COUNTS_COMMANDS 9
void bq_put_counts(struct rcmd *cmd, const struct bq_queue *q);
/* Reads the replies of its BQ_COUNTS_COMMANDS commands. */
int bq_read_counts(struct bq_counts *out, redisReply *const *replies, struct err *err) MUST_CHECK;

/* The field of a queue's meta that says why it was paused (inspect.h, admin.h). */
#define BQ_META_PAUSE "sluice:pause"

/* ---- job.c: hash fields ---- */
#define BQ_JOB_FIELD_COUNT 21

/* A job of which nothing is known. */
void bq_job_init(struct bq_job *job);
/* HMGET of every field, or of those that a purpose needs. */
enum bq_job_read {
	BQ_READ_ALL = 1,
	BQ_READ_HEAD = 2,        /* all but data, returnvalue and stacktrace */
	BQ_READ_TO_END = 4,      /* what any ending depends on, and is counted by */
	BQ_READ_TO_COMPLETE = 8, /* what a completion does */
};
void bq_job_fetch(struct rcmd *cmd, const struct bq_queue *q, struct str id, enum bq_job_read read);
/* Reads its reply: ERR_NOT_FOUND when nothing is there, ERR_NOMEM. `like` (may be NULL): a job that was read into the same arena; where both
 * have the same options, as jobs that were added together do, they are not read again. */
int bq_job_from_values(struct bq_job *job, struct str id, enum bq_job_read read, const redisReply *values, const struct bq_job *like,
		       struct arena *a) MUST_CHECK;
/* Reads HGETALL's reply. */
int bq_job_from_pairs(struct bq_job *job, struct str id, const redisReply *pairs, const struct bq_job *like, struct arena *a) MUST_CHECK;

#endif
