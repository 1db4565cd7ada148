#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/fs.h"
#include "lib/redis/rchild_internal.h"

#define CGROUP_MAX_FILE "/sys/fs/cgroup/memory.max"
#define LEAST_MAXMEMORY ((uint64_t)32 << 20)
#define SOCKET_NAME "redis.sock"

int rchild_find_paths(struct rchild_paths *p, const struct rchild_options *o, struct err *err)
{
	char folder[CHILD_SOCKET_MAX];
	const char *name = o->program ? o->program : "redis-server";
	if (!child_find_program(p->program, name))
		return err_set(err, ERR_NOT_FOUND, "%s is not installed: apt-get install redis-server (or set REDIS_URL to use another Redis)", name);
	int rc = child_find_folder(p->data_dir, o->data_dir, err);
	if (rc == 0)
		rc = child_join(p->stores, sizeof(p->stores), p->data_dir, "redis", err);
	if (rc == 0)
		rc = fs_make_dirs(p->stores, 0700, err);
	if (rc == 0)
		rc = child_join(p->config, sizeof(p->config), p->data_dir, "redis.conf", err);
	if (rc == 0)
		rc = child_join(p->log, sizeof(p->log), p->data_dir, "redis.log", err);
	if (rc == 0)
		rc = child_find_socket_folder(folder, p->data_dir, SOCKET_NAME, geteuid(), err);
	return rc < 0 ? rc : child_join(p->socket, sizeof(p->socket), folder, SOCKET_NAME, err);
}

/* The socket is where the process that owns the data has put it. */
int rchild_find_addr(const char *data_dir, struct raddr *out, struct err *err)
{
	struct stat st;
	struct raddr addr = {0};
	char stores[PATH_MAX], full[PATH_MAX], folder[CHILD_SOCKET_MAX];
	int rc = child_join(stores, sizeof(stores), data_dir, "redis", err);
	if (rc == 0 && (stat(stores, &st) < 0 || !realpath(data_dir, full)))
		rc = err_set(err, ERR_NOT_FOUND, "there is no embedded Redis in %s", data_dir);
	if (rc == 0)
		rc = child_find_socket_folder(folder, full, SOCKET_NAME, st.st_uid, err);
	if (rc == 0)
		rc = child_join(addr.unix_path, sizeof(addr.unix_path), folder, SOCKET_NAME, err);
	if (rc == 0)
		*out = addr;
	return rc;
}

/* ---- the configuration ---- */

/* Half of what this process may use: the machine's memory or the container's limit. */
static uint64_t half_of_memory(void)
{
	uint64_t limit, total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	struct buf text = BUF_INIT;
	if (fs_read_file(CGROUP_MAX_FILE, 64, &text, NULL) == 0) {
		struct str s = buf_str(&text);
		if (str_to_u64(str_cut(&s, '\n'), &limit) == 0 && limit < total) /* "max" when there is no limit */
			total = limit;
	}
	buf_release(&text);
	return total / 2 > LEAST_MAXMEMORY ? total / 2 : LEAST_MAXMEMORY;
}

/* name "value" as redis.conf quotes it. */
static void add_quoted(struct buf *b, const char *name, struct str value)
{
	buf_addf(b, "%s \"", name);
	for (size_t i = 0; i < value.n; i++)
		buf_addf(b, "\\x%02x", (unsigned char)value.p[i]);
	buf_addz(b, "\"\n");
}

static int bad_listen(struct err *err)
{
	return err_set(err, ERR_INVALID, "the Redis listen address is \"host:port\" or \"[IPv6]:port\"");
}

static int add_listen(struct buf *b, const struct rchild_options *o, struct err *err)
{
	if (!o->listen) {
		buf_addz(b, "port 0\n");
		return 0;
	}
	const char *colon = strrchr(o->listen, ':');
	uint64_t port;
	if (!colon || str_to_u64(str_from(colon + 1), &port) < 0 || port < 1 || port > 65535)
		return bad_listen(err);
	struct str host = {o->listen, (size_t)(colon - o->listen)};
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_sub(host, 1, host.n - 2);
	if (host.n == 0)
		return bad_listen(err);
	if (!o->password || !o->password[0])
		return err_set(err, ERR_INVALID, "a Redis that listens on %s needs a password", o->listen);
	add_quoted(b, "bind", host);
	buf_addf(b, "port %u\n", (unsigned)port);
	return 0;
}

static int build_config(struct buf *b, const struct rchild_paths *p, const struct rchild_options *o, struct err *err)
{
	buf_addz(b, "# Written at each start; changes here are lost.\n");
	int rc = add_listen(b, o, err);
	if (rc < 0)
		return rc;
	add_quoted(b, "unixsocket", str_from(p->socket));
	if (o->password && o->password[0])
		add_quoted(b, "requirepass", str_from(o->password));
	add_quoted(b, "dir", str_from(p->stores));
	buf_addf(b, "maxmemory %llu\n", (unsigned long long)(o->maxmemory_bytes ? o->maxmemory_bytes : half_of_memory()));
	buf_addz(b, "unixsocketperm 600\n"
	            "maxmemory-policy noeviction\n"
	            "appendonly yes\n"
	            "appendfsync always\n"
	            "aof-load-truncated yes\n"
	            "save \"\"\n"
	            "enable-debug-command no\n"
	            "enable-module-command no\n"
	            "enable-protected-configs no\n"
	            "daemonize no\n"
	            "supervised no\n"
	            "always-show-logo no\n"
	            "logfile \"\"\n");
	return b->failed ? err_set(err, ERR_NOMEM, "redis.conf: %s", err_sentence(ERR_NOMEM)) : 0;
}

int rchild_write_config(const struct rchild_paths *p, const struct rchild_options *o, struct err *err)
{
	struct buf b = BUF_INIT;
	int rc = build_config(&b, p, o, err);
	if (rc == 0)
		rc = fs_write_file(p->config, buf_str(&b), 0600, err);
	if (b.p)
		explicit_bzero(b.p, b.n);
	buf_release(&b);
	return rc;
}
