#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "processors/helper/sandbox.h"

/* What libmagic, libarchive, libxml2, the C library and the tools need. Everything else fails with EPERM, so that a library which
 * merely tries something goes on; the list of killers below is what no honest reader of documents would try. */
static const char *const allowed[] = {
	/* files that are open, or that Landlock lets be opened */
	"read", "readv", "pread64", "write", "writev", "pwrite64", "lseek", "close", "close_range", "open", "openat", "openat2",
	"stat", "lstat", "fstat", "fstatat64", "newfstatat", "statx", "fstatfs", "statfs", "access", "faccessat", "faccessat2",
	"readlink", "readlinkat", "getdents64", "getcwd", "dup", "dup2", "dup3", "pipe", "pipe2", "fcntl", "ftruncate",
	"fadvise64", "poll", "ppoll", "select", "pselect6", "umask",
	/* memory */
	"mmap", "munmap", "mremap", "mprotect", "madvise", "mincore", "brk", "membarrier",
	/* itself */
	"getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getpgrp", "getpgid", "getsid", "getrusage",
	"getrlimit", "setrlimit", "prlimit64", "prctl", "seccomp", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
	"uname", "sysinfo", "times", "sched_yield", "sched_getaffinity", "futex", "getrandom", "sigaltstack", "rt_sigaction",
	"rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "restart_syscall", "exit", "exit_group", "tgkill",
	/* time */
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
	/* the tools */
	"fork", "vfork", "execve", "wait4", "waitid", "kill", "pidfd_open", "pidfd_send_signal",
};

static const char *const killers[] = {
	"ptrace", "process_vm_readv", "process_vm_writev", "bpf", "keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup",
	"io_uring_enter", "io_uring_register", "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "kexec_load",
	"init_module", "finit_module", "delete_module", "perf_event_open", "open_by_handle_at", "personality",
};

static int add_all(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);
		/* A name that this architecture or library does not know needs no rule. */
		if (nr == __NR_SCMP_ERROR)
			continue;
		int rc = seccomp_rule_add(ctx, action, nr, 0);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_special(scmp_filter_ctx ctx)
{
	/* fork() is clone() in the C library; new namespaces are not for us. clone3 cannot be looked into: with ENOSYS the C library
	 * falls back to clone. */
	const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TCGETS));
	return rc;
}

static int load(scmp_filter_ctx ctx, int rc, struct err *err)
{
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc == -EINVAL || rc == -ENOSYS)
		return err_set(err, ERR_UNAVAILABLE, "this kernel has no seccomp filters");
	return rc < 0 ? err_set(err, ERR_IO, "seccomp: error %d", -rc) : 0;
}

int seccomp_enter(struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return err_set(err, ERR_NOMEM, "seccomp_init");
	int rc = add_all(ctx, SCMP_ACT_ALLOW, allowed, ARRAY_LEN(allowed));
	if (rc == 0)
		rc = add_all(ctx, SCMP_ACT_KILL_PROCESS, killers, ARRAY_LEN(killers));
	if (rc == 0)
		rc = add_special(ctx);
	return load(ctx, rc, err);
}

int seccomp_forbid_children(struct err *err)
{
	static const char *const makers[] = {"fork", "vfork", "clone"};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (!ctx)
		return err_set(err, ERR_NOMEM, "seccomp_init");
	int rc = add_all(ctx, SCMP_ACT_ERRNO(EPERM), makers, ARRAY_LEN(makers));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return load(ctx, rc, err);
}
