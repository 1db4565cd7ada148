#include "lib/base/clock.h"
#include "lib/bullmq/bq_impl.h"

#define TRIM_PER_CALL 1000

static int read_stalled(const redisReply *r, struct arena *a, struct str **ids, size_t *n, struct err *err)
{
	size_t count = 0;
	int rc = rreply_error(r, err);

	if (rc < 0)
		return rc;
	while (rreply_at(r, count))
		count++;
	*ids = arena_array(a, count > 0 ? count : 1, sizeof(**ids));
	if (!*ids)
		return err_set(err, ERR_NOMEM, "no memory for %zu job ids", count);
	for (size_t i = 0; i < count; i++) {
		(*ids)[i] = arena_dup(a, rreply_str(rreply_at(r, i)));
		if (!(*ids)[i].p)
			return err_set(err, ERR_NOMEM, "no memory for a job id");
	}
	*n = count;
	return 0;
}

int bq_stalled_check(struct bq *bq, const struct bq_queue *q, int64_t interval_ms, int64_t max_stalled, struct arena *a,
		     struct str **stalled_ids, size_t *n, int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	bq_script_begin(&cmd, BQ_SCRIPT_STALLED, &call, 5);
	rcmd_argi(&cmd, max_stalled);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(&cmd, clock_wall_ms());
	rcmd_argi(&cmd, interval_ms);
	rcmd_argz(&cmd, q->outbox ? "1" : "");
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = read_stalled(replies.items[0], a, stalled_ids, n, err);
	rreplies_release(&replies);
	return rc;
}

int bq_promote_due(struct bq *bq, const struct bq_queue *q, int64_t *promoted, int64_t *next_ms, int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q};
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	bq_script_begin(&cmd, BQ_SCRIPT_PROMOTE_DUE, &call, 2);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(&cmd, clock_wall_ms());
	rc = bq_ask(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	if (!rreply_int(rreply_at(replies.items[0], 0), promoted) || !rreply_int(rreply_at(replies.items[0], 1), next_ms))
		rc = err_set(err, ERR_PROTOCOL, "the promotion script answered in an unknown form");
	rreplies_release(&replies);
	return rc;
}

int bq_trim_finished(struct bq *bq, const struct bq_queue *q, enum bq_state set, const struct bq_keep *keep, int64_t *removed,
		     int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q, .failed = set == BQ_FAILED};
	struct rcmd cmd = RCMD_INIT;

	*removed = 0;
	if (!keep->set || (keep->count < 0 && keep->age_s < 0))
		return 0;
	bq_script_begin(&cmd, BQ_SCRIPT_TRIM_FINISHED, &call, 5);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	rcmd_argi(&cmd, clock_wall_ms());
	rcmd_argi(&cmd, keep->count);
	rcmd_argi(&cmd, keep->age_s);
	rcmd_argi(&cmd, keep->limit >= 0 && keep->limit < TRIM_PER_CALL ? keep->limit : TRIM_PER_CALL);
	return bq_call_int(bq, &cmd, deadline, removed, err);
}

/* One call of the official script: how many jobs an older release left in `paused`. */
static int pause_step(struct bq *bq, const struct bq_queue *q, bool pause, bool emit_event, int64_t *left, int64_t deadline,
		      struct err *err)
{
	const struct bq_script_call call = {.queue = q};
	struct rcmd cmd = RCMD_INIT;

	/* The keys stand in the order of a resume, `paused` before `wait`; pausing reads neither. */
	bq_script_begin(&cmd, BQ_SCRIPT_PAUSE, &call, 2);
	rcmd_argz(&cmd, pause ? "paused" : "resumed");
	rcmd_argz(&cmd, emit_event ? "1" : "0");
	return bq_call_int(bq, &cmd, deadline, left, err);
}

int bq_pause(struct bq *bq, const struct bq_queue *q, bool pause, int64_t deadline, struct err *err)
{
	bool first = true;
	int64_t left;
	int rc;

	do {
		left = 0;
		rc = pause_step(bq, q, pause, first, &left, deadline, err);
		first = false;
	} while (rc == 0 && !pause && left > 0);
	return rc;
}
