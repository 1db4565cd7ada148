/* Command-line options by table: one row per option, one table per subcommand.
 *
 *     struct serve { const char *role; int64_t workers; bool help; } s = {0};
 *     const struct option_row rows[] = {
 *         {"role", OPTION_STRING, &s.role, "ROLE", "api, worker or all"},
 *         {"workers", OPTION_INT, &s.workers, "N", "concurrency of every queue"},
 *         {"help", OPTION_FLAG, &s.help, NULL, "show this text"},
 *         {0},
 *     };
 *     struct options o = {.usage = "sluice serve [options]", .about = "Run the gateway.", .rows = rows};
 *     int rest = options_parse(&o, argc, argv, &err);     (argv[0] is the subcommand)
 *     if (rest < 0) ... err.text says what is wrong and what was probably meant
 *
 * Understood: --name value, --name=value, flags as --name, -h for help, -- before arguments that begin with a dash. Options and arguments may be
 * mixed. An option given twice: the last one counts. Any thread. */
#ifndef SLUICE_CONFIG_OPTIONS_H
#define SLUICE_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

enum option_kind {
	OPTION_FLAG,   /* into: bool */
	OPTION_STRING, /* into: const char *; points into argv */
	OPTION_INT,    /* into: int64_t */
};

struct option_row {
	const char *name; /* without dashes; NULL ends the table */
	enum option_kind kind;
	void *into;        /* left alone when the option is not given */
	const char *value; /* what help calls the value; NULL for a flag */
	const char *help;
};

/* The words that a value may be, for completion; it is one of those that help calls by that name. */
struct option_words {
	const char *value;
	const char *const *words; /* ends with NULL */
};

struct options {
	const char *usage;
	const char *about;
	const struct option_row *rows;
	int max_arguments;                 /* positional ones that are allowed */
	const char *const *arguments;      /* words that they may be, for completion; ends with NULL. May be NULL */
	const struct option_words *values; /* ends with a row of NULLs. May be NULL */
};

/* The number of positional arguments, which stand, in order, from argv[1] on (argv is reordered); else ERR_INVALID. */
int options_parse(const struct options *o, int argc, char **argv, struct err *err) MUST_CHECK;

/* The --help text of one table. */
void options_help(const struct options *o, struct buf *out);

/* The word of the NULL-ended list that `typed` was probably meant to be (at most a third of its letters differ), or NULL. */
const char *options_nearest(const char *typed, const char *const *words);

#endif
