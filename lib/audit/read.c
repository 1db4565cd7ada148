/* Reading audit rows on behalf of requests. */
#include "lib/audit/private.h"

#define NAME_AND_COMMA(name) #name ", "

/* Only what is given counts: the conditions on parameters that are NULL are left out by the planner. */
static const struct pg_stmt SEARCH = {
	"audit_search",
	"SELECT " AUDIT_COLUMNS(NAME_AND_COMMA) "seq, encode(hash, 'hex') FROM sluice.audit WHERE prefix = $1"
	" AND ($2::text IS NULL OR action = $2)"
	" AND ($3::text IS NULL OR sub = $3)"
	" AND ($4::text IS NULL OR org = $4)"
	" AND ($5::text IS NULL OR target = $5 OR (target ^@ ($5 || '/')) OR (target = $6::text AND ids::jsonb ? $7::text))"
	" AND ($8::bigint IS NULL OR at_ms >= $8)"
	" AND ($9::bigint IS NULL OR at_ms < $9)"
	" AND ($10::bigint IS NULL OR seq < $10)"
	" ORDER BY seq DESC LIMIT $11",
	11};

static struct pg_value number_or_null(int64_t v)
{
	return v < 0 ? pg_null() : pg_int(v);
}

int audit_search(struct audit *a, const struct audit_filter *f, size_t limit, struct pg_rows **rows, int64_t deadline_mono_ms, struct err *err)
{
	struct str id = f->target, queue = str_cut(&id, '/');
	const struct pg_value values[] = {
		pg_text(a->o.prefix), pg_text(f->action), pg_text(f->sub), pg_text(f->org), pg_text(f->target), pg_text(queue), pg_text(id),
		number_or_null(f->from_ms), number_or_null(f->to_ms), number_or_null(f->below_seq), pg_int((int64_t)limit)};
	const struct pg_call call = {&SEARCH, values};

	return pg_query_varied(a->o.pg, &call, deadline_mono_ms, rows, err);
}
