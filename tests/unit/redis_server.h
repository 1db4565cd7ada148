/* A redis-server of the test's own: on a Unix socket in a temporary folder, gone at the end of the test, also when that crashes.
 *
 *     struct redis_server redis;
 *     redis_server_start(&redis, NULL);        more arguments: {"--appendonly", "yes", NULL}
 *     struct raddr addr = redis_server_addr(&redis);
 *     redis_server_stop(&redis);
 *
 * Header only: every unit test is one program of one file. */
#ifndef SLUICE_TESTS_UNIT_REDIS_SERVER_H
#define SLUICE_TESTS_UNIT_REDIS_SERVER_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/redis/rconn.h"

struct redis_server {
	char dir[64];
	char socket[96];
	pid_t pid;
};

static inline struct raddr redis_server_addr(const struct redis_server *r)
{
	struct raddr addr = {0};

	snprintf(addr.unix_path, sizeof(addr.unix_path), "%s", r->socket);
	return addr;
}

static inline int redis_server_answers(const struct redis_server *r)
{
	struct raddr addr = redis_server_addr(r);
	struct err err = {0};
	struct rconn *c = rconn_new(&addr, NULL, &err);
	int up = c && rconn_open(c, clock_mono_ms() + 200, &err) == 0;

	rconn_free(c);
	return up;
}

/* Runs the program (again) on the folder made before; waits until it answers. */
static inline void redis_server_run(struct redis_server *r, const char *const *more)
{
	const char *argv[32] = {"redis-server", "--port", "0", "--unixsocket", r->socket, "--dir", r->dir, "--save", "", "--loglevel", "warning"};
	size_t n = 11;

	for (; more && *more && n < 31; more++)
		argv[n++] = *more;
	r->pid = fork();
	if (r->pid == 0) {
		int out = open("/dev/null", O_WRONLY);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out, 1);
		execvp(argv[0], (char *const *)(void *)argv);
		_exit(127);
	}
	for (int64_t deadline = clock_mono_ms() + 10000; !redis_server_answers(r);)
		if (clock_mono_ms() > deadline || waitpid(r->pid, NULL, WNOHANG) != 0) {
			fprintf(stderr, "redis-server did not start\n");
			abort();
		}
}

static inline void redis_server_start(struct redis_server *r, const char *const *more)
{
	snprintf(r->dir, sizeof(r->dir), "/tmp/sluice-test-XXXXXX");
	if (!mkdtemp(r->dir))
		abort();
	snprintf(r->socket, sizeof(r->socket), "%s/redis.sock", r->dir);
	redis_server_run(r, more);
}

static inline void redis_server_kill(struct redis_server *r)
{
	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
}

static inline void redis_server_stop(struct redis_server *r)
{
	char command[128];

	redis_server_kill(r);
	snprintf(command, sizeof(command), "rm -rf '%s'", r->dir);
	if (system(command) != 0)
		fprintf(stderr, "%s was left behind\n", r->dir);
}

#endif
