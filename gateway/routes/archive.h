/* Jobs that Redis has no more, as their records tell of them; with the same rules of who may see what. A connection thread may call: PostgreSQL is
 * spoken to elsewhere. */
#ifndef SLUICE_GATEWAY_ROUTES_ARCHIVE_H
#define SLUICE_GATEWAY_ROUTES_ARCHIVE_H

#include "gateway/routes/access.h"

/* A job that Redis had not. ERR_NOT_FOUND; ERR_EXPIRED: its id was given out, and nobody knows the job's end; ERR_NO_RECORDS: records are kept, and
 * cannot be asked now. */
int archived_job(struct request *r, const struct queue_ref *q, struct str id, bool with_payload, struct bq_job *job, struct err *err) MUST_CHECK;

/* Those of jobs[] whose state is unknown, by ids[]: filled in where a record tells of their end to this caller. ERR_NO_RECORDS. */
int archived_jobs(struct request *r, const struct bq_queue *q, const struct str *ids, struct bq_job *jobs, size_t n, struct err *err) MUST_CHECK;

#endif
