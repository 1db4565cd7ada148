/* One action on all jobs of a state that fit a filter, a step at a time.
 *
 *     struct bulk b;
 *     bulk_init(&b, &spec);
 *     do rc = bulk_step(bq, &b, arena, deadline, &err); while (rc == 0 && !b.done);
 *     bulk_release(&b);
 *
 * Only jobs that were there, or had ended, when it began are met, so it comes to its end however fast retried jobs fail again. A step looks at
 * BULK_STEP jobs, of a clean at fewer. One thread at a time. */
#ifndef SLUICE_GATEWAY_BULK_H
#define SLUICE_GATEWAY_BULK_H

#include "lib/bullmq/admin.h"

#define BULK_STEP 200

enum bulk_action {
	BULK_COUNT, /* how many it would be */
	BULK_RETRY,
	BULK_REMOVE,
	BULK_PROMOTE,
	BULK_CLEAN, /* the last. REMOVE as the official client's clean does it, many jobs in one script: by state and age only */
};

const char *bulk_action_word(enum bulk_action a);
bool bulk_action_of(struct str word, enum bulk_action *out); /* false: there is no such action */

struct bulk_spec {
	const struct bq_queue *queue;
	enum bulk_action action;
	enum bq_state state;
	struct str name;       /* .p NULL: any */
	struct str error;      /* a part of failedReason; .p NULL: any */
	int64_t older_than_ms; /* since the end, of others since they were added; 0: any */
};

struct bulk_counts {
	int64_t scanned, matched;
	int64_t changed, skipped; /* of the matched; skipped: somebody held it, or it was gone or elsewhere by then */
};

struct bulk {
	struct bulk_spec spec;
	struct bulk_counts counts;
	bool done;
	/* its own */
	struct bq_cursor at;
	struct bq_clean clean;
	struct buf last_id; /* what the cursor points to between two steps, whose arenas differ; other clients' ids may have any length */
	int64_t began_ms, most;
};

/* The spec's strings must outlive it. */
void bulk_init(struct bulk *b, const struct bulk_spec *spec);
void bulk_release(struct bulk *b);
/* The arena is for this step only. After a failure the same step may be tried again: what it had done before is found
 * done. Only jobs whose outcome nobody knows are missing from the counts then. */
int bulk_step(struct bq *bq, struct bulk *b, struct arena *a, int64_t deadline, struct err *err) MUST_CHECK;

#endif
