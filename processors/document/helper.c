#include "processors/document/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define MAX_REMARKS ((size_t)4 << 10)

/* Descriptors that the child gets are first moved up here, out of the way of the numbers it knows them by. */
#define FD_ABOVE 16

/* More than a pipe holds: what is read after the child's death. */
#define DRAIN_ROUNDS 64

/* One pipe from the child. */
struct stream {
	int read_fd, write_fd;
	bool (*take)(struct helper_end *end, const struct helper_call *call, const char *p, size_t n);
};

enum { STREAM_REPORT, STREAM_REMARKS, STREAM_STEPS, STREAMS };

/* The child's numbers for the write ends of the streams, in their order. */
static const int child_numbers[STREAMS] = {STDOUT_FILENO, STDERR_FILENO, HELPER_FD_STEPS};

struct run {
	struct stream streams[STREAMS];
	int null_fd, input_fd, text_fd; /* for the child */
	pid_t pid;
	int pidfd;
};

static bool take_report(struct helper_end *end, const struct helper_call *call, const char *p, size_t n)
{
	(void)call;
	buf_add(&end->report, p, n);
	return !end->report.failed;
}

static bool take_remarks(struct helper_end *end, const struct helper_call *call, const char *p, size_t n)
{
	(void)call;
	size_t room = MAX_REMARKS - end->remarks.n;
	buf_add(&end->remarks, p, n < room ? n : room);
	return true;
}

static bool take_steps(struct helper_end *end, const struct helper_call *call, const char *p, size_t n)
{
	(void)end;
	for (size_t i = 0; i < n && call->on_step; i++)
		if ((unsigned char)p[i] < STEP_COUNT)
			call->on_step(call->on_step_arg, (enum step)(unsigned char)p[i]);
	return true;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Moves a descriptor above FD_ABOVE; -1 stays -1 with errno as it is. */
static int raised(int fd)
{
	if (fd < 0)
		return -1;
	int up = fcntl(fd, F_DUPFD_CLOEXEC, FD_ABOVE);
	int why = errno;
	close(fd);
	errno = why;
	return up;
}

static bool open_stream(struct stream *s)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	s->read_fd = ends[0];
	s->write_fd = raised(ends[1]);
	/* Only our end must not block. */
	return s->write_fd >= 0 && fcntl(s->write_fd, F_SETFL, 0) == 0;
}

static bool open_all(struct run *r, const struct helper_call *call)
{
	for (unsigned i = 0; i < STREAMS; i++)
		if (!open_stream(&r->streams[i]))
			return false;
	r->null_fd = raised(open("/dev/null", O_RDONLY | O_CLOEXEC));
	r->text_fd = raised(memfd_create("document-text", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	r->input_fd = call->input_fd < 0 ? -1 : fcntl(call->input_fd, F_DUPFD_CLOEXEC, FD_ABOVE);
	return r->null_fd >= 0 && r->text_fd >= 0 && (call->input_fd < 0 || r->input_fd >= 0);
}

static int add_fds(posix_spawn_file_actions_t *actions, const struct run *r)
{
	int rc = posix_spawn_file_actions_adddup2(actions, r->null_fd, STDIN_FILENO);
	for (unsigned i = 0; i < STREAMS && rc == 0; i++)
		rc = posix_spawn_file_actions_adddup2(actions, r->streams[i].write_fd, child_numbers[i]);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(actions, r->input_fd < 0 ? r->null_fd : r->input_fd, HELPER_FD_INPUT);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(actions, r->text_fd, HELPER_FD_TEXT);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(actions, HELPER_FD_STEPS + 1);
	return rc;
}

/* The child leads a session and a process group of its own, and starts with the default signals, none blocked. */
static int add_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	int rc = posix_spawnattr_setsigmask(attr, &none);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(attr, &all);
	if (rc == 0)
		rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return rc;
}

/* posix_spawn, not fork: in a process with threads a fork may do next to nothing. 0 or an errno. */
static int spawn(struct run *r, const struct helper_call *call)
{
	static char *const environment[] = {"LC_ALL=C.UTF-8", "PATH=/usr/bin", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc = posix_spawn_file_actions_init(&actions);
	if (rc != 0)
		return rc;
	rc = posix_spawnattr_init(&attr);
	if (rc == 0) {
		rc = add_fds(&actions, r);
		if (rc == 0)
			rc = add_attributes(&attr);
		if (rc == 0)
			rc = posix_spawn(&r->pid, call->path, &actions, &attr, (char *const *)(uintptr_t)call->argv, environment);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static void fail(struct helper_end *end, enum failure f, const char *detail)
{
	end->failure = f;
	end->detail = detail;
}

/* Reads at most `rounds` blocks of what is there. False: the child has written more than it may. */
static bool drain(struct stream *s, struct helper_end *end, const struct helper_call *call, unsigned rounds)
{
	char block[4096];
	while (s->read_fd >= 0 && rounds-- > 0) {
		ssize_t n = read(s->read_fd, block, sizeof(block));
		if (n > 0 && !s->take(end, call, block, (size_t)n))
			return false;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n == 0 || (n < 0 && errno != EINTR))
			close_fd(&s->read_fd);
	}
	return true;
}

static bool drain_all(struct run *r, struct helper_end *end, const struct helper_call *call, unsigned rounds)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		if (!drain(&r->streams[i], end, call, rounds)) {
			fail(end, FAILURE_PARSE_RESOURCE_LIMIT, "the helper wrote more than a report");
			return false;
		}
	}
	return true;
}

/* Serves the pipes until the child has ended by itself (true), or must be ended (false, the failure is noted). */
static bool attend(struct run *r, struct helper_end *end, const struct helper_call *call)
{
	for (;;) {
		int64_t left = call->deadline_mono_ms - clock_mono_ms();
		if (left <= 0) {
			fail(end, FAILURE_PARSE_TIMEOUT, NULL);
			return false;
		}
		struct pollfd fds[STREAMS + 2];
		for (unsigned i = 0; i < STREAMS; i++)
			fds[i] = (struct pollfd){r->streams[i].read_fd, POLLIN, 0};
		fds[STREAMS] = (struct pollfd){r->pidfd, POLLIN, 0};
		fds[STREAMS + 1] = (struct pollfd){call->cancel_fd, POLLIN, 0};
		if (poll(fds, ARRAY_LEN(fds), left > INT32_MAX ? INT32_MAX : (int)left) <= 0)
			continue;
		if (fds[STREAMS + 1].revents) {
			fail(end, FAILURE_CANCELLED, NULL);
			return false;
		}
		if (!drain_all(r, end, call, 1)) /* one block each: a flood must not keep us from the clock */
			return false;
		if (fds[STREAMS].revents)
			return true;
	}
}

struct death {
	int signal;
	enum failure failure;
	const char *detail;
};

static const struct death deaths[] = {
	{SIGXCPU, FAILURE_PARSE_TIMEOUT, "the document used up the processor time"},
	{SIGXFSZ, FAILURE_PARSE_RESOURCE_LIMIT, "the text grew past its limit"},
	{SIGKILL, FAILURE_PARSE_RESOURCE_LIMIT, "the system ended the reader, probably for its memory"},
	{SIGSYS, FAILURE_SANDBOX_VIOLATION, NULL},
};

static void judge(const siginfo_t *info, struct helper_end *end)
{
	if (info->si_code == CLD_EXITED) {
		if (info->si_status != 0)
			fail(end, FAILURE_HELPER_FAILED, "the helper ended with an error");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(deaths); i++)
		if (deaths[i].signal == info->si_status) {
			fail(end, deaths[i].failure, deaths[i].detail);
			return;
		}
	fail(end, FAILURE_CORRUPT, "the reader crashed on the document");
}

/* Until the leader is reaped its number, and so the group's, cannot go to somebody else: first kill the group, then reap. */
static bool reap(struct run *r, siginfo_t *info)
{
	kill(-r->pid, SIGKILL);
	while (waitid(P_PID, (id_t)r->pid, info, WEXITED) < 0)
		if (errno != EINTR)
			return false;
	return true;
}

/* After this nobody can write to or shrink the text: it may be mapped. It fails when somebody still has it mapped for writing. */
static void seal(struct run *r, struct helper_end *end)
{
	if (fcntl(r->text_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
		fail(end, FAILURE_HELPER_FAILED, "the text is still being written");
		return;
	}
	end->text_fd = r->text_fd;
	r->text_fd = -1;
}

static void run_child(struct run *r, const struct helper_call *call, struct helper_end *end)
{
	siginfo_t info = {0};
	/* Our copies of the child's ends: with them open its pipes would never end. */
	for (unsigned i = 0; i < STREAMS; i++)
		close_fd(&r->streams[i].write_fd);
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	bool ended = r->pidfd >= 0 && attend(r, end, call);
	if (r->pidfd < 0)
		fail(end, FAILURE_HELPER_FAILED, "the helper cannot be watched");
	if (!reap(r, &info) || !ended)
		return;
	judge(&info, end);
	if (drain_all(r, end, call, DRAIN_ROUNDS) && end->failure == FAILURE_NONE)
		seal(r, end);
}

void helper_run(const struct helper_call *call, struct helper_end *end)
{
	*end = (struct helper_end){.report = {.max = HELPER_MAX_REPORT}, .text_fd = -1};
	struct run r = {
		.streams = {{-1, -1, take_report}, {-1, -1, take_remarks}, {-1, -1, take_steps}},
		.null_fd = -1,
		.input_fd = -1,
		.text_fd = -1,
		.pid = -1,
		.pidfd = -1,
	};
	int why = open_all(&r, call) ? spawn(&r, call) : errno;
	if (why == ENOENT || why == EACCES)
		fail(end, FAILURE_TOOL_MISSING, "sluice-helper is not installed beside sluice");
	else if (why != 0)
		fail(end, FAILURE_HELPER_FAILED, "the helper could not be started");
	else
		run_child(&r, call, end);
	for (unsigned i = 0; i < STREAMS; i++) {
		close_fd(&r.streams[i].read_fd);
		close_fd(&r.streams[i].write_fd);
	}
	int *rest[] = {&r.null_fd, &r.input_fd, &r.text_fd, &r.pidfd};
	for (size_t i = 0; i < ARRAY_LEN(rest); i++)
		close_fd(rest[i]);
}

void helper_end_release(struct helper_end *end)
{
	buf_release(&end->report);
	buf_release(&end->remarks);
	close_fd(&end->text_fd);
}
