/* POST /api/queues/{queue}/jobs with a body of lines (application/x-ndjson): see jobs_lines.c. */
#ifndef SLUICE_GATEWAY_ROUTES_JOBS_LINES_H
#define SLUICE_GATEWAY_ROUTES_JOBS_LINES_H

#include "gateway/routes/access.h"

/* The caller may add to the queue. A request's thread. */
void jobs_add_lines(struct request *r, struct response *res, const struct queue_ref *q);

#endif
