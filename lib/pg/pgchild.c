#include "lib/pg/pgchild.h"

#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/child/child.h"
#include "lib/child/dirlock.h"
#include "lib/log/log.h"
#include "lib/pg/pg_internal.h"
#include "lib/pg/pgchild_internal.h"

#define LOCK_WAIT_MS 5000
#define LOCK_LOOK_MS 50

struct pgchild {
	/* set before start */
	struct pgchild_paths paths;
	struct child_identity identity;
	struct buf url;
	struct log *log;
	int64_t lock_wait_ms;
	struct child *child;

	/* the supervisor's */
	int lock_fd;
};

/* What a server of one gateway's records needs, not what the machine could give. */
static const char *const settings[] = {
	"listen_addresses=",
	"port=5432",
	"max_connections=20",
	"shared_buffers=32MB",
	"wal_level=minimal",
	"max_wal_senders=0",
	"max_wal_size=256MB",
	"synchronous_commit=on",
	"fsync=on",
	"full_page_writes=on",
	"autovacuum=on",
	"jit=off",
	"unix_socket_permissions=0700",
	"logging_collector=off",
	"log_destination=stderr",
	"log_min_messages=log", /* a refused statement is told to who sent it; its values are nobody else's business */
	"log_min_error_statement=panic",
	"log_checkpoints=off",
	"cluster_name=sluice",
};

/* Nothing of this process's environment, which holds secrets and may hold PG… variables. */
static char path_entry[] = "PATH=/usr/local/bin:/usr/bin:/bin", locale_entry[] = "LC_ALL=C";
static char *const environment[] = {path_entry, locale_entry, NULL};

/* Records are written while requests are served, and nobody waits for them: on busy processors they come last. */
#define NICE 10

static struct child_program program_of(const struct pgchild *c, const char *path, const char *const *argv)
{
	/* execve changes nothing of them; its declaration lacks the const. */
	return (struct child_program){path, (char *const *)(uintptr_t)argv, environment, c->paths.log, c->lock_fd, c->identity, NICE};
}

/* ---- on the supervisor's thread ---- */

static bool is_stopped(int stop_fd)
{
	struct pollfd p = {.fd = stop_fd, .events = POLLIN};
	return poll(&p, 1, 0) > 0;
}

/* The processes of the one before may still be ending. */
static int take_lock(struct pgchild *c, int stop_fd, struct err *err)
{
	int64_t deadline = clock_mono_ms() + c->lock_wait_ms;
	while (c->lock_fd < 0) {
		int fd = dirlock_take(c->paths.folder, LOCK_LOOK_MS, err);
		if (fd < 0 && (fd != ERR_TAKEN || clock_mono_ms() >= deadline))
			return fd;
		c->lock_fd = fd;
		if (is_stopped(stop_fd))
			return err_set(err, ERR_STOPPING, "PostgreSQL is not wanted any more");
	}
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int make_data(struct pgchild *c, int stop_fd, struct err *err)
{
	char line[120];
	int64_t since = clock_mono_ms();
	const char *const argv[] = {"initdb", "-D", c->paths.new_data, "-U", "sluice", "-A", "trust", "-E", "UTF8", "--no-locale",
				    "--data-checksums", "--no-instructions", NULL};
	struct child_program initdb = program_of(c, c->paths.initdb, argv);
	(void)nftw(c->paths.new_data, remove_entry, 16, FTW_DEPTH | FTW_PHYS); /* what an interrupted one has left */
	int rc = child_run(&initdb, stop_fd, err);
	child_last_log_line(c->paths.log, line, sizeof(line));
	if (rc == ERR_UNAVAILABLE)
		return err_set(err, rc, "the data of PostgreSQL could not be made: %s", line);
	if (rc < 0)
		return rc;
	if (rename(c->paths.new_data, c->paths.data) < 0)
		return err_errno(err, "cannot rename %s", c->paths.new_data);
	LOG(c->log, LOG_INFO, "postgres_data_made", log_int("ms", clock_mono_ms() - since));
	return 0;
}

static int prepare(void *owner, int stop_fd, struct err *err)
{
	struct pgchild *c = owner;
	struct stat st;
	int rc = take_lock(c, stop_fd, err);
	if (rc < 0)
		return rc;
	return stat(c->paths.data, &st) == 0 ? 0 : make_data(c, stop_fd, err);
}

/* It is a list, whose items stand in quotes. */
static void add_socket_folder(struct buf *out, const char *folder)
{
	buf_addz(out, "unix_socket_directories=\"");
	for (const char *c = folder; *c; c++) {
		if (*c == '"')
			buf_addc(out, '"');
		buf_addc(out, *c);
	}
	buf_addc(out, '"');
}

static pid_t spawn(void *owner, struct err *err)
{
	const struct pgchild *c = owner;
	struct buf socket = BUF_INIT;
	const char *argv[2 * ARRAY_LEN(settings) + 8] = {"postgres", "-D", c->paths.data};
	size_t n = 3;
	add_socket_folder(&socket, c->paths.socket_folder);
	if (socket.failed)
		return err_set(err, ERR_NOMEM, "postgres: %s", err_sentence(ERR_NOMEM));
	for (size_t i = 0; i <= ARRAY_LEN(settings); i++) {
		argv[n++] = "-c";
		argv[n++] = i < ARRAY_LEN(settings) ? settings[i] : socket.p;
	}
	struct child_program postgres = program_of(c, c->paths.postgres, argv);
	pid_t pid = child_exec(&postgres, err);
	buf_release(&socket);
	return pid;
}

/* One that is still recovering has started: the pool waits for the rest. */
static bool answers(void *owner)
{
	const struct pgchild *c = owner;
	const char *const names[] = {"dbname", "connect_timeout", NULL}, *const values[] = {c->url.p, "2", NULL};
	PGPing ping = PQpingParams(names, values, 1);
	return ping == PQPING_OK || ping == PQPING_REJECT;
}

static void last_words(void *owner, char *out, size_t size)
{
	const struct pgchild *c = owner;
	child_last_log_line(c->paths.log, out, size);
}

static const struct child_kind KIND = {
	.name = "postgres",
	.thread = "pg-child",
	.ready_event = "postgres_child_ready",
	.ended_event = "postgres_child_ended",
	.killed_event = "postgres_child_killed",
	.stop_signal = SIGINT,
	.ready_within_ms = 60000,
	.look_every_ms = 10,
	.tries_for_ever = true,
	.prepare = prepare,
	.spawn = spawn,
	.answers = answers,
	.last_words = last_words,
};

/* ---- the owner ---- */

static int set_up(struct pgchild *c, const struct pgchild_options *o, struct err *err)
{
	int rc = pgchild_find_paths(&c->paths, o, err);
	if (rc == 0)
		rc = pgchild_choose_identity(&c->paths, &c->identity, err);
	if (rc == 0)
		rc = pgchild_find_socket(&c->paths, &c->identity, err);
	if (rc < 0)
		return rc;
	pgchild_write_url(&c->url, c->paths.socket_folder);
	return c->url.failed ? err_set(err, ERR_NOMEM, "postgres: %s", err_sentence(ERR_NOMEM)) : 0;
}

struct pgchild *pgchild_start(const struct pgchild_options *o, struct err *err)
{
	struct pgchild *c = calloc(1, sizeof(*c));
	if (!c) {
		err_set(err, ERR_NOMEM, "postgres: %s", err_sentence(ERR_NOMEM));
		return NULL;
	}
	c->log = o->log;
	c->lock_wait_ms = o->lock_wait_ms > 0 ? o->lock_wait_ms : LOCK_WAIT_MS;
	c->lock_fd = -1;
	if (set_up(c, o, err) == 0 && (c->child = child_start(&KIND, c, o->log, err)))
		return c;
	pgchild_stop(c);
	return NULL;
}

void pgchild_stop(struct pgchild *c)
{
	if (!c)
		return;
	child_stop(c->child);
	if (*c->paths.socket_folder && strcmp(c->paths.socket_folder, c->paths.folder) != 0)
		(void)rmdir(c->paths.socket_folder);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	buf_release(&c->url);
	free(c);
}

const char *pgchild_url(const struct pgchild *c)
{
	return c->url.p;
}

pid_t pgchild_pid(struct pgchild *c)
{
	return child_pid(c->child);
}
