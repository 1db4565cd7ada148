#include "lib/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/id.h"

static int read_all(int fd, const char *path, size_t max_bytes, struct buf *out, struct err *err)
{
	char part[8192];
	size_t total = 0;
	for (;;) {
		ssize_t n = read(fd, part, sizeof(part));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "cannot read %s", path);
		if (n == 0)
			return 0;
		total += (size_t)n;
		if (total > max_bytes)
			return err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
		buf_add(out, part, (size_t)n);
		if (out->failed)
			return err_set(err, ERR_NOMEM, "out of memory while reading %s", path);
	}
}

int fs_read_file(const char *path, size_t max_bytes, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(err, ERR_NOT_FOUND, "%s does not exist", path);
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	int rc = read_all(fd, path, max_bytes, out, err);
	(void)close(fd);
	return rc;
}

static int write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_IO;
		s = str_sub(s, (size_t)n, s.n - (size_t)n);
	}
	return 0;
}

/* Creates `temporary` with the content on the disk; errno says what failed. */
static int write_synced(const char *temporary, struct str content, mode_t mode)
{
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return ERR_IO;
	int rc = write_all(fd, content) < 0 || fsync(fd) < 0 ? ERR_IO : 0;
	int why = errno;
	if (close(fd) < 0 && rc == 0)
		return ERR_IO;
	errno = why;
	return rc;
}

/* A rename is on the disk once its folder is. */
static int sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (!folder)
		return ERR_IO;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(folder);
	if (fd < 0)
		return ERR_IO;
	int rc = fsync(fd) < 0 ? ERR_IO : 0;
	int why = errno;
	(void)close(fd);
	errno = why;
	return rc;
}

int fs_write_file(const char *path, struct str content, mode_t mode, struct err *err)
{
	struct buf temporary = BUF_INIT;
	char suffix[17];
	id_random_hex(suffix, 8);
	buf_addf(&temporary, "%s.%s.tmp", path, suffix);
	if (temporary.failed)
		return err_set(err, ERR_NOMEM, "out of memory");
	int rc = 0;
	if (write_synced(temporary.p, content, mode) < 0 || rename(temporary.p, path) < 0) {
		rc = err_errno(err, "cannot write %s", path);
		(void)unlink(temporary.p);
	} else if (sync_folder_of(path) < 0) {
		rc = err_errno(err, "cannot sync the folder of %s", path);
	}
	buf_release(&temporary);
	return rc;
}

static int make_dir(const char *path, mode_t mode, struct err *err)
{
	if (mkdir(path, mode) == 0)
		return 0;
	int why = errno;
	struct stat st;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	errno = why;
	return err_errno(err, "cannot make the folder %s", path);
}

int fs_make_dirs(const char *path, mode_t mode, struct err *err)
{
	char *copy = strdup(path);
	if (!copy)
		return err_set(err, ERR_NOMEM, "out of memory");
	int rc = 0;
	for (char *at = copy; *at && rc == 0; at++) {
		if (at == copy || *at != '/' || at[-1] == '/')
			continue;
		*at = '\0';
		rc = make_dir(copy, mode, err);
		*at = '/';
	}
	if (rc == 0)
		rc = make_dir(copy, mode, err);
	free(copy);
	return rc;
}
