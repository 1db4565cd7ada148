#include "lib/redis/rhello.h"

#include <openssl/crypto.h>

struct rhello_step {
	const char *name;
	bool required;
	void (*learn)(struct rhello *h, const redisReply *reply); /* may be NULL */
	const char *unfit; /* a line of the reply that must not be there; may be NULL */
};

static void learn_client_id(struct rhello *h, const redisReply *reply)
{
	if (!rreply_int(reply, &h->client_id))
		h->client_id = 0;
}

static void learn_run_id(struct rhello *h, const redisReply *reply)
{
	struct str text = rreply_str(reply);
	while (text.p) {
		struct str line = str_cut(&text, '\n');
		struct str key = STR("run_id:");
		if (!str_starts(line, key) || line.n < key.n + RHELLO_RUN_ID_SIZE - 1)
			continue;
		memcpy(h->run_id, line.p + key.n, RHELLO_RUN_ID_SIZE - 1);
		h->run_id[RHELLO_RUN_ID_SIZE - 1] = '\0';
		return;
	}
}

enum step { STEP_AUTH, STEP_SELECT, STEP_SETNAME, STEP_CLIENT_ID, STEP_INFO, STEP_ROLE, STEP_PING };

static const struct rhello_step steps[] = {
	[STEP_AUTH] = {"AUTH", true, NULL, NULL},
	[STEP_SELECT] = {"SELECT", true, NULL, NULL},
	[STEP_SETNAME] = {"CLIENT SETNAME", false, NULL, NULL},
	[STEP_CLIENT_ID] = {"CLIENT ID", false, learn_client_id, NULL},
	[STEP_INFO] = {"INFO", false, learn_run_id, NULL},
	[STEP_ROLE] = {"INFO replication", false, NULL, "role:slave"},
	[STEP_PING] = {"PING", true, NULL, NULL},
};

static void begin_step(struct rhello *h, enum step step, size_t n_args)
{
	_Static_assert(ARRAY_LEN(steps) <= RHELLO_MAX_STEPS, "every step once");
	h->steps[h->n_steps++] = &steps[step];
	rcmd_begin(&h->cmd, n_args);
}

static void add_auth(struct rhello *h, const struct raddr *a)
{
	if (!a->user[0] && !a->password[0])
		return;
	begin_step(h, STEP_AUTH, a->user[0] ? 3 : 2);
	rcmd_argz(&h->cmd, "AUTH");
	if (a->user[0])
		rcmd_argz(&h->cmd, a->user);
	rcmd_argz(&h->cmd, a->password);
}

static void add_steps(struct rhello *h, const struct raddr *a, const char *client_name)
{
	add_auth(h, a);
	if (a->db) {
		begin_step(h, STEP_SELECT, 2);
		rcmd_argz(&h->cmd, "SELECT");
		rcmd_argi(&h->cmd, a->db);
	}
	if (client_name) {
		begin_step(h, STEP_SETNAME, 3);
		rcmd_argz(&h->cmd, "CLIENT");
		rcmd_argz(&h->cmd, "SETNAME");
		rcmd_argz(&h->cmd, client_name);
	}
	begin_step(h, STEP_CLIENT_ID, 2);
	rcmd_argz(&h->cmd, "CLIENT");
	rcmd_argz(&h->cmd, "ID");
	begin_step(h, STEP_INFO, 2);
	rcmd_argz(&h->cmd, "INFO");
	rcmd_argz(&h->cmd, "server");
	if (a->master) {
		begin_step(h, STEP_ROLE, 2);
		rcmd_argz(&h->cmd, "INFO");
		rcmd_argz(&h->cmd, "replication");
	}
	begin_step(h, STEP_PING, 1);
	rcmd_argz(&h->cmd, "PING");
}

void rhello_add_scripts(struct rcmd *cmd, const struct rscript *const *scripts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		rcmd_begin(cmd, 3);
		rcmd_argz(cmd, "SCRIPT");
		rcmd_argz(cmd, "LOAD");
		rcmd_arg(cmd, (struct str){scripts[i]->text, scripts[i]->text_bytes});
	}
}

int rhello_init(struct rhello *h, const struct raddr *addr, const char *client_name, const struct rscript *const *scripts,
                size_t n_scripts)
{
	*h = (struct rhello){.scripts = scripts, .n_scripts = n_scripts};
	add_steps(h, addr, client_name);
	rhello_add_scripts(&h->cmd, scripts, n_scripts);
	return h->cmd.wire.failed ? ERR_NOMEM : 0;
}

void rhello_release(struct rhello *h)
{
	if (h->cmd.wire.p)
		OPENSSL_cleanse(h->cmd.wire.p, h->cmd.wire.n);
	rcmd_release(&h->cmd);
}

static bool has_line(struct str text, const char *line)
{
	while (text.p) {
		struct str one = str_cut(&text, '\n');
		if (str_is(str_cut(&one, '\r'), line))
			return true;
	}
	return false;
}

static int take_step(struct rhello *h, const struct rhello_step *step, const redisReply *reply, struct err *err)
{
	struct err detail = {0};
	if (rreply_error(reply, &detail) < 0)
		return step->required ? err_set(err, ERR_UNAVAILABLE, "%s: %s", step->name, detail.text) : 0;
	if (step->unfit && has_line(rreply_str(reply), step->unfit))
		return err_set(err, ERR_UNAVAILABLE, "%s: it says %s", step->name, step->unfit);
	if (step->learn)
		step->learn(h, reply);
	return 0;
}

static int take_script(const struct rscript *script, const redisReply *reply, struct err *err)
{
	struct err detail = {0};
	if (rreply_error(reply, &detail) < 0)
		return err_set(err, ERR_UNAVAILABLE, "SCRIPT LOAD %s: %s", script->name, detail.text);
	if (!str_is(rreply_str(reply), script->sha1))
		return err_set(err, ERR_UNAVAILABLE, "SCRIPT LOAD %s: its SHA-1 is not %s", script->name, script->sha1);
	return 0;
}

int rhello_take(struct rhello *h, const redisReply *reply, struct err *err)
{
	size_t i = h->taken++;
	int rc = i < h->n_steps ? take_step(h, h->steps[i], reply, err) : take_script(h->scripts[i - h->n_steps], reply, err);
	if (rc < 0)
		return rc;
	return h->taken == h->cmd.commands;
}
