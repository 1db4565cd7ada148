/* The Lua scripts that this folder sends: official ones of bullmq and ours, as one generated table.
 *
 *     struct bq_script_call call = {.queue = q, .id = id};
 *     bq_script_begin(&cmd, BQ_SCRIPT_ADD_LOG, &call, 4);       EVALSHA, the keys in the script's order
 *     rcmd_arg(&cmd, ...);                                      exactly 4 times
 */
#ifndef SLUICE_BULLMQ_SCRIPT_H
#define SLUICE_BULLMQ_SCRIPT_H

#include "bullmq_scripts.h"
#include "lib/bullmq/queue.h"
#include "lib/redis/rmux.h"

/* Keys that depend on the call stand behind the queue's own. */
enum bq_script_key {
	BQ_SCRIPT_KEY_JOB = BQ_KEY_COUNT, /* "P:Q:<id>" */
	BQ_SCRIPT_KEY_JOB_LOGS,
	BQ_SCRIPT_KEY_FINISHED, /* "P:Q:completed" or "P:Q:failed" */
	BQ_SCRIPT_KEY_SET,      /* the one that the call names */
};

struct bq_script_def {
	struct rscript wire;
	unsigned char keys[BQ_SCRIPT_KEYS_MAX]; /* enum bq_key or enum bq_script_key; wire.keys of them */
};

extern const struct bq_script_def bq_scripts[BQ_SCRIPT_COUNT];
extern const char bq_scripts_license[]; /* of the bullmq package */

struct bq_script_call {
	const struct bq_queue *queue;
	struct str id;          /* of the job, for scripts that have its keys */
	bool failed;            /* the finished set is "failed", not "completed" */
	enum bq_key set;        /* which key of the queue's, for scripts that are told */
	const struct str *more; /* keys behind the script's own */
	size_t n_more;
};

/* Exactly n_args rcmd_arg calls must follow. */
void bq_script_begin(struct rcmd *cmd, enum bq_script script, const struct bq_script_call *call, size_t n_args);

#endif
