/* Holding a job from elsewhere: its token, its lock, and the wish that it should stop. */
#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/bullmq/bq_impl.h"

#define TOKEN_PREFIX "sluice-"
#define CANCEL_SUFFIX ":cancel"
#define ENDED_SUFFIX ":ended" /* work.lua's */

#define RANDOM_BYTES 16

_Static_assert(BQ_TOKEN_SIZE >= sizeof(TOKEN_PREFIX) + 2 * RANDOM_BYTES + BQ_TOKEN_SUFFIX, "a token has room for its parts");

void bq_token(char out[BQ_TOKEN_SIZE])
{
	memcpy(out, TOKEN_PREFIX, sizeof(TOKEN_PREFIX) - 1);
	id_random_hex(out + sizeof(TOKEN_PREFIX) - 1, RANDOM_BYTES);
}

bool bq_token_is_ours(struct str token)
{
	return str_starts(token, STR(TOKEN_PREFIX));
}

static void put_job_key(struct rcmd *cmd, const struct bq_queue *q, struct str id, const char *suffix)
{
	struct buf key = BUF_INIT;

	bq_job_key(&key, q, id, suffix);
	if (key.failed)
		cmd->wire.failed = true;
	rcmd_arg(cmd, buf_str(&key));
	buf_release(&key);
}

static void put_get(struct rcmd *cmd, const struct bq_queue *q, struct str id, const char *suffix)
{
	rcmd_begin(cmd, 2);
	rcmd_argz(cmd, "GET");
	put_job_key(cmd, q, id, suffix);
}

/* A command over a key of each job. */
static void put_many(struct rcmd *cmd, const char *verb, const struct bq_queue *q, const struct str *ids, size_t n, const char *suffix)
{
	rcmd_begin(cmd, n + 1);
	rcmd_argz(cmd, verb);
	for (size_t i = 0; i < n; i++)
		put_job_key(cmd, q, ids[i], suffix);
}

/* ---- cancelling ---- */

int bq_cancel_ask(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, int64_t ttl_ms, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;

	rcmd_begin(&cmd, 5);
	rcmd_argz(&cmd, "SET");
	put_job_key(&cmd, q, job->id, CANCEL_SUFFIX);
	rcmd_argi(&cmd, job->timestamp);
	rcmd_argz(&cmd, "PX");
	rcmd_argi(&cmd, ttl_ms);
	return bq_call_plain(bq, &cmd, deadline, err);
}

int bq_cancel_forget(struct bq *bq, const struct bq_queue *q, const struct str *ids, size_t n, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;

	if (n == 0)
		return 0;
	put_many(&cmd, "DEL", q, ids, n, CANCEL_SUFFIX);
	return bq_call_plain(bq, &cmd, deadline, err);
}

void bq_put_cancel_mark(struct rcmd *cmd, const struct bq_queue *q, struct str id)
{
	put_get(cmd, q, id, CANCEL_SUFFIX);
}

int bq_cancel_asked(struct bq *bq, const struct bq_queue *q, const struct str *ids, const int64_t *timestamps, size_t n, bool *asked,
		    int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	put_many(&cmd, "MGET", q, ids, n, CANCEL_SUFFIX);
	rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		int64_t timestamp;

		asked[i] = rreply_int(rreply_at(replies.items[0], i), &timestamp) && timestamp == timestamps[i];
	}
	rreplies_release(&replies);
	return rc;
}

/* ---- the lock ---- */

/* The script's word on one job. */
static void read_beat(struct bq_beat *beat, const redisReply *r)
{
	struct str text = rreply_str(r);

	if (text.p)
		bq_script_error(text, &beat->err);
	else if (bq_number_or(r, -1) < 0)
		err_set(&beat->err, ERR_LOCK_LOST, "the job's lock is gone or belongs to another worker");
	beat->cancel = bq_number_or(r, 0) > 0;
}

int bq_heartbeats(struct bq *bq, const struct bq_queue *q, struct bq_beat *beats, size_t n, int64_t lock_ms, int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	bq_script_begin(&cmd, BQ_SCRIPT_HEARTBEAT, &call, 2 + 2 * n);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(&cmd, lock_ms);
	for (size_t i = 0; i < n; i++) {
		rcmd_arg(&cmd, beats[i].id);
		rcmd_arg(&cmd, beats[i].token);
	}
	rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		read_beat(&beats[i], rreply_at(replies.items[0], i));
	rreplies_release(&replies);
	return rc;
}

int bq_heartbeat(struct bq *bq, const struct bq_queue *q, struct str id, struct str token, int64_t lock_ms, bool *cancel, int64_t deadline,
		 struct err *err)
{
	struct bq_beat beat = {.id = id, .token = token};
	int rc = bq_heartbeats(bq, q, &beat, 1, lock_ms, deadline, err);

	*cancel = beat.cancel;
	return rc == 0 && beat.err.code < 0 ? err_set(err, beat.err.code, "%s", beat.err.text) : rc;
}

int bq_holder(struct bq *bq, const struct bq_queue *q, struct str id, struct arena *a, struct str *token, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	put_get(&cmd, q, id, ":lock");
	rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	struct str held = rreply_str(replies.items[0]);
	*token = held.p ? arena_dup(a, held) : STR_NONE;
	if (held.p && !token->p)
		rc = err_set(err, ERR_NOMEM, "no memory for a token");
	rreplies_release(&replies);
	return rc;
}

/* The token itself, or one that work.lua has made of it for a job of several. */
static bool is_made_of(struct str held, struct str token)
{
	return str_starts(held, token) && (held.n == token.n || held.p[token.n] == '-');
}

/* Of the active jobs those whose locks, asked for in this order, hold the token. */
static int pick_held(struct bq *bq, const struct bq_queue *q, const redisReply *active, struct str token, struct arena *a,
		     struct bq_hold *holds, size_t *n, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	rcmd_begin(&cmd, 1 + active->elements);
	rcmd_argz(&cmd, "MGET");
	for (size_t i = 0; i < active->elements; i++)
		put_job_key(&cmd, q, rreply_str(rreply_at(active, i)), ":lock");
	int rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < active->elements; i++) {
		struct str held = rreply_str(rreply_at(replies.items[0], i));
		if (!is_made_of(held, token))
			continue;
		struct bq_hold *hold = &holds[(*n)++];
		*hold = (struct bq_hold){arena_dup(a, rreply_str(rreply_at(active, i))), arena_dup(a, held)};
		rc = hold->id.p && hold->token.p ? 0 : err_set(err, ERR_NOMEM, "no memory for the jobs of a token");
	}
	rreplies_release(&replies);
	return rc;
}

int bq_held_under(struct bq *bq, const struct bq_queue *q, struct str token, struct arena *a, struct bq_hold **holds, size_t *n,
		  int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	*n = 0;
	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "LRANGE");
	rcmd_arg(&cmd, q->keys[BQ_KEY_ACTIVE]);
	rcmd_argz(&cmd, "0");
	rcmd_argz(&cmd, "-1");
	rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	const redisReply *active = replies.items[0];
	if (active->elements > 0) {
		*holds = arena_array(a, active->elements, sizeof(**holds));
		rc = *holds ? pick_held(bq, q, active, token, a, *holds, n, deadline, err)
			    : err_set(err, ERR_NOMEM, "no memory for the active jobs");
	}
	rreplies_release(&replies);
	return rc;
}

void bq_put_remove(struct rcmd *cmd, const struct bq_queue *q, struct str id, enum bq_key from)
{
	const struct bq_script_call call = {.queue = q, .id = id, .set = from};

	bq_script_begin(cmd, BQ_SCRIPT_REMOVE, &call, 6);
	rcmd_arg(cmd, id);
	rcmd_argz(cmd, "1");
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(cmd, clock_wall_ms());
	bq_arg_outboxes(cmd, q);
	rcmd_argz(cmd, from == BQ_KEY_BASE ? "0" : "1");
}

int bq_completed_by(struct bq *bq, const struct bq_queue *q, const struct str *ids, const struct str *tokens, size_t n, bool *yes,
		    int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	put_many(&cmd, "MGET", q, ids, n, ENDED_SUFFIX);
	rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		struct str ended = rreply_str(rreply_at(replies.items[0], i));

		yes[i] = ended.p && str_eq(ended, tokens[i]);
	}
	rreplies_release(&replies);
	return rc;
}

int bq_remove(struct bq *bq, const struct bq_queue *q, struct str id, bool *removed, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	int64_t value = 0;
	int rc;

	bq_put_remove(&cmd, q, id, BQ_KEY_BASE);
	rc = bq_call_int(bq, &cmd, deadline, &value, err);
	if (rc < 0)
		return rc;
	*removed = value == 1;
	return value < 0 ? bq_script_failure(value, err) : 0;
}
