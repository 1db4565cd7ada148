#include <stdio.h>

#include "gateway/app.h"
#include "gateway/cli/cli.h"

#define OVERRIDE_SIZE 64

/* "NAME=value" in into; an option's value is never longer than the check of the setting allows. */
static char *override(char into[OVERRIDE_SIZE], const char *name, const char *value)
{
	snprintf(into, OVERRIDE_SIZE, "%s=%s", name, value);
	return into;
}

static enum cli_exit help_with_settings(const struct options *o)
{
	struct buf out = BUF_INIT;
	options_help(o, &out);
	buf_addz(&out, "\nSettings, from the environment or from .env:\n\n");
	config_help(&out);
	return cli_print(&out);
}

enum cli_exit cmd_serve(const struct cli *cli, int argc, char **argv)
{
	const char *role = NULL, *workers = NULL;
	bool help = false;
	const struct option_row rows[] = {
		{"role", OPTION_STRING, &role, "ROLE", "api, worker or all (SLUICE_ROLE)"},
		{"workers", OPTION_STRING, &workers, "N", "concurrency of every queue (SLUICE_WORKERS)"},
		{"help", OPTION_FLAG, &help, NULL, "show this text"},
		{0},
	};
	static const char *const roles[] = {"api", "worker", "all", NULL};
	static const struct option_words values[] = {{"ROLE", roles}, {0}};
	const struct options o = {
		.usage = "sluice serve [options]", .about = "Run the gateway until SIGTERM or SIGINT.", .rows = rows, .values = values};
	const bool never = false;
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, &o, &never, argc, argv, &arguments, &exit))
		return exit;
	if (help)
		return help_with_settings(&o);

	char role_text[OVERRIDE_SIZE], workers_text[OVERRIDE_SIZE];
	char *overrides[3] = {0};
	size_t n = 0;
	if (role)
		overrides[n++] = override(role_text, "SLUICE_ROLE", role);
	if (workers)
		overrides[n++] = override(workers_text, "SLUICE_WORKERS", workers);
	struct config cfg;
	exit = cli_config(cli, overrides, &cfg);
	struct err err = {0};
	if (exit == CLI_OK && app_run(&cfg, &err) < 0)
		exit = cli_fail("%s", err.text);
	config_release(&cfg);
	return exit;
}
