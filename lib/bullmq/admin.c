#include "lib/bullmq/admin.h"

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/bullmq/bq_impl.h"
#include "lib/json/jwrite.h"

/* ---- queues ---- */

static int forget_pause(struct bq *bq, const struct bq_queue *q, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;

	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "HDEL");
	rcmd_arg(&cmd, q->keys[BQ_KEY_META]);
	rcmd_argz(&cmd, BQ_META_PAUSE);
	return bq_call_plain(bq, &cmd, deadline, err);
}

static int note_pause(struct bq *bq, const struct bq_queue *q, struct str reason, struct str by, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct buf note = BUF_INIT;
	struct jwrite w = jwrite_into(&note);

	jw_open(&w, '{');
	jw_kstr(&w, "reason", reason);
	jw_kstr(&w, "by", by);
	jw_kint(&w, "since", clock_wall_ms());
	jw_close(&w, '}');
	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "HSET");
	rcmd_arg(&cmd, q->keys[BQ_KEY_META]);
	rcmd_argz(&cmd, BQ_META_PAUSE);
	bq_arg_packed(&cmd, &note);
	return bq_call_plain(bq, &cmd, deadline, err);
}

/* The note comes first: it says nothing as long as the queue is not paused. */
int bq_pause_noted(struct bq *bq, const struct bq_queue *q, struct str reason, struct str by, int64_t deadline, struct err *err)
{
	int rc = note_pause(bq, q, reason, by, deadline, err);

	return rc < 0 ? rc : bq_pause(bq, q, true, deadline, err);
}

int bq_resume(struct bq *bq, const struct bq_queue *q, int64_t deadline, struct err *err)
{
	int rc = bq_pause(bq, q, false, deadline, err);

	return rc < 0 ? rc : forget_pause(bq, q, deadline, err);
}

int bq_drain_some(struct bq *bq, const struct bq_queue *q, bool delayed, size_t limit, int64_t *removed, int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q};
	struct rcmd cmd = RCMD_INIT;

	bq_script_begin(&cmd, BQ_SCRIPT_DRAIN_SOME, &call, 6);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argz(&cmd, delayed ? "1" : "0");
	rcmd_argi(&cmd, (int64_t)limit);
	rcmd_argi(&cmd, clock_wall_ms());
	bq_arg_outbox(&cmd, q);
	return bq_call_int(bq, &cmd, deadline, removed, err);
}

/* The official scripts' names of the sets. */
static const struct {
	enum bq_key key;
	const char *name;
} SETS[BQ_STATE_COUNT] = {
	[BQ_WAITING] = {BQ_KEY_WAIT, "wait"},
	[BQ_ACTIVE] = {BQ_KEY_ACTIVE, "active"},
	[BQ_COMPLETED] = {BQ_KEY_COMPLETED, "completed"},
	[BQ_FAILED] = {BQ_KEY_FAILED, "failed"},
	[BQ_DELAYED] = {BQ_KEY_DELAYED, "delayed"},
	[BQ_PRIORITIZED] = {BQ_KEY_PRIORITIZED, "prioritized"},
	[BQ_WAITING_CHILDREN] = {BQ_KEY_WAITING_CHILDREN, "waiting-children"},
};

static void put_clean(struct rcmd *cmd, const struct bq_queue *q, const struct bq_clean *c, size_t n)
{
	const struct bq_script_call call = {.queue = q, .set = SETS[c->state].key};
	int64_t now = clock_wall_ms();

	bq_script_begin(cmd, BQ_SCRIPT_CLEAN_SOME, &call, 8);
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(cmd, now - c->older_than_ms);
	rcmd_argi(cmd, (int64_t)n);
	rcmd_argi(cmd, c->seen - c->removed);
	rcmd_argz(cmd, SETS[c->state].name);
	rcmd_argi(cmd, now);
	bq_arg_outbox(cmd, q);
}

int bq_clean_some(struct bq *bq, const struct bq_queue *q, struct bq_clean *c, size_t n, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int64_t seen, removed;

	bug_on(n > BQ_CLEAN_MAX);
	put_clean(&cmd, q, c, n);
	int rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	if (!rreply_int(rreply_at(replies.items[0], 0), &seen) || !rreply_int(rreply_at(replies.items[0], 1), &removed))
		rc = err_set(err, ERR_PROTOCOL, "the clean script answered in an unknown form");
	rreplies_release(&replies);
	if (rc < 0)
		return rc;
	c->seen += seen;
	c->removed += removed;
	c->done = seen < (int64_t)n;
	return 0;
}

/* ---- jobs ---- */

static void put_retry(struct rcmd *cmd, const struct bq_queue *q, struct str id, const struct bq_retry *retry)
{
	const struct bq_script_call call = {.queue = q, .id = id, .failed = retry->state == BQ_FAILED};

	bq_script_begin(cmd, BQ_SCRIPT_RETRY_FINISHED, &call, 5);
	rcmd_arg(cmd, id);
	rcmd_argz(cmd, SETS[retry->state].name);
	rcmd_argz(cmd, retry->reset_attempts ? "1" : "0");
	rcmd_argz(cmd, retry->data.p ? "1" : "0");
	rcmd_arg(cmd, retry->data.p ? retry->data : STR(""));
}

static void put_retry_from(struct rcmd *cmd, const struct bq_queue *q, struct str id, enum bq_state state)
{
	const struct bq_retry retry = {.state = state};

	put_retry(cmd, q, id, &retry);
}

static void put_promote(struct rcmd *cmd, const struct bq_queue *q, struct str id, enum bq_state state)
{
	const struct bq_script_call call = {.queue = q};

	(void)state;
	bq_script_begin(cmd, BQ_SCRIPT_PROMOTE, &call, 2);
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	rcmd_arg(cmd, id);
}

static void put_remove(struct rcmd *cmd, const struct bq_queue *q, struct str id, enum bq_state state)
{
	(void)state;
	bq_put_remove(cmd, q, id, BQ_KEY_BASE);
}

static void put_remove_from(struct rcmd *cmd, const struct bq_queue *q, struct str id, enum bq_state state)
{
	bq_put_remove(cmd, q, id, SETS[state].key);
}

static const struct {
	void (*put)(struct rcmd *cmd, const struct bq_queue *q, struct str id, enum bq_state state);
	bool zero_is_held; /* the reply 0 means that somebody holds the job */
} ACTIONS[] = {
	[BQ_RETRY] = {put_retry_from, false},
	[BQ_PROMOTE] = {put_promote, false},
	[BQ_REMOVE] = {put_remove, true},
	[BQ_REMOVE_FROM] = {put_remove_from, true},
};

static int code_of(const redisReply *reply, enum bq_action action)
{
	int64_t value;

	if (rreply_error(reply, NULL) < 0)
		return ERR_REPLY;
	if (!rreply_int(reply, &value))
		return ERR_PROTOCOL;
	if (value == 0 && ACTIONS[action].zero_is_held)
		return ERR_LOCK_LOST;
	return value < 0 ? bq_script_failure(value, NULL) : 0;
}

int bq_act(struct bq *bq, const struct bq_queue *q, enum bq_action action, enum bq_state state, const struct str *ids, size_t n, int *codes,
	   int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		ACTIONS[action].put(&cmd, q, ids[i], state);
	int rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		codes[i] = code_of(replies.items[i], action);
	rreplies_release(&replies);
	return 0;
}

static void put_remove_waiting(struct rcmd *cmd, const struct bq_queue *q, const struct bq_place *places, size_t n)
{
	const struct bq_script_call call = {.queue = q, .set = places[0].part == 0 ? BQ_KEY_WAIT : BQ_KEY_PAUSED};

	bq_script_begin(cmd, BQ_SCRIPT_REMOVE_WAITING, &call, 5 + n);
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(cmd, clock_wall_ms());
	bq_arg_outboxes(cmd, q);
	rcmd_argz(cmd, places[0].at);
	rcmd_argz(cmd, places[n - 1].at);
	for (size_t i = 0; i < n; i++)
		rcmd_arg(cmd, places[i].id);
}

int bq_remove_waiting(struct bq *bq, const struct bq_queue *q, const struct bq_place *places, size_t n, int *codes, int64_t deadline,
		      struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	bug_on(n > BQ_REMOVE_MAX);
	if (n == 0)
		return 0;
	put_remove_waiting(&cmd, q, places, n);
	int rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		codes[i] = code_of(rreply_at(replies.items[0], i), BQ_REMOVE);
	rreplies_release(&replies);
	return rc;
}

int bq_retry_job(struct bq *bq, const struct bq_queue *q, struct str id, const struct bq_retry *retry, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	int64_t code;

	put_retry(&cmd, q, id, retry);
	int rc = bq_call_int(bq, &cmd, deadline, &code, err);
	if (rc == 0 && code == -3)
		rc = err_set(err, ERR_WRONG_STATE, "the job is no longer %s", SETS[retry->state].name);
	else if (rc == 0 && code < 0)
		rc = bq_script_failure(code, err);
	return rc;
}

static void put_number(struct rcmd *cmd, int64_t v)
{
	if (v < 0)
		rcmd_argz(cmd, "");
	else
		rcmd_argi(cmd, v);
}

int bq_edit_job(struct bq *bq, const struct bq_queue *q, struct str id, const struct bq_edit *edit, int64_t deadline, struct err *err)
{
	static const struct {
		int code;
		const char *text;
	} refusals[] = {
		[1] = {ERR_NOT_FOUND, "the job is gone"},
		[2] = {ERR_LOCK_LOST, "somebody works on the job"},
		[3] = {ERR_WRONG_STATE, "the job has ended: a priority would change nothing"},
		[4] = {ERR_WRONG_STATE, "the job is not delayed"},
	};
	const struct bq_script_call call = {.queue = q, .id = id};
	struct rcmd cmd = RCMD_INIT;
	int64_t code;

	bq_script_begin(&cmd, BQ_SCRIPT_EDIT_JOB, &call, 7);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	rcmd_arg(&cmd, id);
	rcmd_argi(&cmd, clock_wall_ms());
	put_number(&cmd, edit->priority);
	put_number(&cmd, edit->delay_ms);
	rcmd_argz(&cmd, edit->data.p ? "1" : "0");
	rcmd_arg(&cmd, edit->data.p ? edit->data : STR(""));
	int rc = bq_call_int(bq, &cmd, deadline, &code, err);
	if (rc < 0 || code == 0)
		return rc;
	if (code < 0 && -code < (int64_t)ARRAY_LEN(refusals))
		return err_set(err, refusals[-code].code, "%s", refusals[-code].text);
	return bq_script_failure(code, err);
}
