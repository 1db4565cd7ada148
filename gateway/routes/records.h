/* What routes that read PostgreSQL have in common. A request's thread. */
#ifndef SLUICE_GATEWAY_ROUTES_RECORDS_H
#define SLUICE_GATEWAY_ROUTES_RECORDS_H

#include "gateway/routes/access.h"

/* A search may occupy a connection to PostgreSQL for as long as it may last, so one subject's take turns: this one is the caller's until
 * search_end(r, who). False, and the response is written, when too many wait for theirs. */
bool search_begin_or_reply(struct request *r, struct response *res, struct str *who);
void search_end(const struct request *r, struct str who);
/* By when a search must be done: later than any search by an index is, and within the request's time. */
int64_t search_deadline(const struct request *r);
/* A failure of pg_query as a problem of its own: too slow, or PostgreSQL away. */
void reply_search_failure(struct request *r, struct response *res, const struct err *err);

/* NULL, and the response is written, where no records are kept. */
struct records *records_or_reply(struct request *r, struct response *res);

#endif
