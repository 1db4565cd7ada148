#include "lib/base/sdnotify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define US_PER_MS 1000

/* "/path", or "@name" of an abstract socket. */
static int address_of(const char *name, struct sockaddr_un *to, socklen_t *size, struct err *err)
{
	size_t n = strlen(name);

	*to = (struct sockaddr_un){.sun_family = AF_UNIX};
	if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof(to->sun_path))
		return err_set(err, ERR_INVALID, "NOTIFY_SOCKET is no socket's address");
	memcpy(to->sun_path, name, n);
	if (name[0] == '@')
		to->sun_path[0] = '\0';
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return 0;
}

int sdnotify(const char *state, struct err *err)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to;
	socklen_t size = 0;

	if (!name || !*name)
		return 0;
	int rc = address_of(name, &to, &size, err);
	if (rc < 0)
		return rc;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, "a socket cannot be had");
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to, size) < 0)
		rc = err_errno(err, "NOTIFY_SOCKET");
	close(fd);
	return rc;
}

/* The whole text as a number that is not negative; -1 when it is none. */
static int64_t number_of(const char *text)
{
	char *end;

	if (!text || !*text)
		return -1;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' && n >= 0 ? n : -1;
}

int64_t sdnotify_watchdog_ms(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	int64_t us = number_of(getenv("WATCHDOG_USEC"));

	if (us < 0 || (pid && number_of(pid) != getpid()))
		return 0;
	return us / US_PER_MS;
}
