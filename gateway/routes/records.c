/* Searching what was kept of jobs. */
#include "gateway/routes/records.h"

#include "gateway/http/audit.h"
#include "gateway/routes/filters.h"
#include "gateway/routes/handlers.h"
#include "gateway/routes/queues.h"
#include "gateway/turns.h"
#include "lib/base/clock.h"
#include "lib/records/erase.h"
#include "lib/records/search.h"

#define PAGE_DEFAULT 50
#define PAGE_LIMIT 200
#define SEARCH_MS 5000 /* longer than any search by an index takes; what takes longer is refused in clear words */
#define ERASE_MS 10000 /* of deleting in one request */
#define ERRORS_WINDOW_MS INT64_C(604800000)

/* ---- what the routes have in common ---- */

struct records *records_or_reply(struct request *r, struct response *res)
{
	struct records *rec = app_services(r->app)->records;

	if (!rec)
		response_problem(r, res, PROBLEM_NOT_FOUND, "No records are kept here: there is no PostgreSQL, or SLUICE_RECORDS is off.");
	return rec;
}

bool search_begin_or_reply(struct request *r, struct response *res, struct str *who)
{
	*who = str_from(arena_printf(r->arena, "%s\n%s", r->who.org, r->who.sub));
	int rc = who->p ? turns_take(app_services(r->app)->searches, *who, search_deadline(r)) : ERR_NOMEM;

	if (rc == ERR_LIMIT)
		response_problem(r, res, PROBLEM_TOO_MANY_SEARCHES, NULL);
	else if (rc < 0)
		response_problem(r, res, PROBLEM_INTERNAL, "out of memory");
	return rc == 0;
}

void search_end(const struct request *r, struct str who)
{
	turns_give(app_services(r->app)->searches, who);
}

void reply_search_failure(struct request *r, struct response *res, const struct err *err)
{
	if (err->code == ERR_TIMEOUT)
		response_problem(r, res, PROBLEM_SEARCH_TOO_SLOW, NULL);
	else if (err->code == ERR_UNAVAILABLE || err->code == ERR_UNKNOWN_OUTCOME)
		response_problem(r, res, PROBLEM_RECORDS_UNAVAILABLE, "%s", err->text);
	else
		response_error(r, res, err);
}

/* Whoever does not see every organization sees their own; false: they asked for another. */
static bool org_or_reply(struct request *r, struct response *res, struct str *org)
{
	if (org->p && !may_reach_org(r, *org)) {
		response_problem(r, res, PROBLEM_FORBIDDEN, "The records of your own organization are yours to see.");
		return false;
	}
	if (!(r->who.roles & ROLES_EVERY_ORG))
		*org = str_from(r->who.org);
	return true;
}

int64_t search_deadline(const struct request *r)
{
	int64_t deadline = clock_mono_ms() + SEARCH_MS;

	return deadline < r->deadline_mono_ms ? deadline : r->deadline_mono_ms;
}

static int64_t number_at(const struct pg_rows *rows, int row, int column)
{
	int64_t v;

	return pg_int_at(rows, row, column, &v) ? v : -1;
}

static void write_head(struct jwrite *w, const struct pg_rows *rows, int row)
{
	jw_kstr(w, "queue", pg_at(rows, row, RECORD_QUEUE));
	jw_kstr(w, "id", pg_at(rows, row, RECORD_ID));
	jw_kstr(w, "name", pg_at(rows, row, RECORD_NAME));
	jw_kstr(w, "org", pg_at(rows, row, RECORD_ORG));
	jw_kstr(w, "submittedBy", pg_at(rows, row, RECORD_SUB));
	jw_kstr(w, "state", pg_at(rows, row, RECORD_STATE));
	write_time(w, "at", number_at(rows, row, RECORD_AT));
	write_time(w, "timestamp", number_at(rows, row, RECORD_CREATED));
	write_time(w, "processedOn", number_at(rows, row, RECORD_PROCESSED));
	write_time(w, "finishedOn", number_at(rows, row, RECORD_FINISHED));
	write_optional(w, "attemptsMade", number_at(rows, row, RECORD_ATTEMPTS_MADE));
	jw_kstr(w, "worker", pg_at(rows, row, RECORD_WORKER));
	jw_kstr(w, "failedReason", pg_at(rows, row, RECORD_REASON));
	jw_kstr(w, "fingerprint", pg_at(rows, row, RECORD_FINGERPRINT));
	jw_kbool(w, "partial", pg_bool_at(rows, row, RECORD_PARTIAL));
}

/* ---- a page ---- */

static bool read_cursor(struct request *r, struct response *res, struct str cursor, struct record_place *out)
{
	struct str parts[CURSOR_PARTS];

	*out = (struct record_place){.at_ms = -1};
	if (!cursor.p)
		return true;
	if (!cursor_read_or_reply(r, res, cursor, parts, 4))
		return false;
	*out = (struct record_place){.queue = parts[2], .id = parts[3]};
	if (str_to_i64(parts[0], &out->at_ms) == 0 && out->at_ms >= 0 && str_to_i64(parts[1], &out->created_ms) == 0 && out->created_ms >= 0)
		return true;
	response_problem(r, res, PROBLEM_VALIDATION, "the cursor is none that was given out here");
	return false;
}

struct page {
	struct record_filter filter;
	struct record_place behind;
	int64_t limit;
};

static bool read_page(struct request *r, struct response *res, struct page *p)
{
	struct record_filter *f = &p->filter;
	struct query_field field = {0};
	struct str by = STR("end"), cursor = STR_NONE;
	int64_t from = -1, to = -1;

	*p = (struct page){.filter = RECORD_FILTER_ANY, .limit = PAGE_DEFAULT};
	const struct query_row rows[] = {
		{"queue", .text = &f->queue},
		{"id", .text = &f->id},
		{"name", .text = &f->name},
		{"org", .text = &f->org},
		{"state", .text = &f->state, .words = "pending|completed|failed|removed"},
		{"error", .text = &f->error},
		{"fingerprint", .text = &f->fingerprint},
		{"from", .number = &from, .max = QUERY_TIME_MAX},
		{"to", .number = &to, .max = QUERY_TIME_MAX},
		{"by", .text = &by, .words = "end|created"},
		{"limit", .number = &p->limit, .min = 1, .max = PAGE_LIMIT},
		{"cursor", .text = &cursor},
	};
	if (!query_read_or_reply(r, res, rows, ARRAY_LEN(rows), &field) || !org_or_reply(r, res, &f->org) || !read_cursor(r, res, cursor, &p->behind))
		return false;
	f->field = field.name;
	f->value = field.value;
	bool created = str_is(by, "created");
	*(created ? &f->created_from_ms : &f->from_ms) = from;
	*(created ? &f->created_to_ms : &f->to_ms) = to;
	return true;
}

/* One row more than the page has was asked for: is it there, the last of the page is where the next begins. */
static struct str next_cursor(struct request *r, const struct pg_rows *rows, int64_t limit)
{
	int last = (int)limit - 1;

	if (pg_rows_count(rows) <= last + 1)
		return STR_NONE;
	const struct str parts[CURSOR_PARTS] = {pg_at(rows, last, RECORD_AT), pg_at(rows, last, RECORD_CREATED), pg_at(rows, last, RECORD_QUEUE),
						pg_at(rows, last, RECORD_ID)};
	return cursor_make(r, parts, CURSOR_PARTS);
}

static void write_page(struct request *r, struct response *res, const struct pg_rows *rows, int64_t limit)
{
	struct str next = next_cursor(r, rows, limit);
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_key(&w, "items");
	jw_open(&w, '[');
	for (int i = 0; i < pg_rows_count(rows) && i < limit; i++) {
		jw_open(&w, '{');
		write_head(&w, rows, i);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	jw_kstr(&w, "next", next);
	jw_close(&w, '}');
	response_link_next(r, res, next);
}

void records_list(struct request *r, struct response *res)
{
	struct records *rec = records_or_reply(r, res);
	struct page p;
	struct str who;
	struct pg_rows *rows;
	struct err err = {0};

	if (!rec || !read_page(r, res, &p) || !search_begin_or_reply(r, res, &who))
		return;
	int rc = records_search(rec, &p.filter, &p.behind, (size_t)p.limit + 1, &rows, search_deadline(r), &err);
	search_end(r, who);
	if (rc < 0) {
		reply_search_failure(r, res, &err);
		return;
	}
	write_page(r, res, rows, p.limit);
	pg_rows_free(rows);
}

/* ---- one id ---- */

/* {"<start>": {"end", "worker", "error"}}, in the order of their starts. */
static void write_runs(struct request *r, struct jwrite *w, struct str text)
{
	struct jdoc doc;

	jw_key(w, "runs");
	jw_open(w, '[');
	if (text.p && jdoc_parse(&doc, r->arena, text, &JDOC_LIMITS, NULL) == 0)
		for (uint32_t c = jdoc_first(&doc, JDOC_ROOT); c != JDOC_NONE; c = jdoc_next(&doc, JDOC_ROOT, c)) {
			jw_open(w, '{');
			jw_kraw(w, "start", jdoc_key(&doc, c, r->arena));
			jw_kraw(w, "end", jdoc_raw(&doc, jdoc_get(&doc, c, "end")));
			jw_kraw(w, "worker", jdoc_raw(&doc, jdoc_get(&doc, c, "worker")));
			jw_kraw(w, "error", jdoc_raw(&doc, jdoc_get(&doc, c, "error")));
			jw_close(w, '}');
		}
	jw_close(w, ']');
}

static void write_opts(struct request *r, struct jwrite *w, struct str text)
{
	struct bq_opts opts;
	struct jdoc doc;

	bq_opts_init(&opts);
	jw_key(w, "opts");
	if (text.p && jdoc_parse(&doc, r->arena, text, &JDOC_LIMITS, NULL) == 0 && bq_opts_read(&opts, &doc, JDOC_ROOT, r->arena, false, NULL) == 0)
		bq_opts_write(w, &opts);
	else
		jw_null(w);
}

static void write_whole(struct request *r, struct jwrite *w, const struct pg_rows *rows, int row)
{
	jw_open(w, '{');
	write_head(w, rows, row);
	write_json_or_string(r, w, "data", pg_at(rows, row, RECORD_DATA));
	write_optional(w, "dataBytes", number_at(rows, row, RECORD_DATA_BYTES));
	write_json_or_string(r, w, "returnvalue", pg_at(rows, row, RECORD_RESULT));
	write_optional(w, "returnvalueBytes", number_at(rows, row, RECORD_RESULT_BYTES));
	write_opts(r, w, pg_at(rows, row, RECORD_OPTS));
	write_json_or_string(r, w, "progress", pg_at(rows, row, RECORD_PROGRESS));
	write_json_or_string(r, w, "stacktrace", pg_at(rows, row, RECORD_STACKTRACE));
	jw_kraw(w, "logs", pg_at(rows, row, RECORD_LOGS));
	write_optional(w, "delay", number_at(rows, row, RECORD_DELAY));
	write_optional(w, "priority", number_at(rows, row, RECORD_PRIORITY));
	jw_kstr(w, "parentQueue", pg_at(rows, row, RECORD_PARENT_QUEUE));
	jw_kstr(w, "parentId", pg_at(rows, row, RECORD_PARENT_ID));
	write_runs(r, w, pg_at(rows, row, RECORD_ATTEMPTS));
	jw_close(w, '}');
}

void records_show(struct request *r, struct response *res)
{
	struct records *rec = records_or_reply(r, res);
	struct str org = STR_NONE;
	struct pg_rows *rows;
	struct err err = {0};

	if (!rec || !query_read_or_reply(r, res, NULL, 0, NULL) || !org_or_reply(r, res, &org))
		return;
	if (records_whole(rec, r->params[0], r->params[1], org, &rows, search_deadline(r), &err) < 0) {
		reply_search_failure(r, res, &err);
		return;
	}
	if (pg_rows_count(rows) == 0) {
		response_problem(r, res, PROBLEM_NOT_FOUND, "there is no record of a job %.*s in the queue %.*s", STR_ARG(r->params[1]), STR_ARG(r->params[0]));
	} else {
		struct jwrite w = response_json(res, 200);
		jw_open(&w, '{');
		jw_key(&w, "items");
		jw_open(&w, '[');
		for (int i = 0; i < pg_rows_count(rows); i++)
			write_whole(r, &w, rows, i);
		jw_close(&w, ']');
		jw_close(&w, '}');
	}
	pg_rows_free(rows);
}

/* ---- failures ---- */

static void write_errors(struct response *res, const struct record_filter *f, const struct pg_rows *rows)
{
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_kint(&w, "from", f->from_ms);
	jw_kint(&w, "to", f->to_ms);
	jw_key(&w, "items");
	jw_open(&w, '[');
	for (int i = 0; i < pg_rows_count(rows); i++) {
		jw_open(&w, '{');
		jw_kstr(&w, "fingerprint", pg_at(rows, i, RECORD_ERROR_FINGERPRINT));
		jw_kint(&w, "count", number_at(rows, i, RECORD_ERROR_COUNT));
		write_time(&w, "firstSeen", number_at(rows, i, RECORD_ERROR_FIRST));
		write_time(&w, "lastSeen", number_at(rows, i, RECORD_ERROR_LAST));
		jw_key(&w, "example");
		jw_open(&w, '{');
		jw_kstr(&w, "queue", pg_at(rows, i, RECORD_ERROR_QUEUE));
		jw_kstr(&w, "id", pg_at(rows, i, RECORD_ERROR_ID));
		jw_kstr(&w, "failedReason", pg_at(rows, i, RECORD_ERROR_REASON));
		jw_close(&w, '}');
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	jw_close(&w, '}');
}

void records_group_errors(struct request *r, struct response *res)
{
	struct records *rec = records_or_reply(r, res);
	struct record_filter f = RECORD_FILTER_ANY;
	int64_t limit = PAGE_DEFAULT;
	struct pg_rows *rows;
	struct str who;
	struct err err = {0};

	const struct query_row query[] = {
		{"queue", .text = &f.queue},
		{"org", .text = &f.org},
		{"from", .number = &f.from_ms, .max = QUERY_TIME_MAX},
		{"to", .number = &f.to_ms, .max = QUERY_TIME_MAX},
		{"limit", .number = &limit, .min = 1, .max = PAGE_LIMIT},
	};
	if (!rec || !query_read_or_reply(r, res, query, ARRAY_LEN(query), NULL) || !org_or_reply(r, res, &f.org))
		return;
	if (f.to_ms < 0)
		f.to_ms = clock_wall_ms() + 1;
	if (f.from_ms < 0)
		f.from_ms = f.to_ms > ERRORS_WINDOW_MS ? f.to_ms - ERRORS_WINDOW_MS : 0;
	if (!search_begin_or_reply(r, res, &who))
		return;
	int rc = records_errors(rec, &f, (size_t)limit, &rows, search_deadline(r), &err);
	search_end(r, who);
	if (rc < 0) {
		reply_search_failure(r, res, &err);
		return;
	}
	write_errors(res, &f, rows);
	pg_rows_free(rows);
}

/* ---- erasure ---- */

static void answer_erased(struct request *r, struct response *res, const struct record_erasure *e, const struct record_erased *done)
{
	const char *target = arena_printf(r->arena, "%.*s/%.*s", STR_ARG(e->org), STR_ARG(e->user));
	struct jwrite w = response_json(res, 200);

	jw_open(&w, '{');
	jw_kint(&w, "deleted", done->deleted);
	jw_kint(&w, "unfinished", done->unfinished);
	jw_kbool(&w, "more", done->more);
	jw_close(&w, '}');
	audit_note(r, "records.erase", str_from(target), STR_NONE, buf_str(&res->body));
}

void records_forget(struct request *r, struct response *res)
{
	struct records *rec = records_or_reply(r, res);
	struct record_erasure e = {.by = str_from(r->who.sub)};
	struct record_erased done;
	struct err err = {0};

	const struct query_row query[] = {{"org", .text = &e.org}, {"userId", .text = &e.user}};
	if (!rec || !query_read_or_reply(r, res, query, ARRAY_LEN(query), NULL))
		return;
	if (!e.org.p || !e.user.p) {
		response_problem(r, res, PROBLEM_VALIDATION, "org and userId must both be given");
		return;
	}
	if (records_erase(rec, &e, clock_mono_ms() + ERASE_MS, &done, r->deadline_mono_ms, &err) < 0)
		reply_search_failure(r, res, &err);
	else
		answer_erased(r, res, &e, &done);
}
