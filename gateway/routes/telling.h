/* What a worker tells about jobs that it holds: about one, which the path names, or about several, which the body lists. Several are told in the
 * same way as one, and answered each by itself. A request's thread.
 *
 *     static int heartbeat(struct telling *t, struct err *err)
 *     {
 *             ... for each of t->jobs: do it; what became of it goes into the struct, a refusal into its .err
 *     }
 *     void workers_heartbeat(struct request *r, struct response *res)      { tell_of_one(r, res, heartbeat); }
 *     void workers_heartbeats(struct request *r, struct response *res)     { tell_of_many(r, res, schema_of, heartbeat); }
 *
 * The token is the proof: whoever has it holds the job, and nobody else does. */
#ifndef SLUICE_GATEWAY_ROUTES_TELLING_H
#define SLUICE_GATEWAY_ROUTES_TELLING_H

#include "gateway/routes/access.h"
#include "lib/schema/schema.h"

struct ending;

/* One job. */
struct told {
	/* set before it is told; */
	uint32_t said;                /* the object in the body that tells of it */
	struct str id, token;
	struct schema_report faults;  /* .count: the object does not fit its schema, and was not looked at further */
	/* what became of it */
	struct err err;               /* .code 0: done */
	enum bq_state before, state;  /* what the job was and is in: active, unless something else is put here */
	bool cancel;                  /* its worker should stop */
	const struct ending *ending;  /* for endings.c */
};

struct telling {
	struct request *r;
	const struct services *s;
	struct queue_ref q;
	struct bq_worker as;
	bool several;        /* the body lists them */
	struct told *listed; /* all; those that are well-formed are the jobs */
	size_t n_listed;
	struct told **jobs;
	size_t n;            /* at most TELLING_MAX */
};

#define TELLING_MAX 100

/* A failure is that of all jobs, and the whole answer. */
typedef int tell_fn(struct telling *t, struct err *err);
/* Which schema of schemas.json an object of the list is to fit. */
typedef const char *told_schema_fn(const struct jdoc *doc, uint32_t node);

void tell_of_one(struct request *r, struct response *res, tell_fn *what);
void tell_of_many(struct request *r, struct response *res, told_schema_fn *schema_of, tell_fn *what);

/* A member of the object that tells of the job; JDOC_NONE when it is absent. */
uint32_t told_member(const struct telling *t, const struct told *job, const char *name);

#endif
