/* The runtime's own structs, shared by the files of this folder and by nobody else. */
#ifndef SLUICE_PROCESSORS_RUNTIME_PRIVATE_H
#define SLUICE_PROCESSORS_RUNTIME_PRIVATE_H

#include <stdatomic.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/bullmq/work.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/base/parker.h"
#include "lib/redis/rblock.h"
#include "processors/runtime/runtime.h"
#include "processors/runtime/tally.h"

/* Why a job must stop. The first reason stays. */
enum cancel { CANCEL_NONE, CANCEL_ASKED, CANCEL_TIMEOUT, CANCEL_LOCK_LOST, CANCEL_SHUTDOWN };

#define JOB_ARENA_BYTES ((size_t)64 << 20)

struct rqueue;

/* One job being run; each worker has one and uses it again and again. */
struct job_context {
	/* owned by the worker's thread */
	struct rqueue *q;
	struct bq_job job;
	struct jdoc data;
	struct arena arena;
	struct buf result, reason, progress;
	int64_t delay_ms;
	int64_t progress_due_mono_ms; /* not before */
	/* set before the job is listed as running, read by others while it is */
	char token[BQ_TOKEN_SIZE];
	struct str id;
	int64_t started_mono_ms, deadline_mono_ms;
	int cancel_fd;
	/* any thread */
	_Atomic int cancel;
	/* protected by runtime.mu */
	bool running;       /* listed: its lock is renewed */
};

struct worker {
	/* set before start */
	struct rqueue *q;
	struct thread thread;
	/* owned by the worker's thread */
	struct job_context ctx;
	struct bq_end_args ending;
	/* owned by the worker's thread; while it waits, by whoever has the answer */
	struct parker parker;
	int rc;                 /* of the ending */
	struct err err;
	bool looked;            /* with the ending it was asked for a next job */
	bool rested;            /* when it was woken last, it had been resting */
	bool has_next;
	struct bq_job next;     /* taken for this worker, which has not begun with it */
	struct arena next_arena;
	char next_token[BQ_TOKEN_SIZE];
	/* protected by runtime.mu */
	struct worker *beside;  /* the next one of the list in which it waits */
	struct worker *sibling; /* the next one of the queue */
};

/* A call to Redis by which workers tell how their jobs ended and get the next ones. */
struct exchange_call {
	/* set before start */
	struct rqueue *q;
	/* protected by runtime.mu */
	bool under_way;
	/* owned by whoever sends it, then by whoever has its answer */
	struct worker *told;    /* those whose endings are in it */
	unsigned told_idle;     /* for how many idle workers it takes */
	bool told_frees;        /* and one for each of the told */
	char token[BQ_TOKEN_SIZE]; /* of all jobs taken: it is never taken for that of another call */
};
#define EXCHANGE_CALLS 2    /* under way at once */

/* A call whose answer never came: what it took is to be given back. */
struct unheard {
	struct bq_queue queue; /* of its own: the caller's may go */
	char token[BQ_TOKEN_SIZE];
	struct unheard *next;
};
#define UNHEARD_MAX 256

/* A declared queue. */
struct rqueue {
	/* set before start */
	struct runtime *rt;
	const struct declaration *decl;
	void *processor_state;
	void *settings;         /* the processor's, for this queue */
	bool runs;              /* its jobs are run here */
	char worker_name[64];
	struct series *m_run_seconds, *m_processor_run_seconds, *m_busy, *m_slots;
	/* protected by runtime.mu */
	struct worker *workers; /* all of them; those that are there stay */
	unsigned n_workers;
	unsigned concurrency;   /* how many may work */
	unsigned n_working;     /* how many do or would: the others rest */
	struct worker *resting; /* since there are more than the declaration says now */
	struct worker *idle;    /* those that wait for a job, the last one first: its memory is warm */
	unsigned n_idle;
	unsigned promised;      /* of the idle, those for whom a call under way takes */
	struct worker *ended, **ended_end; /* those whose endings go into the next call, in the order of arrival */
	unsigned n_ended;
	unsigned n_calls;       /* under way */
	struct exchange_call calls[EXCHANGE_CALLS];
	bool look;              /* jobs may be there: the next call takes, even if nothing has ended */
	bool watched;           /* in the watcher's present set */
	int64_t next_look_mono_ms;    /* (rate limit), 0: none */
	/* the upkeep thread only */
	int64_t locks_mono_ms, cancel_mono_ms, promote_mono_ms, stalled_mono_ms, trim_mono_ms; /* when each duty is due */
	struct rconn *presence; /* the idle connection by which getWorkers sees us */
};

struct runtime {
	/* set before start */
	struct bq *bq;
	struct raddr redis;
	struct processor_env env;
	struct tallies *tallies;
	const struct declarations *decls;
	bool run_jobs;
	int64_t redis_timeout_ms;
	struct rqueue *queues;    /* room for DECLARATIONS_MAX */
	_Atomic size_t n_queues;  /* grows under mu */
	struct thread watcher_thread, upkeep_thread;
	struct rblock watch;      /* the watcher's connection */
	/* the upkeep thread only */
	int64_t unheard_mono_ms;  /* it gives back what was taken unheard, not before */
	/* any thread */
	_Atomic bool draining, stopping, relock_due;
	_Atomic unsigned busy;
	/* protected by mu */
	struct lock mu;
	struct cond upkeep_wake;
	struct cond watch_wake;
	struct cond idle_changed; /* a worker became idle or busy (drain waits) */
	bool terms_changed;       /* upkeep has not looked at them yet */
	struct unheard *unheard;  /* the last one first */
	unsigned n_unheard;
	int64_t promote_hint_wall_ms; /* a delayed job is due then, as a marker told; 0: none */
};

/* What the queue is to Redis, by the terms in force. */
static inline struct bq_worker rqueue_worker(const struct rqueue *q)
{
	return declaration_worker(q->decl, str_from(q->worker_name));
}

static inline int64_t runtime_deadline(const struct runtime *rt)
{
	return clock_mono_ms() + rt->redis_timeout_ms;
}

/* worker.c */
void worker_main(void *arg);
/* exchange.c */
/* Waits until the worker has its next job; `look`: asks for one at once, else when there is news of jobs. False when the runtime is
 * draining. */
bool exchange_take(struct worker *w, bool look);
/* Tells that the job has ended, as bq_work_ended says it. The worker may have its next job then (has_next). */
int exchange_end(struct worker *w, const struct bq_ending *e, enum bq_failed *how, struct err *err);
/* News of jobs: they are taken for the idle workers. False when there is none. Takes rt->mu. */
bool exchange_look(struct rqueue *q);
/* After a pause, as a rate limit asks for: the same at that time. Takes rt->mu. */
void exchange_look_at(struct rqueue *q, int64_t mono_ms);
/* The runtime is draining: sends the idle workers home. mu is held. */
void exchange_dismiss(struct rqueue *q);
/* q->concurrency has changed: workers rest, or go on. mu is held. */
void exchange_resize(struct rqueue *q);
/* context.c */
void context_init(struct job_context *ctx, struct rqueue *q);
void context_release(struct job_context *ctx);
void context_clear(struct job_context *ctx); /* for the next job */
void context_cancel(struct job_context *ctx, enum cancel why);
void context_flush_progress(struct job_context *ctx);
/* watcher.c */
extern const struct rblock_kind WATCHER_KIND;
void watcher_main(void *arg);
/* The queue has an idle worker again but the watcher does not wait for it: mu is held. */
void watcher_refresh(struct runtime *rt);
/* A marker was taken of which no use can be made: somebody else is to be woken by it. */
void watcher_put_back(const struct rqueue *q);
/* upkeep.c */
void upkeep_main(void *arg);
/* A delayed job is due at that wall time: promotion looks then. Takes rt->mu. */
void upkeep_hint(struct runtime *rt, int64_t due_wall_ms);
/* Upkeep has ended: what it could not give back is forgotten. */
void upkeep_release(struct runtime *rt);

#endif
