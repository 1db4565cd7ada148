#include "lib/redis/rchild.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/child/child.h"
#include "lib/child/dirlock.h"
#include "lib/child/exec.h"
#include "lib/log/log.h"
#include "lib/redis/raof.h"
#include "lib/redis/rchild_internal.h"
#include "lib/redis/rconn.h"

#define LOCK_WAIT_MS 5000
#define READY_TRY_MS 500

struct rchild {
	/* set before start */
	struct rchild_paths paths;
	struct raddr addr;
	int lock_fd;
	struct child *child;
	struct log *log;

	/* the supervisor's */
	struct rconn *probe;
};

/* ---- on the supervisor's thread ---- */

static int prepare(void *owner, int stop_fd UNUSED, struct err *err)
{
	struct rchild *c = owner;
	int64_t cut;
	int rc = raof_mend(c->paths.stores, &cut, err);
	if (cut > 0)
		LOG(c->log, LOG_WARN, "redis_unfinished_write", log_int("bytes", cut));
	return rc;
}

static pid_t spawn(void *owner, struct err *err)
{
	struct rchild *c = owner;
	char name[] = "redis-server";
	char *argv[] = {name, c->paths.config, NULL};
	struct child_program p = {.path = c->paths.program, .argv = argv, .envp = environ, .log = c->paths.log, .lock_fd = c->lock_fd};
	return child_exec(&p, err);
}

static bool answers(void *owner)
{
	struct rchild *c = owner;
	struct err err = {0};
	int rc = rconn_open(c->probe, clock_mono_ms() + READY_TRY_MS, &err);
	rconn_close(c->probe);
	return rc == 0 || strstr(err.text, "LOADING") != NULL;
}

static void last_words(void *owner, char *out, size_t size)
{
	const struct rchild *c = owner;
	child_last_log_line(c->paths.log, out, size);
}

static const struct child_kind KIND = {
	.name = "redis-server",
	.thread = "redis-child",
	.ready_event = "redis_child_ready",
	.ended_event = "redis_child_ended",
	.killed_event = "redis_child_killed",
	.stop_signal = SIGTERM,
	.ready_within_ms = 30000, /* loading does not count */
	.look_every_ms = 2,
	.prepare = prepare,
	.spawn = spawn,
	.answers = answers,
	.last_words = last_words,
};

/* ---- the owner ---- */

static void set_address(struct rchild *c, const struct rchild_options *o)
{
	snprintf(c->addr.unix_path, sizeof(c->addr.unix_path), "%s", c->paths.socket);
	if (o->password)
		snprintf(c->addr.password, sizeof(c->addr.password), "%s", o->password);
}

static int check_password(const struct rchild *c, const struct rchild_options *o, struct err *err)
{
	struct str s = str_from(o->password);
	if (s.n >= sizeof(c->addr.password))
		return err_set(err, ERR_INVALID, "the Redis password is too long");
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return err_set(err, ERR_INVALID, "the Redis password holds a character that is not printable ASCII");
	return 0;
}

static int set_up(struct rchild *c, const struct rchild_options *o, struct err *err)
{
	int rc = check_password(c, o, err);
	if (rc == 0)
		rc = rchild_find_paths(&c->paths, o, err);
	if (rc < 0)
		return rc;
	c->lock_fd = dirlock_take(c->paths.data_dir, o->lock_wait_ms > 0 ? o->lock_wait_ms : LOCK_WAIT_MS, err);
	if (c->lock_fd < 0)
		return c->lock_fd;
	rc = rchild_write_config(&c->paths, o, err);
	if (rc < 0)
		return rc;
	set_address(c, o);
	c->probe = rconn_new(&c->addr, NULL, err);
	return c->probe ? 0 : ERR_NOMEM;
}

struct rchild *rchild_start(const struct rchild_options *o, struct err *err)
{
	struct rchild *c = calloc(1, sizeof(*c));
	if (!c) {
		err_set(err, ERR_NOMEM, "redis-server: %s", err_sentence(ERR_NOMEM));
		return NULL;
	}
	c->lock_fd = -1;
	c->log = o->log;
	if (set_up(c, o, err) == 0 && (c->child = child_start(&KIND, c, o->log, err)) && child_await(c->child, err) == 0)
		return c;
	rchild_stop(c);
	return NULL;
}

void rchild_stop(struct rchild *c)
{
	if (!c)
		return;
	child_stop(c->child);
	rconn_free(c->probe);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	explicit_bzero(c->addr.password, sizeof(c->addr.password));
	free(c);
}

void rchild_addr(const struct rchild *c, struct raddr *out)
{
	*out = c->addr;
}

pid_t rchild_pid(struct rchild *c)
{
	return child_pid(c->child);
}
