/* Forgetting what was kept of a person's jobs. Any thread; its stack of 64 KiB suffices. */
#ifndef SLUICE_RECORDS_ERASE_H
#define SLUICE_RECORDS_ERASE_H

#include "lib/pg/pglink.h"
#include "lib/records/records.h"

struct record_erasure {
	struct str org, user; /* the jobs that the user submitted, and those with the user in data.userId */
	struct str by;        /* who asks for it */
};

struct record_erased {
	int64_t deleted;    /* how many records, */
	int64_t unfinished; /* and how many of these were of jobs of whose end nothing was known: they are where they were */
	bool more;          /* time was over with others left: it must be asked for again */
};

/* Deletes, in steps of a bounded size, the records of jobs that were created up to now; those that still wait in an outbox are not kept either when
 * their turn comes, and the ends of those that have not ended yet. Gives up at `until`. As pg_query; what was deleted before a failure is. */
int records_erase(struct records *rec, const struct record_erasure *e, int64_t until_mono_ms, struct record_erased *out, int64_t deadline_mono_ms,
		  struct err *err) MUST_CHECK;

struct record_batch;

/* For who writes the batch, in the same transaction and behind it: takes out again what has been erased. An erasure that begins meanwhile waits for the
 * transaction's end, and deletes itself what was written. */
int records_leave_out_erased(struct pglink *l, const struct record_batch *batch, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

#endif
