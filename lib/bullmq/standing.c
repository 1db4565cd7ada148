/* Where one job stands: what a look at its state does not tell. */
#include "lib/bullmq/bq_impl.h"
#include "lib/bullmq/inspect.h"

enum {
	AT_LOCK,
	AT_LOCK_ENDS,
	AT_DELAYED,
	AT_PENDING,
	AT_WAITING,
	AT_RANK,
	COMMANDS,
	AT_IN_ACTIVE = COMMANDS, /* where the place is asked for */
	AT_IN_WAIT,
	AT_IN_PAUSED,
	AT_ACTIVE,
};

static void put(struct rcmd *cmd, const char *verb, const struct bq_queue *q, struct str id, const char *suffix)
{
	struct buf key = BUF_INIT;

	bq_job_key(&key, q, id, suffix);
	rcmd_begin(cmd, 2);
	rcmd_argz(cmd, verb);
	bq_arg_packed(cmd, &key);
}

static void put_length(struct rcmd *cmd, struct str list)
{
	rcmd_begin(cmd, 2);
	rcmd_argz(cmd, "LLEN");
	rcmd_arg(cmd, list);
}

static void put_member(struct rcmd *cmd, const char *verb, struct str set, struct str id)
{
	rcmd_begin(cmd, 3);
	rcmd_argz(cmd, verb);
	rcmd_arg(cmd, set);
	rcmd_arg(cmd, id);
}

/* From the end that is given: "-1" the tail. */
static void put_position(struct rcmd *cmd, struct str list, struct str id, const char *rank, int64_t limit)
{
	rcmd_begin(cmd, 7);
	rcmd_argz(cmd, "LPOS");
	rcmd_arg(cmd, list);
	rcmd_arg(cmd, id);
	rcmd_argz(cmd, "RANK");
	rcmd_argz(cmd, rank);
	rcmd_argz(cmd, "MAXLEN");
	rcmd_argi(cmd, limit);
}

static int read_standing(struct bq_standing *s, redisReply *const *r, bool with_place, struct arena *a, struct err *err)
{
	struct str lock = rreply_str(r[AT_LOCK]), due = rreply_str(r[AT_DELAYED]);
	int64_t waiting = bq_number_or(r[AT_WAITING], 0), place = with_place ? bq_number_or(r[AT_IN_WAIT], -1) : -1;
	int64_t rank = bq_number_or(r[AT_RANK], -1);

	s->lock = lock.p ? arena_dup(a, lock) : STR_NONE;
	if (lock.p && !s->lock.p)
		return err_set(err, ERR_NOMEM, "no memory for a token");
	s->lock_ms = lock.p ? bq_number_or(r[AT_LOCK_ENDS], 0) : 0;
	s->due_ms = bq_due_ms(due);
	s->pending = bq_number_or(r[AT_PENDING], 0);
	if (with_place) {
		s->active = !rreply_is_nil(r[AT_IN_ACTIVE]);
		s->left_by_v5 = !rreply_is_nil(r[AT_IN_PAUSED]);
		s->searched_all = waiting <= BQ_AHEAD_MAX && bq_number_or(r[AT_ACTIVE], 0) <= BQ_AHEAD_MAX;
	}
	s->ahead = place >= 0 ? waiting - 1 - place : rank >= 0 ? waiting + rank : -1;
	return 0;
}

int bq_standing(struct bq *bq, const struct bq_queue *q, struct str id, bool with_place, struct arena *a, struct bq_standing *out,
		int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	*out = (struct bq_standing){0};
	put(&cmd, "GET", q, id, ":lock");
	put(&cmd, "PTTL", q, id, ":lock");
	put_member(&cmd, "ZSCORE", q->keys[BQ_KEY_DELAYED], id);
	put(&cmd, "SCARD", q, id, ":dependencies");
	put_length(&cmd, q->keys[BQ_KEY_WAIT]);
	put_member(&cmd, "ZRANK", q->keys[BQ_KEY_PRIORITIZED], id);
	if (with_place) {
		put_position(&cmd, q->keys[BQ_KEY_ACTIVE], id, "1", BQ_AHEAD_MAX);
		put_position(&cmd, q->keys[BQ_KEY_WAIT], id, "-1", BQ_AHEAD_MAX);
		put_position(&cmd, q->keys[BQ_KEY_PAUSED], id, "-1", BQ_AHEAD_MAX);
		put_length(&cmd, q->keys[BQ_KEY_ACTIVE]);
	}
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < replies.count && rc == 0; i++)
		rc = rreply_error(replies.items[i], err);
	if (rc == 0)
		rc = read_standing(out, replies.items, with_place, a, err);
	rreplies_release(&replies);
	return rc;
}

/* ---- active jobs that nobody holds ---- */

static void put_oldest_active(struct rcmd *cmd, const struct bq_queue *q, size_t limit)
{
	rcmd_begin(cmd, 4);
	rcmd_argz(cmd, "LRANGE");
	rcmd_arg(cmd, q->keys[BQ_KEY_ACTIVE]);
	rcmd_argi(cmd, -(int64_t)limit);
	rcmd_argi(cmd, -1);
}

static bool is_among(const redisReply *ids, struct str id)
{
	for (size_t i = 0; rreply_at(ids, i); i++) {
		if (str_eq(rreply_str(rreply_at(ids, i)), id))
			return true;
	}
	return false;
}

/* Asks for the lock of each, and then for the list once more: a job that has ended in between has no lock either. Nothing is asked where nothing is
 * active. */
static int count_unlocked(struct bq *bq, const struct bq_queue *q, const redisReply *ids, size_t limit, int64_t *out, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	for (size_t i = 0; rreply_at(ids, i); i++)
		put(&cmd, "EXISTS", q, rreply_str(rreply_at(ids, i)), ":lock");
	if (cmd.commands == 0)
		return 0;
	put_oldest_active(&cmd, q, limit);
	int rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	const redisReply *still = replies.items[replies.count - 1];
	for (size_t i = 0; i + 1 < replies.count; i++)
		*out += bq_number_or(replies.items[i], 1) == 0 && is_among(still, rreply_str(rreply_at(ids, i)));
	rreplies_release(&replies);
	return 0;
}

int bq_count_unlocked(struct bq *bq, const struct bq_queue *q, size_t limit, int64_t *out, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	*out = 0;
	put_oldest_active(&cmd, q, limit);
	int rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = rreply_is_foreign(replies.items[0]) ? 0 : rreply_error(replies.items[0], err);
	if (rc == 0)
		rc = count_unlocked(bq, q, replies.items[0], limit, out, deadline, err);
	rreplies_release(&replies);
	return rc;
}
