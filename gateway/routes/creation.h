/* What every route that creates jobs does in the same way: options, idempotency, counting. A request's thread; results are in its arena. */
#ifndef SLUICE_GATEWAY_ROUTES_CREATION_H
#define SLUICE_GATEWAY_ROUTES_CREATION_H

#include "gateway/http/request.h"
#include "gateway/services.h"
#include "lib/bullmq/bq.h"
#include "processors/runtime/declaration.h"

/* Completes what the request asked for: request before declaration (may be NULL) before BULLMQ_DEFAULT_JOB_OPTIONS; who submitted the job is
 * written by us alone. */
void creation_options(struct request *r, const struct declaration *decl, struct bq_opts *o);

/* The Idempotency-Key header without quotes, STR_NONE when absent; false (and the response written) when it is too long or empty. */
bool creation_key_or_reply(struct request *r, struct response *res, struct str *out) MUST_CHECK;

/* As struct bq_add and struct bq_flow take it; .key.p NULL: none. */
struct idempotency {
	struct str key, fingerprint;
	int64_t ttl_ms;
};

/* The record's key "P:Q:idem:<sha256(org, route, key)>" and the fingerprint of what is asked for. In an array each item has its own:
 * index 1, 2, …; 0 for a request's only one. */
struct idempotency creation_idempotency(struct request *r, const struct bq_queue *q, struct str key, struct str body, size_t index);

void creation_count(const struct services *s, const struct bq_queue *q, const struct bq_added *added);

#endif
