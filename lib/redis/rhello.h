/* What is said first on every connection: AUTH, SELECT, CLIENT SETNAME, CLIENT ID, INFO server, PING, SCRIPT LOADs. All of it goes
 * out in one piece; the replies are then given to rhello_take one by one.
 *
 *     struct rhello h;
 *     rhello_init(&h, &addr, "name", scripts, n_scripts)     0 or ERR_NOMEM
 *     send h.cmd.wire
 *     for each reply: rc = rhello_take(&h, reply, &err)       1: signed in; 0: more to come; ERR_UNAVAILABLE: not usable now
 *     rhello_release(&h)
 *
 * PING is the one that tells -LOADING, -NOAUTH and -MASTERDOWN. A user who may not use CLIENT or INFO still gets in. Where sentinels told the
 * address, INFO replication must not say that this is a replica: the sentinel may have been late. */
#ifndef SLUICE_REDIS_RHELLO_H
#define SLUICE_REDIS_RHELLO_H

#include "lib/redis/rmux.h"

#define RHELLO_RUN_ID_SIZE 41
#define RHELLO_MAX_STEPS 8

struct rhello_step;

struct rhello {
	struct rcmd cmd;
	const struct rhello_step *steps[RHELLO_MAX_STEPS];
	size_t n_steps;
	const struct rscript *const *scripts;
	size_t n_scripts;
	size_t taken;
	char run_id[RHELLO_RUN_ID_SIZE]; /* empty when the server did not tell */
	int64_t client_id;               /* 0 when the server did not tell */
};

/* scripts: the array and what it points to must outlive h. */
int rhello_init(struct rhello *h, const struct raddr *addr, const char *client_name, const struct rscript *const *scripts,
                size_t n_scripts) MUST_CHECK;
void rhello_release(struct rhello *h); /* wipes the password */
int rhello_take(struct rhello *h, const redisReply *reply, struct err *err) MUST_CHECK;

/* SCRIPT LOAD of every script. */
void rhello_add_scripts(struct rcmd *cmd, const struct rscript *const *scripts, size_t n);

#endif
