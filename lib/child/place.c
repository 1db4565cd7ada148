#include "lib/child/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"

#define LOG_TAIL_BYTES 2048

int child_join(char *out, size_t size, const char *folder, const char *name, struct err *err)
{
	if ((size_t)snprintf(out, size, "%s/%s", folder, name) >= size)
		return err_set(err, ERR_INVALID, "the path of the data folder is too long");
	return 0;
}

int child_find_folder(char out[CHILD_FOLDER_MAX], const char *folder, struct err *err)
{
	int rc = fs_make_dirs(folder, 0700, err);
	if (rc < 0)
		return rc;
	char *full = realpath(folder, NULL);
	if (!full)
		return err_errno(err, "cannot resolve %s", folder);
	bool fits = (size_t)snprintf(out, CHILD_FOLDER_MAX, "%s", full) < CHILD_FOLDER_MAX;
	free(full);
	return fits ? 0 : err_set(err, ERR_INVALID, "the path of the data folder is too long");
}

/* ---- the program ---- */

bool child_is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

bool child_find_program(char out[PATH_MAX], const char *name)
{
	const char *path = getenv("PATH");
	struct str rest = str_from(path ? path : "/usr/local/bin:/usr/bin:/bin");
	if (strchr(name, '/'))
		return (size_t)snprintf(out, PATH_MAX, "%s", name) < PATH_MAX && child_is_program(out);
	while (rest.n) {
		struct str folder = str_cut(&rest, ':');
		int n = snprintf(out, PATH_MAX, "%.*s/%s", STR_ARG(folder), name);
		if (folder.n && n < PATH_MAX && child_is_program(out))
			return true;
	}
	return false;
}

/* ---- the socket ---- */

/* A folder that nobody else can have prepared: its owner's, 0700, not a link. */
static int make_private_folder(const char *path, uid_t owner, struct err *err)
{
	struct stat st;
	bool made = mkdir(path, 0700) == 0;
	if (!made && errno != EEXIST)
		return err_errno(err, "cannot make %s", path);
	if (made && owner != geteuid() && lchown(path, owner, (gid_t)-1) < 0)
		return err_errno(err, "cannot give %s away", path);
	if (lstat(path, &st) < 0)
		return err_errno(err, "cannot look at %s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != owner || (st.st_mode & 077) != 0)
		return err_set(err, ERR_DENIED, "%s belongs to somebody else or is open to others", path);
	return 0;
}

int child_find_socket_folder(char out[CHILD_SOCKET_MAX], const char *folder, const char *name, uid_t owner, struct err *err)
{
	unsigned char hash[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];
	const char *base = getenv("XDG_RUNTIME_DIR");
	if (strlen(folder) + 1 + strlen(name) < CHILD_SOCKET_MAX && !strchr(folder, ',')) { /* libpq takes a comma for the end of a host */
		snprintf(out, CHILD_SOCKET_MAX, "%s", folder);
		return 0;
	}
	digest_sha256(str_from(folder), hash);
	digest_hex(hash, 8, hex);
	if (!base || base[0] != '/' || strlen(base) > 40 || owner != geteuid())
		base = "/tmp";
	snprintf(out, CHILD_SOCKET_MAX, "%s/sluice-%u-%s", base, (unsigned)owner, hex);
	return make_private_folder(out, owner, err);
}

/* ---- the log ---- */

void child_last_log_line(const char *log, char *out, size_t size)
{
	char tail[LOG_TAIL_BYTES + 1];
	snprintf(out, size, "see %s", log);
	int fd = open(log, O_RDONLY | O_CLOEXEC);
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
