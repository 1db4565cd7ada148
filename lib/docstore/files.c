#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/docstore/store.h"

#define FOLDER_MODE 0770 /* the umask has the last word on both */
#define FILE_MODE 0660
#define DESCRIPTOR_NONE (-1)

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool docstore_id_ok(struct str id)
{
	if (id.n == 0 || id.n >= NAME_SIZE || !is_alnum(id.p[0]))
		return false;
	for (size_t i = 1; i < id.n; i++)
		if (!is_alnum(id.p[i]) && id.p[i] != '.' && id.p[i] != '_' && id.p[i] != '-')
			return false;
	return true;
}

int name_set(struct name *n, struct str id, struct err *err)
{
	if (!docstore_id_ok(id))
		return err_set(err, ERR_INVALID, "an id is 1 to 128 letters, digits, '.', '_' or '-' and begins with a letter or a digit");
	memcpy(n->z, id.p, id.n);
	n->z[id.n] = '\0';
	return 0;
}

int file_error(struct err *err, const char *doing, const char *name)
{
	static const struct {
		int number, code;
	} codes[] = {{ENOENT, ERR_NOT_FOUND}, {ENOSPC, ERR_FULL}, {EDQUOT, ERR_FULL}, {EFBIG, ERR_FULL}, {EEXIST, ERR_EXISTS}};
	int number = errno, code = ERR_IO;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].number == number)
			code = codes[i].code;
	if (number == ELOOP)
		return err_set(err, code, "cannot %s %s: there is a link in the way", doing, name);
	(void)err_errno(err, "cannot %s %s", doing, name);
	if (err)
		err->code = code;
	return code;
}

int file_open(int base, const char *name, int flags, struct err *err)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC | O_NOCTTY),
		.mode = flags & O_CREAT ? FILE_MODE : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	for (;;) {
		long fd = syscall(SYS_openat2, base, name, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EINTR && errno != EAGAIN) /* EAGAIN: a rename elsewhere made the kernel unsure of "beneath" */
			return file_error(err, "open", name);
	}
}

int folder_open(int base, const char *name, struct err *err)
{
	return file_open(base, name, O_RDONLY | O_DIRECTORY, err);
}

int folder_make(int base, const char *name, struct err *err)
{
	if (mkdirat(base, name, FOLDER_MODE) == 0) {
		if (fsync(base) < 0)
			return file_error(err, "make the folder", name);
	} else if (errno != EEXIST) {
		return file_error(err, "make the folder", name);
	}
	return folder_open(base, name, err);
}

int folder_lock(int folder, struct err *err)
{
	while (flock(folder, LOCK_EX) < 0)
		if (errno != EINTR)
			return file_error(err, "lock", "an org's folder");
	return 0;
}

DIR *folder_list(int folder)
{
	int own = file_open(folder, ".", O_RDONLY | O_DIRECTORY, NULL);
	if (own < 0)
		return NULL;
	DIR *dir = fdopendir(own);
	if (!dir)
		(void)close(own);
	return dir;
}

/* ---- files that appear whole ---- */

int part_open(struct part *p, int org, struct err *err)
{
	*p = (struct part){.fd = DESCRIPTOR_NONE, .folder = folder_make(org, PART_FOLDER, err)};
	if (p->folder < 0)
		return p->folder;
	char name[PART_SIZE];
	id_random_hex(name, (PART_SIZE - 1) / 2);
	p->fd = file_open(p->folder, name, O_WRONLY | O_CREAT | O_EXCL, err);
	if (p->fd < 0) {
		int rc = p->fd;
		part_close(p);
		return rc;
	}
	memcpy(p->name, name, sizeof(name));
	return 0;
}

int part_write(const struct part *p, const void *data, size_t n, struct err *err)
{
	struct str rest = {data, n};
	while (rest.n) {
		ssize_t written = write(p->fd, rest.p, rest.n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return file_error(err, "write", "a document");
		rest = str_sub(rest, (size_t)written, rest.n - (size_t)written);
	}
	return 0;
}

int part_publish(struct part *p, int folder, const char *name, bool replace, struct err *err)
{
	if (fsync(p->fd) < 0)
		return file_error(err, "write", name);
	int rc = replace ? renameat(p->folder, p->name, folder, name) : linkat(p->folder, p->name, folder, name, 0);
	if (rc < 0)
		return file_error(err, "put in place", name);
	if (replace)
		p->name[0] = '\0';
	return fsync(folder) < 0 ? file_error(err, "put in place", name) : 0;
}

void part_close(struct part *p)
{
	if (p->name[0])
		(void)unlinkat(p->folder, p->name, 0);
	if (p->fd >= 0)
		(void)close(p->fd);
	if (p->folder >= 0)
		(void)close(p->folder);
	*p = (struct part){.fd = DESCRIPTOR_NONE, .folder = DESCRIPTOR_NONE};
}
