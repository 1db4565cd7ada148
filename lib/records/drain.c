/* From the outbox, and the adds beside it, into PostgreSQL. */
#include "lib/records/private.h"

#define BATCH_MIN 16
#define BATCH_MAX 2000
#define BATCH_BYTES (4 << 20) /* of entries, about: it stands a few times in memory */
#define PIECE 64              /* entries of one answer of Redis, whatever their size */
#define ELSEWHERE 1           /* another process writes for this queue just now */

static const struct pg_stmt LOCK = {"records_lock", "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", 1};

struct draining {
	struct rec_stream *s;
	struct rec_queue *q; /* whose it is */
	int64_t up_to_ms;
	struct record_row *rows;
	size_t n;             /* rows to be written */
	struct bq_add_place *places; /* of adds that are found by them */
	size_t n_places;
	size_t entries, bytes; /* that were read */
	bool more;             /* others may stand behind them */
	bool merge;
	struct stream_id last;
};

/* Of several processes, one at a time; the lock ends with the transaction. */
static int lock_outbox(struct draining *d, struct pglink *l, int64_t deadline, struct err *err)
{
	const struct pg_value value = pg_text(d->q->queue->keys[BQ_KEY_OUTBOX]);
	const struct pg_call call = {&LOCK, &value};
	struct pg_rows *rows;
	int rc = pglink_run(l, &call, 1, deadline, &rows, err);

	if (rc < 0)
		return rc;
	rc = pg_bool_at(rows, 0, 0) ? 0 : ELSEWHERE;
	pg_rows_free(rows);
	return rc;
}

static size_t bytes_of(const struct bq_entry *e)
{
	const struct bq_job *j = &e->job;

	return 512 + j->data.n + j->returnvalue.n + j->opts_json.n + j->stacktrace.n + j->progress.n + e->logs.n;
}

/* It would stand in the way for ever. */
static void leave_out(struct rec_queue *q, const char *why)
{
	LOG(q->rec->o.log, LOG_WARN, "records_entry_unread", log_str("queue", q->queue->name), log_strz("error", why));
}

/* Its add: then it has a record already. A guess that costs little when it is wrong. */
static bool add_may_be_written(const struct rec_queue *q, const struct bq_job *job)
{
	return q->followed || (atomic_load(&q->outbox.adds) && job->finished_on - job->timestamp >= RECORDS_SETTLE_MS);
}

static int note_place(struct draining *d, const struct bq_entry *e, struct err *err)
{
	if (!d->s->adds || !bq_outbox_notes_place(e->job.id))
		return 0;
	struct str position = arena_dup(&d->q->rec->arena, e->position);
	if (!position.p)
		return err_set(err, ERR_NOMEM, "no memory for records");
	d->places[d->n_places++] = (struct bq_add_place){e->job.id, position};
	return 0;
}

/* An entry that cannot be read is left out. */
static int read_entry(struct draining *d, const redisReply *r, struct err *err)
{
	struct rec_queue *q = d->q;
	struct records *rec = q->rec;
	struct bq_entry e;
	struct err why = {0};
	int rc = bq_outbox_read(r, &rec->arena, &e, &why);

	if (rc == ERR_NOMEM)
		return err_set(err, rc, "%s", why.text);
	d->last = stream_id_read(rreply_str(rreply_at(r, 0)));
	d->entries++;
	if (rc < 0) {
		leave_out(q, why.text);
		return 0;
	}
	d->bytes += bytes_of(&e);
	rc = note_place(d, &e, err);
	if (rc < 0)
		return rc;
	if (e.kind == BQ_ENTRY_REMOVED && e.job.finished_on >= 0)
		return 0; /* its record says how it ended */
	if (records_is_over(q, e.kind == BQ_ENTRY_END && e.job.finished_on >= 0 ? e.job.finished_on : e.at_ms))
		return 0;
	struct record_row *row = &d->rows[d->n];
	rc = record_row_make(row, &e, &q->policy, &rec->arena);
	if (rc == ERR_NOMEM)
		return err_set(err, rc, "no memory for a record");
	if (rc < 0) {
		leave_out(q, "its id is too long");
		return 0;
	}
	row->first = row->first && !(e.kind == BQ_ENTRY_END && add_may_be_written(q, &e.job));
	d->n++;
	return 0;
}

/* Behind what has been read. */
static void next_id(const struct draining *d, char out[RECORDS_STREAM_ID_SIZE])
{
	stream_id_text((struct stream_id){d->last.ms, d->last.seq + 1}, out);
}

static void put_range(struct rcmd *cmd, const struct draining *d, size_t count)
{
	char from[RECORDS_STREAM_ID_SIZE];

	next_id(d, from);
	rcmd_begin(cmd, 6);
	rcmd_argz(cmd, "XRANGE");
	rcmd_arg(cmd, d->s->key);
	rcmd_argz(cmd, from);
	if (d->up_to_ms == RECORDS_ALL)
		rcmd_argz(cmd, "+");
	else
		rcmd_argi(cmd, d->up_to_ms);
	rcmd_argz(cmd, "COUNT");
	rcmd_argi(cmd, (int64_t)count);
}

static int read_piece(struct draining *d, size_t count, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	put_range(&cmd, d, count);
	int rc = records_redis(d->q->rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	rc = rreply_error(replies.items[0], err);
	for (size_t i = 0; rc == 0 && i < count && rreply_at(replies.items[0], i); i++)
		rc = read_entry(d, rreply_at(replies.items[0], i), err);
	rreplies_release(&replies);
	return rc;
}

/* A batch, or as much of it as makes BATCH_BYTES. */
static int read_stream(struct draining *d, struct err *err)
{
	size_t batch = d->s->batch;
	int rc;

	d->rows = arena_array(&d->q->rec->arena, batch, sizeof(*d->rows));
	d->places = arena_array(&d->q->rec->arena, batch, sizeof(*d->places));
	if (!d->rows || !d->places)
		return err_set(err, ERR_NOMEM, "no memory for records");
	do {
		size_t left = batch - d->entries, count = left < PIECE ? left : PIECE, wanted = d->entries + count;
		rc = read_piece(d, count, err);
		d->more = d->entries == wanted;
	} while (rc == 0 && d->more && d->entries < batch && d->bytes < BATCH_BYTES);
	return rc;
}

static int write_batch(struct pglink *l, void *arg, int64_t deadline, struct err *err)
{
	struct draining *d = arg;
	struct rec_queue *q = d->q;

	arena_reset(&q->rec->arena);
	d->n = d->bytes = d->entries = d->n_places = 0;
	d->last = STREAM_ID_NONE;
	d->more = false;
	int rc = lock_outbox(d, l, deadline, err);
	if (rc == 0)
		rc = read_stream(d, err);
	if (rc == 0 && d->s->adds && d->n > 0)
		rc = records_leave_out_ended(q, d->rows, &d->n, deadline, err);
	if (rc != 0 || d->n == 0)
		return rc;
	const struct record_batch batch = {.prefix = q->rec->o.prefix, .queue = q->queue->name, .rows = d->rows, .n = d->n, .merge = d->merge};
	return record_store(l, &batch, &q->rec->weeks, &q->rec->arena, deadline, err);
}

static int take_off_ends(const struct draining *d, const char *next, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "XTRIM");
	rcmd_arg(&cmd, d->s->key);
	rcmd_argz(&cmd, "MINID");
	rcmd_argz(&cmd, next);
	int rc = records_redis(d->q->rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	rc = rreply_error(replies.items[0], err);
	rreplies_release(&replies);
	return rc;
}

/* Takes off what is written. When that fails it is written once more. */
static int take_off(const struct draining *d, struct err *err)
{
	struct records *rec = d->q->rec;
	char next[RECORDS_STREAM_ID_SIZE];

	next_id(d, next);
	if (!d->s->adds)
		return take_off_ends(d, next, err);
	return bq_outbox_take_adds(rec->o.bq, d->q->queue, next, d->places, d->n_places, clock_mono_ms() + RECORDS_REDIS_TIMEOUT_MS, err);
}

static bool was_there(struct pglink *l, int rc)
{
	return rc == ERR_REPLY && strcmp(pglink_sqlstate(l), "23505") == 0;
}

/* Something in the batch is what PostgreSQL does not take (SQLSTATE classes 22, 54), today or tomorrow. */
static bool is_refused(struct pglink *l, int rc)
{
	const char *state = pglink_sqlstate(l);

	return rc == ERR_REPLY && (strncmp(state, "22", 2) == 0 || strncmp(state, "54", 2) == 0);
}

static int write_once(struct draining *d, struct err *err)
{
	struct records *rec = d->q->rec;
	int64_t deadline = records_pg_deadline(rec);

	d->merge = false;
	int rc = pglink_transact(rec->link, write_batch, d, deadline, err);
	if (!was_there(rec->link, rc))
		return rc;
	d->merge = true;
	rec->weeks.n = 0;
	return pglink_transact(rec->link, write_batch, d, deadline, err);
}

/* Halves what is refused until what stands at its front is written, or is the one entry that cannot be: that is left out. */
static int write_front(struct draining *d, struct err *err)
{
	struct rec_queue *q = d->q;
	int rc;

	while (rc = write_once(d, err), is_refused(q->rec->link, rc) && d->entries > 1)
		d->s->batch = d->entries / 2;
	if (!is_refused(q->rec->link, rc))
		return rc;
	leave_out(q, err->text);
	d->n = 0;
	return 0;
}

/* The next one holds about BATCH_BYTES, if its entries are like these; and it grows step by step, since one that took too long was halved. */
static void choose_batch(const struct draining *d)
{
	size_t each = d->bytes / d->entries + 1, fitting = BATCH_BYTES / each, most = d->s->batch < BATCH_MAX / 2 ? 2 * d->s->batch : BATCH_MAX;

	fitting = fitting < BATCH_MIN ? BATCH_MIN : fitting;
	d->s->batch = fitting < most ? fitting : most;
}

/* What is too much for the time or the memory that there is may be written in parts. */
static void halve_batch(const struct draining *d)
{
	size_t tried = d->entries ? d->entries : d->s->batch;

	d->s->batch = tried > 1 ? tried / 2 : 1;
}

int records_drain(struct rec_stream *s, int64_t up_to_ms, struct err *err)
{
	struct draining d = {.s = s, .q = s->q, .up_to_ms = up_to_ms};
	int rc = write_front(&d, err);

	if (rc == 0 && d.entries > 0)
		rc = take_off(&d, err);
	if (rc < 0 && rc != ERR_UNAVAILABLE)
		halve_batch(&d);
	if (rc < 0)
		return rc;
	s->waiting = rc != ELSEWHERE && d.more;
	if (rc == ELSEWHERE)
		return RECORDS_ELSEWHERE;
	if (d.entries == 0)
		return 0;
	choose_batch(&d);
	series_add(s->q->m_written, (double)d.n);
	return (int)d.entries;
}

int records_drain_all(struct rec_stream *s, struct err *err)
{
	int rc;

	do {
		if (atomic_load(&s->q->rec->stopping))
			return RECORDS_ELSEWHERE;
		rc = records_drain(s, RECORDS_ALL, err);
	} while (rc >= 0 && s->waiting);
	return rc > 0 && rc != RECORDS_ELSEWHERE ? 0 : rc;
}
