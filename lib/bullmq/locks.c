#include "lib/bullmq/bq_impl.h"

static void put_strings(struct rcmd *cmd, const struct str *items, size_t n)
{
	struct buf packed = BUF_INIT;

	mp_array(&packed, n);
	for (size_t i = 0; i < n; i++)
		mp_str(&packed, items[i]);
	bq_arg_packed(cmd, &packed);
}

/* The reply lists the ids that were lost. */
static void mark_lost(const redisReply *r, const struct str *ids, size_t n, bool *lost)
{
	for (size_t i = 0; i < n; i++)
		lost[i] = false;
	for (size_t at = 0; rreply_at(r, at); at++)
		for (size_t i = 0; i < n; i++)
			if (str_eq(rreply_str(rreply_at(r, at)), ids[i]))
				lost[i] = true;
}

int bq_extend_locks(struct bq *bq, const struct bq_queue *q, const struct str *ids, const struct str *tokens, size_t n, int64_t lock_ms,
		    bool *lost, int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	bq_script_begin(&cmd, BQ_SCRIPT_EXTEND_LOCKS, &call, 4);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	put_strings(&cmd, tokens, n);
	put_strings(&cmd, ids, n);
	rcmd_argi(&cmd, lock_ms);
	rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	mark_lost(replies.items[0], ids, n, lost);
	rreplies_release(&replies);
	return rc;
}

int bq_relock(struct bq *bq, const struct bq_queue *q, const struct str *ids, const struct str *tokens, size_t n, int64_t lock_ms,
	      bool *taken, int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	if (n == 0)
		return 0;
	bq_script_begin(&cmd, BQ_SCRIPT_RELOCK, &call, 2 + 2 * n);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(&cmd, lock_ms);
	for (size_t i = 0; i < n; i++) {
		rcmd_arg(&cmd, ids[i]);
		rcmd_arg(&cmd, tokens[i]);
	}
	rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		int64_t ours;

		taken[i] = rreply_int(rreply_at(replies.items[0], i), &ours) && ours == 1;
	}
	rreplies_release(&replies);
	return rc;
}

int bq_progress(struct bq *bq, const struct bq_queue *q, struct str id, struct str json, int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q, .id = id};
	struct rcmd cmd = RCMD_INIT;

	bq_script_begin(&cmd, BQ_SCRIPT_UPDATE_PROGRESS, &call, 2);
	rcmd_arg(&cmd, id);
	rcmd_arg(&cmd, json);
	return bq_call_done(bq, &cmd, deadline, err);
}

int bq_log_add(struct bq *bq, const struct bq_queue *q, struct str id, struct str line, int64_t keep, int64_t *count, int64_t deadline,
	       struct err *err)
{
	const struct bq_script_call call = {.queue = q, .id = id};
	struct rcmd cmd = RCMD_INIT;
	int64_t lines = 0;
	int rc;

	bq_script_begin(&cmd, BQ_SCRIPT_ADD_LOG, &call, 3);
	rcmd_arg(&cmd, id);
	rcmd_arg(&cmd, line);
	if (keep > 0)
		rcmd_argi(&cmd, keep);
	else
		rcmd_argz(&cmd, ""); /* all; the official client takes 0 so, too */
	rc = bq_call_int(bq, &cmd, deadline, &lines, err);
	if (rc == 0 && lines < 0)
		rc = bq_script_failure(lines, err);
	if (rc == 0 && count)
		*count = lines;
	return rc;
}
