#include "lib/redis/rchild.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "lib/redis/dirlock.h"
#include "lib/redis/rchild_internal.h"
#include "lib/redis/rconn.h"

#define LOCK_WAIT_MS 5000
#define READY_WITHIN_MS 30000 /* loading does not count: a Redis that says -LOADING has started */
#define READY_TRY_MS 500
#define READY_PAUSE_MS 2
#define TERM_WAIT_MS 10000
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

struct rchild {
	/* set before start */
	struct rchild_paths paths;
	struct raddr addr;
	struct log *log;
	int lock_fd;
	int stop_fd; /* readable: stop */
	struct thread supervisor;

	/* the supervisor: the one thread whose death ends the child */
	struct rconn *probe;
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

static void child_move(struct rchild *c, enum child_state to, pid_t pid)
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
static bool wait_event(const struct rchild *c, int64_t ms)
{
	struct pollfd p[] = {{.fd = c->pidfd, .events = POLLIN}, {.fd = c->stop_fd, .events = POLLIN}};
	return poll(p, ARRAY_LEN(p), (int)ms) > 0;
}

static bool must_stop(const struct rchild *c)
{
	struct pollfd p = {.fd = c->stop_fd, .events = POLLIN};
	return poll(&p, 1, 0) > 0;
}

static bool has_ended(const struct rchild *c)
{
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
	return poll(&p, 1, 0) > 0;
}

/* Takes the dead child's status and notes why it ended. */
static void reap(struct rchild *c, bool asked, const char *when)
{
	char line[120];
	int status = 0;
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	close(c->pidfd);
	c->pidfd = -1;
	rchild_last_log_line(&c->paths, line, sizeof(line));
	lock_take(&c->mu);
	err_set(&c->why, ERR_UNAVAILABLE, "redis-server ended %s (%s %d): %s", when, WIFSIGNALED(status) ? "signal" : "exit code",
	        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), line);
	lock_give(&c->mu);
	bool clean = asked && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	LOG(c->log, clean ? LOG_INFO : LOG_WARN, "redis_child_ended", log_int("pid", c->pid), log_err(&c->why));
}

static void signal_child(const struct rchild *c, int sig)
{
	/* It may have ended already: then it is still to be reaped, and the signal goes nowhere. */
	(void)pidfd_send_signal(c->pidfd, sig, NULL, 0);
}

static void end_child(struct rchild *c)
{
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
	child_move(c, CHILD_STOPPING, c->pid);
	signal_child(c, SIGTERM);
	if (poll(&p, 1, TERM_WAIT_MS) <= 0) {
		LOG(c->log, LOG_ERROR, "redis_child_killed", log_int("pid", c->pid));
		signal_child(c, SIGKILL);
	}
	reap(c, true, "when it was told to");
}

static bool answers(struct rchild *c)
{
	struct err err = {0};
	int rc = rconn_open(c->probe, clock_mono_ms() + READY_TRY_MS, &err);
	rconn_close(c->probe);
	return rc == 0 || strstr(err.text, "LOADING") != NULL;
}

/* true: it answers. false: it ended, or must stop, or never answers (why is set). */
static bool await_ready(struct rchild *c)
{
	int64_t deadline = clock_mono_ms() + READY_WITHIN_MS;
	while (!wait_event(c, READY_PAUSE_MS)) {
		if (answers(c))
			return true;
		if (clock_mono_ms() < deadline)
			continue;
		signal_child(c, SIGKILL);
		break;
	}
	return false;
}

static int start_child(struct rchild *c)
{
	struct err err = {0};
	c->started_at = clock_mono_ms();
	pid_t pid = rchild_spawn(&c->paths, c->lock_fd, &err);
	if (pid < 0) {
		lock_take(&c->mu);
		c->why = err;
		lock_give(&c->mu);
		return ERR_IO;
	}
	c->pidfd = pidfd_open(pid, 0);
	if (c->pidfd < 0)
		panic("pidfd_open: %s", strerror(errno));
	child_move(c, CHILD_STARTING, pid);
	return 0;
}

/* From start to end, whoever ends it. */
static void run_child(struct rchild *c)
{
	if (start_child(c) < 0)
		return;
	bool ready = await_ready(c);
	if (ready) {
		child_move(c, CHILD_READY, c->pid);
		LOG(c->log, LOG_INFO, "redis_child_ready", log_int("pid", c->pid), log_int("ms", clock_mono_ms() - c->started_at));
		while (!wait_event(c, -1))
			continue;
	}
	if (has_ended(c) || !must_stop(c))
		reap(c, false, ready ? "by itself" : "at once");
	else
		end_child(c);
	child_move(c, CHILD_DOWN, 0);
}

static int64_t backoff_ms(struct rchild *c)
{
	if (clock_mono_ms() - c->started_at >= STEADY_MS)
		c->failures = 0;
	int64_t ms = c->failures < 7 ? (int64_t)BACKOFF_FIRST_MS << c->failures : BACKOFF_MAX_MS;
	c->failures++;
	return ms;
}

static void supervise(void *arg)
{
	struct rchild *c = arg;
	bool wanted = true;
	while (wanted) {
		run_child(c);
		/* A first start that fails is the owner's to report: it is not tried again. */
		wanted = !must_stop(c) && c->was_ready;
		if (wanted)
			wait_event(c, backoff_ms(c)); /* pidfd is -1: only a stop cuts this short */
		wanted = wanted && !must_stop(c);
	}
	child_move(c, CHILD_GONE, 0);
}

/* ---- the owner ---- */

static void set_address(struct rchild *c, const struct rchild_options *o)
{
	snprintf(c->addr.unix_path, sizeof(c->addr.unix_path), "%s", c->paths.socket);
	if (o->password)
		snprintf(c->addr.password, sizeof(c->addr.password), "%s", o->password);
}

static int check_password(const struct rchild *c, const struct rchild_options *o, struct err *err)
{
	struct str s = str_from(o->password);
	if (s.n >= sizeof(c->addr.password))
		return err_set(err, ERR_INVALID, "the Redis password is too long");
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return err_set(err, ERR_INVALID, "the Redis password holds a character that is not printable ASCII");
	return 0;
}

static int set_up(struct rchild *c, const struct rchild_options *o, struct err *err)
{
	int rc = check_password(c, o, err);
	if (rc == 0)
		rc = rchild_find_paths(&c->paths, o, err);
	if (rc < 0)
		return rc;
	c->lock_fd = dirlock_take(c->paths.data_dir, o->lock_wait_ms > 0 ? o->lock_wait_ms : LOCK_WAIT_MS, err);
	if (c->lock_fd < 0)
		return c->lock_fd;
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (c->stop_fd < 0)
		return err_errno(err, "eventfd");
	rc = rchild_write_config(&c->paths, o, err);
	if (rc < 0)
		return rc;
	set_address(c, o);
	c->probe = rconn_new(&c->addr, NULL, err);
	return c->probe ? 0 : ERR_NOMEM;
}

static int start_and_wait(struct rchild *c, struct err *err)
{
	if (thread_start(&c->supervisor, "redis-child", supervise, c) < 0)
		return err_set(err, ERR_NOMEM, "the supervisor of redis-server: %s", err_sentence(ERR_NOMEM));
	lock_take(&c->mu);
	while (!c->was_ready && c->state != CHILD_GONE)
		cond_wait(&c->changed, &c->mu);
	int rc = c->was_ready ? 0 : err_set(err, c->why.code, "%s", c->why.text);
	lock_give(&c->mu);
	return rc;
}

struct rchild *rchild_start(const struct rchild_options *o, struct err *err)
{
	struct rchild *c = calloc(1, sizeof(*c));
	if (!c) {
		err_set(err, ERR_NOMEM, "redis-server: %s", err_sentence(ERR_NOMEM));
		return NULL;
	}
	c->log = o->log;
	c->lock_fd = c->stop_fd = c->pidfd = -1;
	lock_init(&c->mu);
	cond_init(&c->changed);
	if (set_up(c, o, err) == 0 && start_and_wait(c, err) == 0)
		return c;
	rchild_stop(c);
	return NULL;
}

void rchild_stop(struct rchild *c)
{
	if (!c)
		return;
	if (c->supervisor.running) {
		uint64_t one = 1;
		if (write(c->stop_fd, &one, sizeof(one)) < 0)
			panic("eventfd");
		thread_join(&c->supervisor);
	}
	rconn_free(c->probe);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	cond_release(&c->changed);
	lock_release(&c->mu);
	explicit_bzero(c->addr.password, sizeof(c->addr.password));
	free(c);
}

void rchild_addr(const struct rchild *c, struct raddr *out)
{
	*out = c->addr;
}

pid_t rchild_pid(struct rchild *c)
{
	lock_take(&c->mu);
	pid_t pid = c->pid;
	lock_give(&c->mu);
	return pid;
}
