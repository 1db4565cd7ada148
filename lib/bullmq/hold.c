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

int bq_cancel_forget(struct bq *bq, const struct bq_queue *q, struct str id, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;

	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "DEL");
	put_job_key(&cmd, q, id, CANCEL_SUFFIX);
	return bq_call_plain(bq, &cmd, deadline, err);
}

int bq_cancel_asked(struct bq *bq, const struct bq_queue *q, const struct str *ids, const int64_t *timestamps, size_t n, bool *asked,
		    int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	rcmd_begin(&cmd, n + 1);
	rcmd_argz(&cmd, "MGET");
	for (size_t i = 0; i < n; i++)
		put_job_key(&cmd, q, ids[i], CANCEL_SUFFIX);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = rreply_error(replies.items[0], err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		int64_t timestamp;

		asked[i] = rreply_int(rreply_at(replies.items[0], i), &timestamp) && timestamp == timestamps[i];
	}
	rreplies_release(&replies);
	return rc;
}

/* ---- the lock ---- */

static void put_extend(struct rcmd *cmd, const struct bq_queue *q, struct str id, struct str token, int64_t lock_ms)
{
	const struct bq_script_call call = {.queue = q};
	const struct str items[] = {token, id};

	bq_script_begin(cmd, BQ_SCRIPT_EXTEND_LOCKS, &call, 4);
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	for (size_t i = 0; i < ARRAY_LEN(items); i++) {
		struct buf packed = BUF_INIT;

		mp_array(&packed, 1);
		mp_str(&packed, items[i]);
		bq_arg_packed(cmd, &packed);
	}
	rcmd_argi(cmd, lock_ms);
}

static bool same_number(const redisReply *a, const redisReply *b)
{
	int64_t x, y;

	return rreply_int(a, &x) && rreply_int(b, &y) && x == y;
}

int bq_heartbeat(struct bq *bq, const struct bq_queue *q, struct str id, struct str token, int64_t lock_ms, bool *cancel, int64_t deadline,
		 struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	put_extend(&cmd, q, id, token, lock_ms);
	put_get(&cmd, q, id, CANCEL_SUFFIX);
	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "HGET");
	put_job_key(&cmd, q, id, "");
	rcmd_argz(&cmd, "timestamp");
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = rreply_error(replies.items[0], err);
	if (rc == 0 && rreply_at(replies.items[0], 0)) /* the ids whose lock could not be renewed */
		rc = err_set(err, ERR_LOCK_LOST, "the job's lock is gone or belongs to another worker");
	*cancel = same_number(replies.items[1], replies.items[2]);
	rreplies_release(&replies);
	return rc;
}

int bq_holder(struct bq *bq, const struct bq_queue *q, struct str id, struct arena *a, struct str *token, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	put_get(&cmd, q, id, ":lock");
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = rreply_error(replies.items[0], err);
	struct str held = rreply_str(replies.items[0]);
	*token = held.p ? arena_dup(a, held) : STR_NONE;
	if (rc == 0 && held.p && !token->p)
		rc = err_set(err, ERR_NOMEM, "no memory for a token");
	rreplies_release(&replies);
	return rc;
}

void bq_put_remove(struct rcmd *cmd, const struct bq_queue *q, struct str id)
{
	const struct bq_script_call call = {.queue = q, .id = id};

	bq_script_begin(cmd, BQ_SCRIPT_REMOVE, &call, 6);
	rcmd_arg(cmd, id);
	rcmd_argz(cmd, "1");
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(cmd, clock_wall_ms());
	bq_arg_outbox(cmd, q);
}

int bq_completed_by(struct bq *bq, const struct bq_queue *q, struct str id, struct str token, bool *yes, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	put_get(&cmd, q, id, ENDED_SUFFIX);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = rreply_error(replies.items[0], err);
	struct str ended = rreply_str(replies.items[0]);
	*yes = ended.p && str_eq(ended, token);
	rreplies_release(&replies);
	return rc;
}

int bq_remove(struct bq *bq, const struct bq_queue *q, struct str id, bool *removed, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	int64_t value = 0;
	int rc;

	bq_put_remove(&cmd, q, id);
	rc = bq_call_int(bq, &cmd, deadline, &value, err);
	if (rc < 0)
		return rc;
	*removed = value == 1;
	return value < 0 ? bq_script_failure(value, err) : 0;
}
