/* The runtime: processor threads per declared queue, and everything a BullMQ worker does besides running jobs.
 *
 *     struct runtime *rt = runtime_new(&options, &err);
 *     runtime_start(rt, &err);
 *     ...
 *     runtime_drain(rt, deadline);    takes no more jobs, lets running ones finish; past the deadline they are put back
 *     runtime_stop(rt);               joins every thread
 *     runtime_free(rt);
 *
 * Its threads:
 *     worker N of a queue   runs the processor for one job after another (worker.c); a queue's workers share the calls that
 *                           end jobs and take others (exchange.c)
 *     watcher               one blocking connection over the markers of queues with a free slot (watcher.c)
 *     upkeep                renews locks, promotes due jobs, recovers stalled ones, trims finished ones, cancels jobs past their deadline
 *                           (upkeep.c); runs for every declared queue, also where no job is run (role api). Gives back what was taken unheard
 *
 * Locks: runtime's `mu` guards what several of them share; it is never held during a call to Redis. */
#ifndef SLUICE_PROCESSORS_RUNTIME_RUNTIME_H
#define SLUICE_PROCESSORS_RUNTIME_RUNTIME_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/bullmq/bq.h"
#include "lib/redis/raddr.h"
#include "processors/runtime/context.h"
#include "processors/runtime/declaration.h"

struct runtime;

struct runtime_options {
	struct bq *bq;
	const struct raddr *redis;            /* for the watcher's and the named connections; copied */
	const struct declarations *queues;
	struct tallies *tallies;              /* of those queues; they must outlive the runtime */
	struct processor_env env;             /* copied; what it points to must outlive the runtime */
	bool run_jobs;                        /* false in role api: upkeep only */
	int64_t redis_timeout_ms;             /* for one call; 0 = 5000 */
};

struct runtime *runtime_new(const struct runtime_options *o, struct err *err);
/* Starts the processors (their start functions) and the threads. Redis need not be up. A failure leaves none of them behind. */
int runtime_start(struct runtime *rt, struct err *err) MUST_CHECK;
/* Declarations were adopted (declaration.h): takes up new queues, and as many workers as are declared now. What can be done is; a failure says
 * of the first queue what could not. The thread that has started the runtime. */
int runtime_heed_declarations(struct runtime *rt, struct err *err) MUST_CHECK;
/* Tells that the multiplexer's connection came up (again) or broke. Any thread, never blocks. */
void runtime_redis_state(struct runtime *rt, bool up);
void runtime_drain(struct runtime *rt, int64_t deadline_mono_ms);
void runtime_stop(struct runtime *rt);
void runtime_free(struct runtime *rt);

/* Jobs being run now, and threads there are. Any thread. */
unsigned runtime_busy(const struct runtime *rt);
unsigned runtime_slots(const struct runtime *rt);

/* For how long the job of this queue that has run longest here has been running; 0 when none runs. Any thread. */
int64_t runtime_oldest_ms(struct runtime *rt, const struct declaration *decl);

/* What is measured only when somebody looks: for how long the oldest job of each queue has been running, and whether each processor has what it
 * needs. Any thread. */
void runtime_observe(struct runtime *rt);

/* Asks a job that runs in this process to stop: true when it runs here. It ends failed with "CANCELLED: …". Any thread. */
bool runtime_cancel(struct runtime *rt, const struct bq_queue *q, struct str job_id);

/* A call that was to take jobs of any queue under this token, or under tokens that begin with it (bq_take_many), ended with ERR_UNKNOWN_OUTCOME, and
 * nobody was told of a job: what it took goes back to the front of the queue, as soon as Redis answers. Without memory, and where too many such
 * calls are known, the jobs stall. Copies are made. Any thread, never blocks. */
void runtime_unheard(struct runtime *rt, const struct bq_queue *q, const char *token);

#endif
