#include "lib/bullmq/bq_impl.h"
#include "lib/bullmq/flow.h"
#include "lib/bullmq/inspect.h"

/* What is asked of every job of the tree, in this order. One HSCAN gives all of a small hash, and bounds the reply of a big one. */
enum {
	AT_REASON,    /* HGET J failedReason: for a child that made its parent fail, which notes its key only */
	AT_PROCESSED, /* HSCAN J:processed: key → return value */
	AT_FAILED,    /* HSCAN J:failed: key → reason */
	AT_BLAMED,    /* ZRANGE J:unsuccessful */
	AT_PENDING,   /* SCARD J:dependencies */
	COMMANDS_PER_JOB
};

struct walk {
	struct bq_children *out;
	struct arena *arena;
	struct err *err;
};

static void put_key(struct rcmd *cmd, struct str job_key, const char *suffix)
{
	struct buf key = BUF_INIT;

	buf_adds(&key, job_key);
	buf_addz(&key, suffix);
	bq_arg_packed(cmd, &key);
}

static void put_scan(struct rcmd *cmd, struct str job_key, const char *suffix)
{
	rcmd_begin(cmd, 5);
	rcmd_argz(cmd, "HSCAN");
	put_key(cmd, job_key, suffix);
	rcmd_argz(cmd, "0");
	rcmd_argz(cmd, "COUNT");
	rcmd_argi(cmd, BQ_CHILDREN_MAX);
}

static void put_job(struct rcmd *cmd, struct str key)
{
	rcmd_begin(cmd, 3);
	rcmd_argz(cmd, "HGET");
	rcmd_arg(cmd, key);
	rcmd_argz(cmd, "failedReason");
	put_scan(cmd, key, ":processed");
	put_scan(cmd, key, ":failed");
	rcmd_begin(cmd, 4);
	rcmd_argz(cmd, "ZRANGE");
	put_key(cmd, key, ":unsuccessful");
	rcmd_argi(cmd, 0);
	rcmd_argi(cmd, BQ_CHILDREN_MAX);
	rcmd_begin(cmd, 2);
	rcmd_argz(cmd, "SCARD");
	put_key(cmd, key, ":dependencies");
}

/* The next place in the list, for the child of that key; NULL when there is no memory, or no place (then *rc stays 0). */
static struct bq_child *append(struct walk *w, const redisReply *key, size_t parent, int *rc)
{
	struct bq_child *child;

	if (w->out->n == BQ_CHILDREN_MAX) {
		w->out->more = true;
		return NULL;
	}
	child = &w->out->items[w->out->n];
	*child = (struct bq_child){.key = arena_dup(w->arena, rreply_str(key)), .parent = parent};
	if (!child->key.p) {
		*rc = err_set(w->err, ERR_NOMEM, "no memory for a job's children");
		return NULL;
	}
	bq_split_key(child->key, &child->queue, &child->id);
	w->out->n++;
	return child;
}

static int read_scan(struct walk *w, const redisReply *reply, size_t parent, size_t member)
{
	const redisReply *pairs = rreply_at(reply, 1);
	int rc = 0;

	if (!str_is(rreply_str(rreply_at(reply, 0)), "0"))
		w->out->more = true;
	for (size_t i = 0; rc == 0 && rreply_at(pairs, i + 1); i += 2) {
		struct bq_child *child = append(w, rreply_at(pairs, i), parent, &rc);
		struct str *text;

		if (!child)
			break;
		text = (struct str *)(void *)((char *)child + member);
		*text = arena_dup(w->arena, rreply_str(rreply_at(pairs, i + 1)));
		if (!text->p)
			rc = err_set(w->err, ERR_NOMEM, "no memory for a child's result");
	}
	return rc;
}

static int read_blamed(struct walk *w, const redisReply *reply, size_t parent)
{
	int rc = 0;

	for (size_t i = 0; rreply_at(reply, i); i++) {
		struct bq_child *child = append(w, rreply_at(reply, i), parent, &rc);

		if (!child)
			break;
		child->failed_reason = STR(""); /* its own job tells, one level down */
		if (parent != BQ_CHILD_OF_JOB)
			w->out->items[parent].by_child = !w->out->items[parent].value.p;
	}
	return rc;
}

/* A child that made its parent fail stands in the parent's list without the reason: the child's own hash has it. */
static int read_reason(struct walk *w, const redisReply *reply, struct bq_child *child)
{
	if (child->value.p || child->failed_reason.n > 0 || rreply_is_nil(reply))
		return 0;
	child->failed_reason = arena_dup(w->arena, rreply_str(reply));
	return child->failed_reason.p ? 0 : err_set(w->err, ERR_NOMEM, "no memory for a child's reason");
}

static int read_pending(struct walk *w, const redisReply *reply)
{
	return rreply_int(reply, &w->out->pending) ? 0 : err_set(w->err, ERR_PROTOCOL, "Redis did not answer with a number");
}

/* The replies about one job: the one at `place` of the list, or the one that was asked for. */
static int read_job(struct walk *w, redisReply *const *replies, size_t place, bool descend)
{
	int rc = 0;

	for (size_t i = 0; i < COMMANDS_PER_JOB && rc == 0; i++)
		rc = rreply_error(replies[i], w->err);
	if (rc == 0 && place == BQ_CHILD_OF_JOB)
		rc = read_pending(w, replies[AT_PENDING]);
	else if (rc == 0)
		rc = read_reason(w, replies[AT_REASON], &w->out->items[place]);
	if (rc < 0 || !descend)
		return rc;
	rc = read_scan(w, replies[AT_PROCESSED], place, offsetof(struct bq_child, value));
	if (rc == 0)
		rc = read_scan(w, replies[AT_FAILED], place, offsetof(struct bq_child, failed_reason));
	return rc < 0 ? rc : read_blamed(w, replies[AT_BLAMED], place);
}

/* Asks about the children from..to of the list in one round trip, and appends theirs. */
static int walk_level(struct walk *w, struct bq *bq, size_t from, size_t to, bool descend, int64_t deadline)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	for (size_t i = from; i < to; i++)
		put_job(&cmd, w->out->items[i].key);
	rc = bq_call(bq, &cmd, deadline, &replies, w->err);
	if (rc < 0)
		return rc;
	for (size_t i = from; i < to && rc == 0; i++)
		rc = read_job(w, replies.items + (i - from) * COMMANDS_PER_JOB, i, descend);
	rreplies_release(&replies);
	return rc;
}

static int walk_root(struct walk *w, struct bq *bq, const struct bq_queue *q, struct str id, int64_t deadline)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	struct buf key = BUF_INIT;
	int rc;

	bq_job_key(&key, q, id, "");
	put_job(&cmd, buf_str(&key));
	cmd.wire.failed = cmd.wire.failed || key.failed;
	buf_release(&key);
	rc = bq_call(bq, &cmd, deadline, &replies, w->err);
	if (rc < 0)
		return rc;
	rc = read_job(w, replies.items, BQ_CHILD_OF_JOB, true);
	rreplies_release(&replies);
	return rc;
}

int bq_children(struct bq *bq, const struct bq_queue *q, struct str id, unsigned depth, struct arena *a, struct bq_children *out,
		int64_t deadline, struct err *err)
{
	struct walk w = {.out = out, .arena = a, .err = err};
	size_t from = 0;
	int rc;

	*out = (struct bq_children){.items = arena_array(a, BQ_CHILDREN_MAX, sizeof(*out->items))};
	if (!out->items)
		return err_set(err, ERR_NOMEM, "no memory for a job's children");
	rc = walk_root(&w, bq, q, id, deadline);
	for (unsigned level = 1; rc == 0 && level <= depth && from < out->n; level++) {
		size_t to = out->n;

		rc = walk_level(&w, bq, from, to, level < depth, deadline);
		from = to;
	}
	return rc;
}
