/* lib/base/sdnotify: what a supervisor's socket receives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/sdnotify.h"

static int listen_at(const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t n = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, name, n);
	if (name[0] == '@')
		at.sun_path[0] = '\0';
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void assert_told(const char *name)
{
	char got[64] = "";
	struct err err = {0};
	int fd = listen_at(name);

	assert_int_equal(sdnotify(SDNOTIFY_READY, &err), 0);
	assert_int_equal(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), (ssize_t)strlen(SDNOTIFY_READY));
	assert_string_equal(got, "READY=1");
	close(fd);
}

static void test_socket_of_a_path(void **state)
{
	char folder[] = "/tmp/sluice-notify-XXXXXX", name[64];
	(void)state;

	assert_non_null(mkdtemp(folder));
	snprintf(name, sizeof(name), "%s/socket", folder);
	assert_told(name);
	unlink(name);
	rmdir(folder);
}

static void test_abstract_socket(void **state)
{
	char name[64];
	(void)state;

	snprintf(name, sizeof(name), "@sluice-notify-%d", (int)getpid());
	assert_told(name);
}

static void test_nobody_listens(void **state)
{
	struct err err = {0};
	(void)state;

	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(sdnotify(SDNOTIFY_READY, &err), 0);
	setenv("NOTIFY_SOCKET", "@sluice-notify-nobody", 1);
	assert_true(sdnotify(SDNOTIFY_READY, &err) < 0);
	setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
	assert_int_equal(sdnotify(SDNOTIFY_READY, &err), ERR_INVALID);
	char long_name[200];
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", long_name, 1);
	assert_int_equal(sdnotify(SDNOTIFY_READY, &err), ERR_INVALID);
}

static void test_watchdog(void **state)
{
	char pid[32];
	(void)state;

	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	assert_int_equal(sdnotify_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(sdnotify_watchdog_ms(), 30000);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(sdnotify_watchdog_ms(), 30000);
	setenv("WATCHDOG_PID", "1", 1); /* a child of the one that is watched */
	assert_int_equal(sdnotify_watchdog_ms(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "30s", 1);
	assert_int_equal(sdnotify_watchdog_ms(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socket_of_a_path),
		cmocka_unit_test(test_abstract_socket),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_watchdog),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
