/* Looks through every queue of a prefix for what cannot be right, and mends it if asked to: for a person at a terminal, not for a server, since
 * it keeps every id in memory. Jobs may come and go meanwhile: what looks wrong is looked at once more, in one moment, before it is told. */
#ifndef SLUICE_BULLMQ_CHECKUP_H
#define SLUICE_BULLMQ_CHECKUP_H

#include "lib/bullmq/inspect.h"

/* X(ID, "word", "what it means", "what mending does"; NULL: nothing, it is for whoever knows what it is) */
#define BQ_FAULTS(X) \
	X(ORPHAN, "orphan", "no list names the job, so no worker will ever take it", "put where it belongs") \
	X(NO_JOB, "no-job", "a list names a job that does not exist", "taken out of the list") \
	X(TWICE, "twice", "the job stands in more than one place", "left in one of them") \
	X(STALE_DEDUPLICATION, "stale-deduplication", "the deduplication id is kept by a job that is gone, and keeps new ones away", "set free") \
	X(LEFT_BY_V5, "left-by-v5", "jobs stand where BullMQ 5 put them while the queue was paused; newer workers do not look there", "put back") \
	X(FOREIGN_KEY, "foreign-key", "something else stands under a key of the queue: nobody can work on it, and it is not looked through", NULL)
enum bq_fault {
#define X(id, word, means, mends) BQ_FAULT_##id,
	BQ_FAULTS(X)
#undef X
	BQ_FAULT_COUNT
};
struct bq_fault_row {
	const char *word, *means, *mends;
};
extern const struct bq_fault_row bq_faults[BQ_FAULT_COUNT];

struct bq_faulty {
	struct str queue, id; /* the id of a job or of a deduplication, the queue's key; "" where the queue as a whole is meant */
	enum bq_fault fault;
};

struct bq_checkup {
	struct str prefix;
	bool mend;
	void (*tell)(void *arg, const struct bq_faulty *found); /* of each fault, mended or not */
	void *arg;
	int64_t queues, jobs; /* looked at: the results */
};

/* Takes as long as it takes, in steps after each of which it rests. */
int bq_check_up(struct bq *bq, struct bq_checkup *c, struct err *err) MUST_CHECK;

#endif
