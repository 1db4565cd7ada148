/* How far the events of each queue have been read. */
#include "lib/pg/pgtext.h"
#include "lib/records/private.h"

static const struct pg_stmt LOAD = {"records_cursors", "SELECT queue, stream_id FROM sluice.record_cursors WHERE prefix = $1", 1};
static const struct pg_stmt SAVE_ALL = {
	"records_cursors_save",
	"INSERT INTO sluice.record_cursors (prefix, queue, stream_id, read_ms)"
	" SELECT $1::text, u.queue, u.stream_id, $4::bigint FROM unnest($2::text[], $3::text[]) AS u (queue, stream_id)"
	" ON CONFLICT (prefix, queue) DO UPDATE SET stream_id = excluded.stream_id, read_ms = excluded.read_ms",
	4};

static struct rec_queue *find(struct records *rec, struct str name)
{
	for (size_t i = 0; i < rec->n_queues; i++)
		if (str_eq(rec->queues[i].queue->name, name))
			return &rec->queues[i];
	return NULL;
}

/* What ended while nobody of us was there is caught up on, whoever is there now. */
int records_cursors_load(struct records *rec, struct err *err)
{
	const struct pg_value value = pg_text(rec->o.prefix);
	const struct pg_call call = {&LOAD, &value};
	struct pg_rows *rows;
	int rc = pglink_run(rec->link, &call, 1, records_pg_deadline(rec), &rows, err);

	if (rc < 0)
		return rc;
	for (int r = 0; r < pg_rows_count(rows); r++) {
		struct rec_queue *q = find(rec, pg_at(rows, r, 0));
		if (!q || q->events.ms > 0)
			continue;
		q->saved = q->events = stream_id_read(pg_at(rows, r, 1));
		q->followed = q->events.ms > 0;
	}
	pg_rows_free(rows);
	rec->cursors_loaded = true;
	return 0;
}

static bool has_moved(const struct rec_queue *q)
{
	return q->events.ms && (q->events.ms != q->saved.ms || q->events.seq != q->saved.seq);
}

int records_cursors_save(struct records *rec, struct err *err)
{
	struct pgarray queues = PGARRAY_INIT, ids = PGARRAY_INIT;
	char at[RECORDS_STREAM_ID_SIZE];
	bool any = false;
	int rc = 0;

	for (size_t i = 0; i < rec->n_queues; i++) {
		const struct rec_queue *q = &rec->queues[i];
		if (!has_moved(q))
			continue;
		stream_id_text(q->events, at);
		pgarray_text(&queues, q->queue->name);
		pgarray_text(&ids, str_from(at));
		any = true;
	}
	pgarray_end(&queues);
	pgarray_end(&ids);
	const struct pg_value values[] = {pg_text(rec->o.prefix), pg_text(buf_str(&queues.out)), pg_text(buf_str(&ids.out)), pg_int(clock_wall_ms())};
	const struct pg_call call = {&SAVE_ALL, values};
	if (queues.out.failed || ids.out.failed)
		rc = err_set(err, ERR_NOMEM, "no memory for cursors");
	else if (any)
		rc = pglink_run(rec->link, &call, 1, records_pg_deadline(rec), NULL, err);
	for (size_t i = 0; rc == 0 && i < rec->n_queues; i++)
		rec->queues[i].saved = rec->queues[i].events;
	pgarray_release(&queues);
	pgarray_release(&ids);
	return rc;
}
