#include "processors/helper/selftest.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/json/jwrite.h"
#include "processors/helper/sandbox.h"

/* Each attempt returns 0 when it went through, else the errno with which it was refused. */

static int attempt_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	const struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int why = connect(fd, (const struct sockaddr *)&loopback, sizeof(loopback)) < 0 ? errno : 0;
	close(fd);
	return why == ECONNREFUSED ? 0 : why; /* refused by the peer is not refused by the cage */
}

static int attempt_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int attempt_open_passwd(void)
{
	return attempt_open("/etc/passwd", O_RDONLY);
}

static int attempt_write_tmp(void)
{
	return attempt_open("/tmp", O_TMPFILE | O_WRONLY);
}

static int attempt_fork(void)
{
	if (seccomp_forbid_children(NULL) < 0) /* as every tool has it */
		return 0;
	pid_t pid = fork();
	if (pid < 0)
		return errno;
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	return 0;
}

static int attempt_exec(void)
{
	pid_t pid = fork();
	if (pid < 0)
		return errno;
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", ":", (char *)NULL);
		_exit(errno);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
}

static int attempt_kill_parent(void)
{
	return kill(getppid(), 0) < 0 ? errno : 0;
}

static int attempt_alloc(void)
{
	const size_t bytes = (size_t)4 << 30;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return errno;
	munmap(p, bytes);
	return 0;
}

static int attempt_spin(void)
{
	volatile bool forever = true;
	while (forever)
		;
	return 0;
}

static int attempt_flood(void)
{
	static const char block[4096] = "flood";
	while (write(STDOUT_FILENO, block, sizeof(block)) > 0)
		;
	return errno;
}

struct probe {
	const char *name;
	int (*attempt)(void);
};

static const struct probe probes[] = {
	{"connect", attempt_connect},
	{"open-passwd", attempt_open_passwd},
	{"write-tmp", attempt_write_tmp},
	{"fork", attempt_fork},
	{"exec", attempt_exec},
	{"kill-parent", attempt_kill_parent},
	{"alloc", attempt_alloc},
	{"spin", attempt_spin},
	{"flood", attempt_flood},
};

static const struct probe *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		if (strcmp(probes[i].name, name) == 0)
			return &probes[i];
	return NULL;
}

int selftest_run(const char *probe, const char *sandbox, struct buf *out)
{
	const struct probe *found = find(probe);
	if (!found)
		return ERR_NOT_FOUND;
	int why = found->attempt();
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '{');
	jw_kstrz(&w, "probe", found->name);
	jw_kstrz(&w, "sandbox", sandbox);
	jw_kbool(&w, "refused", why != 0);
	jw_kstrz(&w, "detail", why ? strerrordesc_np(why) : "it went through");
	jw_close(&w, '}');
	buf_addc(out, '\n');
	return 0;
}

void selftest_names(struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		buf_addf(out, "%s%s", i ? ", " : "", probes[i].name);
}
