/* Writing rows to PostgreSQL. Inside lib/records only; the writer's thread. */
#ifndef SLUICE_RECORDS_STORE_H
#define SLUICE_RECORDS_STORE_H

#include "lib/base/arena.h"
#include "lib/pg/pglink.h"
#include "lib/records/row.h"

#define RECORD_WEEK_MS INT64_C(604800000)
#define RECORD_WEEKS 64

/* Weeks of creation whose partitions are known to be there. */
struct record_weeks {
	int64_t seen[RECORD_WEEKS];
	size_t n;
};

struct record_batch {
	struct str prefix, queue;
	struct record_row *rows; /* in the order in which things happened; a job may have several */
	size_t n;
	bool merge; /* some of them may have been written before: none is taken for a first one */
};

/* Writes them as part of the transaction that the link is in: rows of jobs that hardly have a record yet by COPY, the others one after the other
 * into what is there. ERR_REPLY with the state 23505: a record was there after all; roll back and call again with `merge`. Doing it twice
 * comes to the same as doing it once. */
int record_store(struct pglink *l, const struct record_batch *batch, struct record_weeks *weeks, struct arena *a, int64_t deadline_mono_ms,
		 struct err *err) MUST_CHECK;

/* Makes the partition of the moment's week unless it is far from now, or known to be there. */
int record_week_ensure(struct pglink *l, struct record_weeks *weeks, int64_t moment_ms, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;

#endif
