/* A PostgreSQL of the test's own: on a Unix socket in a temporary folder, gone at the end of the test, also when that crashes.
 *
 *     struct pg_server server;
 *     pg_server_start(&server);             server.url is for pg_new
 *     pg_server_signal(&server, SIGSTOP);   all of its processes
 *     pg_server_kill(&server);              kill -9 of all of them
 *     pg_server_run(&server);               again, on the same data
 *     pg_server_stop(&server);
 *
 * initdb runs once, into build/; every server is a copy of that. Header only: every unit test is one program of one file. */
#ifndef SLUICE_TESTS_UNIT_PG_SERVER_H
#define SLUICE_TESTS_UNIT_PG_SERVER_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define PG_SERVER_TEMPLATE "build/pg-template"

struct pg_server {
	char dir[64];
	char url[160];
	pid_t pid;
};

static inline void pg_server_shell(const char *command)
{
	if (system(command) == 0)
		return;
	fprintf(stderr, "failed: %s\n", command);
	abort();
}

/* PostgreSQL refuses root, which may be somebody else in a namespace of its own. */
static inline const char *pg_server_prefix(void)
{
	return geteuid() == 0 ? "unshare -U --map-user=65534 --map-group=65534 setpriv --pdeathsig KILL" : "setpriv --pdeathsig KILL";
}

static inline void pg_server_programs(char out[128])
{
	FILE *p = popen("ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1 | tr -d '\\n'", "r");
	if (!p || !fgets(out, 128, p))
		abort();
	pclose(p);
}

/* Of several tests that begin at once, one makes it. */
static inline void pg_server_make_template(void)
{
	char programs[128], command[512];
	struct stat st;
	int lock = open("build/.pg-template.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		abort();
	if (stat(PG_SERVER_TEMPLATE, &st) < 0) {
		pg_server_programs(programs);
		snprintf(command, sizeof(command),
			 "rm -rf " PG_SERVER_TEMPLATE ".new && %s %s/initdb -D " PG_SERVER_TEMPLATE ".new -U sluice -A trust -E UTF8 --no-locale --no-sync "
			 ">/dev/null && mv " PG_SERVER_TEMPLATE ".new " PG_SERVER_TEMPLATE,
			 pg_server_prefix(), programs);
		pg_server_shell(command);
	}
	close(lock);
}

static inline int pg_server_answers(const struct pg_server *s)
{
	char programs[128], command[256];
	pg_server_programs(programs);
	snprintf(command, sizeof(command), "%s/pg_isready -q -h %s", programs, s->dir);
	return system(command) == 0;
}

static inline void pg_server_run(struct pg_server *s)
{
	char programs[128], command[700];
	pg_server_programs(programs);
	snprintf(command, sizeof(command),
		 "exec %s %s/postgres -D %s/data -c unix_socket_directories=%s -c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_connections=40 "
		 "-c jit=off >>%s/log 2>&1",
		 pg_server_prefix(), programs, s->dir, s->dir, s->dir);
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	for (int64_t deadline = clock_mono_ms() + 60000; !pg_server_answers(s); clock_sleep_ms(20))
		if (clock_mono_ms() > deadline || waitpid(s->pid, NULL, WNOHANG) != 0) {
			fprintf(stderr, "postgres did not start; see %s/log\n", s->dir);
			abort();
		}
}

static inline void pg_server_start(struct pg_server *s)
{
	char command[256];
	pg_server_make_template();
	snprintf(s->dir, sizeof(s->dir), "/tmp/sluice-test-XXXXXX");
	if (!mkdtemp(s->dir))
		abort();
	snprintf(command, sizeof(command), "cp -a --reflink=auto " PG_SERVER_TEMPLATE " %s/data", s->dir);
	pg_server_shell(command);
	snprintf(s->url, sizeof(s->url), "postgresql://sluice@/postgres?host=%s", s->dir);
	pg_server_run(s);
}

/* To the server and to its children, each of which is a session of its own. */
static inline void pg_server_signal(struct pg_server *s, int sig)
{
	char path[64];
	int child;
	kill(s->pid, sig == SIGKILL ? SIGSTOP : sig); /* it must not start new ones meanwhile */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)s->pid, (int)s->pid);
	FILE *f = fopen(path, "re");
	while (f && fscanf(f, "%d", &child) == 1)
		kill(child, sig);
	if (f)
		fclose(f);
	if (sig == SIGKILL)
		kill(s->pid, SIGKILL);
}

static inline void pg_server_kill(struct pg_server *s)
{
	pg_server_signal(s, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

static inline void pg_server_stop(struct pg_server *s)
{
	char command[128];
	pg_server_kill(s);
	snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
	if (system(command) != 0)
		fprintf(stderr, "%s was left behind\n", s->dir);
}

/* ---- pgbouncer in transaction mode before it, with so few connections that its clients share them ---- */

struct pg_pooler {
	char dir[64];
	char url[160];
	pid_t pid;
};

static inline void pg_pooler_start(struct pg_pooler *b, const struct pg_server *s)
{
	char command[512], config[128];
	struct stat st;
	snprintf(b->dir, sizeof(b->dir), "/tmp/sluice-test-XXXXXX");
	if (!mkdtemp(b->dir))
		abort();
	snprintf(config, sizeof(config), "%s/pgbouncer.ini", b->dir);
	FILE *f = fopen(config, "we");
	if (!f)
		abort();
	fprintf(f,
		"[databases]\n* = host=%s port=5432 user=sluice\n[pgbouncer]\nunix_socket_dir=%s\nlisten_port=6432\nauth_type=any\n"
		"pool_mode=transaction\ndefault_pool_size=2\nmax_client_conn=50\nlogfile=%s/log\n",
		s->dir, b->dir, b->dir);
	fclose(f);
	snprintf(command, sizeof(command), "exec %s pgbouncer -q %s", pg_server_prefix(), config);
	b->pid = fork();
	if (b->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	snprintf(config, sizeof(config), "%s/.s.PGSQL.6432", b->dir);
	for (int64_t deadline = clock_mono_ms() + 60000; stat(config, &st) < 0; clock_sleep_ms(10))
		if (clock_mono_ms() > deadline || waitpid(b->pid, NULL, WNOHANG) != 0) {
			fprintf(stderr, "pgbouncer did not start\n");
			abort();
		}
	snprintf(b->url, sizeof(b->url), "postgresql://sluice@/postgres?host=%s&port=6432", b->dir);
}

static inline void pg_pooler_stop(struct pg_pooler *b)
{
	char command[128];
	kill(b->pid, SIGKILL);
	waitpid(b->pid, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", b->dir);
	pg_server_shell(command);
}

#endif
