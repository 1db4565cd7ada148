#include "gateway/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/str.h"

const struct cli_command cli_commands[] = {
	{"serve", "run the gateway (what happens without a command)", cmd_serve},
	{"token", "print a token", cmd_token},
	{"doctor", "check what the gateway needs, and say what to do", cmd_doctor},
	{"migrate", "bring the schema of the records up to date", cmd_migrate},
	{"audit", "check the audit trail's chain", cmd_audit},
	{"dump", "print the API description, settings and their values, roles, errors, metrics or queues", cmd_dump},
	{"healthcheck", "ask a running gateway whether it is ready", cmd_healthcheck},
	{"queues", "list the queues of a running gateway, look at one, act on it", cmd_queues},
	{"jobs", "list the jobs of a queue, look at one, act on it", cmd_jobs},
	{"top", "watch the queues of a running gateway", cmd_top},
	{"completion", "print what a shell needs to complete these commands", cmd_completion},
	{"version", "print versions, or licences with --licenses", cmd_version},
	{0},
};
#define N_COMMANDS (ARRAY_LEN(cli_commands) - 1)

static const char *const example_lines =
	"Examples:\n"
	"  sluice                                        run on embedded stores in ./var\n"
	"  sluice token --sub shop --role producer       a token that may create jobs\n"
	"  sluice doctor                                 is everything there?\n"
	"  sluice top                                    watch the queues of a running gateway\n"
	"  sluice jobs notifications --state failed      what went wrong?\n";

static enum cli_exit show_help(void)
{
	struct buf out = BUF_INIT;
	buf_addz(&out, "Usage: sluice [command] [options]\n\nA job-queue gateway over BullMQ's queues.\n\n");
	buf_addz(&out, example_lines);
	buf_addz(&out, "\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		buf_addf(&out, "  %-13s %s\n", cli_commands[i].name, cli_commands[i].about);
	buf_addz(&out, "\nsluice COMMAND --help shows a command's options.\n");
	return cli_print(&out);
}

static enum cli_exit unknown_command(const char *typed)
{
	const char *names[N_COMMANDS + 1] = {NULL};
	for (size_t i = 0; i < N_COMMANDS; i++)
		names[i] = cli_commands[i].name;
	const char *near = options_nearest(typed, names);
	fprintf(stderr, "sluice: there is no command %s%s%s%s; sluice --help lists them\n", typed, near ? " (did you mean " : "",
		near ? near : "", near ? "?)" : "");
	return CLI_USAGE;
}

static const struct cli_command *find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(name, cli_commands[i].name) == 0)
			return &cli_commands[i];
	return NULL;
}

/* "sluice help jobs" is "sluice jobs --help". */
static enum cli_exit help_about(const struct cli *cli, char *name)
{
	char help[] = "--help";
	const struct cli_command *command = find(name);
	return command ? command->run(cli, 2, (char *[]){name, help, NULL}) : unknown_command(name);
}

int cli_main(int argc, char **argv, char *const *environment)
{
	const struct cli cli = {.environment = environment};
	if (argc < 2)
		return (int)cli_commands[0].run(&cli, argc, argv);
	if (strcmp(argv[1], "help") == 0 && argc > 2)
		return (int)help_about(&cli, argv[2]);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return (int)show_help();
	if (strcmp(argv[1], "--version") == 0)
		return (int)cmd_version(&cli, 1, argv);
	if (argv[1][0] == '-')
		return (int)cli_commands[0].run(&cli, argc, argv);
	const struct cli_command *command = find(argv[1]);
	return (int)(command ? command->run(&cli, argc - 1, argv + 1) : unknown_command(argv[1]));
}

bool cli_options(const struct cli *cli, const struct options *o, const bool *help, int argc, char **argv, int *arguments,
		 enum cli_exit *exit)
{
	if (cli->describe) {
		cli->describe(cli->describe_arg, o);
		*exit = CLI_OK;
		return false;
	}
	struct err err = {0};
	int rest = options_parse(o, argc, argv, &err);
	if (rest < 0) {
		fprintf(stderr, "sluice: %s\nUsage: %s\n", err.text, o->usage);
		*exit = CLI_USAGE;
		return false;
	}
	if (*help) {
		struct buf out = BUF_INIT;
		options_help(o, &out);
		*exit = cli_print(&out);
		return false;
	}
	*arguments = rest;
	return true;
}

enum cli_exit cli_config(const struct cli *cli, char *const *overrides, struct config *cfg)
{
	const struct config_sources from = {.overrides = overrides, .environment = cli->environment, .env_file = ".env"};
	struct buf problems = BUF_INIT;
	int rc = config_load(cfg, &from, &problems);
	if (rc < 0)
		fprintf(stderr, "sluice: the settings are not right:\n%s%s", problems.p ? problems.p : err_sentence(rc), problems.n ? "" : "\n");
	buf_release(&problems);
	return rc < 0 ? CLI_USAGE : CLI_OK;
}

enum cli_exit cli_with_settings(const struct cli *cli, const struct options *o, const bool *help, int argc, char **argv,
				enum cli_exit (*run)(const struct config *cfg, void *arg), void *arg)
{
	struct config cfg;
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, o, help, argc, argv, &arguments, &exit))
		return exit;
	exit = cli_config(cli, NULL, &cfg);
	if (exit == CLI_OK)
		exit = run(&cfg, arg);
	config_release(&cfg);
	return exit;
}

static void say(const char *fmt, va_list args)
{
	fputs("sluice: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

enum cli_exit cli_fail(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
	return CLI_FAILED;
}

enum cli_exit cli_misuse(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
	return CLI_USAGE;
}

enum cli_exit cli_print(struct buf *out)
{
	if (out->n && out->p[out->n - 1] != '\n')
		buf_addc(out, '\n');
	bool written = !out->failed && fwrite(out->p, 1, out->n, stdout) == out->n && fflush(stdout) == 0;
	buf_release(out);
	return written ? CLI_OK : cli_fail("the output could not be written");
}
