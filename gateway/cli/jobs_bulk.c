#include "gateway/cli/jobs_bulk.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "gateway/cli/steer.h"

#define LOOK_MS 300

const char *const bulk_words[] = {"retry", "promote", "remove", NULL};

/* What is said when no state is. */
static const struct {
	const char *action, *state;
} DEFAULTS[] = {{"retry", "failed"}, {"promote", "delayed"}};

struct watch {
	struct client *c;
	const char *path; /* of the task */
	int signals;
	bool stopping, terminal;
};

/* ---- what is asked for ---- */

static const char *state_of(const struct bulk_wish *wish)
{
	for (size_t i = 0; !wish->state && i < ARRAY_LEN(DEFAULTS); i++)
		if (strcmp(wish->action, DEFAULTS[i].action) == 0)
			return DEFAULTS[i].state;
	return wish->state;
}

static void add_wish(struct jwrite *w, const struct bulk_wish *wish, const char *state)
{
	jw_open(w, '{');
	jw_kstrz(w, "action", wish->action);
	jw_key(w, "filter");
	jw_open(w, '{');
	jw_kstrz(w, "state", state);
	if (wish->name)
		jw_kstrz(w, "name", wish->name);
	if (wish->error)
		jw_kstrz(w, "error", wish->error);
	if (wish->older_than_ms > 0)
		jw_kint(w, "olderThanMs", wish->older_than_ms);
	jw_close(w, '}');
	jw_kbool(w, "dryRun", wish->dry_run);
	if (!wish->dry_run && strcmp(wish->action, "remove") == 0)
		jw_kstrz(w, "confirm", wish->queue);
	jw_close(w, '}');
}

/* ---- what came of it ---- */

static void show_count(struct reply *r, struct buf *out)
{
	fact_number(out, "matched", reply_number(r, JDOC_ROOT, "matched"));
	fact_number(out, "looked at", reply_number(r, JDOC_ROOT, "scanned"));
	fact_number(out, "of", reply_number(r, JDOC_ROOT, "total"));
	if (!reply_flag(r, JDOC_ROOT, "complete"))
		fact_text(out, "note", STR("there are more: counting stopped before the end"));
}

static void show_task(struct reply *r, struct buf *out)
{
	static const char *const texts[] = {"queue", "action", "state", "failure"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		fact_text(out, texts[i], reply_text(r, JDOC_ROOT, texts[i]));
	fact_number(out, "done", reply_number(r, JDOC_ROOT, "changed"));
	fact_number(out, "passed over", reply_number(r, JDOC_ROOT, "skipped"));
}

static enum cli_exit tell(struct reply *r, bool json, void (*show)(struct reply *r, struct buf *out))
{
	struct buf out = BUF_INIT;

	if (json)
		return client_print_json(r);
	show(r, &out);
	return cli_print(&out);
}

/* ---- watching ---- */

static bool is_over(struct reply *r)
{
	struct str state = reply_text(r, JDOC_ROOT, "state");

	return !str_is(state, "queued") && !str_is(state, "running");
}

static void show_progress(const struct watch *w, const struct reply *r)
{
	int64_t total = reply_number(r, JDOC_ROOT, "total");

	if (w->terminal)
		fprintf(stderr, "\r%lld of %lld looked at, %lld done%s\033[K", (long long)reply_number(r, JDOC_ROOT, "scanned"),
			(long long)(total < 0 ? 0 : total), (long long)reply_number(r, JDOC_ROOT, "changed"), w->stopping ? ", stopping" : "");
}

static void hide_progress(const struct watch *w)
{
	if (w->terminal)
		fputs("\r\033[K", stderr);
}

/* That it has ended by itself meanwhile is no failure. */
static void stop_task(struct watch *w)
{
	struct buf path = BUF_INIT;
	struct reply reply;

	w->stopping = true;
	buf_addz(&path, w->path);
	(void)!client_ask(w->c, "DELETE", &path, STR_NONE, &reply);
	reply_release(&reply);
}

/* Until it is time to look again; the first signal stops the task. False: the second, one leaves. */
static bool rest(struct watch *w)
{
	struct pollfd p = {.fd = w->signals, .events = POLLIN};
	struct signalfd_siginfo info;

	if (poll(&p, 1, LOOK_MS) <= 0 || read(w->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return true;
	if (w->stopping)
		return false;
	stop_task(w);
	return true;
}

/* One look. CLI_OK and over: *reply is the task at its end. */
static enum cli_exit look(struct watch *w, struct reply *reply, bool *over)
{
	struct buf path = BUF_INIT;

	buf_addz(&path, w->path);
	enum cli_exit exit = client_ask(w->c, "GET", &path, STR_NONE, reply);
	if (exit != CLI_OK) {
		hide_progress(w);
		(void)cli_fail("%s", reply->why);
		return exit;
	}
	*over = is_over(reply);
	if (!*over)
		show_progress(w, reply);
	return CLI_OK;
}

static enum cli_exit watch_task(struct watch *w, bool json)
{
	for (;;) {
		struct reply reply;
		bool over = false;
		enum cli_exit exit = look(w, &reply, &over);

		if (exit == CLI_OK && over) {
			bool done = str_is(reply_text(&reply, JDOC_ROOT, "state"), "done");
			hide_progress(w);
			exit = tell(&reply, json, show_task);
			reply_release(&reply);
			return exit == CLI_OK && !done ? CLI_FAILED : exit;
		}
		reply_release(&reply);
		if (exit != CLI_OK)
			return exit;
		if (!rest(w))
			return cli_fail("the task may still run: %s", w->path);
	}
}

/* The signals are heard from before the task begins. */
static enum cli_exit begin_and_watch(struct client *c, const struct bulk_wish *wish, struct buf *path, struct str body)
{
	struct watch w = {.c = c, .terminal = isatty(STDERR_FILENO)};
	struct reply reply;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	w.signals = signalfd(-1, &mask, SFD_CLOEXEC);
	enum cli_exit exit = client_ask_or_tell(c, "POST", path, body, &reply);
	if (exit == CLI_OK) {
		w.path = arena_printf(&reply.memory, "/api/tasks/%.*s", STR_ARG(reply_text(&reply, JDOC_ROOT, "id")));
		exit = w.path && w.signals >= 0 ? watch_task(&w, wish->json) : cli_fail("the task runs, but cannot be watched");
	}
	reply_release(&reply);
	if (w.signals >= 0)
		close(w.signals);
	return exit;
}

enum cli_exit bulk_do(struct client *c, const struct bulk_wish *wish)
{
	const char *state = state_of(wish);
	struct buf body = BUF_INIT, path = BUF_INIT;
	struct jwrite w = jwrite_into(&body);
	struct reply reply;
	enum cli_exit exit;

	if (!state)
		return cli_misuse("%s needs --state", wish->action);
	if (!wish->dry_run && strcmp(wish->action, "remove") == 0) {
		exit = client_confirm(wish->queue, wish->yes);
		if (exit != CLI_OK)
			return exit;
	}
	add_wish(&w, wish, state);
	client_path(&path, wish->queue, NULL, "/bulk");
	if (wish->dry_run) {
		exit = client_ask_or_tell(c, "POST", &path, buf_str(&body), &reply);
		if (exit == CLI_OK)
			exit = tell(&reply, wish->json, show_count);
		reply_release(&reply);
	} else {
		exit = begin_and_watch(c, wish, &path, buf_str(&body));
	}
	buf_release(&body);
	return exit;
}
