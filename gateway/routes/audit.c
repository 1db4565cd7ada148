/* The audit trail as administrators read it. */
#include "lib/audit/audit.h"

#include "gateway/routes/filters.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/records.h"
#include "lib/pg/pg.h"

#define PAGE_DEFAULT 50
#define PAGE_LIMIT 200
#define LINES_DEFAULT 1000

/* ---- rows ---- */

static void write_number(struct jwrite *w, const char *key, struct str digits)
{
	jw_kraw(w, key, digits.p ? digits : STR("null"));
}

static void write_row(struct request *r, struct jwrite *w, const struct pg_rows *rows, int i)
{
	jw_open(w, '{');
	write_number(w, "seq", pg_at(rows, i, AUDIT_AT_seq));
	write_number(w, "at", pg_at(rows, i, AUDIT_AT_at_ms));
	jw_kstr(w, "action", pg_at(rows, i, AUDIT_AT_action));
	jw_kstr(w, "target", pg_at(rows, i, AUDIT_AT_target));
	jw_kstr(w, "sub", pg_at(rows, i, AUDIT_AT_sub));
	jw_kstr(w, "org", pg_at(rows, i, AUDIT_AT_org));
	jw_kstr(w, "requestId", pg_at(rows, i, AUDIT_AT_request_id));
	jw_kstr(w, "ip", pg_at(rows, i, AUDIT_AT_ip));
	write_number(w, "status", pg_at(rows, i, AUDIT_AT_status));
	write_number(w, "count", pg_at(rows, i, AUDIT_AT_count));
	jw_kraw(w, "ids", pg_at(rows, i, AUDIT_AT_ids));
	write_json_or_string(r, w, "before", pg_at(rows, i, AUDIT_AT_before));
	write_json_or_string(r, w, "after", pg_at(rows, i, AUDIT_AT_after));
	jw_kstr(w, "source", pg_at(rows, i, AUDIT_AT_source));
	jw_kstr(w, "hash", pg_at(rows, i, AUDIT_AT_hash));
	jw_close(w, '}');
}

static void write_page(struct request *r, struct response *res, const struct pg_rows *rows, int n, struct str next)
{
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_key(&w, "items");
	jw_open(&w, '[');
	for (int i = 0; i < n; i++)
		write_row(r, &w, rows, i);
	jw_close(&w, ']');
	jw_kstr(&w, "next", next);
	jw_close(&w, '}');
}

static void write_lines(struct request *r, struct response *res, const struct pg_rows *rows, int n)
{
	buf_clear(&res->body);
	res->status = 200;
	res->content_type = NDJSON;
	for (int i = 0; i < n; i++) {
		struct jwrite w = jwrite_into(&res->body);
		write_row(r, &w, rows, i);
		buf_addc(&res->body, '\n');
	}
}

/* ---- a page ---- */

struct page {
	struct audit_filter filter;
	int64_t limit;
	bool lines;
};

static bool read_page(struct request *r, struct response *res, struct page *p)
{
	struct audit_filter *f = &p->filter;
	struct str cursor = STR_NONE;

	*p = (struct page){.filter = AUDIT_FILTER_ANY, .lines = accepts_lines(r)};
	p->limit = p->lines ? LINES_DEFAULT : PAGE_DEFAULT;
	const struct query_row rows[] = {
		{"action", .text = &f->action},
		{"sub", .text = &f->sub},
		{"org", .text = &f->org},
		{"target", .text = &f->target},
		{"from", .number = &f->from_ms, .max = QUERY_TIME_MAX},
		{"to", .number = &f->to_ms, .max = QUERY_TIME_MAX},
		{"limit", .number = &p->limit, .min = 1, .max = p->lines ? AUDIT_SEARCH_MAX : PAGE_LIMIT},
		{"cursor", .text = &cursor},
	};
	if (!query_read_or_reply(r, res, rows, ARRAY_LEN(rows), NULL))
		return false;
	if (!cursor.p)
		return true;
	struct str seq;
	if (!cursor_read_or_reply(r, res, cursor, &seq, 1))
		return false;
	if (str_to_i64(seq, &f->below_seq) == 0 && f->below_seq > 0)
		return true;
	response_problem(r, res, PROBLEM_VALIDATION, "the cursor is none that was given out here");
	return false;
}

void audit_list(struct request *r, struct response *res)
{
	struct audit *audit = app_services(r->app)->audit;
	struct page p;
	struct pg_rows *rows;
	struct str who;
	struct err err = {0};

	if (!audit) {
		response_problem(r, res, PROBLEM_NOT_FOUND, "The audit trail is in the log only: there is no PostgreSQL, or SLUICE_RECORDS is off.");
		return;
	}
	if (!read_page(r, res, &p) || !search_begin_or_reply(r, res, &who))
		return;
	int rc = audit_search(audit, &p.filter, (size_t)p.limit + 1, &rows, search_deadline(r), &err);
	search_end(r, who);
	if (rc < 0) {
		reply_search_failure(r, res, &err);
		return;
	}
	int n = pg_rows_count(rows) > p.limit ? (int)p.limit : pg_rows_count(rows);
	struct str next = STR_NONE;
	if (pg_rows_count(rows) > p.limit) {
		struct str last = pg_at(rows, n - 1, AUDIT_AT_seq);
		next = cursor_make(r, &last, 1);
	}
	if (p.lines)
		write_lines(r, res, rows, n);
	else
		write_page(r, res, rows, n, next);
	response_link_next(r, res, next);
	pg_rows_free(rows);
}
