/* POST /api/queues/{queue}/jobs with an array: see jobs_array.c. */
#ifndef SLUICE_GATEWAY_ROUTES_JOBS_ARRAY_H
#define SLUICE_GATEWAY_ROUTES_JOBS_ARRAY_H

#include "gateway/routes/access.h"

/* The caller may add to the queue, and the body is an array. A request's thread. */
void jobs_add_array(struct request *r, struct response *res, const struct queue_ref *q);

#endif
