/* What every route that creates jobs does in the same way: options, idempotency. A request's thread; results are in its arena. */
#ifndef SLUICE_GATEWAY_ROUTES_CREATION_H
#define SLUICE_GATEWAY_ROUTES_CREATION_H

#include "gateway/http/request.h"
#include "gateway/services.h"
#include "lib/bullmq/bq.h"
#include "lib/schema/schema.h"
#include "processors/runtime/declaration.h"

/* Checks against a schema of schemas.json what the route's own schema does not reach. */
bool creation_fits(const struct request *r, const char *schema, const struct jdoc *doc, uint32_t node, struct str prefix,
		   struct schema_report *report) MUST_CHECK;
/* Reads an options object; every fault is an issue under `prefix`. */
bool creation_read_options(struct request *r, const struct jdoc *doc, uint32_t node, struct str prefix, struct bq_opts *out,
			   struct schema_report *report) MUST_CHECK;
/* A job with no options and no idempotency key yet; decl may be NULL. */
struct bq_add creation_job(const struct declaration *decl, struct str name, struct str data);
/* Reads {name, data, opts}, whose shape a schema has checked, with what only the queue knows. What the job points to is in the document's
 * text and the request's arena. */
bool creation_read_item(struct request *r, const struct declaration *decl, const struct jdoc *doc, uint32_t node, struct str prefix,
			struct bq_add *job, struct schema_report *report) MUST_CHECK;

/* Completes what the request asked for: request before declaration (may be NULL) before BULLMQ_DEFAULT_JOB_OPTIONS; and who submits the job. */
void creation_options(struct request *r, const struct declaration *decl, struct bq_opts *o);
/* The same of a job for which nothing was asked for. */
void creation_usual_options(struct request *r, const struct declaration *decl, struct bq_opts *o);

/* The Idempotency-Key header without quotes, STR_NONE when absent; false (and the response written) when it is too long or empty. */
bool creation_key_or_reply(struct request *r, struct response *res, struct str *out) MUST_CHECK;

/* As struct bq_add and struct bq_flow take it; .key.p NULL: none. */
struct idempotency {
	struct str key, fingerprint;
	int64_t ttl_ms;
};

/* The record's key "P:Q:idem:<sha256(org, route, key)>" and the fingerprint of what is asked for. In an array, and among lines, each item has its
 * own: index 1, 2, …; 0 for a request's only one. */
struct idempotency creation_idempotency(struct request *r, const struct bq_queue *q, struct str key, struct str body, size_t index);

void creation_set_key(struct bq_add *job, struct idempotency idem);

/* An add has failed: it is counted, and *res says why. */
void creation_refused(struct request *r, struct response *res, const struct err *err);

/* In an answer that goes item by item, what stands for one that was not added: "problem" with the members of a problem of its own. `item`, which
 * response_invalid, _problem or _error has filled, is emptied. */
void creation_add_problem(struct jwrite *w, struct response *item);

/* May jobs of this queue (NULL: not declared) carry the data at `data`? What is wrong goes into the report. */
bool creation_payload_fits(const struct declaration *decl, const struct jdoc *doc, uint32_t data, struct str prefix,
			   struct schema_report *report) MUST_CHECK;

#endif
