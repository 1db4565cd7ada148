#include "lib/bullmq/outbox.h"

#include "lib/bullmq/bq_impl.h"

static void note_fresh(struct bq_outbox *o)
{
	if (!atomic_exchange(&o->fresh, true))
		o->wake(o->wake_arg);
}

void bq_arg_outbox(struct rcmd *cmd, const struct bq_queue *q)
{
	if (!q->outbox) {
		rcmd_argz(cmd, "");
		rcmd_argz(cmd, "");
		return;
	}
	rcmd_argi(cmd, atomic_load(&q->outbox->data_cap));
	rcmd_argi(cmd, atomic_load(&q->outbox->result_cap));
	note_fresh(q->outbox);
}

static void add_line(struct buf *b, const struct bq_queue *q)
{
	buf_adds(b, q->keys[BQ_KEY_BASE]);
	buf_addf(b, " %lld %lld\n", (long long)atomic_load(&q->outbox->data_cap), (long long)atomic_load(&q->outbox->result_cap));
}

void bq_arg_outboxes(struct rcmd *cmd, const struct bq_queue *q)
{
	struct buf lines = BUF_INIT;

	if (q->outbox) {
		size_t n = q->outbox->n_all ? atomic_load(q->outbox->n_all) : 0;
		for (size_t i = 0; i < n; i++)
			add_line(&lines, q->outbox->all[i]);
		if (n == 0)
			add_line(&lines, q);
		note_fresh(q->outbox);
	}
	rcmd_arg(cmd, buf_str(&lines));
	cmd->wire.failed = cmd->wire.failed || lines.failed;
	buf_release(&lines);
}

void bq_arg_outbox_adds(struct rcmd *cmd, const struct bq_queue *q)
{
	if (!q->outbox || !atomic_load(&q->outbox->adds)) {
		rcmd_argz(cmd, "");
		return;
	}
	rcmd_argi(cmd, atomic_load(&q->outbox->data_cap));
}

/* ---- reading ---- */

static const char *const KINDS[] = {
	[BQ_ENTRY_ADDED] = "added", [BQ_ENTRY_ATTEMPT] = "attempt", [BQ_ENTRY_END] = "end", [BQ_ENTRY_REMOVED] = "removed"};

/* The value of a name, the last one counting; NULL when there is none. */
static const redisReply *value_of(const redisReply *pairs, const char *name)
{
	const redisReply *value = NULL;

	for (size_t at = 0; rreply_at(pairs, at + 1); at += 2)
		if (str_is(rreply_str(rreply_at(pairs, at)), name))
			value = rreply_at(pairs, at + 1);
	return value;
}

static int64_t number_of(const redisReply *pairs, const char *name)
{
	int64_t v;

	return rreply_int(value_of(pairs, name), &v) ? v : -1;
}

static bool read_kind(const redisReply *pairs, enum bq_entry_kind *out)
{
	struct str word = rreply_str(value_of(pairs, "kind"));

	for (size_t k = 0; k < ARRAY_LEN(KINDS); k++)
		if (word.p && str_is(word, KINDS[k])) {
			*out = (enum bq_entry_kind)k;
			return true;
		}
	return false;
}

/* A job that failed has no return value; one that completed may have the reason of an earlier attempt. */
static enum bq_state state_at(const struct bq_entry *e, bool has_result)
{
	if (e->kind != BQ_ENTRY_END)
		return BQ_STATE_UNKNOWN;
	return has_result ? BQ_COMPLETED : BQ_FAILED;
}

int bq_outbox_read(const redisReply *entry, struct arena *a, struct bq_entry *out, struct err *err)
{
	const redisReply *pairs = rreply_at(entry, 1);
	struct str id = rreply_str(value_of(pairs, "id")), logs = rreply_str(value_of(pairs, "logs"));

	*out = (struct bq_entry){
		.position = rreply_str(rreply_at(entry, 0)),
		.at_ms = number_of(pairs, "at"),
		.data_bytes = number_of(pairs, "dataBytes"),
		.result_bytes = number_of(pairs, "returnvalueBytes"),
	};
	if (!id.p || !out->position.p || out->at_ms < 0 || !read_kind(pairs, &out->kind))
		return err_set(err, ERR_PROTOCOL, "an entry of the outbox has an unknown form");
	if (logs.p)
		out->logs = arena_dup(a, logs);
	if ((logs.p && !out->logs.p) || bq_job_from_pairs(&out->job, id, pairs, NULL, a) < 0)
		return err_set(err, ERR_NOMEM, "no memory for an entry of the outbox");
	if (!value_of(pairs, "data"))
		out->job.data = STR_NONE;
	if (!value_of(pairs, "timestamp"))
		out->job.timestamp = out->at_ms;
	out->job.state = state_at(out, out->job.returnvalue.p || out->result_bytes >= 0);
	return 0;
}

/* ---- adds by their ids ---- */

#define FIND_PER_CALL 32 /* some dozens of looks each: Redis is not held up by who asks for many */

static int read_found(const struct rreplies *replies, size_t n, struct arena *a, struct bq_entry *out, bool *found, struct err *err)
{
	int rc = rreply_error(replies->items[0], err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const redisReply *entry = rreply_at(replies->items[0], i);
		struct err why;
		found[i] = entry && !rreply_is_nil(entry);
		if (found[i] && (rc = bq_outbox_read(entry, a, &out[i], &why)) == ERR_PROTOCOL) {
			found[i] = false;
			rc = 0;
		}
	}
	return rc == ERR_NOMEM ? err_set(err, rc, "no memory for adds") : rc;
}

int bq_outbox_find_adds(struct bq *bq, const struct bq_queue *q, const struct str *ids, size_t n, struct arena *a, struct bq_entry *out, bool *found,
			int64_t deadline_mono_ms, struct err *err)
{
	const struct bq_script_call script = {.queue = q};
	int rc = 0;

	for (size_t at = 0, step; rc == 0 && at < n; at += step) {
		struct rcmd cmd = RCMD_INIT;
		struct rreplies replies;
		step = n - at < FIND_PER_CALL ? n - at : FIND_PER_CALL;
		bq_script_begin(&cmd, BQ_SCRIPT_FIND_ADDS, &script, step);
		for (size_t i = 0; i < step; i++)
			rcmd_arg(&cmd, ids[at + i]);
		rc = bq_call(bq, &cmd, deadline_mono_ms, &replies, err);
		if (rc < 0)
			break;
		rc = read_found(&replies, step, a, out + at, found + at, err);
		rreplies_release(&replies);
	}
	return rc;
}

bool bq_outbox_notes_place(struct str id)
{
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i] < '0' || id.p[i] > '9')
			return true;
	return id.n == 0;
}

int bq_outbox_take_adds(struct bq *bq, const struct bq_queue *q, const char *next, const struct bq_add_place *places, size_t n,
			int64_t deadline_mono_ms, struct err *err)
{
	const struct bq_script_call script = {.queue = q};
	struct rcmd cmd = RCMD_INIT;

	bq_script_begin(&cmd, BQ_SCRIPT_TAKE_ADDS, &script, 1 + 2 * n);
	rcmd_argz(&cmd, next);
	for (size_t i = 0; i < n; i++) {
		rcmd_arg(&cmd, places[i].id);
		rcmd_arg(&cmd, places[i].position);
	}
	return bq_call_plain(bq, &cmd, deadline_mono_ms, err);
}

int bq_job_from_hash(struct bq_job *job, struct str id, const redisReply *pairs, struct arena *a)
{
	return bq_job_from_pairs(job, id, pairs, NULL, a);
}
