#include "lib/records/erase.h"

#include "lib/base/clock.h"
#include "lib/pg/pgtext.h"
#include "lib/records/private.h"

#define STEP 1000 /* rows deleted in one transaction */

#define LOCK_NAME "hashtextextended('sluice.record_erasures ' || $1, 0)"
static const struct pg_stmt LOCK_OUT = {"erase_lock", "SELECT pg_advisory_xact_lock(" LOCK_NAME ")", 1};
static const struct pg_stmt LOCK_SHARED = {"erase_lock_shared", "SELECT pg_advisory_xact_lock_shared(" LOCK_NAME ")", 1};
static const struct pg_stmt NOTE = {
	"erase_note",
	"INSERT INTO sluice.record_erasures (prefix, org, user_id, until_ms, requested_by) VALUES ($1, $2, $3, $4, $5)"
	" ON CONFLICT (prefix, org, user_id) DO UPDATE SET until_ms = greatest(record_erasures.until_ms, excluded.until_ms), requested_by = excluded.requested_by",
	5};
/* Of what is gone: a job that has not ended will be told of once more, perhaps without a word of whose it was. */
#define REMEMBER \
	"remembered AS (INSERT INTO sluice.record_erased_jobs (prefix, queue, job_id, created_ms, until_ms)" \
	" SELECT prefix, queue, job_id, created_ms, until_ms FROM gone WHERE state = 'pending' ON CONFLICT DO NOTHING)"
/* A user's id may be a number in the data of jobs. */
static const struct pg_stmt DELETE = {
	"erase_step",
	"WITH gone AS (DELETE FROM sluice.records r USING (SELECT prefix, queue, job_id, created_ms FROM sluice.records"
	" WHERE prefix = $1 AND org = $2 AND created_ms <= $4 AND (sub = $3 OR fields @> jsonb_build_object('userId', $3::text)"
	" OR fields @> CASE WHEN $3 ~ '^[0-9]{1,18}$' THEN jsonb_build_object('userId', $3::numeric) ELSE jsonb_build_object('userId', $3::text) END)"
	" LIMIT $5) o"
	" WHERE r.prefix = o.prefix AND r.queue = o.queue AND r.job_id = o.job_id AND r.created_ms = o.created_ms"
	" RETURNING r.prefix, r.queue, r.job_id, r.created_ms, r.state, $4::bigint AS until_ms), " REMEMBER
	" SELECT count(*), count(*) FILTER (WHERE state = 'pending') FROM gone",
	5};
static const struct pg_stmt ANY = {"erase_any", "SELECT EXISTS (SELECT 1 FROM sluice.record_erasures WHERE prefix = $1)", 1};
static const struct pg_stmt LEAVE_OUT = {
	"erase_leave_out",
	"WITH gone AS (DELETE FROM sluice.records r USING sluice.record_erasures e"
	" WHERE r.prefix = $1 AND r.queue = $2 AND r.job_id = ANY ($3::text[]) AND e.prefix = r.prefix AND e.org = r.org AND r.created_ms <= e.until_ms"
	" AND (r.sub = e.user_id OR r.fields ->> 'userId' = e.user_id)"
	" RETURNING r.prefix, r.queue, r.job_id, r.created_ms, r.state, e.until_ms), " REMEMBER
	" DELETE FROM sluice.records r USING sluice.record_erased_jobs j"
	" WHERE r.prefix = $1 AND r.queue = $2 AND r.job_id = ANY ($3::text[])"
	" AND j.prefix = r.prefix AND j.queue = r.queue AND j.job_id = r.job_id AND j.created_ms = r.created_ms",
	3};

/* Behind every batch that is being written just now; those to come see the note. Of several that ask for the same the clocks may differ. */
static int note(struct records *rec, const struct record_erasure *e, int64_t until_ms, int64_t deadline_mono_ms, struct err *err)
{
	const struct pg_value values[] = {pg_text(rec->o.prefix), pg_text(e->org), pg_text(e->user), pg_int(until_ms), pg_text(e->by)};
	const struct pg_call calls[] = {{&LOCK_OUT, values}, {&NOTE, values}};

	return pg_query(rec->o.pg, calls, ARRAY_LEN(calls), deadline_mono_ms, NULL, err);
}

static int delete_step(struct records *rec, const struct record_erasure *e, int64_t until_ms, struct record_erased *step, int64_t deadline_mono_ms,
		       struct err *err)
{
	const struct pg_value values[] = {pg_text(rec->o.prefix), pg_text(e->org), pg_text(e->user), pg_int(until_ms), pg_int(STEP)};
	const struct pg_call call = {&DELETE, values};
	struct pg_rows *rows;
	int rc = pg_query(rec->o.pg, &call, 1, deadline_mono_ms, &rows, err);

	if (rc < 0)
		return rc;
	if (!pg_int_at(rows, 0, 0, &step->deleted) || !pg_int_at(rows, 0, 1, &step->unfinished))
		rc = err_set(err, ERR_PROTOCOL, "PostgreSQL did not say how much was deleted");
	pg_rows_free(rows);
	return rc;
}

int records_erase(struct records *rec, const struct record_erasure *e, int64_t until_mono_ms, struct record_erased *out, int64_t deadline_mono_ms,
		  struct err *err)
{
	struct record_erased step = {.deleted = STEP};
	int64_t until_ms = clock_wall_ms();
	int rc = note(rec, e, until_ms, deadline_mono_ms, err);

	*out = (struct record_erased){0};
	while (rc == 0 && step.deleted == STEP && clock_mono_ms() < until_mono_ms) {
		rc = delete_step(rec, e, until_ms, &step, deadline_mono_ms, err);
		out->deleted += rc == 0 ? step.deleted : 0;
		out->unfinished += rc == 0 ? step.unfinished : 0;
	}
	out->more = step.deleted == STEP;
	return rc;
}

/* ---- while records are written ---- */

static int is_any(struct pglink *l, const struct record_batch *batch, bool *any, int64_t deadline_mono_ms, struct err *err)
{
	const struct pg_value prefix = pg_text(batch->prefix);
	const struct pg_call calls[] = {{&LOCK_SHARED, &prefix}, {&ANY, &prefix}};
	struct pg_rows *rows[ARRAY_LEN(calls)];
	int rc = pglink_run(l, calls, ARRAY_LEN(calls), deadline_mono_ms, rows, err);

	if (rc < 0)
		return rc;
	*any = pg_bool_at(rows[1], 0, 0);
	pg_rows_free(rows[0]);
	pg_rows_free(rows[1]);
	return 0;
}

int records_leave_out_erased(struct pglink *l, const struct record_batch *batch, int64_t deadline_mono_ms, struct err *err)
{
	struct pgarray ids = PGARRAY_INIT;
	bool any = false;
	int rc = is_any(l, batch, &any, deadline_mono_ms, err);

	if (rc < 0 || !any)
		return rc;
	for (size_t i = 0; i < batch->n; i++)
		pgarray_text(&ids, batch->rows[i].job_id);
	pgarray_end(&ids);
	const struct pg_value values[] = {pg_text(batch->prefix), pg_text(batch->queue), pg_text(buf_str(&ids.out))};
	const struct pg_call call = {&LEAVE_OUT, values};
	if (ids.out.failed)
		rc = err_set(err, ERR_NOMEM, "no memory for records");
	else
		rc = pglink_run(l, &call, 1, deadline_mono_ms, NULL, err);
	pgarray_release(&ids);
	return rc;
}
