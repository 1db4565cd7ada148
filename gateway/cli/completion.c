/* `sluice completion`: what a shell needs to complete the commands, made of the tables that --help is made of. */
#include <stdio.h>

#include "gateway/cli/cli.h"

/* One command as its run function tells it. */
typedef void tell_fn(struct buf *out, const struct cli_command *command, const struct options *o);

struct shell {
	const char *name;
	void (*begin)(struct buf *out);
	tell_fn *command;
	const char *end;
};

/* ---- what they share ---- */

/* The words that an option's value may be; NULL: any text. */
static const char *const *words_of(const struct options *o, const struct option_row *row)
{
	for (const struct option_words *v = o->values; row->value && v && v->value; v++)
		if (strcmp(v->value, row->value) == 0)
			return v->words;
	return NULL;
}

static bool is_file(const struct option_row *row)
{
	return row->value && strcmp(row->value, "FILE") == 0;
}

static void add_words(struct buf *out, const char *const *words)
{
	for (size_t i = 0; words && words[i]; i++)
		buf_addf(out, "%s%s", i ? " " : "", words[i]);
}

/* Text inside single quotes: `quote` stands for one, and a backslash goes before each of `special`. */
static void add_quoted(struct buf *out, const char *text, const char *quote, const char *special)
{
	for (const char *p = text; *p; p++) {
		if (*p == '\'') {
			buf_addz(out, quote);
			continue;
		}
		if (strchr(special, *p))
			buf_addc(out, '\\');
		buf_addc(out, *p);
	}
}

static void each_option(const struct options *o, struct buf *out, const struct cli_command *command,
			void (*tell)(struct buf *out, const struct cli_command *command, const struct options *o, const struct option_row *row))
{
	for (const struct option_row *row = o->rows; row && row->name; row++)
		tell(out, command, o, row);
}

/* ---- bash ---- */

static void bash_begin(struct buf *out)
{
	buf_addz(out, "# For bash: source <(sluice completion bash)\n"
		      "_sluice() {\n"
		      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
		      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
		      "\t\twords='");
	for (const struct cli_command *c = cli_commands; c->name; c++)
		buf_addf(out, "%s ", c->name);
	buf_addz(out, "--help --version'\n"
		      "\telse\n"
		      "\t\tcase ${COMP_WORDS[1]}:${COMP_WORDS[COMP_CWORD-1]} in\n");
}

static void bash_value(struct buf *out, const struct cli_command *command, const struct options *o, const struct option_row *row)
{
	if (row->kind == OPTION_FLAG)
		return;
	buf_addf(out, "\t\t%s:--%s) ", command->name, row->name);
	if (is_file(row)) {
		buf_addz(out, "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n");
		return;
	}
	buf_addz(out, "words='");
	add_words(out, words_of(o, row));
	buf_addz(out, "' ;;\n");
}

static void bash_name(struct buf *out, const struct cli_command *command, const struct options *o, const struct option_row *row)
{
	(void)command;
	(void)o;
	buf_addf(out, " --%s", row->name);
}

static void bash_command(struct buf *out, const struct cli_command *command, const struct options *o)
{
	each_option(o, out, command, bash_value);
	buf_addf(out, "\t\t%s:*) words='", command->name);
	add_words(out, o->arguments);
	each_option(o, out, command, bash_name);
	buf_addz(out, "' ;;\n");
}

/* ---- zsh ---- */

#define ZSH_QUOTE "'\\''"

static void zsh_begin(struct buf *out)
{
	buf_addz(out, "#compdef sluice\n"
		      "# For zsh: source <(sluice completion zsh), or as _sluice in a folder of fpath\n"
		      "_sluice() {\n"
		      "\tlocal -a commands=(\n");
	for (const struct cli_command *c = cli_commands; c->name; c++) {
		buf_addf(out, "\t\t'%s:", c->name);
		add_quoted(out, c->about, ZSH_QUOTE, ":\\");
		buf_addz(out, "'\n");
	}
	buf_addz(out, "\t)\n"
		      "\tif (( CURRENT == 2 )); then\n"
		      "\t\t_describe command commands\n"
		      "\t\treturn\n"
		      "\tfi\n"
		      "\tshift words\n"
		      "\t(( CURRENT-- ))\n"
		      "\tcase $words[1] in\n");
}

static void zsh_option(struct buf *out, const struct cli_command *command, const struct options *o, const struct option_row *row)
{
	(void)command;
	buf_addf(out, " \\\n\t\t\t'--%s[", row->name);
	add_quoted(out, row->help, ZSH_QUOTE, "[]:\\");
	buf_addc(out, ']');
	if (row->kind != OPTION_FLAG) {
		buf_addf(out, ":%s:", row->value);
		buf_addz(out, is_file(row) ? "_files" : "(");
		add_words(out, words_of(o, row));
		buf_addz(out, is_file(row) ? "" : ")");
	}
	buf_addc(out, '\'');
}

static void zsh_command(struct buf *out, const struct cli_command *command, const struct options *o)
{
	buf_addf(out, "\t%s) _arguments", command->name);
	each_option(o, out, command, zsh_option);
	if (o->max_arguments > 0) {
		buf_addz(out, " \\\n\t\t\t'*:argument:(");
		add_words(out, o->arguments);
		buf_addz(out, ")'");
	}
	buf_addz(out, " ;;\n");
}

/* ---- fish ---- */

#define FISH_QUOTE "\\'"

static void fish_begin(struct buf *out)
{
	buf_addz(out, "# For fish: sluice completion fish | source\n"
		      "complete -c sluice -f\n");
	for (const struct cli_command *c = cli_commands; c->name; c++) {
		buf_addf(out, "complete -c sluice -n __fish_use_subcommand -a %s -d '", c->name);
		add_quoted(out, c->about, FISH_QUOTE, "\\");
		buf_addz(out, "'\n");
	}
}

static void fish_option(struct buf *out, const struct cli_command *command, const struct options *o, const struct option_row *row)
{
	const char *const *words = words_of(o, row);
	buf_addf(out, "complete -c sluice -n '__fish_seen_subcommand_from %s' -l %s", command->name, row->name);
	if (row->kind != OPTION_FLAG)
		buf_addz(out, is_file(row) ? " -r -F" : " -x");
	if (words) {
		buf_addz(out, " -a '");
		add_words(out, words);
		buf_addc(out, '\'');
	}
	buf_addz(out, " -d '");
	add_quoted(out, row->help, FISH_QUOTE, "\\");
	buf_addz(out, "'\n");
}

static void fish_command(struct buf *out, const struct cli_command *command, const struct options *o)
{
	each_option(o, out, command, fish_option);
	if (!o->arguments)
		return;
	buf_addf(out, "complete -c sluice -n '__fish_seen_subcommand_from %s' -a '", command->name);
	add_words(out, o->arguments);
	buf_addz(out, "'\n");
}

/* ---- all of them ---- */

static const struct shell shells[] = {
	{"bash", bash_begin, bash_command,
	 "\t\tesac\n"
	 "\tfi\n"
	 "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	 "}\n"
	 "complete -F _sluice sluice\n"},
	{"zsh", zsh_begin, zsh_command,
	 "\tesac\n"
	 "}\n"
	 "if [ \"$funcstack[1]\" = _sluice ]; then\n"
	 "\t_sluice \"$@\"\n"
	 "else\n"
	 "\tcompdef _sluice sluice\n"
	 "fi\n"},
	{"fish", fish_begin, fish_command, ""},
};

static const char *const shell_words[] = {"bash", "zsh", "fish", NULL};

struct telling {
	const struct shell *shell;
	const struct cli_command *command;
	struct buf out;
};

static void hear(void *arg, const struct options *o)
{
	struct telling *t = arg;
	t->shell->command(&t->out, t->command, o);
}

static enum cli_exit print_for(const struct cli *cli, const struct shell *shell)
{
	struct telling t = {.shell = shell};
	const struct cli asking = {.environment = cli->environment, .describe = hear, .describe_arg = &t};
	shell->begin(&t.out);
	for (t.command = cli_commands; t.command->name; t.command++) {
		char name[] = "sluice";
		char *words[] = {name, NULL};
		(void)t.command->run(&asking, 1, words);
	}
	buf_addz(&t.out, shell->end);
	return cli_print(&t.out);
}

enum cli_exit cmd_completion(const struct cli *cli, int argc, char **argv)
{
	bool help = false;
	const struct option_row rows[] = {{"help", OPTION_FLAG, &help, NULL, "show this text"}, {0}};
	const struct options o = {
		.usage = "sluice completion bash|zsh|fish",
		.about = "Print what the shell needs to complete the commands and options of sluice, such as: source <(sluice completion bash)",
		.rows = rows,
		.max_arguments = 1,
		.arguments = shell_words,
	};
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, &o, &help, argc, argv, &arguments, &exit))
		return exit;
	for (size_t i = 0; arguments == 1 && i < ARRAY_LEN(shells); i++)
		if (strcmp(argv[1], shells[i].name) == 0)
			return print_for(cli, &shells[i]);
	return cli_misuse("which shell? %s", o.usage);
}
