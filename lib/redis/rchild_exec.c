#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/redis/rchild_internal.h"

#define CHILD_LOCK_FD 3

/* What the child needs, made before fork: other threads may hold any lock, so between fork and exec only async-signal-safe
 * calls are allowed. */
struct plan {
	const char *program;
	char *const *argv;
	char *const *envp;
	int log_fd, null_fd, lock_fd;
	pid_t parent;
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

/* In the child. */
static NORETURN void run(const struct plan *plan)
{
	/* The parent may have died before the kernel knew that we want to hear of it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != plan->parent)
		_exit(126);
	(void)setsid(); /* a Ctrl-C in the terminal is the gateway's to handle: Redis ends last */
	reset_signals();
	bool ok = dup2(plan->null_fd, 0) >= 0 && dup2(plan->log_fd, 1) >= 0 && dup2(plan->log_fd, 2) >= 0 &&
	          dup2(plan->lock_fd, CHILD_LOCK_FD) >= 0;
	/* dup2 onto itself leaves close-on-exec as it was. */
	if (!ok || fcntl(CHILD_LOCK_FD, F_SETFD, 0) < 0)
		_exit(126);
	(void)close_range(CHILD_LOCK_FD + 1, ~0U, 0);
	(void)umask(077);
	execve(plan->program, plan->argv, plan->envp);
	_exit(127);
}

static pid_t fork_child(const struct plan *plan, struct err *err)
{
	pid_t pid = fork();
	if (pid == 0)
		run(plan);
	return pid < 0 ? err_errno(err, "fork") : pid;
}

pid_t rchild_spawn(const struct rchild_paths *p, int lock_fd, struct err *err)
{
	char name[] = "redis-server", config[PATH_MAX];
	char *argv[] = {name, config, NULL};
	memcpy(config, p->config, sizeof(config));
	struct plan plan = {.program = p->program, .argv = argv, .envp = environ, .lock_fd = lock_fd, .parent = getpid()};
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
