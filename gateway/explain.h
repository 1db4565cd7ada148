/* Why jobs do not run: findings about a queue or a job, from facts that were read before. One table of findings (explain.c) says for each what it is
 * called, how bad it is, what to do, and by which function it is recognized. Any thread. */
#ifndef SLUICE_GATEWAY_EXPLAIN_H
#define SLUICE_GATEWAY_EXPLAIN_H

#include "gateway/watch.h"
#include "lib/bullmq/inspect.h"
#include "lib/json/jwrite.h"

struct explained {
	struct str queue;
	const struct declaration *decl;     /* NULL: not declared */
	const struct bq_facts *facts;
	const struct watch_queue *watched;  /* NULL: not watched yet, so that workers and rates are not known */
	int64_t http_workers;
	int64_t unlocked;                   /* active jobs that nobody holds, among those looked at */
	int64_t now_ms;
	const struct bq_job *job;           /* NULL: the queue is asked about */
	const struct bq_standing *standing; /* of the job */
};

/* How long until the job is taken, by what the queue has done lately; -1: nobody can say. */
int64_t explain_eta_ms(const struct explained *e);
/* Writes an array of {code, severity, sentence, values, since, until, action}, the worst first; never empty. */
void explain_write(struct jwrite *w, const struct explained *e);

#endif
