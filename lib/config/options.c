#include "lib/config/options.h"

#define ROWS_MAX 32
#define NAME_COLUMN 26

static const struct option_row *find_row(const struct options *o, struct str name)
{
	for (const struct option_row *r = o->rows; r && r->name; r++)
		if (str_is(name, r->name))
			return r;
	return NULL;
}

static int unknown(const struct options *o, struct str name, struct err *err)
{
	const char *names[ROWS_MAX + 1] = {NULL};
	for (size_t i = 0; o->rows && o->rows[i].name && i < ROWS_MAX; i++)
		names[i] = o->rows[i].name;
	char typed[64];
	(void)snprintf(typed, sizeof(typed), "%.*s", STR_ARG(name));
	const char *nearest = options_nearest(typed, names);
	if (nearest)
		return err_set(err, ERR_INVALID, "there is no option --%s; did you mean --%s?", typed, nearest);
	return err_set(err, ERR_INVALID, "there is no option --%s", typed);
}

static int store_value(const struct option_row *r, const char *value, struct err *err)
{
	if (r->kind == OPTION_STRING) {
		*(const char **)r->into = value;
		return 0;
	}
	if (str_to_i64(str_from(value), r->into) < 0)
		return err_set(err, ERR_INVALID, "--%s needs a whole number, not \"%s\"", r->name, value);
	return 0;
}

/* `word` is "--name" or "--name=value" and stands at *i, which moves on where the value is the next word. */
static int take_option(const struct options *o, const char *word, int argc, char **argv, int *i, struct err *err)
{
	struct str value = str_from(word + 2);
	struct str name = str_cut(&value, '=');
	const struct option_row *r = find_row(o, name);
	if (!r)
		return unknown(o, name, err);
	if (r->kind == OPTION_FLAG) {
		if (value.p)
			return err_set(err, ERR_INVALID, "--%s takes no value", r->name);
		*(bool *)r->into = true;
		return 0;
	}
	if (value.p)
		return store_value(r, value.p, err);
	if (*i + 1 >= argc)
		return err_set(err, ERR_INVALID, "--%s needs a value", r->name);
	return store_value(r, argv[++*i], err);
}

int options_parse(const struct options *o, int argc, char **argv, struct err *err)
{
	int arguments = 0;
	bool only_arguments = false;
	for (int i = 1; i < argc; i++) {
		const char *word = strcmp(argv[i], "-h") == 0 ? "--help" : argv[i];
		if (!only_arguments && strcmp(word, "--") == 0) {
			only_arguments = true;
		} else if (!only_arguments && strncmp(word, "--", 2) == 0) {
			if (take_option(o, word, argc, argv, &i, err) < 0)
				return ERR_INVALID;
		} else if (!only_arguments && word[0] == '-' && word[1]) {
			return err_set(err, ERR_INVALID, "there is no option %s; options begin with two dashes", word);
		} else if (arguments == o->max_arguments) {
			return err_set(err, ERR_INVALID, "\"%s\" is one argument too many", argv[i]);
		} else {
			argv[++arguments] = argv[i];
		}
	}
	return arguments;
}

void options_help(const struct options *o, struct buf *out)
{
	buf_addf(out, "%s\n\nUsage: %s\n", o->about, o->usage);
	if (o->rows && o->rows[0].name)
		buf_addz(out, "\nOptions:\n");
	for (const struct option_row *r = o->rows; r && r->name; r++) {
		size_t from = out->n;
		buf_addf(out, "  --%s%s%s", r->name, r->value ? " " : "", r->value ? r->value : "");
		do
			buf_addc(out, ' ');
		while (!out->failed && out->n - from < NAME_COLUMN);
		buf_addf(out, "%s\n", r->help);
	}
}
