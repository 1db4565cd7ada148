#include "processors/helper/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "processors/helper/sandbox.h"

/* Exit statuses of the child before it has become the program; the tools use 0 to 3 and 99. */
#define EXIT_MISSING 121
#define EXIT_UNCAGED 122

struct pipes {
	int out[2], remarks[2];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

NORETURN static void become(const struct tool *t, const struct pipes *p)
{
	static char *const environment[] = {"LC_ALL=C.UTF-8", "PATH=/usr/bin", "HOME=/nonexistent", NULL};
	if (dup2(p->out[1], STDOUT_FILENO) < 0 || dup2(p->remarks[1], STDERR_FILENO) < 0 ||
	    syscall(SYS_close_range, HELPER_FD_INPUT + 1, ~0u, 0) < 0 || sandbox_enter_tool(t->memory_bytes, NULL) < 0)
		_exit(EXIT_UNCAGED);
	execve(t->argv[0], (char *const *)t->argv, environment);
	_exit(errno == ENOENT ? EXIT_MISSING : EXIT_UNCAGED);
}

static bool take_remarks(void *arg, const char *p, size_t n)
{
	struct tool *t = arg;
	size_t room = sizeof(t->remarks) - 1 - t->n_remarks;
	if (n > room)
		n = room;
	memcpy(t->remarks + t->n_remarks, p, n);
	t->n_remarks += n;
	t->remarks[t->n_remarks] = '\0';
	return true;
}

/* One read from a pipe that poll says is ready. *fd becomes -1 at its end. False: the sink wants no more. */
static bool drain(int *fd, tool_sink *sink, void *arg)
{
	static char block[65536];
	ssize_t n = read(*fd, block, sizeof(block));
	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		close_fd(fd);
		return true;
	}
	return sink(arg, block, (size_t)n);
}

/* Until the deadline, as poll wants it. */
static int left_ms(const struct tool *t)
{
	int64_t left = t->deadline_mono_ms - clock_mono_ms();
	return left <= 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

/* Streams until both pipes are closed. TOOL_EXITED here means: ended by itself. */
static enum tool_end stream(struct tool *t, struct pipes *p)
{
	while (p->out[0] >= 0 || p->remarks[0] >= 0) {
		if (left_ms(t) == 0)
			return TOOL_TIMEOUT;
		struct pollfd fds[] = {{p->out[0], POLLIN, 0}, {p->remarks[0], POLLIN, 0}};
		if (poll(fds, 2, left_ms(t)) <= 0)
			continue;
		if (fds[0].revents && !drain(&p->out[0], t->sink, t->sink_arg))
			return TOOL_ENOUGH;
		if (fds[1].revents)
			drain(&p->remarks[0], take_remarks, t);
	}
	return TOOL_EXITED;
}

static void judge(struct tool *t, const siginfo_t *info)
{
	t->code = info->si_status;
	if (info->si_code != CLD_EXITED)
		t->end = info->si_status == SIGXCPU ? TOOL_TIMEOUT : TOOL_SIGNALLED;
	else if (info->si_status == EXIT_MISSING)
		t->end = TOOL_MISSING;
	else if (info->si_status == EXIT_UNCAGED)
		t->end = TOOL_UNCAGED;
}

static void close_all(struct pipes *p)
{
	int *fds[] = {&p->out[0], &p->out[1], &p->remarks[0], &p->remarks[1]};
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close_fd(fds[i]);
}

/* In the cage nobody may send signals, not even to a child: a program that is not wanted any more dies with the helper, which is about to
 * report and end. One that has closed its outputs has until the deadline to end by itself. */
static int reap(struct tool *t, pid_t pid, struct err *err)
{
	if (t->end != TOOL_EXITED)
		return 0;
	struct pollfd fd = {(int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0};
	if (fd.fd < 0)
		return err_errno(err, "pidfd_open");
	int ended = poll(&fd, 1, left_ms(t));
	close(fd.fd);
	if (ended <= 0) {
		t->end = TOOL_TIMEOUT;
		return 0;
	}
	siginfo_t info;
	while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
		if (errno != EINTR)
			return err_errno(err, "waitid");
	judge(t, &info);
	return 0;
}

static int start(struct tool *t, struct pipes *p, pid_t *pid, struct err *err)
{
	if (pipe2(p->out, O_CLOEXEC) < 0 || pipe2(p->remarks, O_CLOEXEC) < 0)
		return err_errno(err, "pipe");
	*pid = fork(); /* one thread, so what follows in the child may be ordinary code */
	if (*pid < 0)
		return err_errno(err, "fork");
	if (*pid == 0)
		become(t, p);
	close_fd(&p->out[1]);
	close_fd(&p->remarks[1]);
	return 0;
}

int tool_run(struct tool *t, struct err *err)
{
	struct pipes p = {{-1, -1}, {-1, -1}};
	pid_t pid = -1;
	t->n_remarks = 0;
	t->remarks[0] = '\0';
	int rc = start(t, &p, &pid, err);
	if (rc == 0) {
		t->end = stream(t, &p);
		rc = reap(t, pid, err);
	}
	close_all(&p);
	return rc;
}

/* poppler says "Out of memory" and exits 1; qpdf reports bad_alloc and exits 2; an uncaught bad_alloc aborts. */
static bool out_of_memory(const struct tool *t)
{
	static const char *const signs[] = {"Out of memory", "bad_alloc", "memory allocation"};
	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (strstr(t->remarks, signs[i]))
			return true;
	return t->end == TOOL_SIGNALLED && t->code == SIGKILL; /* the kernel's own out-of-memory killer */
}

enum failure tool_failure(const struct tool *t, enum failure otherwise)
{
	switch (t->end) {
	case TOOL_TIMEOUT:
		return FAILURE_PARSE_TIMEOUT;
	case TOOL_ENOUGH:
		return FAILURE_PARSE_RESOURCE_LIMIT;
	case TOOL_MISSING:
		return FAILURE_TOOL_MISSING;
	case TOOL_UNCAGED:
		return FAILURE_SANDBOX_FAILED;
	case TOOL_SIGNALLED:
	case TOOL_EXITED:
		break;
	}
	if (out_of_memory(t))
		return FAILURE_PARSE_RESOURCE_LIMIT;
	if (t->end == TOOL_SIGNALLED && t->code == SIGSYS)
		return FAILURE_SANDBOX_VIOLATION;
	return otherwise;
}
