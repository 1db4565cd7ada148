#include "processors/helper/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct limit {
	int resource;
	rlim_t soft, hard;
	const char *name;
};

static int set_limits(const struct limit *limits, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct rlimit want = {limits[i].soft, limits[i].hard}, have;
		if (getrlimit((__rlimit_resource_t)limits[i].resource, &have) < 0)
			return err_errno(err, "getrlimit %s", limits[i].name);
		if (have.rlim_max < want.rlim_max)
			want.rlim_max = have.rlim_max;
		if (want.rlim_cur > want.rlim_max)
			want.rlim_cur = want.rlim_max;
		if (setrlimit((__rlimit_resource_t)limits[i].resource, &want) < 0)
			return err_errno(err, "setrlimit %s", limits[i].name);
	}
	return 0;
}

static int limit_memory(uint64_t bytes, struct err *err)
{
	const struct limit memory = {RLIMIT_AS, bytes, bytes, "AS"};
	return set_limits(&memory, 1, err);
}

static int limit_resources(const struct sandbox_options *o, struct err *err)
{
	const struct limit limits[] = {
		/* SIGXCPU ends the process at the soft limit: that is how a CPU timeout is told from other deaths. */
		{RLIMIT_CPU, o->cpu_s, o->cpu_s + 1, "CPU"},
		{RLIMIT_FSIZE, o->file_bytes, o->file_bytes, "FSIZE"},
		{RLIMIT_NOFILE, SANDBOX_FILES, SANDBOX_FILES, "NOFILE"},
		{RLIMIT_CORE, 0, 0, "CORE"},
		{RLIMIT_MEMLOCK, 0, 0, "MEMLOCK"},
	};
	int rc = set_limits(limits, ARRAY_LEN(limits), err);
	return rc == 0 && !SANDBOX_SANITIZED ? limit_memory(o->memory_bytes, err) : rc;
}

static int harden(pid_t parent, struct err *err)
{
	if (parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, "PR_SET_PDEATHSIG");
	/* The parent may have died before the line above. */
	if (parent && getppid() != parent)
		return err_set(err, ERR_STOPPING, "the parent process %d is gone", (int)parent);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, "PR_SET_NO_NEW_PRIVS");
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_errno(err, "PR_SET_DUMPABLE");
	umask(077);
	return 0;
}

static void write_level(char level[SANDBOX_LEVEL_SIZE], int abi, bool seccomp)
{
	if (abi > 0)
		snprintf(level, SANDBOX_LEVEL_SIZE, "landlock%d%s", abi, seccomp ? "+seccomp" : "");
	else
		snprintf(level, SANDBOX_LEVEL_SIZE, "%s", seccomp ? "seccomp" : "none");
}

int sandbox_enter(const struct sandbox_options *o, char level[SANDBOX_LEVEL_SIZE], struct err *err)
{
	write_level(level, 0, false);
	int rc = harden(o->parent, err);
	if (rc == 0)
		rc = limit_resources(o, err);
	if (rc < 0)
		return rc;

	int abi = 0;
	rc = landlock_enter(o->input_fd, &abi, err);
	if (rc < 0 && (o->strict || rc != ERR_UNAVAILABLE))
		return rc;
	rc = seccomp_enter(err);
	if (rc < 0 && (o->strict || rc != ERR_UNAVAILABLE))
		return rc;
	write_level(level, abi, rc == 0);
	return 0;
}

int sandbox_enter_tool(uint64_t memory_bytes, struct err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, "PR_SET_PDEATHSIG");
	int rc = limit_memory(memory_bytes, err);
	if (rc == 0)
		rc = seccomp_forbid_children(err);
	return rc == ERR_UNAVAILABLE ? 0 : rc;
}
