/* One notification from its job to what came of it: the payload, the addresses, and for each of them the ledger and the sending.
 *
 *     struct task t = {.n = notifier, .ctx = job, …};
 *     enum outcome outcome = task_run(&t);        has called job_return or job_fail
 *     task_release(&t);
 *
 * The processor's thread. */
#ifndef SLUICE_PROCESSORS_NOTIFICATION_TASK_H
#define SLUICE_PROCESSORS_NOTIFICATION_TASK_H

#include "processors/notification/directory.h"
#include "processors/notification/ledger.h"
#include "processors/notification/notifier.h"
#include "processors/runtime/context.h"

struct target {
	struct str address;
	struct ledger_entry entry; /* its attempt is what came of it */
	bool repeated;             /* it may have arrived more than once */
	bool duplicate;            /* it was settled by an earlier run; nothing was sent now */
};

struct task {
	/* set by the caller */
	const struct notifier *n;
	struct job_context *ctx;
	/* in between */
	struct notice m;
	const struct channel *channel;
	struct ledger ledger;
	bool ledger_open;
	struct target targets[DIRECTORY_MAX_ADDRESSES];
	unsigned n_targets;
};

enum outcome task_run(struct task *t);
void task_release(struct task *t);

/* The job's return value (result.c). */
void task_write_result(const struct task *t, struct buf *out);

#endif
