#include "lib/child/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"

#define END_WITHIN_MS 10000
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 5000
#define STEADY_MS 10000 /* ran for so long: the backoff starts anew */

enum child_state { CHILD_DOWN, CHILD_STARTING, CHILD_READY, CHILD_STOPPING, CHILD_GONE };

static const unsigned legal_moves[] = {
	[CHILD_DOWN] = 1u << CHILD_STARTING | 1u << CHILD_GONE,
	[CHILD_STARTING] = 1u << CHILD_READY | 1u << CHILD_DOWN | 1u << CHILD_STOPPING,
	[CHILD_READY] = 1u << CHILD_DOWN | 1u << CHILD_STOPPING,
	[CHILD_STOPPING] = 1u << CHILD_DOWN,
	[CHILD_GONE] = 0,
};

struct child {
	/* set before start */
	const struct child_kind *kind;
	void *owner;
	struct log *log;
	int stop_fd; /* readable: stop */
	struct thread supervisor;

	/* the supervisor: the one thread whose death ends the child */
	int pidfd;
	unsigned failures;
	int64_t started_at;

	/* protected by mu */
	struct lock mu;
	struct cond changed;
	enum child_state state;
	pid_t pid;
	bool was_ready;
	struct err why; /* of the last end */
};

static void child_move(struct child *c, enum child_state to, pid_t pid)
{
	lock_take(&c->mu);
	bug_on(!(legal_moves[c->state] & 1u << to));
	c->state = to;
	c->pid = pid;
	c->was_ready |= to == CHILD_READY;
	cond_broadcast(&c->changed);
	lock_give(&c->mu);
}

/* ---- the supervisor ---- */

/* Waits for the child's end, a stop, or the time. true: there is something to look at. */
static bool wait_event(const struct child *c, int64_t ms)
{
	struct pollfd p[] = {{.fd = c->pidfd, .events = POLLIN}, {.fd = c->stop_fd, .events = POLLIN}};
	return poll(p, ARRAY_LEN(p), (int)ms) > 0;
}

static bool must_stop(const struct child *c)
{
	struct pollfd p = {.fd = c->stop_fd, .events = POLLIN};
	return poll(&p, 1, 0) > 0;
}

static bool has_ended(const struct child *c)
{
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
	return poll(&p, 1, 0) > 0;
}

/* Takes the dead child's status and notes why it ended. */
static void reap(struct child *c, bool asked, const char *when)
{
	char line[120];
	int status = 0;
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	close(c->pidfd);
	c->pidfd = -1;
	c->kind->last_words(c->owner, line, sizeof(line));
	lock_take(&c->mu);
	err_set(&c->why, ERR_UNAVAILABLE, "%s ended %s (%s %d): %s", c->kind->name, when, WIFSIGNALED(status) ? "signal" : "exit code",
	        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), line);
	lock_give(&c->mu);
	bool clean = asked && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	LOG(c->log, clean ? LOG_INFO : LOG_WARN, c->kind->ended_event, log_int("pid", c->pid), log_err(&c->why));
}

static void signal_child(const struct child *c, int sig)
{
	/* It may have ended already: then it is still to be reaped, and the signal goes nowhere. */
	(void)pidfd_send_signal(c->pidfd, sig, NULL, 0);
}

static void end_child(struct child *c)
{
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
	child_move(c, CHILD_STOPPING, c->pid);
	signal_child(c, c->kind->stop_signal);
	if (poll(&p, 1, END_WITHIN_MS) <= 0) {
		LOG(c->log, LOG_ERROR, c->kind->killed_event, log_int("pid", c->pid));
		signal_child(c, SIGKILL);
	}
	reap(c, true, "when it was told to");
}

/* true: it answers. false: it ended, or must stop, or never answers (why is set). */
static bool await_ready(struct child *c)
{
	int64_t deadline = clock_mono_ms() + c->kind->ready_within_ms;
	while (!wait_event(c, c->kind->look_every_ms)) {
		if (c->kind->answers(c->owner))
			return true;
		if (clock_mono_ms() < deadline)
			continue;
		signal_child(c, SIGKILL);
		break;
	}
	return false;
}

static int fail_to_start(struct child *c, const struct err *why)
{
	lock_take(&c->mu);
	c->why = *why;
	lock_give(&c->mu);
	if (c->kind->tries_for_ever && why->code != ERR_STOPPING)
		LOG(c->log, LOG_WARN, c->kind->ended_event, log_err(why));
	return why->code;
}

static int start_child(struct child *c)
{
	struct err err = {0};
	if (c->kind->prepare && c->kind->prepare(c->owner, c->stop_fd, &err) < 0)
		return fail_to_start(c, &err);
	c->started_at = clock_mono_ms();
	pid_t pid = c->kind->spawn(c->owner, &err);
	if (pid < 0)
		return fail_to_start(c, &err);
	c->pidfd = pidfd_open(pid, 0);
	if (c->pidfd < 0)
		panic("pidfd_open: %s", strerror(errno));
	child_move(c, CHILD_STARTING, pid);
	return 0;
}

/* From start to end, whoever ends it. */
static void run_child(struct child *c)
{
	if (start_child(c) < 0)
		return;
	bool ready = await_ready(c);
	if (ready) {
		child_move(c, CHILD_READY, c->pid);
		LOG(c->log, LOG_INFO, c->kind->ready_event, log_int("pid", c->pid), log_int("ms", clock_mono_ms() - c->started_at));
		while (!wait_event(c, -1))
			continue;
	}
	if (has_ended(c) || !must_stop(c))
		reap(c, false, ready ? "by itself" : "at once");
	else
		end_child(c);
	child_move(c, CHILD_DOWN, 0);
}

static int64_t backoff_ms(struct child *c)
{
	if (clock_mono_ms() - c->started_at >= STEADY_MS)
		c->failures = 0;
	int64_t ms = c->failures < 7 ? (int64_t)BACKOFF_FIRST_MS << c->failures : BACKOFF_MAX_MS;
	c->failures++;
	return ms;
}

static void supervise(void *arg)
{
	struct child *c = arg;
	bool wanted = true;
	while (wanted) {
		run_child(c);
		wanted = !must_stop(c) && (c->was_ready || c->kind->tries_for_ever);
		if (wanted)
			wait_event(c, backoff_ms(c)); /* pidfd is -1: only a stop cuts this short */
		wanted = wanted && !must_stop(c);
	}
	child_move(c, CHILD_GONE, 0);
}


/* ---- the owner ---- */

struct child *child_start(const struct child_kind *kind, void *owner, struct log *log, struct err *err)
{
	struct child *c = calloc(1, sizeof(*c));
	if (!c) {
		err_set(err, ERR_NOMEM, "%s: %s", kind->name, err_sentence(ERR_NOMEM));
		return NULL;
	}
	c->kind = kind;
	c->owner = owner;
	c->log = log;
	c->pidfd = -1;
	lock_init(&c->mu);
	cond_init(&c->changed);
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (c->stop_fd < 0)
		err_errno(err, "eventfd");
	else if (thread_start(&c->supervisor, kind->thread, supervise, c) < 0)
		err_set(err, ERR_NOMEM, "the supervisor of %s: %s", kind->name, err_sentence(ERR_NOMEM));
	else
		return c;
	child_stop(c);
	return NULL;
}

int child_await(struct child *c, struct err *err)
{
	lock_take(&c->mu);
	while (!c->was_ready && c->state != CHILD_GONE)
		cond_wait(&c->changed, &c->mu);
	int rc = c->was_ready ? 0 : err_set(err, c->why.code, "%s", c->why.text);
	lock_give(&c->mu);
	return rc;
}

void child_stop(struct child *c)
{
	if (!c)
		return;
	if (c->supervisor.running) {
		if (eventfd_write(c->stop_fd, 1) < 0)
			panic("eventfd");
		thread_join(&c->supervisor);
	}
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	cond_release(&c->changed);
	lock_release(&c->mu);
	free(c);
}

pid_t child_pid(struct child *c)
{
	lock_take(&c->mu);
	pid_t pid = c->pid;
	lock_give(&c->mu);
	return pid;
}
