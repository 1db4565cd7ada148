#include "lib/docstore/docstore.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/docstore/store.h"

#define MARKER ".sluice-store"
#define PART_MAX_AGE_MS (24LL * 3600 * 1000) /* what is older was left by a crash */

/* ---- the marker ---- */

static int read_marker(int folder, char out[ID_UUID_SIZE], struct err *err)
{
	int fd = file_open(folder, MARKER, O_RDONLY | O_NONBLOCK, err);
	if (fd < 0)
		return fd;
	ssize_t n = pread(fd, out, ID_UUID_SIZE - 1, 0);
	(void)close(fd);
	if (n != ID_UUID_SIZE - 1)
		return err_set(err, ERR_IO, MARKER " is damaged");
	out[n] = '\0';
	return 0;
}

/* Of several processes that start at once, one makes the marker: ERR_EXISTS for the others. */
static int make_marker(int folder, struct err *err)
{
	struct part p;
	char id[ID_UUID_SIZE];
	id_uuid7(id);
	int rc = part_open(&p, folder, err);
	if (rc < 0)
		return rc;
	rc = part_write(&p, id, sizeof(id) - 1, err);
	if (rc == 0)
		rc = part_publish(&p, folder, MARKER, false, err);
	part_close(&p);
	return rc;
}

static int open_marker(struct docstore *d, struct err *err)
{
	struct err detail = {0};
	int rc = read_marker(d->folder, d->marker, &detail);
	if (rc == ERR_NOT_FOUND) {
		rc = make_marker(d->folder, &detail);
		if (rc == 0 || rc == ERR_EXISTS)
			rc = read_marker(d->folder, d->marker, &detail);
	}
	return rc < 0 ? err_set(err, rc, "%s", detail.text) : 0;
}

/* ---- the store ---- */

static int open_store(struct docstore *d, const struct docstore_options *o, struct err *err)
{
	int rc = fs_make_dirs(o->dir, 0770, err);
	if (rc < 0)
		return rc;
	d->dir = strdup(o->dir);
	if (!d->dir)
		return err_set(err, ERR_NOMEM, "out of memory");
	d->folder = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->folder < 0)
		return file_error(err, "open", o->dir);
	return open_marker(d, err);
}

struct docstore *docstore_open(const struct docstore_options *o, struct err *err)
{
	struct docstore *d = malloc(sizeof(*d));
	if (!d) {
		(void)err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	*d = (struct docstore){.folder = -1, .max_bytes = o->max_bytes, .max_age_s = o->max_age_s};
	if (open_store(d, o, err) < 0) {
		docstore_close(d);
		return NULL;
	}
	return d;
}

void docstore_close(struct docstore *d)
{
	if (!d)
		return;
	if (d->folder >= 0)
		(void)close(d->folder);
	free(d->dir);
	free(d);
}

const char *docstore_marker(const struct docstore *d)
{
	return d->marker;
}

int docstore_check(struct docstore *d, struct err *err)
{
	/* By its path, not through the open folder: the volume may have been unmounted under it. */
	int folder = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return file_error(err, "open", d->dir);
	char marker[ID_UUID_SIZE];
	int rc = read_marker(folder, marker, err);
	(void)close(folder);
	if (rc == 0 && strcmp(marker, d->marker) != 0)
		return err_set(err, ERR_MISMATCH, "%s is another document store now", d->dir);
	return rc;
}

/* ---- the age limit ---- */

typedef int64_t entry_fn(int folder, const char *name, int64_t older_than_ms);

/* Calls fn for the folder's entries whose names are ids, until it has removed `limit` files; how many. */
static int64_t sweep_entries(int folder, entry_fn *fn, int64_t older_than_ms, int64_t limit)
{
	DIR *dir = folder_list(folder);
	if (!dir)
		return 0;
	int64_t removed = 0;
	for (const struct dirent *e; removed < limit && (e = readdir(dir));)
		if (docstore_id_ok(str_from(e->d_name)))
			removed += fn(folder, e->d_name, older_than_ms);
	(void)closedir(dir);
	return removed;
}

static int64_t sweep_document(int org, const char *name, int64_t older_than_ms)
{
	struct stat st;
	if (fstatat(org, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || modified_wall_ms(&st) >= older_than_ms)
		return 0;
	if (folder_lock(org, NULL) < 0)
		return 0;
	int rc = document_remove(org, name, older_than_ms, NULL);
	(void)flock(org, LOCK_UN);
	return rc == 0;
}

static int64_t sweep_part(int folder, const char *name, int64_t older_than_ms)
{
	struct stat st;
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && modified_wall_ms(&st) < older_than_ms)
		(void)unlinkat(folder, name, 0);
	return 0;
}

static int64_t sweep_org(const struct docstore *d, const char *name, int64_t now_ms, int64_t limit)
{
	int org = folder_open(d->folder, name, NULL);
	if (org < 0)
		return 0;
	int parts = folder_open(org, PART_FOLDER, NULL);
	if (parts >= 0) {
		(void)sweep_entries(parts, sweep_part, now_ms - PART_MAX_AGE_MS, limit);
		(void)close(parts);
	}
	int64_t removed = d->max_age_s > 0 ? sweep_entries(org, sweep_document, now_ms - d->max_age_s * 1000, limit) : 0;
	(void)close(org);
	return removed;
}

int64_t docstore_sweep(struct docstore *d, unsigned limit)
{
	DIR *dir = folder_list(d->folder);
	if (!dir)
		return 0;
	int64_t now_ms = clock_wall_ms(), removed = 0;
	for (const struct dirent *e; removed < limit && (e = readdir(dir));)
		if (docstore_id_ok(str_from(e->d_name)))
			removed += sweep_org(d, e->d_name, now_ms, limit - removed);
	(void)closedir(dir);
	return removed;
}
