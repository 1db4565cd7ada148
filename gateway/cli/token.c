#include <stdio.h>

#include <openssl/crypto.h>

#include "gateway/cli/cli.h"
#include "gateway/settings.h"
#include "lib/base/secret_file.h"

struct token_options {
	const char *sub, *roles, *org, *ttl;
	bool help;
};

/* "producer,worker" */
static int read_roles(const char *words, role_set *out, struct err *err)
{
	struct str rest = str_from(words);
	while (rest.p) {
		struct str word = str_cut(&rest, ',');
		role_set role = role_parse(word);
		if (!role)
			return err_set(err, ERR_INVALID, "there is no role %.*s; sluice dump roles lists them", STR_ARG(word));
		*out |= role;
	}
	return 0;
}

static int copy(char *into, size_t size, const char *name, const char *value, struct err *err)
{
	if (strlen(value) >= size)
		return err_set(err, ERR_INVALID, "--%s is longer than %zu bytes", name, size - 1);
	memcpy(into, value, strlen(value) + 1);
	return 0;
}

static int read_principal(const struct token_options *t, struct principal *who, struct err *err)
{
	if (!t->sub || !t->roles)
		return err_set(err, ERR_INVALID, "--sub and --role are needed");
	int rc = copy(who->sub, sizeof(who->sub), "sub", t->sub, err);
	if (rc == 0)
		rc = copy(who->org, sizeof(who->org), "org", t->org, err);
	return rc < 0 ? rc : read_roles(t->roles, &who->roles, err);
}

static int read_secret(const struct config *cfg, struct buf *secret, struct err *err)
{
	if (*cfg->jwt_secret) {
		buf_addz(secret, cfg->jwt_secret);
		return 0;
	}
	int rc = secret_file_read(cfg->data_dir, SECRET_FILE_TOKENS, secret, err);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, rc, "there is no secret yet: start the gateway once, or set JWT_SECRET (%s/" SECRET_FILE_TOKENS " is missing)",
			       cfg->data_dir);
	return rc;
}

static enum cli_exit print_token(const struct config *cfg, const struct principal *who)
{
	struct buf secret = BUF_INIT, token = BUF_INIT;
	struct err err = {0};
	struct auth *auth = NULL;
	int rc = read_secret(cfg, &secret, &err);
	if (rc == 0) {
		struct auth_options o = settings_auth(cfg, buf_str(&secret));
		auth = auth_new(&o, &err);
		rc = auth ? auth_issue(auth, who, cfg->jwt_expires_in_ms / 1000, &token, &err) : ERR_INVALID;
	}
	auth_free(auth);
	if (secret.p)
		OPENSSL_cleanse(secret.p, secret.n);
	buf_release(&secret);
	if (rc == 0)
		return cli_print(&token);
	buf_release(&token);
	return cli_fail("%s", err.text);
}

enum cli_exit cmd_token(const struct cli *cli, int argc, char **argv)
{
	struct token_options t = {.org = AUTH_ORG_DEFAULT};
	const struct option_row rows[] = {
		{"sub", OPTION_STRING, &t.sub, "ID", "user or service that the token is for"},
		{"role", OPTION_STRING, &t.roles, "ROLE", "admin, operator, viewer, producer or worker; several with commas"},
		{"org", OPTION_STRING, &t.org, "ORG", "organization (default)"},
		{"ttl", OPTION_STRING, &t.ttl, "TIME", "its life, such as 15m or 24h (JWT_EXPIRES_IN)"},
		{"help", OPTION_FLAG, &t.help, NULL, "show this text"},
		{0},
	};
	static const char *const roles[] = {
#define X(id, word, may) word,
#include "lib/auth/roles.def"
#undef X
		NULL};
	static const struct option_words values[] = {{"ROLE", roles}, {0}};
	const struct options o = {.usage = "sluice token --sub ID --role ROLE [--org ORG] [--ttl TIME]",
				  .about = "Print a token under JWT_SECRET, or under the secret that the gateway made in DATA_DIR.",
				  .rows = rows,
				  .values = values};
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, &o, &t.help, argc, argv, &arguments, &exit))
		return exit;
	struct principal who = {0};
	struct err err = {0};
	if (read_principal(&t, &who, &err) < 0)
		return cli_misuse("%s", err.text);
	char life[64];
	char *overrides[2] = {0};
	if (t.ttl) {
		snprintf(life, sizeof(life), "JWT_EXPIRES_IN=%s", t.ttl);
		overrides[0] = life;
	}
	struct config cfg;
	exit = cli_config(cli, overrides, &cfg);
	if (exit == CLI_OK)
		exit = print_token(&cfg, &who);
	config_release(&cfg);
	return exit;
}
