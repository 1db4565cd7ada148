/* When adds are written. What is written of them is needed by who searches for jobs that are pending, and when another program's worker ends a job
 * and leaves nothing of it: both have time. So adds wait in Redis beside the outbox until most of these jobs have ended, whose records say all
 * and who cost no row more; and while many jobs come, the others are written a few at a time, so that they take nothing from the requests that
 * add them. */
#include "lib/pg/pgtext.h"
#include "lib/records/private.h"

#define BUSY 1000          /* adds a look (a second): as many are many, */
#define STEP 2000          /* and so many of those that wait are written meanwhile */
#define MANY_PERCENT 25    /* of the backlog: more do not wait */

static const struct pg_stmt KNOWN = {"records_known",
				     "SELECT job_id, created_ms, state <> 'pending' AND NOT partial FROM sluice.records"
				     " WHERE prefix = $1 AND queue = $2 AND job_id = ANY($3::text[]) AND created_ms BETWEEN $4 AND $5",
				     5};

/* ---- how many, and when ---- */

void records_pace_adds(struct records *rec, bool pressed)
{
	int64_t length = 0;

	for (size_t i = 0; i < rec->n_queues; i++) {
		length += rec->queues[i].adds.length;
		rec->queues[i].adds.waiting = rec->queues[i].adds.length > 0;
	}
	bool busy = length + rec->adds_taken - rec->adds_length >= BUSY, many = length > rec->o.backlog_max * MANY_PERCENT / 100;
	rec->adds_left = busy && !many && !pressed ? STEP : INT64_MAX;
	rec->adds_length = length;
	rec->adds_taken = 0;
}

static int settle(struct rec_stream *s, int64_t up_to_ms, struct err *err)
{
	struct records *rec = s->q->rec;

	if ((int64_t)s->batch > rec->adds_left)
		s->batch = (size_t)rec->adds_left;
	int rc = records_drain(s, up_to_ms, err);
	if (rc < 0)
		return rc;
	if (rc != RECORDS_ELSEWHERE) {
		rec->adds_taken += rc;
		rec->adds_left -= rec->adds_left == INT64_MAX ? 0 : rc;
	}
	return 0;
}

/* A batch of each; *more: others are due. */
static int settle_round(struct records *rec, int64_t up_to_ms, bool *more, struct err *err)
{
	*more = false;
	for (size_t i = 0; i < rec->n_queues; i++) {
		struct rec_stream *s = &rec->queues[i].adds;
		struct err why = {0};
		s->waiting = s->waiting && rec->adds_left > 0;
		int rc = s->waiting ? settle(s, up_to_ms, &why) : 0;
		if (!records_go_on(rec, rc, &why, err))
			break;
		*more = *more || s->waiting;
	}
	return err->code;
}

int records_settle_adds(struct records *rec, int64_t until_mono_ms, struct err *err)
{
	bool wanted = atomic_load(&rec->stopping), more;
	int64_t up_to_ms = wanted ? RECORDS_ALL : clock_mono_ms() + rec->redis_ahead_ms - RECORDS_SETTLE_MS;
	int rc;

	if (wanted)
		rec->adds_left = INT64_MAX;
	for (size_t i = 0; wanted && i < rec->n_queues; i++)
		rec->queues[i].adds.waiting = true;
	do
		rc = settle_round(rec, up_to_ms, &more, err);
	while (rc == 0 && more && clock_mono_ms() < until_mono_ms);
	return rc;
}

/* ---- which ---- */

static int ask_known(struct rec_queue *q, const struct record_row *rows, size_t n, struct pg_rows **found, int64_t deadline, struct err *err)
{
	struct pgarray ids = PGARRAY_INIT;
	int64_t from = rows[0].created_ms, to = from;
	int rc;

	for (size_t i = 0; i < n; i++) {
		pgarray_text(&ids, rows[i].job_id);
		from = rows[i].created_ms < from ? rows[i].created_ms : from;
		to = rows[i].created_ms > to ? rows[i].created_ms : to;
	}
	pgarray_end(&ids);
	const struct pg_value values[] = {pg_text(q->rec->o.prefix), pg_text(q->queue->name), pg_text(buf_str(&ids.out)), pg_int(from), pg_int(to)};
	const struct pg_call call = {&KNOWN, values};
	if (ids.out.failed)
		rc = err_set(err, ERR_NOMEM, "no memory for records");
	else
		rc = pglink_run(q->rec->link, &call, 1, deadline, found, err);
	pgarray_release(&ids);
	return rc;
}

/* What is known, by the rows' keys: is it all? */
static int note_known(const struct pg_rows *found, struct table *known, struct arena *a)
{
	static const bool all = true, part = false;

	for (int r = 0; r < pg_rows_count(found); r++) {
		int64_t created_ms;
		if (!pg_int_at(found, r, 1, &created_ms))
			continue;
		struct str key = record_key(created_ms, pg_at(found, r, 0), a);
		if (!key.p || table_put(known, key, (void *)(pg_bool_at(found, r, 2) ? &all : &part)) < 0)
			return ERR_NOMEM;
	}
	return 0;
}

static int leave_out(struct record_row *rows, size_t *n, const struct table *known, struct arena *a)
{
	size_t left = 0;

	for (size_t i = 0; i < *n; i++) {
		struct str key = record_key(rows[i].created_ms, rows[i].job_id, a);
		if (!key.p)
			return ERR_NOMEM;
		const bool *all = table_get(known, key);
		if (all && *all)
			continue;
		rows[left] = rows[i];
		rows[left++].first = !all;
	}
	*n = left;
	return 0;
}

int records_leave_out_ended(struct rec_queue *q, struct record_row *rows, size_t *n, int64_t deadline_mono_ms, struct err *err)
{
	struct pg_rows *found;
	struct table known;
	int rc = ask_known(q, rows, *n, &found, deadline_mono_ms, err);

	if (rc < 0)
		return rc;
	table_init(&known);
	rc = note_known(found, &known, &q->rec->arena);
	if (rc == 0)
		rc = leave_out(rows, n, &known, &q->rec->arena);
	table_release(&known);
	pg_rows_free(found);
	return rc < 0 ? err_set(err, rc, "no memory for records") : 0;
}
