/* Jobs ended and taken in groups: what the workers of one process have to tell about a queue and want from it, in one round trip.
 *
 *     struct bq_end_args args = {0};                            each worker that has ended its job
 *     bq_end_encode(&args, w, &job, &ending, &how);
 *     ...
 *     struct bq_work work = {.queue = q, .worker = w, .token_stem = stem, .free = 3, .frees = true, .endings = all, .n_endings = n};
 *     bq_work_command(&cmd, &work);                             then rmux_call or rmux_send of bq_mux
 *     ...
 *     rc = bq_work_read(reply, &answer, &err);
 *     rc = bq_work_ended(&answer, i, &err);                     for each ending
 *     rc = bq_work_taken(&answer, i, NULL, &arena, &job, &token, &err);  for i < answer.n_taken
 *
 * It is as if the endings had been told one by one, each as by bq_complete, bq_fail, bq_delay, bq_release, and then bq_take called
 * for each free worker; no more jobs are taken than workers are free. What is wrong with one ending touches no other. Building and
 * reading: any thread, nothing is shared. */
#ifndef SLUICE_BULLMQ_WORK_H
#define SLUICE_BULLMQ_WORK_H

#include "lib/bullmq/bq.h"

/* Endings in one call, and as many takes: Redis serves nobody else meanwhile. */
#define BQ_WORK_PER_CALL 100

enum bq_end { BQ_END_COMPLETE, BQ_END_FAIL, BQ_END_DELAY, BQ_END_RELEASE };

struct bq_ending {
	enum bq_end kind;
	struct str token;
	struct str value;                 /* complete: the return value, JSON text; empty: null */
	const struct bq_failure *failure; /* fail */
	int64_t delay_ms;                 /* delay */
};

/* One ending ready for the wire. Zeroed at first, used again and again, released with bq_end_release. */
struct bq_end_args {
	struct rcmd wire;
	size_t count; /* arguments */
	size_t alike; /* bytes at the front of them that a completion may have in common with others */
};

/* *how: what becomes of a job that failed (bq_fail's), else untouched. Without memory args->wire is failed, and so the command that
 * takes it in. */
void bq_end_encode(struct bq_end_args *args, const struct bq_worker *w, const struct bq_job *job, const struct bq_ending *e,
		   enum bq_failed *how);
void bq_end_release(struct bq_end_args *args);

struct bq_work {
	const struct bq_queue *queue;
	const struct bq_worker *worker;
	struct str token_stem; /* unique: the token of the jobs taken */
	bool tokens_apart;     /* each has its own: "-" and a number stand behind the stem */
	size_t free;           /* workers that wait for a job; each is one take */
	bool frees;            /* each ending that succeeds is one more */
	const struct bq_end_args *const *endings;
	size_t n_endings;      /* <= BQ_WORK_PER_CALL, as is `free` */
};
void bq_work_command(struct rcmd *cmd, const struct bq_work *work);

struct bq_work_answer {
	const redisReply *codes_, *taken_, *taken_at_;
	struct str taken_by_;
	size_t n_taken;
	struct bq_taken nothing; /* .got when a job was taken; else why not, as from bq_take */
	struct str trouble;      /* what went wrong beside the endings, e.g. in taking; empty: nothing */
};
/* Valid as long as the reply. ERR_REPLY, ERR_PROTOCOL: nothing is known of any ending. */
int bq_work_read(const redisReply *reply, struct bq_work_answer *out, struct err *err) MUST_CHECK;
/* As from bq_complete and the others. */
int bq_work_ended(const struct bq_work_answer *answer, size_t i, struct err *err) MUST_CHECK;
/* ERR_NOMEM: the job is taken but not read; its lock runs out. `like` (may be NULL): a job that was read into the same arena, and may have the
 * same options. */
int bq_work_taken(const struct bq_work_answer *answer, size_t i, const struct bq_job *like, struct arena *a, struct bq_job *job,
		  struct str *token, struct err *err) MUST_CHECK;

#endif
