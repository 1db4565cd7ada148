/* Queues are declarations: the built-in three, changed and extended by the file that SLUICE_QUEUES names. BullMQ's words; ms, except
 * `age`, which is in seconds. Immutable after loading: any thread may read. */
#ifndef SLUICE_PROCESSORS_RUNTIME_DECLARATION_H
#define SLUICE_PROCESSORS_RUNTIME_DECLARATION_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/table.h"
#include "lib/bullmq/bq.h"
#include "lib/records/policy.h"
#include "lib/schema/schema.h"
#include "processors/runtime/processor.h"

struct declaration {
	struct bq_queue queue;
	struct str name, job_name;  /* job_name: the name given by the creation endpoints */
	const struct processor *processor; /* NULL: "none"; jobs wait for other workers */
	struct str processor_name;
	struct str settings;        /* the processor's own: a JSON object; .p NULL: none given */
	unsigned concurrency;
	struct bq_opts defaults;    /* attempts, backoff, removeOnComplete, removeOnFail, … of the declaration */
	int64_t lock_ms, stalled_interval_ms, max_stalled, timeout_ms, max_waiting;
	struct bq_limiter limiter;
	struct schema *payload;     /* NULL: any JSON object */
	struct records_policy record;
};

struct declarations {
	struct declaration *items;
	size_t count;
	struct table by_name;
	struct arena arena;
	struct bq_opts defaults;    /* BULLMQ_DEFAULT_JOB_OPTIONS */
};

#define DECLARATION_LOCK_MS 30000    /* of a queue that says nothing else */

/* What a worker of this queue brings along; name as bq_worker's. */
struct bq_worker declaration_worker(const struct declaration *decl, struct str name);

typedef const struct processor *processor_lookup(struct str name);

/* prefix: BULLMQ_PREFIX. file: SLUICE_QUEUES or NULL. default_opts: BULLMQ_DEFAULT_JOB_OPTIONS or STR_NONE. workers: 0, or the
 * concurrency of every queue (--workers). err names the file, the queue and the field. */
int declarations_load(struct declarations *d, struct str prefix, const char *file, struct str default_opts, unsigned workers,
		      processor_lookup *lookup, struct err *err) MUST_CHECK;
void declarations_release(struct declarations *d);
const struct declaration *declarations_find(const struct declarations *d, struct str name); /* NULL: none */

#endif
