/* Queues are declarations: the built-in three, changed and extended by the file that SLUICE_QUEUES names. BullMQ's words; ms, except
 * `age`, which is in seconds. Any thread may read; one loads and adopts. */
#ifndef SLUICE_PROCESSORS_RUNTIME_DECLARATION_H
#define SLUICE_PROCESSORS_RUNTIME_DECLARATION_H

#include <stdatomic.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/table.h"
#include "lib/bullmq/bq.h"
#include "lib/records/policy.h"
#include "lib/schema/schema.h"
#include "processors/runtime/processor.h"

/* What is said of the queue's jobs. While the program serves, other terms may come in force; who reads more than one of them keeps
 * the pointer. */
struct queue_terms {
	struct str job_name;        /* the name given by the creation endpoints */
	unsigned concurrency;
	struct bq_opts defaults;    /* attempts, backoff, removeOnComplete, removeOnFail, … of the declaration */
	struct bq_opts complete;    /* and behind them BULLMQ_DEFAULT_JOB_OPTIONS: those of a job that brings none; prepared */
	int64_t lock_ms, stalled_interval_ms, max_stalled, timeout_ms, max_waiting;
	struct bq_limiter limiter;
	struct schema *payload;     /* NULL: any JSON object */
};

struct declaration {
	/* Never changed. */
	struct bq_queue queue;
	struct str name;
	size_t index;               /* among the items */
	const struct processor *processor; /* NULL: "none"; jobs wait for other workers */
	struct str processor_name;
	struct str settings;        /* the processor's own: a JSON object; .p NULL: none given */
	struct records_policy record;
	struct queue_terms loaded;  /* as they stood beside the above */
	/* Any thread. */
	const struct queue_terms *_Atomic terms; /* those in force; valid until declarations_release */
};

struct declarations {
	struct declaration **items; /* in the order in which they were declared */
	_Atomic size_t count;       /* any thread; only grows */
	const struct table *_Atomic by_name;
	struct bq_opts defaults;    /* BULLMQ_DEFAULT_JOB_OPTIONS */
	/* Of whoever loads and adopts. */
	struct str text;            /* the file as it was read; .p NULL: there is none */
	size_t own;                 /* of the items, those that were loaded with it */
	struct table index;         /* by_name points here, or into what was adopted last */
	struct arena arena;
	struct declarations *adopted; /* the last one; it leads to the one before */
};

#define DECLARATIONS_MAX 1000
#define DECLARATION_LOCK_MS 30000    /* of a queue that says nothing else */

/* What a worker of this queue brings along; name as bq_worker's. */
struct bq_worker declaration_worker(const struct declaration *decl, struct str name);

typedef const struct processor *processor_lookup(struct str name);

/* prefix: BULLMQ_PREFIX. file: SLUICE_QUEUES or NULL. default_opts: BULLMQ_DEFAULT_JOB_OPTIONS or STR_NONE. workers: 0, or the
 * concurrency of every queue (--workers). err names the file, the queue and the field. */
int declarations_load(struct declarations *d, struct str prefix, const char *file, struct str default_opts, unsigned workers,
		      processor_lookup *lookup, struct err *err) MUST_CHECK;

/* What a later reading says anew, in two steps, with *later loaded as *d was, on the heap, and the caller's until it is adopted.
 *
 *     declarations_compare(d, later, &left, &err)     ERR_EXISTS: nothing has changed; else why it cannot be taken
 *     ... declarations_is_new(d, later->items[i]) ... what a new queue needs before it is used
 *     declarations_adopt(d, later);                   its terms are in force, its new queues are there
 *
 * What else it says waits for a restart: `left` gets a line for each such thing. The terms before stay, since somebody may be reading them. */
int declarations_compare(struct declarations *d, struct declarations *later, struct buf *left, struct err *err) MUST_CHECK;
bool declarations_is_new(const struct declarations *d, const struct declaration *later);
void declarations_adopt(struct declarations *d, struct declarations *later);
void declarations_release(struct declarations *d);
const struct declaration *declarations_find(const struct declarations *d, struct str name); /* NULL: none */

#endif
