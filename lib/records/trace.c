#include "lib/records/trace.h"

#include "lib/pg/pgtext.h"

#define SAME_END_MS 5000  /* as in sluice.record_is_newer */
#define SAME_JOB_MS 60000 /* a job's timestamp is its client's, the event of its add has Redis' time */

#define ERASED "erased" /* the job's record has been, before it ended */

static const struct pg_stmt LOOK_UP = {"records_look_up",
				       "SELECT t.n, r.created_ms, r.state, r.partial, r.at_ms"
				       " FROM unnest($3::text[], $4::bigint[]) WITH ORDINALITY AS t (id, until_ms, n),"
				       " LATERAL ((SELECT created_ms, state, partial, at_ms FROM sluice.records WHERE prefix = $1 AND queue = $2 AND job_id = t.id"
				       " AND created_ms <= t.until_ms ORDER BY created_ms DESC LIMIT 1)"
				       " UNION ALL (SELECT created_ms, '" ERASED "', false, created_ms FROM sluice.record_erased_jobs"
				       " WHERE prefix = $1 AND queue = $2 AND job_id = t.id AND created_ms <= t.until_ms ORDER BY created_ms DESC LIMIT 1)"
				       " ORDER BY created_ms DESC LIMIT 1) AS r ORDER BY t.n",
				       4};
static const struct pg_stmt WRITTEN = {"records_written",
				       "SELECT t.n FROM unnest($3::text[], $4::bigint[], $5::text[], $6::bigint[]) WITH ORDINALITY"
				       " AS t (id, created_ms, state, at_ms, n)"
				       " JOIN sluice.records r ON r.prefix = $1 AND r.queue = $2 AND r.job_id = t.id AND r.created_ms = t.created_ms"
				       " AND r.state = t.state AND r.at_ms = t.at_ms AND NOT r.partial",
				       6};
static const struct pg_stmt SAVE = {"records_cursor",
				    "INSERT INTO sluice.record_cursors (prefix, queue, stream_id, read_ms) VALUES ($1, $2, $3, $4)"
				    " ON CONFLICT (prefix, queue) DO UPDATE SET stream_id = excluded.stream_id, read_ms = excluded.read_ms",
				    4};

/* ---- of which job ---- */

static bool can_be_looked_up(struct str id)
{
	return str_is_utf8(id) && !memchr(id.p, '\0', id.n);
}

static int look_up(struct rec_queue *q, const struct record_trace *traces, size_t n, struct pg_rows **rows, struct err *err)
{
	struct pgarray ids = PGARRAY_INIT, until = PGARRAY_INIT;
	int rc = ERR_NOMEM;

	for (size_t i = 0; i < n; i++) {
		pgarray_text(&ids, can_be_looked_up(traces[i].id) ? traces[i].id : STR(""));
		pgarray_int(&until, traces[i].at_ms + SAME_JOB_MS);
	}
	pgarray_end(&ids);
	pgarray_end(&until);
	const struct pg_value values[] = {pg_text(q->rec->o.prefix), pg_text(q->queue->name), pg_text(buf_str(&ids.out)), pg_text(buf_str(&until.out))};
	const struct pg_call call = {&LOOK_UP, values};
	if (!ids.out.failed && !until.out.failed)
		rc = pglink_run(q->rec->link, &call, 1, records_pg_deadline(q->rec), rows, err);
	pgarray_release(&ids);
	pgarray_release(&until);
	return rc;
}

struct found {
	int64_t place, created_ms, at_ms;
	struct str state;
	bool partial;
};

static bool read_found(struct found *f, const struct pg_rows *rows, int r)
{
	f->state = pg_at(rows, r, 2);
	f->partial = pg_bool_at(rows, r, 3);
	return pg_int_at(rows, r, 0, &f->place) && pg_int_at(rows, r, 1, &f->created_ms) && pg_int_at(rows, r, 4, &f->at_ms);
}

/* The last record of the id before the end is that of this job, unless an add was seen that is later. */
static bool is_of(const struct record_trace *t, const struct found *f)
{
	return t->created_ms == 0 || str_is(f->state, "pending") || f->created_ms >= t->created_ms - SAME_JOB_MS;
}

/* What has completed does not run again, but its id may come again: with a job of whose add nobody knows, this is its end. It is no business of who
 * had the id before. One that had failed was rather tried again. */
static bool is_of_another(const struct record_trace *t, const struct found *f)
{
	return t->created_ms == 0 && t->state != BQ_STATE_UNKNOWN && str_is(f->state, "completed") && t->at_ms >= f->at_ms + SAME_JOB_MS;
}

/* Nothing more is kept of a job whose record was erased. Who ended the job has written its record: an event of that says nothing more, nor does one
 * of the job's removal since. But a job that has failed may have been tried again since, and have completed. */
static bool is_told(const struct record_trace *t, const struct found *f)
{
	bool ended = str_is(f->state, "completed") || str_is(f->state, "failed");
	int64_t same_end_ms = str_is(f->state, bq_state_word(t->state)) ? SAME_END_MS : 0;

	if (str_is(f->state, ERASED))
		return true;
	return ended && !f->partial && (t->state == BQ_STATE_UNKNOWN || t->at_ms < f->at_ms + same_end_ms);
}

/* What has been told already loses its id; and with an end, what the events before it say of the job, whatever the clock of who wrote the record. */
static void forget_told(struct record_trace *traces, size_t at)
{
	const struct record_trace told = traces[at];

	traces[at].id = STR_NONE;
	for (size_t i = 0; i < at && told.state != BQ_STATE_UNKNOWN; i++)
		if (traces[i].created_ms == told.created_ms && str_eq(traces[i].id, told.id))
			traces[i].id = STR_NONE;
}

static void recognize_all(struct record_trace *traces, size_t n, const struct pg_rows *rows)
{
	for (int r = 0; r < pg_rows_count(rows); r++) {
		struct found f;
		if (!read_found(&f, rows, r) || f.place < 1 || (size_t)f.place > n)
			continue;
		struct record_trace *t = &traces[f.place - 1];
		if (!is_of(t, &f) || is_of_another(t, &f))
			continue;
		t->created_ms = f.created_ms;
		if (is_told(t, &f))
			forget_told(traces, (size_t)(t - traces));
	}
}

int trace_rows_add(struct trace_rows *rows, struct rec_queue *q, struct record_trace *traces, size_t n, struct err *err)
{
	struct pg_rows *found;
	int rc = look_up(q, traces, n, &found, err);

	if (rc < 0)
		return rc;
	recognize_all(traces, n, found);
	pg_rows_free(found);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (!traces[i].id.p || records_is_over(q, traces[i].at_ms))
			continue;
		if (traces[i].created_ms == 0)
			traces[i].created_ms = traces[i].at_ms;
		rc = record_row_trace(&rows->items[rows->n], &traces[i], &q->policy, &q->rec->events_arena);
		rows->n += rc == 0;
		rc = rc == ERR_LIMIT ? 0 : rc;
	}
	return rc < 0 ? err_set(err, rc, "no memory for records") : 0;
}

/* ---- which have a record ---- */

static int ask_written(const struct trace_rows *rows, struct rec_queue *q, struct pg_rows **found, struct err *err)
{
	enum { IDS, CREATED, STATES, AT, N_ARRAYS };
	struct pgarray arrays[N_ARRAYS] = {0};
	struct pg_value values[2 + N_ARRAYS] = {pg_text(q->rec->o.prefix), pg_text(q->queue->name)};
	const struct pg_call call = {&WRITTEN, values};
	bool failed = false;

	for (size_t i = 0; i < rows->n; i++) {
		pgarray_text(&arrays[IDS], rows->items[i].job_id);
		pgarray_int(&arrays[CREATED], rows->items[i].created_ms);
		pgarray_text(&arrays[STATES], rows->items[i].state);
		pgarray_int(&arrays[AT], rows->items[i].at_ms);
	}
	for (size_t k = 0; k < N_ARRAYS; k++) {
		pgarray_end(&arrays[k]);
		values[2 + k] = pg_text(buf_str(&arrays[k].out));
		failed = failed || arrays[k].out.failed;
	}
	int rc = failed ? err_set(err, ERR_NOMEM, "no memory for records")
			: pglink_run(q->rec->link, &call, 1, records_pg_deadline(q->rec), found, err);
	for (size_t k = 0; k < N_ARRAYS; k++)
		pgarray_release(&arrays[k]);
	return rc;
}

int trace_rows_leave_out_written(struct trace_rows *rows, struct rec_queue *q, struct err *err)
{
	struct pg_rows *found;
	int rc = ask_written(rows, q, &found, err);
	size_t left = 0;

	if (rc < 0)
		return rc;
	for (int r = 0; r < pg_rows_count(found); r++) {
		int64_t place;
		if (pg_int_at(found, r, 0, &place) && place >= 1 && (size_t)place <= rows->n)
			rows->items[place - 1].job_id = STR_NONE;
	}
	pg_rows_free(found);
	for (size_t i = 0; i < rows->n; i++)
		if (rows->items[i].job_id.p)
			rows->items[left++] = rows->items[i];
	rows->n = left;
	return 0;
}

/* ---- writing ---- */

struct storing {
	const struct trace_rows *rows;
	struct rec_queue *q;
	struct stream_id position;
};

static int save_position(const struct storing *s, struct pglink *l, int64_t deadline, struct err *err)
{
	char at[RECORDS_STREAM_ID_SIZE];

	stream_id_text(s->position, at);
	const struct pg_value values[] = {pg_text(s->q->rec->o.prefix), pg_text(s->q->queue->name), pg_textz(at), pg_int(clock_wall_ms())};
	const struct pg_call call = {&SAVE, values};
	return pglink_run(l, &call, 1, deadline, NULL, err);
}

static int write_rows(struct pglink *l, void *arg, int64_t deadline, struct err *err)
{
	const struct storing *s = arg;
	struct records *rec = s->q->rec;
	const struct record_batch batch = {
		.prefix = rec->o.prefix, .queue = s->q->queue->name, .rows = s->rows->items, .n = s->rows->n, .merge = true};
	int rc = record_store(l, &batch, &rec->weeks, &rec->events_arena, deadline, err);

	return rc == 0 && s->position.ms ? save_position(s, l, deadline, err) : rc;
}

int trace_rows_store(const struct trace_rows *rows, struct rec_queue *q, struct stream_id position, struct err *err)
{
	struct storing s = {rows, q, position};
	int rc = pglink_transact(q->rec->link, write_rows, &s, records_pg_deadline(q->rec), err);

	if (rc == 0 && position.ms)
		q->saved = position;
	return rc;
}
