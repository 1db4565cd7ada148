#include "lib/bullmq/bq.h"

#include <stdlib.h>

#include "lib/base/digest.h"
#include "lib/bullmq/bq_impl.h"

#define TIME_MAX_MS 9007199254740992.0 /* 2^53: sums of times stay far from overflow */

struct bq *bq_new(struct rmux *mux, struct err *err)
{
	struct bq *bq = malloc(sizeof(*bq));

	if (!bq) {
		err_set(err, ERR_NOMEM, "no memory for the queues");
		return NULL;
	}
	*bq = (struct bq){.mux = mux};
	lock_init(&bq->mu);
	table_init(&bq->lanes);
	table_init(&bq->end_lanes);
	for (size_t i = 0; i < BQ_SCRIPT_COUNT; i++) {
		int rc = rmux_add_script(mux, &bq_scripts[i].wire);

		if (rc < 0) {
			err_set(err, rc, "the script %s could not be registered", bq_scripts[i].wire.name);
			bq_free(bq);
			return NULL;
		}
	}
	return bq;
}

void bq_free(struct bq *bq)
{
	if (!bq)
		return;
	bq_end_lanes_release(bq);
	bq_lanes_release(bq);
	free(bq);
}

struct rmux *bq_mux(struct bq *bq)
{
	return bq->mux;
}

const char *bq_state_word(enum bq_state s)
{
	static const char *const words[BQ_STATE_COUNT] = {
#define X(id, word) [BQ_##id] = word,
		BQ_STATES(X)
#undef X
	};

	return s >= 0 && s < BQ_STATE_COUNT ? words[s] : "unknown";
}

void bq_client_name(struct buf *out, const struct bq_queue *q, const char *worker_name)
{
	buf_adds(out, q->prefix);
	buf_addc(out, ':');
	digest_b64(out, q->name.p, q->name.n);
	if (worker_name) {
		buf_addz(out, ":w:");
		buf_addz(out, worker_name);
	}
}

int bq_call(struct bq *bq, struct rcmd *cmd, int64_t deadline, struct rreplies *out, struct err *err)
{
	int rc;

	if (cmd->wire.failed)
		rc = err_set(err, ERR_NOMEM, "no memory for a command");
	else
		rc = rmux_call(bq->mux, cmd, deadline, out, err);
	rcmd_release(cmd);
	return rc;
}

int bq_ask(struct bq *bq, struct rcmd *cmd, int64_t deadline, struct rreplies *out, struct err *err)
{
	int rc = bq_call(bq, cmd, deadline, out, err);

	if (rc < 0)
		return rc;
	rc = rreply_error(out->items[0], err);
	if (rc < 0)
		rreplies_release(out);
	return rc;
}

int bq_call_plain(struct bq *bq, struct rcmd *cmd, int64_t deadline, struct err *err)
{
	struct rreplies replies;
	int rc = bq_ask(bq, cmd, deadline, &replies, err);

	if (rc == 0)
		rreplies_release(&replies);
	return rc;
}

int64_t bq_time_ms(double ms)
{
	return (int64_t)(ms > TIME_MAX_MS ? TIME_MAX_MS : ms < -TIME_MAX_MS ? -TIME_MAX_MS : ms);
}

int64_t bq_due_ms(struct str score)
{
	return score.p ? bq_time_ms(strtod(score.p, NULL) / BQ_DELAYED_SHIFT) : -1;
}

int bq_call_int(struct bq *bq, struct rcmd *cmd, int64_t deadline, int64_t *value, struct err *err)
{
	struct rreplies replies;
	int rc = bq_ask(bq, cmd, deadline, &replies, err);

	if (rc < 0)
		return rc;
	if (!rreply_int(replies.items[0], value))
		rc = err_set(err, ERR_PROTOCOL, "Redis did not answer with a number");
	rreplies_release(&replies);
	return rc;
}

int bq_script_error(struct str text, struct err *err)
{
	if (rreply_error_text(text, NULL) != ERR_REPLY || str_starts(text, STR("NOAUTH ")) || str_starts(text, STR("NOPERM ")))
		return rreply_error_text(text, err);
	return err_set(err, ERR_BROKEN, "%.*s", STR_ARG(text));
}

int bq_call_done(struct bq *bq, struct rcmd *cmd, int64_t deadline, struct err *err)
{
	int64_t value = 0;
	struct err why = {0};
	int rc = bq_call_int(bq, cmd, deadline, &value, &why);

	if (rc == ERR_REPLY)
		return bq_script_error(str_from(why.text), err);
	if (rc < 0)
		return err_set(err, rc, "%s", why.text);
	return value < 0 ? bq_script_failure(value, err) : 0;
}

/* ErrorCode in bullmq's enums. */
static const struct {
	int code;
	const char *text;
} SCRIPT_FAILURES[] = {
	[1] = {ERR_NOT_FOUND, "the job is gone"},
	[2] = {ERR_LOCK_LOST, "the job's lock is gone"},
	[3] = {ERR_WRONG_STATE, "the job is not active"},
	[4] = {ERR_WRONG_STATE, "the job has pending children"},
	[5] = {ERR_NOT_FOUND, "the parent is missing"},
	[6] = {ERR_LOCK_LOST, "the job's lock belongs to another worker"},
	[7] = {ERR_WRONG_STATE, "the job has another parent, which cannot be replaced"},
	[8] = {ERR_WRONG_STATE, "the job belongs to a scheduler"},
	[9] = {ERR_WRONG_STATE, "the job has failed children"},
};

int bq_script_failure(int64_t code, struct err *err)
{
	if (code < 0 && -code < (int64_t)ARRAY_LEN(SCRIPT_FAILURES))
		return err_set(err, SCRIPT_FAILURES[-code].code, "%s", SCRIPT_FAILURES[-code].text);
	return err_set(err, ERR_PROTOCOL, "a script answered with %lld", (long long)code);
}

void bq_arg_packed(struct rcmd *cmd, struct buf *packed)
{
	if (packed->failed)
		cmd->wire.failed = true;
	rcmd_arg(cmd, buf_str(packed));
	buf_release(packed);
}
