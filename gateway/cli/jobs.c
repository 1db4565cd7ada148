/* `sluice jobs`: those of a queue, one, and what is done to one or to all that fit. */
#include "gateway/cli/jobs_bulk.h"
#include "gateway/cli/printable.h"
#include "gateway/cli/sheet.h"
#include "gateway/cli/steer.h"
#include "lib/base/clock.h"

#define PAGE_MAX 200 /* what the gateway gives at once */
#define LIST_DEFAULT 50
#define LIST_MAX 100000
#define LOG_PAGE 1000

struct jobs_options {
	struct client_options common;
	const char *state, *name, *cursor, *data;
	const char *queue, *error, *older_than; /* of all that fit */
	int64_t limit;
	bool ascending, reset_attempts, dry_run, yes;
};

struct job_call {
	struct client *c;
	const struct jobs_options *o;
	const char *queue, *id;
};

/* ---- a list, page by page ---- */

static const struct sheet_column columns[] = {
	{"ID", false, 40}, {"NAME", false, 30}, {"STATE", false, 0}, {"AGE", true, 0}, {"TRIES", true, 0}, {"ORG", false, 20}, {"REASON", false, 100},
};

struct listing {
	const struct job_call *call;
	struct arena memory;
	struct sheet sheet;
	struct buf items; /* as JSON, with commas */
	int64_t n, scanned;
	const char *next; /* NULL: there is no further page */
};

static void add_tries(struct sheet *s, const struct reply *r, uint32_t job)
{
	char text[48];
	int n = snprintf(text, sizeof(text), "%lld/%lld", (long long)reply_number(r, job, "attemptsMade"), (long long)reply_number(r, job, "attempts"));
	sheet_text(s, (struct str){text, (size_t)n});
}

static void add_job(struct listing *l, struct reply *r, uint32_t job)
{
	struct sheet *s = &l->sheet;
	int64_t added = reply_number(r, job, "timestamp"), now = clock_wall_ms();
	struct str org = reply_text(r, job, "org"), reason = reply_text(r, job, "failedReason");
	sheet_text(s, reply_text(r, job, "id"));
	sheet_text(s, reply_text(r, job, "name"));
	sheet_text(s, reply_text(r, job, "state"));
	sheet_span(s, added < 0 ? -1 : now > added ? now - added : 0);
	add_tries(s, r, job);
	sheet_text(s, org.p ? org : STR("-"));
	sheet_text(s, reason.p ? reason : STR(""));
	buf_addz(&l->items, l->n++ ? "," : "");
	buf_adds(&l->items, jdoc_raw(&r->doc, job));
}

static void add_page(struct listing *l, struct reply *r)
{
	const struct jdoc *doc = &r->doc;
	uint32_t items = jdoc_get(doc, JDOC_ROOT, "items");
	struct str next = reply_text(r, JDOC_ROOT, "next");
	for (uint32_t job = jdoc_first(doc, items); job != JDOC_NONE; job = jdoc_next(doc, items, job))
		add_job(l, r, job);
	l->scanned += reply_number(r, JDOC_ROOT, "scanned");
	l->next = next.p ? arena_dupz(&l->memory, next) : NULL;
	l->sheet.failed |= next.p && !l->next;
}

static enum cli_exit read_page(struct listing *l, int64_t limit)
{
	const struct jobs_options *o = l->call->o;
	struct buf path = BUF_INIT;
	struct reply reply;
	char number[24];
	snprintf(number, sizeof(number), "%lld", (long long)limit);
	client_path(&path, l->call->queue, NULL, "/jobs");
	client_query(&path, "state", o->state);
	client_query(&path, "name", o->name);
	client_query(&path, "order", o->ascending ? "asc" : NULL);
	client_query(&path, "limit", number);
	client_query(&path, "cursor", l->next);
	enum cli_exit exit = client_ask_or_tell(l->call->c, "GET", &path, STR_NONE, &reply);
	if (exit == CLI_OK)
		add_page(l, &reply);
	reply_release(&reply);
	return exit;
}

static enum cli_exit print_listing(struct listing *l)
{
	struct buf out = BUF_INIT;
	if (!l->call->o->common.json) {
		sheet_print(&l->sheet, &out);
		enum cli_exit exit = cli_print(&out);
		if (exit == CLI_OK && l->next)
			fprintf(stderr, "There may be more: --cursor %s\n", l->next);
		return exit;
	}
	struct buf text = BUF_INIT;
	struct jwrite w = jwrite_into(&text);
	buf_addz(&text, "{\"items\":[");
	buf_adds(&text, buf_str(&l->items));
	buf_addc(&text, ']');
	w.comma = true;
	jw_kstrz(&w, "next", l->next);
	jw_kint(&w, "scanned", l->scanned);
	jw_close(&w, '}');
	printable_add_json(&out, buf_str(&text));
	out.failed |= text.failed || l->items.failed || l->sheet.failed;
	buf_release(&text);
	return cli_print(&out);
}

static enum cli_exit list(const struct job_call *call)
{
	struct listing l = {.call = call, .next = call->o->cursor};
	int64_t limit = call->o->limit ? call->o->limit : LIST_DEFAULT;
	arena_init(&l.memory, 0);
	sheet_init(&l.sheet, &l.memory, columns, ARRAY_LEN(columns));
	enum cli_exit exit;
	do
		exit = read_page(&l, limit - l.n < PAGE_MAX ? limit - l.n : PAGE_MAX);
	while (exit == CLI_OK && l.next && l.n < limit);
	if (exit == CLI_OK)
		exit = print_listing(&l);
	buf_release(&l.items);
	arena_release(&l.memory);
	return exit;
}

/* ---- one job ---- */

static void show_stacktrace(struct reply *r, struct buf *out)
{
	uint32_t traces = jdoc_get(&r->doc, JDOC_ROOT, "stacktrace");
	for (uint32_t t = jdoc_first(&r->doc, traces); t != JDOC_NONE; t = jdoc_next(&r->doc, traces, t)) {
		struct str rest = jdoc_string(&r->doc, t, &r->memory);
		for (bool first = true; rest.p; first = false)
			fact_text(out, first ? "failed with" : "", str_cut(&rest, '\n'));
	}
}

static void show_job(struct reply *r, struct buf *out)
{
	static const char *const texts[] = {"id", "queue", "name", "state", "org", "submittedBy", "processedBy", "failedReason", "deferredFailure", "scheduler"};
	static const char *const times[] = {"timestamp", "dueAt", "processedOn", "finishedOn"};
	static const char *const numbers[] = {"attemptsMade", "attempts", "stalledCount", "priority", "delay", "pendingChildren", "logs"};
	static const char *const values[] = {"progress", "parent", "opts", "data", "returnvalue"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		fact_text(out, texts[i], reply_text(r, JDOC_ROOT, texts[i]));
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		fact_time(out, times[i], reply_number(r, JDOC_ROOT, times[i]));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		fact_number(out, numbers[i], reply_number(r, JDOC_ROOT, numbers[i]));
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		fact_json(out, values[i], jdoc_raw(&r->doc, jdoc_get(&r->doc, JDOC_ROOT, values[i])));
	show_stacktrace(r, out);
}

static void show_outcome(struct reply *r, struct buf *out)
{
	struct str outcome = reply_text(r, JDOC_ROOT, "outcome");
	fact_text(out, "queue", reply_text(r, JDOC_ROOT, "queue"));
	fact_text(out, "job", reply_text(r, JDOC_ROOT, "jobId"));
	fact_text(out, "state", outcome.p ? outcome : STR("removed"));
}

/* ---- its log: as many requests as it takes ---- */

static void add_lines(struct reply *r, struct buf *text, struct jwrite *json)
{
	uint32_t lines = jdoc_get(&r->doc, JDOC_ROOT, "lines");
	for (uint32_t line = jdoc_first(&r->doc, lines); line != JDOC_NONE; line = jdoc_next(&r->doc, lines, line)) {
		printable_add(text, jdoc_string(&r->doc, line, &r->memory));
		buf_addc(text, '\n');
		jw_raw(json, jdoc_raw(&r->doc, line));
	}
}

/* Reads from *start on, and moves it. *more: there are further lines. */
static enum cli_exit read_lines(const struct job_call *call, int64_t *start, bool *more, struct buf *text, struct jwrite *json)
{
	struct buf path = BUF_INIT;
	struct reply reply;
	client_path(&path, call->queue, call->id, "/logs");
	buf_addf(&path, "?start=%lld&limit=%d", (long long)*start, LOG_PAGE);
	enum cli_exit exit = client_ask_or_tell(call->c, "GET", &path, STR_NONE, &reply);
	if (exit == CLI_OK) {
		uint32_t lines = jdoc_get(&reply.doc, JDOC_ROOT, "lines");
		int64_t n = jdoc_type(&reply.doc, lines) == J_ARRAY ? reply.doc.nodes[lines].count : 0;
		add_lines(&reply, text, json);
		*start += n;
		*more = n > 0 && *start < reply_number(&reply, JDOC_ROOT, "total");
	}
	reply_release(&reply);
	return exit;
}

static enum cli_exit show_logs(const struct job_call *call)
{
	struct buf text = BUF_INIT, json = BUF_INIT, out = BUF_INIT;
	struct jwrite w = jwrite_into(&json);
	int64_t n = 0;
	bool more = true;
	enum cli_exit exit = CLI_OK;
	jw_open(&w, '{');
	jw_key(&w, "lines");
	jw_open(&w, '[');
	while (exit == CLI_OK && more)
		exit = read_lines(call, &n, &more, &text, &w);
	jw_close(&w, ']');
	jw_kint(&w, "start", 0);
	jw_kint(&w, "total", n);
	jw_close(&w, '}');
	if (call->o->common.json)
		printable_add_json(&out, buf_str(&json));
	else
		buf_adds(&out, buf_str(&text));
	out.failed |= json.failed || text.failed;
	buf_release(&text);
	buf_release(&json);
	if (exit == CLI_OK)
		return cli_print(&out);
	buf_release(&out);
	return exit;
}

/* ---- the verbs ---- */

static void add_retry(struct jwrite *w, const void *options)
{
	const struct jobs_options *o = options;
	jw_open(w, '{');
	if (o->data)
		jw_kraw(w, "data", str_from(o->data));
	if (o->reset_attempts)
		jw_kbool(w, "resetAttempts", true);
	jw_close(w, '}');
}

static const struct steer_verb verbs[] = {
	{"show", "GET", "", NULL, show_job},
	{"logs", NULL, NULL, NULL, NULL}, /* page by page */
	{"explain", "GET", "/explain", NULL, steer_show_findings},
	{"retry", "POST", "/retry", add_retry, show_job},
	{"promote", "POST", "/promote", NULL, show_job},
	{"cancel", "POST", "/cancel", NULL, show_outcome},
	{"remove", "POST", "/remove", NULL, show_outcome},
	{0},
};

static const char *const verb_words[] = {"show", "logs", "explain", "retry", "promote", "cancel", "remove", NULL};

static enum cli_exit act(const struct job_call *call, const struct steer_verb *verb)
{
	struct buf path = BUF_INIT;
	if (!verb->method)
		return show_logs(call);
	client_path(&path, call->queue, call->id, verb->suffix);
	return steer_call(call->c, verb, &path, call->o, call->o->common.json);
}

static bool is_json(const char *text)
{
	struct arena memory;
	struct jdoc doc;
	arena_init(&memory, 0);
	bool is = jdoc_parse(&doc, &memory, str_from(text), &JDOC_LIMITS, NULL) == 0;
	arena_release(&memory);
	return is;
}

/* ---- all that fit ---- */

/* What is said of one job, or of a list, means nothing here. */
static enum cli_exit act_on_all(const struct cli *cli, const struct jobs_options *o, const char *verb)
{
	const struct steer_option given[] = {{"limit", o->limit != 0, "list"}, {"cursor", o->cursor != NULL, "list"}, {"asc", o->ascending, "list"}, {0}};
	struct bulk_wish wish = {.action = verb, .queue = o->queue, .state = o->state, .name = o->name, .error = o->error,
				 .dry_run = o->dry_run, .yes = o->yes, .json = o->common.json};
	struct client c;
	enum cli_exit exit = steer_check_options(given, verb);

	if (exit != CLI_OK)
		return exit;
	if (o->data || o->reset_attempts)
		return cli_misuse("--%s is for one job", o->data ? "data" : "reset-attempts");
	if (o->older_than && steer_parse_span(o->older_than, &wish.older_than_ms) < 0)
		return cli_misuse("--older-than is a time such as 90s, 15m, 24h or 7d");
	exit = client_open(&c, cli, &o->common);
	if (exit == CLI_OK)
		exit = bulk_do(&c, &wish);
	client_close(&c);
	return exit;
}

static enum cli_exit check_all(const struct cli *cli, const struct jobs_options *o, int arguments, char **argv)
{
	if (arguments != 1)
		return cli_misuse("with --queue: sluice jobs retry|promote|remove --queue QUEUE [options]");
	for (size_t i = 0; bulk_words[i]; i++)
		if (strcmp(argv[1], bulk_words[i]) == 0)
			return act_on_all(cli, o, argv[1]);
	return steer_unknown(argv[1], bulk_words);
}

/* ---- the command ---- */

static enum cli_exit check(const struct jobs_options *o, const char *verb)
{
	const char *alone = o->error ? "error" : o->older_than ? "older-than" : o->dry_run ? "dry-run" : o->yes ? "yes" : NULL;

	const struct steer_option given[] = {
		{"state", o->state != NULL, "list"},   {"name", o->name != NULL, "list"}, {"limit", o->limit != 0, "list"},
		{"cursor", o->cursor != NULL, "list"}, {"asc", o->ascending, "list"},     {"data", o->data != NULL, "retry"},
		{"reset-attempts", o->reset_attempts, "retry"},
		{0},
	};
	enum cli_exit exit = steer_check_options(given, verb);
	if (exit != CLI_OK)
		return exit;
	if (alone)
		return cli_misuse("--%s is for all jobs that fit: name the queue by --queue", alone);
	if (o->limit < 0 || o->limit > LIST_MAX)
		return cli_misuse("--limit is a number from 1 to %d", LIST_MAX);
	if (o->data && !is_json(o->data))
		return cli_misuse("--data is no JSON");
	return CLI_OK;
}

enum cli_exit cmd_jobs(const struct cli *cli, int argc, char **argv)
{
	struct jobs_options j = {0};
	const struct option_row rows[] = {
		{"state", OPTION_STRING, &j.state, "STATE", "waiting (a list's without it), active, completed, failed, delayed, prioritized or waiting-children"},
		{"name", OPTION_STRING, &j.name, "NAME", "only jobs of this name"},
		{"queue", OPTION_STRING, &j.queue, "QUEUE", "retry, promote or remove all jobs of this queue that fit"},
		{"error", OPTION_STRING, &j.error, "TEXT", "all that fit: only with this in the reason of their failure"},
		{"older-than", OPTION_STRING, &j.older_than, "TIME", "all that fit: only those that ended, or were added, before 24h or 7d"},
		{"dry-run", OPTION_FLAG, &j.dry_run, NULL, "all that fit: only count them"},
		{"yes", OPTION_FLAG, &j.yes, NULL, "all that fit: do not ask before removing"},
		{"limit", OPTION_INT, &j.limit, "N", "list: at most so many (50)"},
		{"cursor", OPTION_STRING, &j.cursor, "CURSOR", "list: go on where the last one ended"},
		{"asc", OPTION_FLAG, &j.ascending, NULL, "list: from the other end of the queue"},
		{"data", OPTION_STRING, &j.data, "JSON", "retry: with this in place of the job's data"},
		{"reset-attempts", OPTION_FLAG, &j.reset_attempts, NULL, "retry: count attempts anew"},
		CLIENT_OPTION_JSON(j.common),
		CLIENT_OPTIONS(j.common),
		{0},
	};
	const struct options o = {
		.usage = "sluice jobs QUEUE [ID [show|logs|explain|retry|promote|cancel|remove]] [options]\n"
			 "       sluice jobs retry|promote|remove --queue QUEUE [--state STATE] [options]",
		.about = "List the jobs of a queue, look at one and its log, say why it does not run, try it again, let it wait no longer,\n"
			 "cancel it or remove it. With --queue: retry (failed ones, unless --state says otherwise), promote or remove all that fit,\n"
			 "with their progress on stderr; Ctrl-C stops it, and what has been done stays done.",
		.rows = rows,
		.max_arguments = 3,
		.arguments = verb_words,
		.values = steer_values,
	};
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, &o, &j.common.help, argc, argv, &arguments, &exit))
		return exit;
	if (j.queue)
		return check_all(cli, &j, arguments, argv);
	if (arguments == 0)
		return cli_misuse("which queue? %s", o.usage);
	const char *word = arguments == 3 ? argv[3] : arguments == 2 ? "show" : "list";
	const struct steer_verb *verb = steer_find(verbs, word);
	if (!verb && arguments > 1)
		return steer_unknown(word, verb_words);
	exit = check(&j, word);
	if (exit != CLI_OK)
		return exit;
	struct client c;
	exit = client_open(&c, cli, &j.common);
	const struct job_call call = {&c, &j, argv[1], argv[2]};
	if (exit == CLI_OK)
		exit = verb ? act(&call, verb) : list(&call);
	client_close(&c);
	return exit;
}
