/* What several routes ask in the same way: which queue, whose job, how a job is shown. */
#ifndef SLUICE_GATEWAY_ROUTES_ACCESS_H
#define SLUICE_GATEWAY_ROUTES_ACCESS_H

#include "gateway/http/request.h"
#include "gateway/services.h"
#include "lib/bullmq/bq.h"
#include "processors/runtime/declaration.h"

/* A queue named by a request: declared, or one that only Redis knows. Lives as long as the request. */
struct queue_ref {
	const struct bq_queue *queue;
	const struct declaration *decl; /* NULL: not declared */
};

/* 0; else the response is written (404 queue-unknown, or Redis' failure). */
int queue_ref_or_reply(struct request *r, struct response *res, struct str name, struct queue_ref *out) MUST_CHECK;

/* The job's organization: "default" where another client made it. */
struct str job_owner(const struct bq_job *job);
/* By what name a job is held that the caller has leased: "lease:<worker>:<org>:<sub>", BullMQ's processedBy. In the request's arena; .p NULL without
 * memory. */
struct str lease_name(struct request *r, struct str worker_id);

/* Is the organization's own within the caller's reach here? Another's is by a role that sees every organization and has this route too: who
 * may read everything and make jobs of their own may not delete other organizations' documents. */
bool may_reach_org(const struct request *r, struct str org);
/* May the caller see this job? Workers see what they hold. Another organization's job is answered as if it did not exist. */
bool may_see(const struct request *r, const struct bq_job *job);
/* What is said of a job that the caller may not see: word for word what bq_status says of one that is not there. */
int no_such_job(const struct bq_queue *q, struct str id, struct err *err);

/* The relative URL of a job's status, in the request's arena; "" without memory. */
struct str status_url(struct request *r, struct str queue, struct str id);

/* Writes the job as DESIGN's contract shows it: every field present, unknown is null. */
void write_job(struct request *r, struct jwrite *w, struct str queue, const struct bq_job *job, bool with_payload);
/* The same of a job that its record tells of. */
void write_archived_job(struct request *r, struct jwrite *w, struct str queue, const struct bq_job *job, bool with_payload);
/* The same two without the braces, for an object that has more. */
void write_archived_job_fields(struct request *r, struct jwrite *w, struct str queue, const struct bq_job *job, bool with_payload);
void write_job_fields(struct request *r, struct jwrite *w, struct str queue, const struct bq_job *job, bool with_payload);
/* Text that is meant to be JSON but was written by anybody: as it is when it is JSON, else as a string; null when .p is NULL. */
void write_json_or_string(struct request *r, struct jwrite *w, const char *key, struct str text);
/* A time in ms, null when it is negative. */
void write_time(struct jwrite *w, const char *key, int64_t ms);
void write_counts(struct jwrite *w, const struct bq_counts *c);

/* Members of the body, which a schema has checked: the text decoded, .p NULL when it is absent; the number, or another. */
struct str body_text(const struct request *r, const char *name);
int64_t body_number(const struct request *r, const char *name, int64_t otherwise);
bool body_flag(const struct request *r, const char *name); /* false when it is absent */

#endif
