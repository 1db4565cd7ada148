#include "lib/audit/verify.h"

#include "lib/audit/private.h"

#define PAGE 1000
#define NAME_AND_COMMA(name) #name ", "

const struct pg_stmt AUDIT_HEAD = {"audit_head", "SELECT seq, encode(hash, 'hex') FROM sluice.audit_heads WHERE prefix = $1", 1};
static const struct pg_stmt ROWS = {"audit_rows",
				    "SELECT " AUDIT_COLUMNS(NAME_AND_COMMA)
				    "seq, encode(hash, 'hex') FROM sluice.audit WHERE prefix = $1 AND seq > $2 ORDER BY seq LIMIT $3",
				    3};

static void broken(struct audit_verdict *v, int64_t seq, const char *fault)
{
	v->broken_seq = seq;
	v->fault = fault;
}

/* Of different rows there is nothing to be said. */
static bool agrees(const struct audit_head *known, const struct audit_head *now)
{
	return known->seq != now->seq || digest_equal(known->hash, now->hash, sizeof(known->hash));
}

static void look_at(struct audit_verdict *v, struct str prefix, const struct pg_rows *rows, int i)
{
	struct audit_head stored = {0};
	struct audit_row row;

	for (size_t c = 0; c < AUDIT_N_COLUMNS; c++)
		row.columns[c] = pg_at(rows, i, (int)c);
	int64_t expected = v->head.seq + 1;
	if (!pg_int_at(rows, i, AUDIT_AT_seq, &stored.seq) || stored.seq != expected) {
		broken(v, expected, "it is missing");
		return;
	}
	audit_chain(&v->head, prefix, &row);
	if (!audit_hash_read(pg_at(rows, i, AUDIT_AT_hash), stored.hash) || !digest_equal(stored.hash, v->head.hash, sizeof(stored.hash)))
		broken(v, expected, "it is not what was written, or does not follow the row before it");
	else
		v->rows++;
}

static int read_head(struct pglink *l, struct str prefix, struct audit_head *out, int64_t deadline, struct err *err)
{
	const struct pg_value value = pg_text(prefix);
	const struct pg_call call = {&AUDIT_HEAD, &value};
	struct pg_rows *rows;
	int rc = pglink_run(l, &call, 1, deadline, &rows, err);

	*out = (struct audit_head){0};
	if (rc < 0)
		return rc;
	if (pg_rows_count(rows) == 0 || !pg_int_at(rows, 0, 0, &out->seq) || !audit_hash_read(pg_at(rows, 0, 1), out->hash))
		out->seq = 0;
	pg_rows_free(rows);
	return 0;
}

int audit_verify(struct pglink *l, struct str prefix, const struct audit_head *earlier, struct audit_verdict *out, int64_t deadline_mono_ms, struct err *err)
{
	struct audit_head end; /* as it was before the look: rows may come meanwhile */
	int rc = read_head(l, prefix, &end, deadline_mono_ms, err), n = PAGE;

	*out = (struct audit_verdict){0};
	while (rc == 0 && n == PAGE && !out->broken_seq) {
		const struct pg_value values[] = {pg_text(prefix), pg_int(out->head.seq), pg_int(PAGE)};
		const struct pg_call call = {&ROWS, values};
		struct pg_rows *rows;
		rc = pglink_run(l, &call, 1, deadline_mono_ms, &rows, err);
		if (rc < 0)
			return rc;
		n = pg_rows_count(rows);
		for (int i = 0; i < n && !out->broken_seq; i++) {
			look_at(out, prefix, rows, i);
			if (!out->broken_seq && !agrees(&end, &out->head))
				broken(out, out->head.seq, "the end of the chain was noted with another hash");
			if (!out->broken_seq && earlier && !agrees(earlier, &out->head))
				broken(out, out->head.seq, "its hash is not the one of the earlier look");
		}
		pg_rows_free(rows);
	}
	if (rc < 0 || out->broken_seq)
		return rc;
	if (out->head.seq < end.seq || (earlier && out->head.seq < earlier->seq))
		broken(out, out->head.seq + 1, "it is missing, with all behind it");
	else if (out->rows > 0 && end.seq == 0)
		broken(out, out->rows, "the end of the chain is not noted");
	return 0;
}
