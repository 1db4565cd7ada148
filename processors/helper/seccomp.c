#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "processors/helper/sandbox.h"

/* What libmagic, libarchive, libxml2, the C library and the tools need. Everything else fails with EPERM, so that a library which
 * merely tries something goes on; the list of killers below is what no honest reader of documents would try. */
static const char *const allowed[] = {
	/* files that are open, or that Landlock lets be opened */
	"read", "readv", "pread64", "write", "writev", "pwrite64", "lseek", "close", "close_range", "open", "openat", "openat2",
	"stat", "lstat", "fstat", "fstatat64", "newfstatat", "statx", "fstatfs", "statfs", "access", "faccessat", "faccessat2",
	"readlink", "readlinkat", "getdents64", "getcwd", "dup", "dup2", "dup3", "pipe", "pipe2", "ftruncate", "fadvise64",
	 "poll", "ppoll", "select", "pselect6", "umask",
	/* memory */
	"mmap", "munmap", "mremap", "mprotect", "madvise", "mincore", "brk", "membarrier",
	/* itself */
	"getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getpgrp", "getpgid", "getsid", "getrusage",
	"getrlimit", "setrlimit", "prctl", "seccomp", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
	"uname", "sysinfo", "times", "sched_yield", "sched_getaffinity", "futex", "getrandom", "sigaltstack", "rt_sigaction",
	"rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "restart_syscall", "exit", "exit_group",
	/* time */
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
	/* the tools */
	"fork", "vfork", "execve", "wait4", "waitid", "pidfd_open",
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

#define NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | (uint64_t)CLONE_NEWTIME)

/* Calls that are allowed with some arguments only. Where Landlock cannot confine signals (before its sixth version) this does: none may be
 * sent to anybody else, neither straight nor as the owner of a descriptor, and nobody else's limits may be changed. */
static int add_special(scmp_filter_ctx ctx)
{
	const struct {
		int nr;
		struct scmp_arg_cmp when;
	} rules[] = {
		{SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES, 0)}, /* fork() and threads */
		{SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, TCGETS)},               /* isatty() */
		{SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())}, /* abort() */
		{SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_EQ, 0)},
		{SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_DUPFD)},
		{SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC)},
		{SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GETFD)},
		{SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_SETFD)},
		{SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GETFL)},
	};
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, rules[i].nr, 1, rules[i].when);
		if (rc < 0)
			return rc;
	}
	/* clone3 cannot be looked into; with ENOSYS the C library falls back to clone. */
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
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
