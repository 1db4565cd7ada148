#include "gateway/http/audit.h"

#include "gateway/http/server_state.h"
#include "lib/audit/audit.h"
#include "lib/log/log.h"

static struct str copy(struct request *r, struct str s)
{
	return s.p ? arena_dup(r->arena, s) : STR_NONE;
}

void audit_note(struct request *r, const char *action, struct str target, struct str before, struct str after)
{
	r->x_->audit = (struct audit_entry){.action = action};
	if (r->deps->audit || log_enabled(r->deps->log, LOG_INFO))
		r->x_->audit = (struct audit_entry){.action = action, .target = copy(r, target), .before = copy(r, before), .after = copy(r, after)};
}

void audit_note_jobs(struct request *r, const char *action, struct str queue, struct str ids, struct str after)
{
	audit_note(r, action, queue, STR_NONE, after);
	if (r->deps->audit)
		r->x_->audit.ids = copy(r, ids);
}

static struct str known(const char *z)
{
	return *z ? str_from(z) : STR_NONE;
}

static void write_line(const struct request *r, const struct audit_entry *e, int status)
{
	LOG(r->deps->log, LOG_INFO, "audit", log_strz("action", e->action), log_str("target", e->target), log_strz("sub", r->who.sub),
	    log_strz("org", r->who.org), log_strz("requestId", r->id), log_str("ip", r->client_ip), log_int("status", status),
	    log_json("before", e->before), log_json("after", e->after));
	if (!r->deps->audit)
		return;
	const struct audit_line line = {
		.action = e->action,
		.target = e->target,
		.sub = known(r->who.sub),
		.org = known(r->who.org),
		.request_id = str_from(r->id),
		.ip = r->client_ip,
		.before = e->before,
		.after = e->after,
		.ids = e->ids,
		.status = status,
	};
	audit_add(r->deps->audit, &line);
}

void audit_finish(struct request *r, int status)
{
	const struct audit_entry *e = &r->x_->audit;
	if (e->action) {
		write_line(r, e, status);
		return;
	}
	if (!r->route || !(r->route->flags & ROUTE_CHANGES) || status < 200 || status > 299)
		return;
	struct str labels[] = {str_from(r->route->pattern)};
	metrics_add(r->deps->metrics, M_AUDIT_MISSING, 1, labels);
	LOG(r->deps->log, LOG_ERROR, "audit_missing", log_strz("route", r->route->id), log_strz("requestId", r->id));
}
