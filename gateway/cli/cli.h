/* The command line: one table of subcommands (cli.c), each with one table of options.
 *
 * Data goes to stdout, everything for people to stderr. A new subcommand is a new file and a row in the table. */
#ifndef SLUICE_GATEWAY_CLI_CLI_H
#define SLUICE_GATEWAY_CLI_CLI_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/config/config.h"
#include "lib/config/options.h"

/* What a command may return; the process's exit code. */
enum cli_exit {
	CLI_OK,
	CLI_FAILED,      /* refused, or it went wrong */
	CLI_USAGE,       /* the command line or the settings are not right */
	/* 3 is what one command has to say besides. */
	CLI_DAMAGED = 3,     /* audit: the trail is not as it was written */
	CLI_UNREACHABLE = 3, /* queues, jobs, top: no gateway answers */
};

struct cli {
	char *const *environment;
	/* Not NULL: a command shall tell its options instead of running. cli_options does so, and the command ends. */
	void (*describe)(void *arg, const struct options *o);
	void *describe_arg;
};

struct cli_command {
	const char *name;
	const char *about;
	/* argv[0] is the command's name. */
	enum cli_exit (*run)(const struct cli *cli, int argc, char **argv);
};

int cli_main(int argc, char **argv, char *const *environment);

/* All of them, the first is meant when none is named; the end has no name. */
extern const struct cli_command cli_commands[];

/* ---- for the commands ---- */

/* Parses. True: go on, *arguments of them stand from argv[1] on. False: help was shown, the options were told (struct cli), or the usage was
 * wrong and has been told; return *exit. */
bool cli_options(const struct cli *cli, const struct options *o, const bool *help, int argc, char **argv, int *arguments,
		 enum cli_exit *exit) MUST_CHECK;

/* Loads the settings; overrides is a NULL-ended list of "NAME=value" or NULL. CLI_OK, else the problems have been told. Release *cfg in either
 * case. */
enum cli_exit cli_config(const struct cli *cli, char *const *overrides, struct config *cfg) MUST_CHECK;

/* A command that needs options and settings only: cli_options, cli_config, and run with the settings. */
enum cli_exit cli_with_settings(const struct cli *cli, const struct options *o, const bool *help, int argc, char **argv,
				enum cli_exit (*run)(const struct config *cfg, void *arg), void *arg);

/* "sluice: …" on stderr; returns CLI_FAILED. */
enum cli_exit cli_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The same, and returns CLI_USAGE. */
enum cli_exit cli_misuse(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The buffer to stdout, with a newline where it has none; releases it. CLI_FAILED when it is incomplete or cannot be written. */
enum cli_exit cli_print(struct buf *out);

enum cli_exit cmd_serve(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_token(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_migrate(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_audit(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_dump(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_doctor(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_healthcheck(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_version(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_queues(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_jobs(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_top(const struct cli *cli, int argc, char **argv);
enum cli_exit cmd_completion(const struct cli *cli, int argc, char **argv);

#endif
