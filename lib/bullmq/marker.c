#include "lib/bullmq/marker.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/bullmq/bq_impl.h"

void bq_marker_wait(struct rcmd *cmd, size_t n_keys)
{
	rcmd_begin(cmd, n_keys + 2);
	rcmd_argz(cmd, "BZPOPMIN");
}

void bq_marker_wait_end(struct rcmd *cmd, int64_t block_ms)
{
	struct buf seconds = BUF_INIT;

	buf_addf(&seconds, "%.3f", block_ms > 0 ? (double)block_ms / 1000.0 : 0.001); /* 0 would be for ever */
	cmd->wire.failed = cmd->wire.failed || seconds.failed;
	rcmd_arg(cmd, buf_str(&seconds));
	buf_release(&seconds);
}

/* [key, member, score] */
bool bq_marker_read(const redisReply *reply, struct bq_marker *out)
{
	struct str score = rreply_str(rreply_at(reply, 2));

	*out = (struct bq_marker){.key = rreply_str(rreply_at(reply, 0))};
	if (!out->key.p || !score.p)
		return false;
	double due = str_is(rreply_str(rreply_at(reply, 1)), "1") ? strtod(score.p, NULL) : 0;
	if (due > (double)clock_wall_ms())
		out->due_wall_ms = bq_time_ms(due);
	return true;
}

static void ignore_reply(void *arg UNUSED, int rc UNUSED, const struct rreplies *replies UNUSED, const struct err *err UNUSED)
{
}

void bq_marker_put_back(struct bq *bq, const struct bq_marker *marker, int64_t deadline_mono_ms)
{
	struct rcmd cmd = RCMD_INIT;

	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "ZADD");
	rcmd_arg(&cmd, marker->key);
	rcmd_argi(&cmd, marker->due_wall_ms);
	rcmd_argz(&cmd, marker->due_wall_ms ? "1" : "0");
	rmux_send(bq_mux(bq), &cmd, deadline_mono_ms, ignore_reply, NULL);
	rcmd_release(&cmd);
}
