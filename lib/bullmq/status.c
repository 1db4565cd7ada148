#include "lib/bullmq/bq_impl.h"

/* The sets that hold a job, asked in this order; then the lock; then the hash. The hash comes last, so that a job found in
 * `completed` already has its return value. */
static const struct {
	enum bq_key set;
	enum bq_state state;
} SETS[] = {
	{BQ_KEY_COMPLETED, BQ_COMPLETED},     {BQ_KEY_FAILED, BQ_FAILED},
	{BQ_KEY_DELAYED, BQ_DELAYED},         {BQ_KEY_PRIORITIZED, BQ_PRIORITIZED},
	{BQ_KEY_WAITING_CHILDREN, BQ_WAITING_CHILDREN},
};

enum {
	AT_LOCK = ARRAY_LEN(SETS),
	AT_RESULT, /* is there a return value? it is not always fetched */
	AT_HASH,
	COMMANDS_PER_JOB
};

static void put_key_command(struct rcmd *cmd, const struct bq_queue *q, struct str id, const char *suffix, const char *verb,
			    const char *field)
{
	struct buf key = BUF_INIT;

	bq_job_key(&key, q, id, suffix);
	if (key.failed)
		cmd->wire.failed = true;
	rcmd_begin(cmd, field ? 3 : 2);
	rcmd_argz(cmd, verb);
	rcmd_arg(cmd, buf_str(&key));
	if (field)
		rcmd_argz(cmd, field);
	buf_release(&key);
}

static void put_status(struct rcmd *cmd, const struct bq_queue *q, struct str id, bool with_payload)
{
	for (size_t i = 0; i < ARRAY_LEN(SETS); i++) {
		rcmd_begin(cmd, 3);
		rcmd_argz(cmd, "ZSCORE");
		rcmd_arg(cmd, q->keys[SETS[i].set]);
		rcmd_arg(cmd, id);
	}
	put_key_command(cmd, q, id, ":lock", "EXISTS", NULL);
	put_key_command(cmd, q, id, "", "HEXISTS", "returnvalue");
	bq_job_fetch(cmd, q, id, with_payload ? BQ_READ_ALL : BQ_READ_HEAD);
}

static bool is_one(const redisReply *r)
{
	int64_t v;

	return rreply_int(r, &v) && v == 1;
}

static enum bq_state state_of(const struct bq_job *job, redisReply *const *replies)
{
	for (size_t i = 0; i < ARRAY_LEN(SETS); i++)
		if (rreply_str(replies[i]).p) /* a score; not where it is none of ours that stands there */
			return SETS[i].state;
	if (job->finished_on >= 0) /* it finished between the commands */
		return is_one(replies[AT_RESULT]) ? BQ_COMPLETED : BQ_FAILED;
	return is_one(replies[AT_LOCK]) ? BQ_ACTIVE : BQ_WAITING;
}

static int read_status(struct bq_job *job, struct str id, bool with_payload, redisReply *const *replies, const struct bq_job *like,
		       struct arena *a, struct err *err)
{
	int rc;

	bq_job_init(job);
	if (rreply_is_foreign(replies[AT_HASH])) /* the id may be the name of one of the queue's own keys */
		return ERR_NOT_FOUND;
	for (size_t i = 0; i < COMMANDS_PER_JOB; i++) {
		rc = rreply_is_foreign(replies[i]) ? 0 : rreply_error(replies[i], err);
		if (rc < 0)
			return rc;
	}
	rc = bq_job_from_values(job, id, with_payload ? BQ_READ_ALL : BQ_READ_HEAD, replies[AT_HASH], like, a);
	if (rc == 0)
		job->state = state_of(job, replies);
	return rc;
}

int bq_status(struct bq *bq, const struct bq_queue *q, struct str id, bool with_payload, struct arena *a, struct bq_job *out,
	      int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	put_status(&cmd, q, id, with_payload);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = read_status(out, id, with_payload, replies.items, NULL, a, err);
	rreplies_release(&replies);
	if (rc == ERR_NOT_FOUND)
		err_set(err, rc, "there is no job %.*s in the queue %.*s", STR_ARG(id), STR_ARG(q->name));
	else if (rc == ERR_NOMEM)
		err_set(err, rc, "no memory for a job");
	return rc;
}

int bq_status_many(struct bq *bq, const struct bq_queue *q, const struct str *ids, size_t n, struct arena *a, struct bq_job *jobs,
		   int64_t deadline, struct err *err)
{
	const struct bq_job *like = NULL;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		put_status(&cmd, q, ids[i], false);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = read_status(&jobs[i], ids[i], false, replies.items + i * COMMANDS_PER_JOB, like, a, err);
		if (rc == 0)
			like = &jobs[i];
		if (rc == ERR_NOT_FOUND) {
			jobs[i].id = ids[i];
			rc = 0;
		}
	}
	rreplies_release(&replies);
	if (rc == ERR_NOMEM)
		err_set(err, rc, "no memory for a job");
	return rc;
}

int bq_id_was_given(struct bq *bq, const struct bq_queue *q, struct str id, bool *given, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	uint64_t number;
	int64_t last = 0;

	*given = false;
	if (str_to_u64(id, &number) < 0 || number == 0 || id.p[0] == '0')
		return 0;
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "GET");
	rcmd_arg(&cmd, q->keys[BQ_KEY_ID]);
	int rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	*given = rreply_int(replies.items[0], &last) && last > 0 && number <= (uint64_t)last;
	rreplies_release(&replies);
	return 0;
}

/* ---- counts ---- */
static const struct {
	const char *verb;
	enum bq_key key;
	enum bq_state state;
} COUNTED[] = {
	{"LLEN", BQ_KEY_WAIT, BQ_WAITING},
	{"LLEN", BQ_KEY_PAUSED, BQ_WAITING}, /* left over from bullmq 5, which moved jobs here */
	{"LLEN", BQ_KEY_ACTIVE, BQ_ACTIVE},
	{"ZCARD", BQ_KEY_COMPLETED, BQ_COMPLETED},
	{"ZCARD", BQ_KEY_FAILED, BQ_FAILED},
	{"ZCARD", BQ_KEY_DELAYED, BQ_DELAYED},
	{"ZCARD", BQ_KEY_PRIORITIZED, BQ_PRIORITIZED},
	{"ZCARD", BQ_KEY_WAITING_CHILDREN, BQ_WAITING_CHILDREN},
};

_Static_assert(BQ_COUNTS_COMMANDS == ARRAY_LEN(COUNTED) + 1, "one command for each, and one for the pause");

void bq_put_counts(struct rcmd *cmd, const struct bq_queue *q)
{
	for (size_t i = 0; i < ARRAY_LEN(COUNTED); i++) {
		rcmd_begin(cmd, 2);
		rcmd_argz(cmd, COUNTED[i].verb);
		rcmd_arg(cmd, q->keys[COUNTED[i].key]);
	}
	rcmd_begin(cmd, 3);
	rcmd_argz(cmd, "HEXISTS");
	rcmd_arg(cmd, q->keys[BQ_KEY_META]);
	rcmd_argz(cmd, "paused");
}

int bq_read_counts(struct bq_counts *out, redisReply *const *replies, struct err *err)
{
	*out = (struct bq_counts){0};
	for (size_t i = 0; i < BQ_COUNTS_COMMANDS; i++) {
		int64_t v = 0;
		bool foreign = rreply_is_foreign(replies[i]);
		int rc = foreign ? 0 : rreply_error(replies[i], err);

		out->foreign = out->foreign || foreign;
		if (rc < 0)
			return rc;
		if (!foreign && !rreply_int(replies[i], &v))
			return err_set(err, ERR_PROTOCOL, "Redis did not answer with a number");
		if (i < ARRAY_LEN(COUNTED))
			out->n[COUNTED[i].state] += v;
		else
			out->paused = v == 1;
	}
	return 0;
}

int bq_counts_many(struct bq *bq, const struct bq_queue *const *queues, size_t n, struct bq_counts *out, int64_t deadline,
		   struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		bq_put_counts(&cmd, queues[i]);
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = bq_read_counts(&out[i], replies.items + i * BQ_COUNTS_COMMANDS, err);
	rreplies_release(&replies);
	return rc;
}

int bq_counts(struct bq *bq, const struct bq_queue *q, struct bq_counts *out, int64_t deadline, struct err *err)
{
	return bq_counts_many(bq, &q, 1, out, deadline, err);
}

int bq_queue_exists(struct bq *bq, const struct bq_queue *q, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	int64_t exists = 0;
	int rc;

	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "EXISTS");
	rcmd_arg(&cmd, q->keys[BQ_KEY_META]);
	rc = bq_call_int(bq, &cmd, deadline, &exists, err);
	return rc < 0 ? rc : (int)exists;
}
