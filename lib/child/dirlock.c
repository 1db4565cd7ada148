#include "lib/child/dirlock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

#define LOOK_AGAIN_MS 10

static int say_holder(int fd, const char *folder, struct err *err)
{
	char text[32] = {0};
	uint64_t pid = 0;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	struct str digits = str_from(text);
	if (n <= 0 || str_to_u64(str_cut(&digits, '\n'), &pid) < 0 || pid == 0 || pid > INT_MAX)
		return err_set(err, ERR_TAKEN, "%s is in use by another process", folder);
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		return err_set(err, ERR_TAKEN, "%s is in use by what process %u, now gone, has left running", folder, (unsigned)pid);
	return err_set(err, ERR_TAKEN, "%s is in use by process %u", folder, (unsigned)pid);
}

/* true: locked. false: held by somebody else until the deadline. */
static bool lock_until(int fd, int64_t deadline)
{
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (clock_mono_ms() >= deadline)
			return false;
		clock_sleep_ms(LOOK_AGAIN_MS);
	}
	return true;
}

static int write_pid(int fd, struct err *err)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return err_errno(err, "the lock file");
	return 0;
}

int dirlock_take(const char *folder, int64_t wait_ms, struct err *err)
{
	char path[PATH_MAX];
	if ((size_t)snprintf(path, sizeof(path), "%s/.lock", folder) >= sizeof(path))
		return err_set(err, ERR_INVALID, "the path of the data folder is too long");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	int rc = lock_until(fd, clock_mono_ms() + wait_ms) ? write_pid(fd, err) : say_holder(fd, folder, err);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}
