#include "lib/bullmq/script.h"

static void put_job_key(struct rcmd *cmd, const struct bq_script_call *call, const char *suffix)
{
	struct buf key = BUF_INIT;

	bq_job_key(&key, call->queue, call->id, suffix);
	if (key.failed)
		cmd->wire.failed = true;
	rcmd_arg(cmd, buf_str(&key));
	buf_release(&key);
}

static void put_key(struct rcmd *cmd, unsigned key, const struct bq_script_call *call)
{
	const struct str *keys = call->queue->keys;

	switch (key) {
	case BQ_SCRIPT_KEY_JOB:
		put_job_key(cmd, call, "");
		break;
	case BQ_SCRIPT_KEY_JOB_LOGS:
		put_job_key(cmd, call, ":logs");
		break;
	case BQ_SCRIPT_KEY_FINISHED:
		rcmd_arg(cmd, keys[call->failed ? BQ_KEY_FAILED : BQ_KEY_COMPLETED]);
		break;
	case BQ_SCRIPT_KEY_SET:
		rcmd_arg(cmd, keys[call->set]);
		break;
	default:
		rcmd_arg(cmd, keys[key]);
	}
}

void bq_script_begin(struct rcmd *cmd, enum bq_script script, const struct bq_script_call *call, size_t n_args)
{
	const struct bq_script_def *def = &bq_scripts[script];
	struct rscript wire = def->wire;

	wire.keys += (unsigned)call->n_more;
	rcmd_script(cmd, &wire, n_args);
	for (unsigned i = 0; i < def->wire.keys; i++)
		put_key(cmd, def->keys[i], call);
	for (size_t i = 0; i < call->n_more; i++)
		rcmd_arg(cmd, call->more[i]);
}
