#include "gateway/app.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/app_base.h"
#include "gateway/app_state.h"
#include "gateway/memory.h"
#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/base/sdnotify.h"

#define TEND_MEMORY_MS 1000

const struct services *app_services(const struct app *app)
{
	return &app->services;
}

/* ---- start and stop -------------------------------------------------------------------------------------------------------------- */

static void stop_parts(struct app *a)
{
	while (a->started > 0)
		APP_PARTS[--a->started].stop(a);
}

static int start_parts(struct app *a, struct err *err)
{
	while (a->started < APP_PARTS_COUNT) {
		const struct app_part *part = &APP_PARTS[a->started];
		struct err why = {0};
		int rc = part->start(a, &why);
		if (rc < 0) {
			stop_parts(a);
			return err_set(err, rc, "%s: %s", part->name, why.text);
		}
		a->started++;
	}
	return 0;
}

/* ---- the drain --------------------------------------------------------------------------------------------------------------------- */

/* Jobs first, while requests are still answered; then the sleeping requests are woken, and what is in flight finishes. */
static void drain(void *arg)
{
	struct app *a = arg;
	int64_t deadline = clock_mono_ms() + a->cfg->drain_grace_ms;
	server_drain_begin(a->server);
	lease_hub_close(a->services.leases); /* workers elsewhere get no more jobs; what they hold they may still finish */
	runtime_drain(a->services.runtime, deadline);
	hub_stop(a->services.hub);
	int64_t requests_deadline = clock_mono_ms() + a->cfg->request_timeout_ms;
	if (!server_drain(a->server, requests_deadline > deadline ? requests_deadline : deadline))
		LOG(a->services.log, LOG_WARN, "requests_cut_off");
	eventfd_write(a->drained_fd, 1);
}

static int read_signal(int signals)
{
	struct signalfd_siginfo info;
	ssize_t n;
	do
		n = read(signals, &info, sizeof(info));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(info) ? (int)info.ssi_signo : SIGTERM;
}

/* The supervisor not hearing of it is no reason to fail. */
static void tell_supervisor(struct app *a, const char *state)
{
	struct err err = {0};
	if (sdnotify(state, &err) < 0)
		LOG(a->services.log, LOG_WARN, "supervisor_not_told", log_strz("state", state), log_err(&err));
}

/* The signal to end; until then the process is kept small, and the supervisor told that it runs, at least twice in its patience. */
static int await_signal(struct app *a, int signals)
{
	struct memory memory = {0};
	struct pollfd p = {.fd = signals, .events = POLLIN};
	int64_t patience = sdnotify_watchdog_ms();
	int step = patience > 0 && patience / 2 < TEND_MEMORY_MS ? (int)(patience / 2) : TEND_MEMORY_MS;
	for (;;) {
		memory_tend(&memory);
		if (patience > 0)
			tell_supervisor(a, SDNOTIFY_WATCHDOG);
		if (poll(&p, 1, step) <= 0)
			continue;
		int signal = read_signal(signals);
		if (signal != SIGHUP)
			return signal;
		reload(a); /* SIGHUP */
	}
}

static void wait_until_drained(struct app *a, int signals)
{
	struct pollfd fds[] = {{a->drained_fd, POLLIN, 0}, {signals, POLLIN, 0}};
	while (!fds[0].revents) {
		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue;
		if (!fds[0].revents && fds[1].revents) {
			int again = read_signal(signals);
			if (again == SIGHUP)
				continue;
			LOG(a->services.log, LOG_WARN, "ended_at_once", log_strz("signal", sigabbrev_np(again)));
			_exit(128 + again);
		}
	}
}

static void end_now(int signal)
{
	_exit(128 + signal);
}

/* While the parts stop, which may wait for stores that do not answer, nobody reads the descriptor: a further signal ends it by itself, without
 * a line in a log that may be gone. */
static void let_signals_end(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	(void)signal(SIGTERM, end_now);
	(void)signal(SIGINT, end_now);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void serve_until_signal(struct app *a, int signals)
{
	struct thread drainer = {0};
	tell_supervisor(a, SDNOTIFY_READY);
	int first = await_signal(a, signals);
	tell_supervisor(a, SDNOTIFY_STOPPING);
	int64_t since = clock_mono_ms();
	LOG(a->services.log, LOG_INFO, "draining", log_strz("signal", sigabbrev_np(first)), log_int("jobs", runtime_busy(a->services.runtime)));
	if (thread_start(&drainer, "drain", drain, a) < 0)
		drain(a);
	wait_until_drained(a, signals);
	thread_join(&drainer);
	LOG(a->services.log, LOG_INFO, "drained", log_int("ms", clock_mono_ms() - since));
}

/* SIGTERM, SIGINT and SIGHUP come through the descriptor, to no thread. A peer that has gone, and a file that may not grow, are told by the
 * failure of the write. */
static int take_signals(struct err *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return err_errno(err, "signals cannot be set up");
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? err_errno(err, "signals cannot be set up") : fd;
}

int app_run(const struct config *cfg, struct err *err)
{
	struct app a = {.cfg = cfg, .services.config = cfg, .drained_fd = eventfd(0, EFD_CLOEXEC)};
	umask(077);
	memory_begin();
	int signals = take_signals(err);
	int rc = signals;
	if (signals >= 0 && a.drained_fd < 0)
		rc = err_errno(err, "an eventfd cannot be made");
	if (rc >= 0)
		rc = start_parts(&a, err);
	if (rc >= 0) {
		serve_until_signal(&a, signals);
		let_signals_end();
		stop_parts(&a);
	}
	if (signals >= 0)
		close(signals);
	if (a.drained_fd >= 0)
		close(a.drained_fd);
	return rc < 0 ? rc : 0;
}
