#include "gateway/cli/steer.h"

#include "gateway/cli/printable.h"
#include "gateway/cli/sheet.h"
#include "lib/base/clock.h"

#define NAME_COLUMN 18

const char *const steer_states[] = {"waiting", "active", "completed", "failed", "delayed", "prioritized", "waiting-children", NULL};

const struct option_words steer_values[] = {{"STATE", steer_states}, {0}};

/* ---- verbs ---- */

const struct steer_verb *steer_find(const struct steer_verb *verbs, const char *name)
{
	for (; verbs->name; verbs++)
		if (strcmp(verbs->name, name) == 0)
			return verbs;
	return NULL;
}

enum cli_exit steer_unknown(const char *typed, const char *const *words)
{
	struct buf all = BUF_INIT;
	const char *near = options_nearest(typed, words);
	for (size_t i = 0; words[i]; i++)
		buf_addf(&all, "%s%s", i ? ", " : "", words[i]);
	enum cli_exit exit = cli_misuse("\"%s\" is nothing that can be done%s%s%s; these are: %s", typed, near ? " (did you mean " : "", near ? near : "",
					near ? "?)" : "", all.p ? all.p : "");
	buf_release(&all);
	return exit;
}

enum cli_exit steer_call(struct client *c, const struct steer_verb *verb, struct buf *path, const void *options, bool json)
{
	struct buf body = BUF_INIT;
	struct jwrite w = jwrite_into(&body);
	struct reply reply;
	if (verb->body)
		verb->body(&w, options);
	enum cli_exit exit = client_ask_or_tell(c, verb->method, path, verb->body ? buf_str(&body) : STR_NONE, &reply);
	if (exit == CLI_OK && json) {
		exit = client_print_json(&reply);
	} else if (exit == CLI_OK) {
		struct buf out = BUF_INIT;
		verb->show(&reply, &out);
		exit = cli_print(&out);
	}
	reply_release(&reply);
	buf_release(&body);
	return exit;
}

static bool has_word(const char *words, const char *word)
{
	struct str rest = str_from(words);
	while (rest.p)
		if (str_is(str_cut(&rest, ' '), word))
			return true;
	return false;
}

enum cli_exit steer_check_options(const struct steer_option *options, const char *verb)
{
	for (; options->name; options++)
		if (options->given && !has_word(options->verbs, verb))
			return cli_misuse("--%s does not go with %s, but with: %s", options->name, verb, options->verbs);
	return CLI_OK;
}

int steer_parse_span(const char *text, int64_t *ms)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	size_t digits = strspn(text, "0123456789");
	int64_t n;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(text + digits, units[i].name) == 0 && str_to_i64((struct str){text, digits}, &n) == 0 &&
		    !__builtin_mul_overflow(n, units[i].ms, ms))
			return 0;
	return ERR_INVALID;
}

/* ---- facts ---- */

static void add_name(struct buf *out, struct str name)
{
	size_t from = out->n;
	printable_add(out, name);
	do
		buf_addc(out, ' ');
	while (!out->failed && out->n - from <= NAME_COLUMN);
}

void fact_text(struct buf *out, const char *name, struct str value)
{
	if (!value.p)
		return;
	add_name(out, str_from(name));
	printable_add(out, value);
	buf_addc(out, '\n');
}

void fact_json(struct buf *out, const char *name, struct str json)
{
	if (!json.n || str_is(json, "null"))
		return;
	add_name(out, str_from(name));
	printable_add_json(out, json);
	buf_addc(out, '\n');
}

void fact_number(struct buf *out, const char *name, int64_t value)
{
	if (value < 0)
		return;
	add_name(out, str_from(name));
	buf_addf(out, "%lld\n", (long long)value);
}

void fact_rate(struct buf *out, const char *name, double value)
{
	if (value < 0)
		return;
	add_name(out, str_from(name));
	buf_addf(out, "%.2f\n", value);
}

void fact_span(struct buf *out, const char *name, int64_t ms)
{
	if (ms < 0)
		return;
	add_name(out, str_from(name));
	sheet_add_span(out, ms);
	buf_addc(out, '\n');
}

void fact_time(struct buf *out, const char *name, int64_t wall_ms)
{
	char text[CLOCK_RFC3339_SIZE];
	if (wall_ms < 0)
		return;
	clock_rfc3339(wall_ms, text);
	fact_text(out, name, str_from(text));
}

/* ---- why ---- */

/* The gateway names by a word what would help; this is what it is here. */
static struct str remedy_of(struct str action)
{
	static const char *const remedies[][2] = {
		{"start-worker", "a worker that takes jobs of this queue"},
		{"resume", "sluice queues QUEUE resume"},
		{"promote", "sluice jobs QUEUE ID promote"},
		{"remove", "sluice jobs QUEUE ID remove"},
		{"change-priority", "another priority"},
	};
	for (size_t i = 0; i < ARRAY_LEN(remedies); i++)
		if (str_is(action, remedies[i][0]))
			return str_from(remedies[i][1]);
	return action;
}

void steer_show_findings(struct reply *reply, struct buf *out)
{
	uint32_t findings = jdoc_get(&reply->doc, JDOC_ROOT, "findings");
	fact_text(out, "queue", reply_text(reply, JDOC_ROOT, "queue"));
	fact_text(out, "job", reply_text(reply, JDOC_ROOT, "jobId"));
	fact_text(out, "state", reply_text(reply, JDOC_ROOT, "state"));
	fact_number(out, "jobs ahead", reply_number(reply, JDOC_ROOT, "ahead"));
	fact_span(out, "likely taken in", reply_number(reply, JDOC_ROOT, "etaMs"));
	for (uint32_t f = jdoc_first(&reply->doc, findings); f != JDOC_NONE; f = jdoc_next(&reply->doc, findings, f)) {
		struct str severity = reply_text(reply, f, "severity"), action = reply_text(reply, f, "action");
		add_name(out, severity);
		printable_add(out, reply_text(reply, f, "sentence"));
		buf_addc(out, '\n');
		fact_text(out, "  what helps", remedy_of(action));
	}
}
