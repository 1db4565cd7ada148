#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/redis/rchild_internal.h"

#define CGROUP_MAX_FILE "/sys/fs/cgroup/memory.max"
#define LEAST_MAXMEMORY ((uint64_t)32 << 20)
#define LOG_TAIL_BYTES 2048

static int join(char *out, size_t size, const char *folder, const char *name, struct err *err)
{
	if ((size_t)snprintf(out, size, "%s/%s", folder, name) >= size)
		return err_set(err, ERR_INVALID, "the path of the data folder is too long");
	return 0;
}

/* ---- the program ---- */

static bool is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static int find_program(char out[PATH_MAX], const char *name, struct err *err)
{
	const char *path = getenv("PATH");
	struct str rest = str_from(path ? path : "/usr/local/bin:/usr/bin:/bin");
	if (strchr(name, '/'))
		rest = STR("");
	if (!rest.n && (size_t)snprintf(out, PATH_MAX, "%s", name) < PATH_MAX && is_program(out))
		return 0;
	while (rest.n) {
		struct str folder = str_cut(&rest, ':');
		int n = snprintf(out, PATH_MAX, "%.*s/%s", STR_ARG(folder), name);
		if (folder.n && n < PATH_MAX && is_program(out))
			return 0;
	}
	return err_set(err, ERR_NOT_FOUND, "%s is not installed: apt-get install redis-server (or set REDIS_URL to use another Redis)",
	               name);
}

/* ---- the socket ---- */

/* A folder that nobody else can have prepared: ours, 0700, not a link. */
static int make_private_folder(const char *path, struct err *err)
{
	struct stat st;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "cannot make %s", path);
	if (lstat(path, &st) < 0)
		return err_errno(err, "cannot look at %s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return err_set(err, ERR_DENIED, "%s belongs to somebody else or is open to others", path);
	return 0;
}

/* The same short path for the same data folder. */
static int find_short_socket(struct rchild_paths *p, struct err *err)
{
	unsigned char hash[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE], folder[RCHILD_SOCKET_MAX - 12];
	const char *base = getenv("XDG_RUNTIME_DIR");
	digest_sha256(str_from(p->data_dir), hash);
	digest_hex(hash, 8, hex);
	if (!base || base[0] != '/' || strlen(base) > 40)
		base = "/tmp";
	snprintf(folder, sizeof(folder), "%s/sluice-%u-%s", base, (unsigned)geteuid(), hex);
	int rc = make_private_folder(folder, err);
	return rc < 0 ? rc : join(p->socket, sizeof(p->socket), folder, "redis.sock", err);
}

static int find_socket(struct rchild_paths *p, struct err *err)
{
	return join(p->socket, sizeof(p->socket), p->data_dir, "redis.sock", NULL) == 0 ? 0 : find_short_socket(p, err);
}

static int find_folder(struct rchild_paths *p, const char *data_dir, struct err *err)
{
	int rc = fs_make_dirs(data_dir, 0700, err);
	if (rc < 0)
		return rc;
	char *full = realpath(data_dir, NULL);
	if (!full)
		return err_errno(err, "cannot resolve %s", data_dir);
	bool fits = (size_t)snprintf(p->data_dir, sizeof(p->data_dir), "%s", full) < sizeof(p->data_dir);
	free(full);
	if (!fits)
		return err_set(err, ERR_INVALID, "the path of the data folder is too long");
	rc = join(p->stores, sizeof(p->stores), p->data_dir, "redis", err);
	return rc < 0 ? rc : fs_make_dirs(p->stores, 0700, err);
}

int rchild_find_paths(struct rchild_paths *p, const struct rchild_options *o, struct err *err)
{
	int rc = find_program(p->program, o->program ? o->program : "redis-server", err);
	if (rc == 0)
		rc = find_folder(p, o->data_dir, err);
	if (rc == 0)
		rc = join(p->config, sizeof(p->config), p->data_dir, "redis.conf", err);
	if (rc == 0)
		rc = join(p->log, sizeof(p->log), p->data_dir, "redis.log", err);
	return rc < 0 ? rc : find_socket(p, err);
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

/* ---- the log ---- */

void rchild_last_log_line(const struct rchild_paths *p, char *out, size_t size)
{
	char tail[LOG_TAIL_BYTES + 1];
	snprintf(out, size, "see %s", p->log);
	int fd = open(p->log, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	off_t end = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, tail, LOG_TAIL_BYTES, end > LOG_TAIL_BYTES ? end - LOG_TAIL_BYTES : 0);
	close(fd);
	while (n > 0 && tail[n - 1] == '\n')
		n--;
	if (n <= 0)
		return;
	tail[n] = '\0';
	const char *line = strrchr(tail, '\n');
	snprintf(out, size, "%s", line ? line + 1 : tail);
}
