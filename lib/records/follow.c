/* Ends that other programs' workers bring about. They are in no outbox, but in the queue's events, and often the job is still there to be
 * read. Reading the events of every job costs as much as a good part of the job, so it is done for queues on which such a worker is present, or
 * was when they were last read. */
#include <stdlib.h>

#include "lib/bullmq/inspect.h"
#include "lib/records/private.h"
#include "lib/records/trace.h"

#define EVENTS_PER_CALL 500
#define OWN_WORKER "sluice-" /* how the names of this program's workers begin */
#define ADDED_MAX 10000 /* the last adds of a queue that are remembered, at least */
#define GAP_STEP 200
#define HASHES_BYTES (4 << 20) /* of jobs' hashes, about: as many are read at once */
#define HASH_BYTES 4096        /* of a hash without data and return value, for the reckoning */
#define OTHER_MAX_BYTES 16384  /* of the other fields that may be long, as in outbox.lua */
#define GAP_MAX 10000 /* finished jobs of a queue that are looked at when events were lost */

struct rec_added {
	int64_t ms;
	char name[];
};

static void forget(struct table *added)
{
	for (struct table_iter it = {0}; table_next(added, &it);)
		free(it.value);
	table_release(added);
	table_init(added);
}

void records_forget_added(struct rec_queue *q)
{
	forget(&q->added);
	forget(&q->added_before);
}

static void forget_oldest(struct rec_queue *q)
{
	forget(&q->added_before);
	q->added_before = q->added;
	table_init(&q->added);
}

/* ---- who is there ---- */

static bool is_foreign(const struct bq_client *c)
{
	return !c->name.p || !str_starts(c->name, STR(OWN_WORKER));
}

static void note_foreign(struct records *rec, const struct bq_clients *clients)
{
	for (size_t i = 0; i < rec->n_queues; i++) {
		struct rec_queue *q = &rec->queues[i];
		q->foreign = clients->refused; /* nobody can tell */
		for (size_t c = 0; c < clients->n && !q->foreign; c++)
			q->foreign = str_eq(clients->items[c].queue, q->queue->name) && is_foreign(&clients->items[c]);
		q->followed = q->followed || q->foreign;
		q->past = q->foreign ? STREAM_ID_NONE : q->past;
		atomic_store(&q->outbox.adds, q->adds_always || q->foreign);
	}
}

static int ask_positions(struct records *rec, struct rreplies *replies, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;

	for (size_t i = 0; i < rec->n_queues; i++) {
		rcmd_begin(&cmd, 6);
		rcmd_argz(&cmd, "XREVRANGE");
		rcmd_arg(&cmd, rec->queues[i].queue->keys[BQ_KEY_EVENTS]);
		rcmd_argz(&cmd, "+");
		rcmd_argz(&cmd, "-");
		rcmd_argz(&cmd, "COUNT");
		rcmd_argz(&cmd, "1");
	}
	return records_redis(rec, &cmd, replies, err);
}

/* Where the events stand of a queue that is not followed: from there they will be read, should a worker come before the next look. Of a queue that
 * is new here nobody knows who has worked on it: what its writers have left there is read once, from the beginning. */
static void note_position(struct rec_queue *q, struct stream_id last)
{
	if (q->followed || last.ms == 0)
		return;
	if (q->events.ms > 0) {
		q->events = last;
		return;
	}
	q->past = last;
	q->followed = true;
}

/* The positions are asked first: a worker that comes between the two questions is seen, and what it ends stands behind them. */
int records_look_for_foreign(struct records *rec, struct err *err)
{
	struct bq_clients clients;
	struct rreplies positions;
	int rc = rec->n_queues ? ask_positions(rec, &positions, err) : 0;

	if (rc < 0 || rec->n_queues == 0)
		return rc;
	rc = bq_clients(rec->o.bq, rec->o.prefix, &rec->arena, &clients, clock_mono_ms() + RECORDS_REDIS_TIMEOUT_MS, err);
	if (rc == 0) {
		note_foreign(rec, &clients);
		rec->foreign_known = true;
		for (size_t i = 0; i < rec->n_queues; i++)
			note_position(&rec->queues[i], stream_id_read(rreply_str(rreply_at(rreply_at(positions.items[i], 0), 0))));
	}
	rreplies_release(&positions);
	return rc;
}

/* ---- events ---- */

struct ends {
	struct rec_queue *q;
	struct record_trace *items; /* created_ms 0: unknown */
	size_t n;
	struct stream_id last;
	bool more;
};

static struct str value_of(const redisReply *pairs, const char *name)
{
	for (size_t at = 0; rreply_at(pairs, at + 1); at += 2)
		if (str_is(rreply_str(rreply_at(pairs, at)), name))
			return rreply_str(rreply_at(pairs, at + 1));
	return STR_NONE;
}

static void note_added(struct rec_queue *q, struct str id, struct str name, int64_t ms)
{
	struct rec_added *added = malloc(sizeof(*added) + name.n + 1);

	if (q->added.count >= ADDED_MAX)
		forget_oldest(q);
	free(table_remove(&q->added, id));
	if (!added)
		return;
	added->ms = ms;
	memcpy(added->name, name.n ? name.p : "", name.n);
	added->name[name.n] = '\0';
	if (table_put(&q->added, id, added) < 0)
		free(added);
}

static void recall_added(const struct rec_queue *q, struct record_trace *t)
{
	const struct rec_added *added = table_get(&q->added, t->id);

	if (!added)
		added = table_get(&q->added_before, t->id);
	if (!added)
		return;
	t->created_ms = added->ms;
	t->name = arena_dup(&q->rec->events_arena, str_from(added->name));
}

static const struct {
	const char *event, *value;
	enum bq_state state;
} ENDS[] = {
	{"completed", "returnvalue", BQ_COMPLETED},
	{"failed", "failedReason", BQ_FAILED},
	{"removed", "jobId", BQ_STATE_UNKNOWN},
};

/* As the outbox does it: what is too long is left out, and *bytes says how long it was. */
static void leave_out_long(struct str *field, int64_t max_bytes, int64_t *bytes)
{
	if ((int64_t)field->n <= max_bytes)
		return;
	*bytes = (int64_t)field->n;
	*field = STR_NONE;
}

static struct record_trace trace_of(const struct rec_queue *q, struct str id, enum bq_state state, struct str value)
{
	struct arena *a = &q->rec->events_arena;
	int64_t max_bytes = state == BQ_COMPLETED ? atomic_load(&q->outbox.result_cap) : OTHER_MAX_BYTES;
	struct record_trace t = {.id = arena_dup(a, id), .state = state, .value_bytes = -1};

	leave_out_long(&value, max_bytes, &t.value_bytes);
	t.value = value.p ? arena_dup(a, value) : STR_NONE;
	return t;
}

static int note_event(struct ends *e, const redisReply *entry, struct err *err)
{
	const redisReply *pairs = rreply_at(entry, 1);
	struct str event = value_of(pairs, "event"), id = value_of(pairs, "jobId");

	e->last = stream_id_read(rreply_str(rreply_at(entry, 0)));
	if (!event.p || !id.p)
		return 0;
	if (str_is(event, "added"))
		note_added(e->q, id, value_of(pairs, "name"), (int64_t)e->last.ms);
	for (size_t i = 0; i < ARRAY_LEN(ENDS); i++) {
		struct record_trace *t = &e->items[e->n];
		if (!str_is(event, ENDS[i].event))
			continue;
		*t = trace_of(e->q, id, ENDS[i].state, value_of(pairs, ENDS[i].value));
		t->at_ms = (int64_t)e->last.ms;
		if (!t->id.p)
			return err_set(err, ERR_NOMEM, "no memory for events");
		recall_added(e->q, t); /* now: the id may come again */
		e->n++;
	}
	return 0;
}

static void put_read(struct rcmd *cmd, const struct rec_queue *q)
{
	char at[RECORDS_STREAM_ID_SIZE];

	stream_id_text(q->events, at);
	rcmd_begin(cmd, 6); /* is the last one that was read still there? */
	rcmd_argz(cmd, "XRANGE");
	rcmd_arg(cmd, q->queue->keys[BQ_KEY_EVENTS]);
	rcmd_argz(cmd, at);
	rcmd_argz(cmd, at);
	rcmd_argz(cmd, "COUNT");
	rcmd_argz(cmd, "1");
	rcmd_begin(cmd, 6);
	rcmd_argz(cmd, "XREAD");
	rcmd_argz(cmd, "COUNT");
	rcmd_argi(cmd, EVENTS_PER_CALL);
	rcmd_argz(cmd, "STREAMS");
	rcmd_arg(cmd, q->queue->keys[BQ_KEY_EVENTS]);
	rcmd_argz(cmd, at);
}

/* *gap: what stood behind the position may have been trimmed. */
static int read_events(struct ends *e, bool *gap, struct err *err)
{
	struct rec_queue *q = e->q;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	put_read(&cmd, q);
	int rc = records_redis(q->rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	const redisReply *entries = rreply_at(rreply_at(replies.items[1], 0), 1);
	e->items = arena_array(&q->rec->events_arena, EVENTS_PER_CALL, sizeof(*e->items));
	if (!e->items)
		rc = err_set(err, ERR_NOMEM, "no memory for events");
	size_t n = 0;
	for (; rc == 0 && n < EVENTS_PER_CALL && rreply_at(entries, n); n++)
		rc = note_event(e, rreply_at(entries, n), err);
	e->more = n == EVENTS_PER_CALL;
	*gap = n > 0 && q->events.ms > 0 && !rreply_at(replies.items[0], 0);
	rreplies_release(&replies);
	return rc;
}

/* ---- what became of the jobs ---- */

static void leave_out_long_fields(const struct rec_queue *q, struct bq_entry *e)
{
	struct str *others[] = {&e->job.progress, &e->job.stacktrace, &e->job.failed_reason};
	int64_t bytes;

	leave_out_long(&e->job.data, atomic_load(&q->outbox.data_cap), &e->data_bytes);
	leave_out_long(&e->job.returnvalue, atomic_load(&q->outbox.result_cap), &e->result_bytes);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		leave_out_long(others[i], OTHER_MAX_BYTES, &bytes);
}

/* From the job's hash, where it is still that of the ended job: false otherwise. */
static bool from_hash(struct rec_queue *q, struct trace_rows *rows, const struct record_trace *t, const redisReply *pairs, int *rc)
{
	struct bq_entry e = {.kind = BQ_ENTRY_END, .at_ms = t->at_ms, .data_bytes = -1, .result_bytes = -1};

	if (t->state == BQ_STATE_UNKNOWN || !rreply_at(pairs, 1))
		return false;
	*rc = bq_job_from_hash(&e.job, t->id, pairs, &q->rec->arena);
	if (*rc < 0 || e.job.finished_on < 0 || e.job.timestamp <= 0)
		return false;
	e.job.state = t->state;
	if (records_is_over(q, e.job.finished_on))
		return true;
	leave_out_long_fields(q, &e);
	*rc = record_row_make(&rows->items[rows->n], &e, &q->policy, &q->rec->arena);
	rows->n += *rc == 0;
	*rc = *rc == ERR_LIMIT ? 0 : *rc;
	return true;
}

static void put_on_hash(struct rcmd *cmd, const struct rec_queue *q, struct str id, const char *what, const char *field)
{
	struct buf key = BUF_INIT;

	bq_job_key(&key, q->queue, id, "");
	rcmd_begin(cmd, field ? 3 : 2);
	rcmd_argz(cmd, what);
	rcmd_arg(cmd, buf_str(&key));
	if (field)
		rcmd_argz(cmd, field);
	cmd->wire.failed = cmd->wire.failed || key.failed;
	buf_release(&key);
}

/* About how many bytes the hash of each has. */
static int ask_sizes(const struct ends *e, int64_t *sizes, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	for (size_t i = 0; i < e->n; i++) {
		put_on_hash(&cmd, e->q, e->items[i].id, "HSTRLEN", "data");
		put_on_hash(&cmd, e->q, e->items[i].id, "HSTRLEN", "returnvalue");
	}
	int rc = records_redis(e->q->rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < e->n; i++) {
		int64_t data = 0, returnvalue = 0;
		(void)rreply_int(replies.items[2 * i], &data);
		(void)rreply_int(replies.items[2 * i + 1], &returnvalue);
		sizes[i] = HASH_BYTES + data + returnvalue;
	}
	rreplies_release(&replies);
	return 0;
}

/* Of these traces, those that are still there become rows; the others are put at *left. */
static int read_hashes(struct ends *e, size_t from, size_t n, struct trace_rows *rows, size_t *left, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	for (size_t i = 0; i < n; i++)
		put_on_hash(&cmd, e->q, e->items[from + i].id, "HGETALL", NULL);
	int rc = records_redis(e->q->rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!from_hash(e->q, rows, &e->items[from + i], replies.items[i], &rc))
			e->items[(*left)++] = e->items[from + i];
	rreplies_release(&replies);
	return rc < 0 ? err_set(err, rc, "no memory for records") : 0;
}

/* In the arena of batches: none is being drained. */
static int store_some(struct ends *e, size_t from, size_t n, size_t *left, struct err *err)
{
	struct rec_queue *q = e->q;

	arena_reset(&q->rec->arena);
	struct trace_rows rows = {.items = arena_array(&q->rec->arena, n, sizeof(*rows.items))};
	int rc = rows.items ? read_hashes(e, from, n, &rows, left, err) : err_set(err, ERR_NOMEM, "no memory for records");
	if (rc == 0 && rows.n > 0)
		rc = trace_rows_leave_out_written(&rows, q, err);
	if (rc == 0 && rows.n > 0)
		rc = trace_rows_store(&rows, q, STREAM_ID_NONE, err);
	if (rc == 0)
		series_add(q->m_written, (double)rows.n);
	return rc;
}

/* Those that are still there are written, a few at a time when they are large; the others stay in e->items. */
static int store_hashes(struct ends *e, struct err *err)
{
	int64_t *sizes = arena_array(&e->q->rec->events_arena, e->n, sizeof(*sizes));
	int rc = sizes ? ask_sizes(e, sizes, err) : err_set(err, ERR_NOMEM, "no memory for records");
	size_t left = 0;

	for (size_t from = 0, n; rc == 0 && from < e->n; from += n) {
		int64_t bytes = sizes[from];
		for (n = 1; from + n < e->n && bytes + sizes[from + n] <= HASHES_BYTES; n++)
			bytes += sizes[from + n];
		rc = store_some(e, from, n, &left, err);
	}
	e->n = left;
	return rc;
}

static int store(struct ends *e, struct stream_id position, struct err *err)
{
	struct rec_queue *q = e->q;
	struct trace_rows rows = {.items = arena_array(&q->rec->events_arena, e->n + 1, sizeof(*rows.items))};
	int rc = rows.items ? 0 : err_set(err, ERR_NOMEM, "no memory for records");

	if (rc == 0 && e->n > 0)
		rc = store_hashes(e, err);
	if (rc == 0 && e->n > 0)
		rc = records_drain_all(&q->adds, err); /* all that is known of those that are gone */
	if (rc == 0 && e->n > 0)
		rc = trace_rows_add(&rows, q, e->items, e->n, err);
	if (rc == 0)
		rc = trace_rows_store(&rows, q, position, err);
	if (rc == 0)
		series_add(q->m_written, (double)rows.n);
	return rc;
}

/* ---- events that were lost ---- */

/* Finished jobs since the moment, a step of them; *from is moved on. */
static int read_finished(struct ends *e, enum bq_key set, enum bq_state state, int64_t *from, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	rcmd_begin(&cmd, 8);
	rcmd_argz(&cmd, "ZRANGEBYSCORE");
	rcmd_arg(&cmd, e->q->queue->keys[set]);
	rcmd_argi(&cmd, (int64_t)e->q->events.ms);
	rcmd_argz(&cmd, "+inf");
	rcmd_argz(&cmd, "WITHSCORES");
	rcmd_argz(&cmd, "LIMIT");
	rcmd_argi(&cmd, *from);
	rcmd_argi(&cmd, GAP_STEP);
	int rc = records_redis(e->q->rec, &cmd, &replies, err);
	if (rc < 0)
		return rc;
	for (e->n = 0; e->n < GAP_STEP && rreply_at(replies.items[0], 2 * e->n); e->n++) {
		struct record_trace *t = &e->items[e->n];
		*t = trace_of(e->q, rreply_str(rreply_at(replies.items[0], 2 * e->n)), state, STR_NONE);
		if (!t->id.p || !rreply_int(rreply_at(replies.items[0], 2 * e->n + 1), &t->at_ms))
			break;
	}
	*from += (int64_t)e->n;
	rreplies_release(&replies);
	return 0;
}

/* What ended since then and is still in Redis; the rest is lost, and it is said. */
static int reconcile(struct rec_queue *q, struct err *err)
{
	static const struct {
		enum bq_key set;
		enum bq_state state;
	} sets[] = {{BQ_KEY_COMPLETED, BQ_COMPLETED}, {BQ_KEY_FAILED, BQ_FAILED}};
	int rc = 0;

	LOG(q->rec->o.log, LOG_WARN, "records_gap", log_str("queue", q->queue->name), log_int("since", (int64_t)q->events.ms));
	atomic_fetch_add(&q->rec->gaps, 1);
	series_add(q->m_gaps, 1);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(sets); i++) {
		struct ends e = {.q = q};
		int64_t from = 0;
		do {
			arena_reset(&q->rec->events_arena);
			e.items = arena_array(&q->rec->events_arena, GAP_STEP, sizeof(*e.items));
			rc = e.items ? read_finished(&e, sets[i].set, sets[i].state, &from, err) : err_set(err, ERR_NOMEM, "no memory for events");
			bool full = e.n == GAP_STEP;
			if (rc == 0 && e.n > 0)
				rc = store(&e, STREAM_ID_NONE, err);
			e.n = full;
		} while (rc == 0 && e.n && from < GAP_MAX && !atomic_load(&q->rec->stopping));
	}
	return rc;
}

/* ---- a step ---- */

static bool is_at_the_end(const struct rec_queue *q, const struct ends *e)
{
	return !e->more || (q->past.ms > 0 && !stream_id_before(q->events, q->past));
}

/* Of a queue on which nobody else is any more: until its next worker comes. */
static void leave(struct rec_queue *q)
{
	if (q->foreign || !q->rec->foreign_known)
		return;
	q->followed = false;
	q->past = STREAM_ID_NONE;
	records_forget_added(q);
}

/* What stood behind the position is lost in part. Where it was but the past of a queue on which nobody else is, its own workers have gone on. */
static int step_over_gap(struct rec_queue *q, struct err *err)
{
	if (q->past.ms > 0) {
		q->events = q->past;
		leave(q);
		return 0;
	}
	int rc = reconcile(q, err);
	if (rc == 0)
		q->events = STREAM_ID_NONE;
	return rc < 0 ? rc : rc == 0;
}

/* Reads some events of the queue; positive when there are more. They are read before what the outbox has is written, so whatever our own scripts
 * have to say of the ends among them is in PostgreSQL by the time that these are looked at. */
static int follow(struct rec_queue *q, struct err *err)
{
	struct ends e = {.q = q, .last = q->events};
	bool gap = false;
	int rc;

	arena_reset(&q->rec->events_arena);
	rc = read_events(&e, &gap, err);
	if (rc == 0 && gap)
		return step_over_gap(q, err);
	if (rc == 0 && e.n > 0)
		rc = records_drain_all(&q->ends, err);
	if (rc == 0 && e.n > 0)
		rc = store(&e, e.last, err);
	if (rc == RECORDS_ELSEWHERE)
		return 0;
	if (rc < 0)
		return rc;
	q->events = e.last;
	if (is_at_the_end(q, &e))
		leave(q);
	return q->followed && e.more;
}

int records_follow(struct records *rec, struct err *err)
{
	int more = 0;

	for (size_t i = 0; i < rec->n_queues; i++) {
		struct err why = {0};
		int rc = rec->queues[i].followed ? follow(&rec->queues[i], &why) : 0;
		if (!records_go_on(rec, rc, &why, err))
			break;
		more = more || rc > 0;
	}
	return err->code ? err->code : more;
}
