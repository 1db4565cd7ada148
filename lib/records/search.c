#include "lib/records/search.h"

#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"
#include "lib/pg/pgtext.h"
#include "lib/records/private.h"
#include "lib/records/row.h"

/* ---- statements ---- */

/* X(parameter, type, condition): each is left out by the planner while its parameter is NULL. */
#define CONDITIONS(X) \
	X(2, "text", "queue = $2") \
	X(3, "text[]", "queue = ANY ($3)") \
	X(4, "text", "job_id = $4") \
	X(5, "text", "name = $5") \
	X(6, "text", "org = $6") \
	X(7, "text", "state = $7") \
	X(8, "text", "fingerprint = $8") \
	X(9, "text", "state = 'failed' AND strpos(lower(failed_reason), lower($9)) > 0") \
	X(10, "jsonb", "(fields @> $10 OR fields @> $11::jsonb)") \
	X(12, "bigint", "at_ms >= $12") \
	X(13, "bigint", "at_ms < $13") \
	X(14, "bigint", "created_ms >= $14") \
	X(15, "bigint", "created_ms < $15") \
	X(16, "bigint", "at_ms <= $16 AND (at_ms, queue, job_id, created_ms) < ($16, $17::text, $18::text, $19::bigint)")
#define IF_GIVEN(n, type, condition) " AND ($" #n "::" type " IS NULL OR (" condition "))"
#define NEXT_COLUMN(column, expression) ", " expression
#define NEWEST_FIRST " ORDER BY at_ms DESC, queue DESC, job_id DESC, created_ms DESC"

static const struct pg_stmt SEARCH = {"records_search",
				      "SELECT queue" RECORD_COLUMNS(NEXT_COLUMN) " FROM sluice.records WHERE prefix = $1"
				      CONDITIONS(IF_GIVEN) NEWEST_FIRST " LIMIT $20",
				      20};

static const struct pg_stmt WHOLE = {"records_whole",
				     "SELECT queue" RECORD_COLUMNS(NEXT_COLUMN) RECORD_WHOLE_COLUMNS(NEXT_COLUMN)
				     " FROM sluice.records WHERE prefix = $1 AND queue = $2 AND job_id = $3 AND ($4::text IS NULL OR org = $4)"
				     " ORDER BY created_ms DESC LIMIT 20",
				     4};

#define OF_QUEUE_AND_ORG " AND ($2::text IS NULL OR queue = $2) AND ($3::text IS NULL OR org = $3)"
static const struct pg_stmt ERRORS = {
	"records_errors",
	"SELECT g.fingerprint, g.n, g.first_ms, g.last_ms, e.queue, e.job_id, e.failed_reason FROM"
	" (SELECT fingerprint, count(*) AS n, min(at_ms) AS first_ms, max(at_ms) AS last_ms FROM sluice.records"
	" WHERE prefix = $1 AND state = 'failed' AND fingerprint IS NOT NULL AND at_ms >= $4 AND at_ms < $5" OF_QUEUE_AND_ORG
	" GROUP BY fingerprint ORDER BY n DESC, last_ms DESC, fingerprint LIMIT $6) g"
	" CROSS JOIN LATERAL (SELECT queue, job_id, failed_reason FROM sluice.records"
	" WHERE prefix = $1 AND state = 'failed' AND fingerprint = g.fingerprint AND at_ms = g.last_ms" OF_QUEUE_AND_ORG " LIMIT 1) e"
	" ORDER BY g.n DESC, g.last_ms DESC, g.fingerprint",
	6};

/* ---- values ---- */

static struct pg_value time_or_null(int64_t ms)
{
	return ms < 0 ? pg_null() : pg_int(ms);
}

/* {"field": value} as jsonb is asked for it: the value as a string, and as the number or truth value that it may be. */
struct contained {
	struct buf as_text, as_is;
};

static bool is_plain_json(struct str value)
{
	struct arena a;
	struct jdoc doc;

	arena_init(&a, 0);
	bool plain = jdoc_parse(&doc, &a, value, &JDOC_TOKEN_LIMITS, NULL) == 0 && jdoc_type(&doc, JDOC_ROOT) >= J_FALSE &&
		     jdoc_type(&doc, JDOC_ROOT) <= J_NUMBER && record_number_fits(jdoc_raw(&doc, JDOC_ROOT));
	arena_release(&a);
	return plain;
}

static void write_member(struct buf *out, struct str field, struct str value, bool raw)
{
	struct jwrite w = jwrite_into(out);

	jw_open(&w, '{');
	jw_keys(&w, field);
	if (raw)
		jw_raw(&w, value);
	else
		jw_str(&w, value);
	jw_close(&w, '}');
}

static void contain(struct contained *c, const struct record_filter *f)
{
	if (!f->field.p)
		return;
	write_member(&c->as_text, f->field, f->value, false);
	write_member(&c->as_is, f->field, f->value, is_plain_json(f->value));
}

static struct pg_value text_or_null(const struct buf *b)
{
	return b->n ? pg_text(buf_str(b)) : pg_null();
}

static void list_queues(const struct records *rec, struct pgarray *out)
{
	for (size_t i = 0; i < rec->n_queues; i++)
		pgarray_text(out, rec->queues[i].queue->name);
	pgarray_end(out);
}

/* ---- asking ---- */

static int ask(struct records *rec, const struct pg_stmt *stmt, const struct pg_value *values, struct pg_rows **rows, int64_t deadline_mono_ms,
	       struct err *err)
{
	const struct pg_call call = {stmt, values};

	return pg_query_varied(rec->o.pg, &call, deadline_mono_ms, rows, err);
}

int records_search(struct records *rec, const struct record_filter *f, const struct record_place *behind, size_t limit, struct pg_rows **rows,
		   int64_t deadline_mono_ms, struct err *err)
{
	struct contained c = {0};
	struct pgarray queues = PGARRAY_INIT;
	bool everywhere = f->id.p && !f->queue.p;

	contain(&c, f);
	list_queues(rec, &queues);
	const struct pg_value values[] = {
		pg_text(rec->o.prefix), pg_text(f->queue), everywhere ? pg_text(buf_str(&queues.out)) : pg_null(), pg_text(f->id), pg_text(f->name),
		pg_text(f->org), pg_text(f->state), pg_text(f->fingerprint), pg_text(f->error), text_or_null(&c.as_text), text_or_null(&c.as_is),
		time_or_null(f->from_ms), time_or_null(f->to_ms), time_or_null(f->created_from_ms), time_or_null(f->created_to_ms),
		time_or_null(behind->at_ms), pg_text(behind->queue), pg_text(behind->id), time_or_null(behind->created_ms), pg_int((int64_t)limit)};
	int rc;

	if (c.as_text.failed || c.as_is.failed || queues.out.failed)
		rc = err_set(err, ERR_NOMEM, "out of memory");
	else
		rc = ask(rec, &SEARCH, values, rows, deadline_mono_ms, err);
	buf_release(&c.as_text);
	buf_release(&c.as_is);
	pgarray_release(&queues);
	return rc;
}

int records_whole(struct records *rec, struct str queue, struct str id, struct str org, struct pg_rows **rows, int64_t deadline_mono_ms, struct err *err)
{
	const struct pg_value values[] = {pg_text(rec->o.prefix), pg_text(queue), pg_text(id), pg_text(org)};

	return ask(rec, &WHOLE, values, rows, deadline_mono_ms, err);
}

int records_errors(struct records *rec, const struct record_filter *f, size_t limit, struct pg_rows **rows, int64_t deadline_mono_ms, struct err *err)
{
	const struct pg_value values[] = {pg_text(rec->o.prefix), pg_text(f->queue), pg_text(f->org), pg_int(f->from_ms), pg_int(f->to_ms),
					  pg_int((int64_t)limit)};

	return ask(rec, &ERRORS, values, rows, deadline_mono_ms, err);
}
