#include "lib/redis/raof.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/fs.h"

#define MANIFEST_MAX ((size_t)1 << 20)

/* ---- commands, one after the other ---- */

static void pass(struct str *rest, size_t n)
{
	*rest = str_sub(*rest, n, rest->n - n);
}

/* The number behind the sign, and its line; false when it is not there whole. */
static bool read_number(struct str *rest, char sign, uint64_t *n)
{
	const char *end = rest->n && rest->p[0] == sign ? memchr(rest->p, '\n', rest->n) : NULL;
	if (!end || end < rest->p + 3 || end[-1] != '\r' || str_to_u64(str_sub(*rest, 1, (size_t)(end - rest->p) - 2), n) < 0)
		return false;
	pass(rest, (size_t)(end - rest->p) + 1);
	return true;
}

static bool read_argument(struct str *rest, struct str *argument)
{
	uint64_t n;
	if (!read_number(rest, '$', &n) || n > rest->n || rest->n - n < 2)
		return false;
	*argument = str_sub(*rest, 0, (size_t)n);
	pass(rest, (size_t)n + 2);
	return true;
}

/* Passes over a whole command; its name, or an empty one for a remark ("#TS:…"). */
static bool read_command(struct str *rest, struct str *name)
{
	struct str argument;
	uint64_t n;
	*name = STR("");
	if (rest->n && rest->p[0] == '#') {
		const char *end = memchr(rest->p, '\n', rest->n);
		if (end)
			pass(rest, (size_t)(end - rest->p) + 1);
		return end != NULL;
	}
	if (!read_number(rest, '*', &n) || n == 0 || !read_argument(rest, name))
		return false;
	while (--n > 0)
		if (!read_argument(rest, &argument))
			return false;
	return true;
}

int64_t raof_unfinished(struct str bytes)
{
	struct str rest = bytes, name;
	int64_t begin = -1;
	for (const char *at = rest.p; read_command(&rest, &name); at = rest.p) {
		if (str_ieq(name, STR("MULTI")))
			begin = at - bytes.p;
		else if (str_ieq(name, STR("EXEC")))
			begin = -1;
	}
	return begin;
}

/* ---- the file ---- */

/* The manifest has lines "file NAME seq N type i", the one that is written to comes last. */
static bool find_last(struct str manifest, const char *folder, char *path)
{
	bool found = false;
	while (manifest.n) {
		struct str line = str_cut(&manifest, '\n');
		bool incremental = str_ends(line, STR(" type i"));
		(void)str_cut(&line, ' ');
		struct str name = str_cut(&line, ' ');
		if (incremental)
			found = snprintf(path, PATH_MAX, "%s/appendonlydir/%.*s", folder, STR_ARG(name)) < PATH_MAX;
	}
	return found;
}

static int cut_file(const char *path, int fd, int64_t *cut, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot look at %s", path);
	if (st.st_size == 0)
		return 0;
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_errno(err, "cannot read %s", path);
	int64_t begin = raof_unfinished((struct str){p, (size_t)st.st_size});
	munmap(p, (size_t)st.st_size);
	if (begin < 0)
		return 0;
	*cut = st.st_size - begin;
	return ftruncate(fd, begin) < 0 ? err_errno(err, "cannot cut %s", path) : 0;
}

int raof_mend(const char *folder, int64_t *cut, struct err *err)
{
	char path[PATH_MAX];
	struct buf manifest = BUF_INIT;
	*cut = 0;
	if (snprintf(path, sizeof(path), "%s/appendonlydir/appendonly.aof.manifest", folder) >= PATH_MAX)
		return err_set(err, ERR_IO, "%s is too long", folder);
	int rc = fs_read_file(path, MANIFEST_MAX, &manifest, err);
	bool found = rc == 0 && find_last(buf_str(&manifest), folder, path);
	buf_release(&manifest);
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (!found)
		return rc;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, "cannot open %s", path);
	rc = cut_file(path, fd, cut, err);
	close(fd);
	return rc;
}
