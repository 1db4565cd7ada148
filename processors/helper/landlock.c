/* Landlock without a library: there is none in Debian 12, and its kernel headers stop at the second version of the interface. The numbers
 * below are those of linux/landlock.h; the kernel's version is asked at run time and only what it knows is requested. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "processors/helper/sandbox.h"

#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1

#define FS_EXECUTE (1ull << 0)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_WRITE_FILE (1ull << 1)

#define NET_ALL 3ull   /* bind and connect, TCP */
#define SCOPE_ALL 3ull /* abstract Unix sockets, signals */

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct __attribute__((packed)) path_attr {
	uint64_t allowed;
	int32_t parent_fd;
};

struct place {
	const char *path;
	uint64_t rights;
};

/* Programs may be executed one by one only; links are followed, so the dynamic loader is named by its fixed address. */
static const struct place places[] = {
	{"/usr", FS_READ_FILE | FS_READ_DIR},
	{"/lib", FS_READ_FILE | FS_READ_DIR},
	{"/lib64", FS_READ_FILE | FS_READ_DIR},
	{"/etc/fonts", FS_READ_FILE | FS_READ_DIR},
	{"/etc/poppler", FS_READ_FILE | FS_READ_DIR},
	{"/etc/ld.so.cache", FS_READ_FILE},
	{"/etc/magic", FS_READ_FILE},
	{"/dev/null", FS_READ_FILE | FS_WRITE_FILE},
	{"/dev/urandom", FS_READ_FILE},
	{"/usr/bin/pdfinfo", FS_READ_FILE | FS_EXECUTE},
	{"/usr/bin/pdftotext", FS_READ_FILE | FS_EXECUTE},
	{"/usr/bin/qpdf", FS_READ_FILE | FS_EXECUTE},
	{"/lib64/ld-linux-x86-64.so.2", FS_READ_FILE | FS_EXECUTE},
	{"/lib/ld-linux-aarch64.so.1", FS_READ_FILE | FS_EXECUTE},
};

/* Every right that version `abi` of the kernel's interface can withhold. */
static uint64_t fs_rights(int abi)
{
	if (abi >= 5)
		return (1ull << 16) - 1; /* ioctl on devices */
	if (abi >= 3)
		return (1ull << 15) - 1; /* truncate */
	return abi >= 2 ? (1ull << 14) - 1 /* refer */ : (1ull << 13) - 1;
}

static int add_rule(int ruleset, int fd, uint64_t rights, const char *what, struct err *err)
{
	struct path_attr attr = {rights, fd};
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0) < 0)
		return err_errno(err, "landlock rule for %s", what);
	return 0;
}

static int add_place(int ruleset, const struct place *p, struct err *err)
{
	int fd = open(p->path, O_PATH | O_CLOEXEC);
	if (fd < 0) /* what is not there needs no permission */
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(err, "open %s", p->path);
	int rc = add_rule(ruleset, fd, p->rights, p->path, err);
	close(fd);
	return rc;
}

static int add_rules(int ruleset, int input_fd, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int rc = add_place(ruleset, &places[i], err);
		if (rc < 0)
			return rc;
	}
	/* The tools open the document a second time, through /dev/fd. */
	return input_fd < 0 ? 0 : add_rule(ruleset, input_fd, FS_READ_FILE, "the document", err);
}

int landlock_enter(int input_fd, int *abi, struct err *err)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
	if (version < 1)
		return err_set(err, ERR_UNAVAILABLE, "this kernel has no Landlock");
	struct ruleset_attr attr = {
		.fs = fs_rights((int)version),
		.net = version >= 4 ? NET_ALL : 0,
		.scoped = version >= 6 ? SCOPE_ALL : 0,
	};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return err_errno(err, "landlock ruleset");
	int rc = add_rules(ruleset, input_fd, err);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		rc = err_errno(err, "landlock restrict");
	close(ruleset);
	if (rc == 0)
		*abi = (int)version;
	return rc;
}
