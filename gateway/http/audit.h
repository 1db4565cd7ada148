/* One audit line per change: who did what to which thing, and what it was before and after. It goes to the log and, where there is a PostgreSQL, to
 * the trail in it (lib/audit).
 *
 * A handler of a ROUTE_CHANGES route calls audit_note once when it has made the change; the middleware writes the line when the answer's
 * status is known. Answering 2xx without a note is a bug: logged as `audit_missing` and counted. */
#ifndef SLUICE_GATEWAY_HTTP_AUDIT_H
#define SLUICE_GATEWAY_HTTP_AUDIT_H

#include "gateway/http/request.h"

/* action: a static word like "job.create". target: what it was done to, like "notifications/42". before, after: JSON, or STR_NONE.
 * Copies are made. A second call replaces the first. */
void audit_note(struct request *r, const char *action, struct str target, struct str before, struct str after);

/* The same of several jobs of a queue; by their ids (a JSON array) the line is found when one of them is looked for. */
void audit_note_jobs(struct request *r, const char *action, struct str queue, struct str ids, struct str after);

/* For the middleware: writes the line, or complains. */
void audit_finish(struct request *r, int status);

#endif
