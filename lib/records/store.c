#include "lib/records/store.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/table.h"
#include "lib/pg/pgtext.h"
#include "lib/records/erase.h"

#define DAY_MS INT64_C(86400000)
#define PAST_DAYS 400 /* weeks further from now are not made: their rows stand in the default partition */
#define FUTURE_DAYS 8

/* ---- statements ---- */

enum {
	N_COLUMNS = 0
#define COLUMN(n, name, kind, type, merge) +1
#include "lib/records/columns.def"
#undef COLUMN
};

#define COLUMN(n, name, kind, type, merge) ", " #name
static const struct pg_stmt COPY = {"records_copy",
				    "COPY sluice.records (prefix, queue, job_id"
#include "lib/records/columns.def"
				    ") FROM STDIN",
				    0};

#define NEWER \
	"sluice.record_is_newer(r.state, r.at_ms, r.attempts_made, excluded.state, excluded.at_ms, excluded.attempts_made, excluded.partial)"
#define MERGE_KEY(name) ""
#define MERGE_END(name) ", " #name " = CASE WHEN " NEWER " THEN excluded." #name " ELSE r." #name " END"
#define MERGE_KNOWN(name) \
	", " #name " = CASE WHEN " NEWER " THEN coalesce(excluded." #name ", r." #name ") ELSE coalesce(r." #name ", excluded." #name ") END"
#define MERGE_ORG(name) ", " #name " = CASE WHEN excluded." #name " = '' THEN r." #name " ELSE excluded." #name " END"
#define MERGE_ALL(name) "" /* attempts, said ahead of the others */
#define MERGE_AND(name) ", " #name " = r." #name " AND excluded." #name

static const struct pg_stmt MERGE = {"records_merge",
				     "INSERT INTO sluice.records AS r (prefix, queue, job_id"
#include "lib/records/columns.def"
#undef COLUMN
#define COLUMN(n, name, kind, type, merge) ", $" #n "::" type "[]"
				     ") SELECT $1::text, $2::text, u.* FROM unnest($3::text[]"
#include "lib/records/columns.def"
#undef COLUMN
#define COLUMN(n, name, kind, type, merge) MERGE_##merge(name)
				     ") AS u ON CONFLICT (prefix, queue, job_id, created_ms) DO UPDATE SET attempts = r.attempts || excluded.attempts"
#include "lib/records/columns.def"
#undef COLUMN
				     ,
				     3 + N_COLUMNS};

static const struct pg_stmt PARTITION = {"records_partition", "SELECT sluice.records_partition($1)", 1};

/* ---- values ---- */

static void copy_TEXT(struct pgcopy *c, struct str v)
{
	pgcopy_text(c, v);
}

static void copy_INT(struct pgcopy *c, int64_t v)
{
	pgcopy_int(c, v);
}

static void copy_MAYBE(struct pgcopy *c, int64_t v)
{
	if (v < 0)
		pgcopy_null(c);
	else
		pgcopy_int(c, v);
}

static void copy_FLAG(struct pgcopy *c, bool v)
{
	pgcopy_bool(c, v);
}

static void array_TEXT(struct pgarray *a, struct str v)
{
	if (v.p)
		pgarray_text(a, v);
	else
		pgarray_null(a);
}

static void array_INT(struct pgarray *a, int64_t v)
{
	pgarray_int(a, v);
}

static void array_MAYBE(struct pgarray *a, int64_t v)
{
	if (v < 0)
		pgarray_null(a);
	else
		pgarray_int(a, v);
}

static void array_FLAG(struct pgarray *a, bool v)
{
	pgarray_text(a, v ? STR("t") : STR("f"));
}

/* ---- which row goes when ---- */

#define SKIPPED UINT32_MAX

/* A statement takes one row of a job. Rows of the same job go in as many waves; of those of the first wave, the ones that are hardly there yet are
 * copied. */
struct plan {
	uint32_t *wave; /* of each row; SKIPPED: a later one has all that it has */
	bool *fresh;    /* copied, in wave 0 */
	uint32_t n_waves;
};

/* The row `before` of the same job says nothing that this one does not say as well. */
static bool makes_idle(const struct record_row *row, const struct record_row *before)
{
	return record_row_is_whole(row) && str_is(before->state, "pending") && before->attempts.n == 2;
}

static int plan_rows(struct plan *p, const struct record_batch *b, struct table *last, struct arena *a)
{
	p->wave = arena_array(a, b->n, sizeof(*p->wave));
	p->fresh = arena_array(a, b->n, sizeof(*p->fresh));
	if (!p->wave || !p->fresh)
		return ERR_NOMEM;
	for (size_t i = 0; i < b->n; i++) {
		struct str key = record_key(b->rows[i].created_ms, b->rows[i].job_id, a);
		const struct record_row *before = key.p ? table_get(last, key) : NULL;
		size_t at = before ? (size_t)(before - b->rows) : 0;
		if (before && makes_idle(&b->rows[i], before)) {
			p->wave[i] = p->wave[at];
			p->fresh[i] = p->fresh[at];
			p->wave[at] = SKIPPED;
		} else {
			p->wave[i] = before ? p->wave[at] + 1 : 0;
			p->fresh[i] = !before && b->rows[i].first && !b->merge;
		}
		p->n_waves = p->wave[i] >= p->n_waves ? p->wave[i] + 1 : p->n_waves;
		if (!key.p || table_put(last, key, &b->rows[i]) < 0)
			return ERR_NOMEM;
	}
	return 0;
}

/* ---- writing ---- */

static int refused(bool failed, bool bad_text, struct err *err)
{
	if (!failed)
		return 0;
	return bad_text ? err_set(err, ERR_INVALID, "a record has text that PostgreSQL cannot hold") : err_set(err, ERR_NOMEM, "no memory for records");
}

static int copy_fresh(struct pglink *l, const struct record_batch *b, const struct plan *p, int64_t deadline, struct err *err)
{
	struct pgcopy c = PGCOPY_INIT;

	for (size_t i = 0; i < b->n; i++) {
		const struct record_row *row = &b->rows[i];
		if (p->wave[i] != 0 || !p->fresh[i])
			continue;
		pgcopy_text(&c, b->prefix);
		pgcopy_text(&c, b->queue);
		pgcopy_text(&c, row->job_id);
#define COLUMN(n, name, kind, type, merge) copy_##kind(&c, row->name);
#include "lib/records/columns.def"
#undef COLUMN
		pgcopy_end_row(&c);
	}
	int rc = refused(c.out.failed, c.refused, err);
	if (rc == 0 && c.rows > 0)
		rc = pglink_copy(l, &COPY, buf_str(&c.out), deadline, NULL, err);
	pgcopy_release(&c);
	return rc;
}

static void put_arrays(struct pgarray *arrays, const struct record_row *row)
{
	pgarray_text(arrays++, row->job_id);
#define COLUMN(n, name, kind, type, merge) array_##kind(arrays++, row->name);
#include "lib/records/columns.def"
#undef COLUMN
}

static int merge_wave(struct pglink *l, const struct record_batch *b, const struct plan *p, uint32_t wave, int64_t deadline, struct err *err)
{
	struct pgarray arrays[1 + N_COLUMNS] = {0};
	struct pg_value values[3 + N_COLUMNS] = {pg_text(b->prefix), pg_text(b->queue)};
	const struct pg_call call = {&MERGE, values};
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < b->n; i++)
		if (p->wave[i] == wave && !p->fresh[i]) {
			put_arrays(arrays, &b->rows[i]);
			n++;
		}
	for (size_t k = 0; k < ARRAY_LEN(arrays); k++) {
		pgarray_end(&arrays[k]);
		values[2 + k] = pg_text(buf_str(&arrays[k].out));
		if (rc == 0)
			rc = refused(arrays[k].out.failed, arrays[k].refused, err);
	}
	if (rc == 0 && n > 0)
		rc = pglink_run(l, &call, 1, deadline, NULL, err);
	for (size_t k = 0; k < ARRAY_LEN(arrays); k++)
		pgarray_release(&arrays[k]);
	return rc;
}

int record_week_ensure(struct pglink *l, struct record_weeks *weeks, int64_t moment_ms, int64_t deadline_mono_ms, struct err *err)
{
	int64_t now = clock_wall_ms(), week = moment_ms / RECORD_WEEK_MS;
	const struct pg_value value = pg_int(moment_ms);
	const struct pg_call call = {&PARTITION, &value};

	if (moment_ms < now - PAST_DAYS * DAY_MS || moment_ms > now + FUTURE_DAYS * DAY_MS)
		return 0;
	for (size_t i = 0; i < weeks->n; i++)
		if (weeks->seen[i] == week)
			return 0;
	int rc = pglink_run(l, &call, 1, deadline_mono_ms, NULL, err);
	if (rc == 0) {
		weeks->n = weeks->n < RECORD_WEEKS ? weeks->n : 0;
		weeks->seen[weeks->n++] = week;
	}
	return rc;
}

int record_store(struct pglink *l, const struct record_batch *batch, struct record_weeks *weeks, struct arena *a, int64_t deadline_mono_ms,
		 struct err *err)
{
	struct plan plan = {0};
	struct table last;
	int rc;

	table_init(&last);
	rc = plan_rows(&plan, batch, &last, a);
	table_release(&last);
	if (rc < 0)
		return err_set(err, rc, "no memory for records");
	for (size_t i = 0; rc == 0 && i < batch->n; i++)
		rc = record_week_ensure(l, weeks, batch->rows[i].created_ms, deadline_mono_ms, err);
	if (rc == 0)
		rc = copy_fresh(l, batch, &plan, deadline_mono_ms, err);
	for (uint32_t wave = 0; rc == 0 && wave < plan.n_waves; wave++)
		rc = merge_wave(l, batch, &plan, wave, deadline_mono_ms, err);
	return rc < 0 ? rc : records_leave_out_erased(l, batch, deadline_mono_ms, err);
}
