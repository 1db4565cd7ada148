/* Where one job stands: what a look at its state does not tell. */
#include <stdlib.h>

#include "lib/bullmq/bq_impl.h"
#include "lib/bullmq/inspect.h"

#define DELAYED_SHIFT 4096

enum {
	AT_LOCK,
	AT_LOCK_ENDS,
	AT_DELAYED,
	AT_PENDING,
	AT_BLAMED,
	AT_WAITING,
	AT_RANK,
	COMMANDS,
	AT_IN_ACTIVE = COMMANDS, /* where the place is asked for */
	AT_IN_WAIT,
};

static void put(struct rcmd *cmd, const char *verb, const struct bq_queue *q, struct str id, const char *suffix)
{
	struct buf key = BUF_INIT;

	bq_job_key(&key, q, id, suffix);
	rcmd_begin(cmd, 2);
	rcmd_argz(cmd, verb);
	bq_arg_packed(cmd, &key);
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

static int64_t number_or(const redisReply *r, int64_t otherwise)
{
	int64_t v;

	return rreply_int(r, &v) ? v : otherwise;
}

static int read_standing(struct bq_standing *s, redisReply *const *r, bool with_place, struct arena *a, struct err *err)
{
	struct str lock = rreply_str(r[AT_LOCK]), due = rreply_str(r[AT_DELAYED]);
	int64_t waiting = number_or(r[AT_WAITING], 0), place = with_place ? number_or(r[AT_IN_WAIT], -1) : -1;
	int64_t rank = number_or(r[AT_RANK], -1);

	s->lock = lock.p ? arena_dup(a, lock) : STR_NONE;
	if (lock.p && !s->lock.p)
		return err_set(err, ERR_NOMEM, "no memory for a token");
	s->lock_ms = lock.p ? number_or(r[AT_LOCK_ENDS], 0) : 0;
	s->due_ms = due.p ? (int64_t)(strtod(due.p, NULL) / DELAYED_SHIFT) : -1;
	s->pending = number_or(r[AT_PENDING], 0);
	s->blocked_by_failed = number_or(r[AT_BLAMED], 0);
	s->active = with_place && !rreply_is_nil(r[AT_IN_ACTIVE]);
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
	put(&cmd, "ZCARD", q, id, ":unsuccessful");
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "LLEN");
	rcmd_arg(&cmd, q->keys[BQ_KEY_WAIT]);
	put_member(&cmd, "ZRANK", q->keys[BQ_KEY_PRIORITIZED], id);
	if (with_place) {
		put_position(&cmd, q->keys[BQ_KEY_ACTIVE], id, "1", BQ_PAGE_MAX);
		put_position(&cmd, q->keys[BQ_KEY_WAIT], id, "-1", BQ_AHEAD_MAX);
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
