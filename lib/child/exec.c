#include "lib/child/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/str.h"

#define CHILD_LOCK_FD 3

/* What the child needs, made before fork: other threads may hold any lock, so between fork and exec only async-signal-safe calls are allowed. */
struct plan {
	const struct child_program *program;
	int log_fd, null_fd;
	pid_t parent;
	char uid_map[48], gid_map[48];
};

static void reset_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &dfl, NULL); /* fails for SIGKILL, SIGSTOP and the C library's own: as they are */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* The C library's own functions would speak to threads that are not here. */
static bool become_user(const struct child_identity *who)
{
	return syscall(SYS_setgroups, 0, NULL) == 0 && syscall(SYS_setresgid, who->gid, who->gid, who->gid) == 0 &&
	       syscall(SYS_setresuid, who->uid, who->uid, who->uid) == 0;
}

static bool enter_namespace(const struct plan *plan)
{
	return unshare(CLONE_NEWUSER) == 0 && write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/uid_map", plan->uid_map) &&
	       write_file("/proc/self/gid_map", plan->gid_map);
}

static bool become(const struct plan *plan)
{
	static const char refused[] = "this process may not change into another user than root; run it as one, or use a server of your own\n";
	bool ok = true;
	if (plan->program->identity.how == CHILD_AS_USER)
		ok = become_user(&plan->program->identity);
	else if (plan->program->identity.how == CHILD_IN_NAMESPACE)
		ok = enter_namespace(plan);
	if (!ok && write(2, refused, sizeof(refused) - 1) < 0)
		return false;
	return ok;
}

/* In the child. */
static NORETURN void run(const struct plan *plan)
{
	(void)setsid();
	reset_signals();
	bool ok = dup2(plan->null_fd, 0) >= 0 && dup2(plan->log_fd, 1) >= 0 && dup2(plan->log_fd, 2) >= 0 &&
		  dup2(plan->program->lock_fd, CHILD_LOCK_FD) >= 0;
	/* dup2 onto itself leaves close-on-exec as it was. */
	if (!ok || fcntl(CHILD_LOCK_FD, F_SETFD, 0) < 0)
		_exit(126);
	(void)close_range(CHILD_LOCK_FD + 1, ~0U, 0);
	(void)umask(077);
	(void)setpriority(PRIO_PROCESS, 0, plan->program->nice);
	/* A change of user forgets the signal; and the parent may have died before the kernel knew that we want to hear of it. */
	if (!become(plan) || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != plan->parent)
		_exit(126);
	execve(plan->program->path, plan->program->argv, plan->program->envp);
	_exit(127);
}

static pid_t fork_child(const struct plan *plan, struct err *err)
{
	pid_t pid = fork();
	if (pid == 0)
		run(plan);
	return pid < 0 ? err_errno(err, "fork") : pid;
}

pid_t child_exec(const struct child_program *p, struct err *err)
{
	struct plan plan = {.program = p, .parent = getpid()};
	snprintf(plan.uid_map, sizeof(plan.uid_map), "%u %u 1", (unsigned)p->identity.uid, (unsigned)geteuid());
	snprintf(plan.gid_map, sizeof(plan.gid_map), "%u %u 1", (unsigned)p->identity.gid, (unsigned)getegid());
	plan.log_fd = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (plan.log_fd < 0)
		return err_errno(err, "cannot open %s", p->log);
	plan.null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pid_t pid = plan.null_fd < 0 ? err_errno(err, "cannot open /dev/null") : fork_child(&plan, err);
	close(plan.log_fd);
	if (plan.null_fd >= 0)
		close(plan.null_fd);
	return pid;
}

/* ---- to its end ---- */

/* true: it has ended. false: told to stop, and killed. */
static bool wait_or_kill(int pidfd, int stop_fd)
{
	struct pollfd p[] = {{.fd = pidfd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
	while (poll(p, ARRAY_LEN(p), -1) < 0)
		continue;
	if (p[0].revents)
		return true;
	(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	return false;
}

int child_run(const struct child_program *p, int stop_fd, struct err *err)
{
	int status = 0;
	pid_t pid = child_exec(p, err);
	if (pid < 0)
		return pid;
	int pidfd = pidfd_open(pid, 0);
	bool ended = pidfd < 0 || wait_or_kill(pidfd, stop_fd); /* without one it cannot be cut short */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (pidfd >= 0)
		close(pidfd);
	if (!ended)
		return err_set(err, ERR_STOPPING, "%s was cut short", p->argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, ERR_UNAVAILABLE, "%s failed (%s %d)", p->argv[0], WIFSIGNALED(status) ? "signal" : "exit code",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return 0;
}
