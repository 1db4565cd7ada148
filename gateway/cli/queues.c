/* `sluice queues`: all of them, one, and what is done to one. */
#include "gateway/cli/queue_list.h"
#include "gateway/cli/steer.h"
#include "lib/json/jwrite.h"

#define REMOVED_AT_ONCE 100000

struct queues_options {
	struct client_options common;
	const char *reason, *state, *older_than;
	int64_t limit;
	int64_t older_than_ms;
	bool delayed, yes;
};

/* One command: what is asked, and how the answer is shown. */
struct queue_call {
	struct client *c;
	const struct queues_options *o;
	const char *queue;
};

/* ---- all queues ---- */

static enum cli_exit list(struct client *c, const struct queues_options *o)
{
	struct reply reply;
	struct sheet s;
	enum cli_exit exit = queue_list_ask(c, &reply);
	if (exit != CLI_OK) {
		(void)cli_fail("%s", reply.why);
	} else if (o->common.json) {
		exit = client_print_json(&reply);
	} else {
		struct buf out = BUF_INIT;
		queue_list_table(&reply, QUEUE_BY_NAME, &reply.memory, &s, NULL);
		sheet_print(&s, &out);
		exit = cli_print(&out);
		if (exit == CLI_OK && !reply_flag(&reply, JDOC_ROOT, "complete"))
			fputs("These are not all queues: Redis is still being searched, or has more than 1000.\n", stderr);
	}
	reply_release(&reply);
	return exit;
}

/* ---- one queue ---- */

static void show_pause(struct reply *r, struct buf *out)
{
	if (!reply_flag(r, JDOC_ROOT, "paused"))
		return;
	fact_time(out, "paused since", reply_number(r, JDOC_ROOT, "pausedSince"));
	fact_text(out, "paused by", reply_text(r, JDOC_ROOT, "pausedBy"));
	fact_text(out, "paused because", reply_text(r, JDOC_ROOT, "pausedReason"));
}

static void show_queue(struct reply *r, struct buf *out)
{
	static const char *const states[] = {"waiting", "prioritized", "active", "delayed", "waiting-children", "failed", "completed"};
	uint32_t counts = jdoc_get(&r->doc, JDOC_ROOT, "counts"), rates = jdoc_get(&r->doc, JDOC_ROOT, "rates");
	uint32_t workers = jdoc_get(&r->doc, JDOC_ROOT, "workers"), limiter = jdoc_get(&r->doc, JDOC_ROOT, "limiter");
	fact_text(out, "queue", reply_text(r, JDOC_ROOT, "name"));
	fact_text(out, "state", str_from(queue_state(r, JDOC_ROOT)));
	show_pause(r, out);
	fact_text(out, "processor", reply_text(r, JDOC_ROOT, "processor"));
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		fact_number(out, states[i], reply_number(r, counts, states[i]));
	fact_span(out, "oldest waiting", reply_number(r, JDOC_ROOT, "oldestWaitingAgeMs"));
	fact_time(out, "next delayed", reply_number(r, JDOC_ROOT, "nextDelayedAt"));
	fact_rate(out, "in per second", reply_rate(r, rates, "in"));
	fact_rate(out, "out per second", reply_rate(r, rates, "out"));
	fact_number(out, "concurrency", reply_number(r, JDOC_ROOT, "concurrency"));
	fact_number(out, "limit", reply_number(r, limiter, "max"));
	fact_span(out, "limit per", reply_number(r, limiter, "duration"));
	fact_number(out, "own workers", reply_number(r, workers, "own"));
	fact_number(out, "HTTP workers", reply_number(r, workers, "http"));
	fact_number(out, "BullMQ workers", reply_number(r, workers, "bullmq"));
}

static void show_paused(struct reply *r, struct buf *out)
{
	fact_text(out, "queue", reply_text(r, JDOC_ROOT, "queue"));
	fact_text(out, "state", reply_flag(r, JDOC_ROOT, "paused") ? STR("paused") : STR("resumed"));
}

/* ---- drain and clean: as many requests as it takes ---- */

static void add_removal(struct jwrite *w, const struct queue_call *call, const char *verb, int64_t limit)
{
	jw_open(w, '{');
	jw_kstrz(w, "confirm", call->queue);
	if (strcmp(verb, "drain") == 0) {
		jw_kbool(w, "delayed", call->o->delayed);
	} else {
		jw_kstrz(w, "state", call->o->state);
		jw_kint(w, "olderThanMs", call->o->older_than_ms);
		jw_kint(w, "limit", limit);
	}
	jw_close(w, '}');
}

struct removed {
	int64_t jobs;
	bool more;
};

static enum cli_exit remove_some(const struct queue_call *call, const struct steer_verb *verb, int64_t limit, struct removed *removed)
{
	struct buf body = BUF_INIT, path = BUF_INIT;
	struct jwrite w = jwrite_into(&body);
	struct reply reply;
	add_removal(&w, call, verb->name, limit);
	client_path(&path, call->queue, NULL, verb->suffix);
	enum cli_exit exit = client_ask_or_tell(call->c, "POST", &path, buf_str(&body), &reply);
	if (exit == CLI_OK) {
		int64_t n = reply_number(&reply, JDOC_ROOT, "removed");
		removed->jobs += n;
		removed->more = reply_flag(&reply, JDOC_ROOT, "more") && n > 0;
	}
	reply_release(&reply);
	buf_release(&body);
	return exit;
}

static enum cli_exit tell_removed(const struct queue_call *call, const struct removed *removed)
{
	struct buf out = BUF_INIT;
	if (call->o->common.json) {
		struct jwrite w = jwrite_into(&out);
		jw_open(&w, '{');
		jw_kstrz(&w, "queue", call->queue);
		jw_kint(&w, "removed", removed->jobs);
		jw_kbool(&w, "more", removed->more);
		jw_close(&w, '}');
	} else {
		fact_text(&out, "queue", str_from(call->queue));
		fact_number(&out, "removed", removed->jobs);
	}
	return cli_print(&out);
}

/* What was removed before a failure is told too. */
static enum cli_exit remove_all(const struct queue_call *call, const struct steer_verb *verb)
{
	struct removed removed = {.more = true};
	enum cli_exit exit = client_confirm(call->queue, call->o->yes);
	if (exit != CLI_OK)
		return exit;
	while (exit == CLI_OK && removed.more) {
		int64_t left = call->o->limit ? call->o->limit - removed.jobs : REMOVED_AT_ONCE;
		if (left <= 0)
			break;
		exit = remove_some(call, verb, left < REMOVED_AT_ONCE ? left : REMOVED_AT_ONCE, &removed);
	}
	if (exit != CLI_OK && removed.jobs == 0)
		return exit;
	enum cli_exit told = tell_removed(call, &removed);
	return exit == CLI_OK ? told : exit;
}

/* ---- the verbs ---- */

static void add_reason(struct jwrite *w, const void *options)
{
	const struct queues_options *o = options;
	jw_open(w, '{');
	if (o->reason)
		jw_kstrz(w, "reason", o->reason);
	jw_close(w, '}');
}

static const struct steer_verb verbs[] = {
	{"show", "GET", "", NULL, show_queue},
	{"pause", "POST", "/pause", add_reason, show_paused},
	{"resume", "POST", "/resume", NULL, show_paused},
	{"explain", "GET", "/explain", NULL, steer_show_findings},
	{"drain", NULL, "/drain", NULL, NULL}, /* in steps */
	{"clean", NULL, "/clean", NULL, NULL},
	{0},
};

static const char *const verb_words[] = {"show", "pause", "resume", "explain", "drain", "clean", NULL};

static enum cli_exit act(const struct queue_call *call, const struct steer_verb *verb)
{
	struct buf path = BUF_INIT;
	if (!verb->method)
		return remove_all(call, verb);
	client_path(&path, call->queue, NULL, verb->suffix);
	return steer_call(call->c, verb, &path, call->o, call->o->common.json);
}

/* Options that mean nothing here are a mistake that had better be told. */
static enum cli_exit check(struct queues_options *o, const char *verb)
{
	const struct steer_option given[] = {
		{"reason", o->reason != NULL, "pause"},   {"delayed", o->delayed, "drain"},
		{"state", o->state != NULL, "clean"},     {"older-than", o->older_than != NULL, "clean"},
		{"limit", o->limit != 0, "clean"},        {"yes", o->yes, "drain clean"},
		{0},
	};
	enum cli_exit exit = steer_check_options(given, verb);
	if (exit != CLI_OK)
		return exit;
	if (o->limit < 0)
		return cli_misuse("--limit is a number of jobs");
	if (o->older_than && steer_parse_span(o->older_than, &o->older_than_ms) < 0)
		return cli_misuse("--older-than is a time such as 90s, 15m, 24h or 7d");
	if (strcmp(verb, "clean") == 0 && !o->state)
		return cli_misuse("clean needs --state");
	return CLI_OK;
}

enum cli_exit cmd_queues(const struct cli *cli, int argc, char **argv)
{
	struct queues_options q = {0};
	const struct option_row rows[] = {
		{"reason", OPTION_STRING, &q.reason, "TEXT", "pause: why, for whoever looks at the queue"},
		{"delayed", OPTION_FLAG, &q.delayed, NULL, "drain: delayed jobs, too"},
		{"state", OPTION_STRING, &q.state, "STATE", "clean: the jobs of this state"},
		{"older-than", OPTION_STRING, &q.older_than, "TIME", "clean: only those that are older, such as 24h or 7d"},
		{"limit", OPTION_INT, &q.limit, "N", "clean: at most so many (all)"},
		{"yes", OPTION_FLAG, &q.yes, NULL, "drain, clean: do not ask"},
		CLIENT_OPTION_JSON(q.common),
		CLIENT_OPTIONS(q.common),
		{0},
	};
	const struct options o = {
		.usage = "sluice queues [NAME [show|pause|resume|explain|drain|clean]] [options]",
		.about = "List the queues of a running gateway, look at one, pause or resume it, say why its jobs do not run, remove what\n"
			 "waits in it (drain), or its old jobs of a state (clean). What cannot be undone asks first.",
		.rows = rows,
		.max_arguments = 2,
		.arguments = verb_words,
		.values = steer_values,
	};
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, &o, &q.common.help, argc, argv, &arguments, &exit))
		return exit;
	const char *word = arguments == 2 ? argv[2] : "show";
	const struct steer_verb *verb = steer_find(verbs, word);
	if (!verb)
		return steer_unknown(word, verb_words);
	exit = check(&q, word);
	if (exit != CLI_OK)
		return exit;
	struct client c;
	exit = client_open(&c, cli, &q.common);
	if (exit == CLI_OK && arguments == 0)
		exit = list(&c, &q);
	else if (exit == CLI_OK)
		exit = act(&(struct queue_call){&c, &q, argv[1]}, verb);
	client_close(&c);
	return exit;
}
