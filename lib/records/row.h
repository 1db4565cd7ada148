/* A row of sluice.records, made of what the outbox tells of a job. What PostgreSQL cannot hold (a NUL, bytes that are not UTF-8) becomes U+FFFD;
 * a queue's policy decides what of data and return value is kept. Memory is the arena's. Any thread. */
#ifndef SLUICE_RECORDS_ROW_H
#define SLUICE_RECORDS_ROW_H

#include "lib/base/arena.h"
#include "lib/bullmq/outbox.h"
#include "lib/records/policy.h"

#define RECORD_FIELDS_MAX 32       /* members of data by which a record can be found, */
#define RECORD_FIELD_MAX_BYTES 256 /* and how long their values may be */
#define RECORD_ID_MAX_BYTES 1024   /* an index of PostgreSQL takes no more than 2704 bytes: jobs whose ids are longer have no record, */
#define RECORD_NAME_MAX_BYTES 512  /* names and organizations are cut; ours are shorter */

struct record_row {
	struct str job_id;
#define TEXT struct str
#define INT int64_t
#define MAYBE int64_t
#define FLAG bool
#define COLUMN(n, name, kind, type, merge) kind name;
#include "lib/records/columns.def"
#undef COLUMN
#undef FLAG
#undef MAYBE
#undef INT
#undef TEXT
	bool first; /* there is hardly a record of the job yet */
};

/* Makes the row of an entry. ERR_NOMEM; ERR_LIMIT: the id is too long for a record. */
int record_row_make(struct record_row *row, const struct bq_entry *e, const struct records_policy *policy, struct arena *a) MUST_CHECK;

/* A job of which only its end is known, from an event: `value` is its return value or the reason. at_ms: when. */
struct record_trace {
	struct str id, name;   /* name .p NULL: unknown */
	int64_t created_ms, at_ms;
	enum bq_state state;   /* COMPLETED, FAILED; else it was removed */
	struct str value;
	int64_t value_bytes;   /* of a value that was left out; -1: it was not */
};
/* As record_row_make. */
int record_row_trace(struct record_row *row, const struct record_trace *t, const struct records_policy *policy, struct arena *a) MUST_CHECK;

/* What tells a job from all others of its queue, as one text; .p NULL: no memory. */
struct str record_key(int64_t created_ms, struct str job_id, struct arena *a);

/* Can jsonb hold the number? Its numeric has at most 16383 digits behind the point, JSON as many as it likes. */
bool record_number_fits(struct str raw);

/* Has everything that a record of it could have: an entry of its add, a moment before, adds nothing. */
bool record_row_is_whole(const struct record_row *row);

#endif
