#include <fcntl.h>
#include <unistd.h>

#include "lib/docstore/store.h"

int64_t modified_wall_ms(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

int document_open(int org, const char *id, struct docinfo *info, struct err *err)
{
	int fd = file_open(org, id, O_RDONLY | O_NONBLOCK, err);
	if (fd < 0)
		return fd;
	int rc = hash_info(org, id, fd, info, err);
	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	return fd;
}

static int open_org(const struct docstore *d, struct str org, struct err *err)
{
	struct name name;
	int rc = name_set(&name, org, err);
	return rc < 0 ? rc : folder_open(d->folder, name.z, err);
}

/* The org's folder, and the document's id as a name. */
static int open_org_for(const struct docstore *d, struct str org, struct str id, struct name *name, struct err *err)
{
	int rc = name_set(name, id, err);
	return rc < 0 ? rc : open_org(d, org, err);
}

int docstore_get(struct docstore *d, struct str org, struct str id, int *fd, struct docinfo *info, struct err *err)
{
	struct name name;
	int folder = open_org_for(d, org, id, &name, err);
	if (folder < 0)
		return folder;
	int document = document_open(folder, name.z, info, err);
	(void)close(folder);
	if (document < 0)
		return document;
	*fd = document;
	return 0;
}

int docstore_stat(struct docstore *d, struct str org, struct str id, struct docinfo *info, struct err *err)
{
	int fd;
	int rc = docstore_get(d, org, id, &fd, info, err);
	if (rc == 0)
		(void)close(fd);
	return rc;
}

/* ---- removing ---- */

static void empty_folder(int folder)
{
	DIR *dir = folder_list(folder);
	if (!dir)
		return;
	for (const struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.')
			(void)unlinkat(folder, e->d_name, 0);
	(void)closedir(dir);
}

void document_drop_derived(int org, const char *id)
{
	int derived = folder_open(org, DERIVED_FOLDER, NULL);
	int folder = derived < 0 ? -1 : folder_open(derived, id, NULL);
	if (folder >= 0) {
		empty_folder(folder);
		(void)close(folder);
		(void)unlinkat(derived, id, AT_REMOVEDIR);
	}
	if (derived >= 0)
		(void)close(derived);
}

static void drop_hash(int org, const char *id)
{
	int folder = folder_open(org, HASH_FOLDER, NULL);
	if (folder < 0)
		return;
	(void)unlinkat(folder, id, 0);
	(void)close(folder);
}

int document_remove(int org, const char *id, int64_t older_than_ms, struct err *err)
{
	struct stat st;
	if (fstatat(org, id, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return file_error(err, "find", id);
	if (modified_wall_ms(&st) >= older_than_ms)
		return err_set(err, ERR_NOT_FOUND, "%s is not that old", id);
	document_drop_derived(org, id);
	if (unlinkat(org, id, 0) < 0)
		return file_error(err, "remove", id);
	drop_hash(org, id);
	return fsync(org) < 0 ? file_error(err, "remove", id) : 0;
}

int docstore_delete(struct docstore *d, struct str org, struct str id, struct err *err)
{
	struct name name;
	int folder = open_org_for(d, org, id, &name, err);
	if (folder < 0)
		return folder;
	int rc = folder_lock(folder, err);
	if (rc == 0)
		rc = document_remove(folder, name.z, INT64_MAX, err);
	(void)close(folder);
	return rc;
}

/* ---- derived files ---- */

/* The folder for what is derived from a document, made when it is missing. */
static int make_derived(int org, const char *id, struct err *err)
{
	int derived = folder_make(org, DERIVED_FOLDER, err);
	if (derived < 0)
		return derived;
	int folder = folder_make(derived, id, err);
	(void)close(derived);
	return folder;
}

static int check_present(int org, const char *id, const char *sha256, struct err *err)
{
	struct docinfo present;
	int fd = document_open(org, id, &present, err);
	if (fd < 0)
		return fd;
	(void)close(fd);
	return strcmp(present.sha256, sha256) == 0 ? 0 : err_set(err, ERR_MISMATCH, "%s has been replaced", id);
}

/* The caller holds the lock, so the document can neither go nor be replaced while its derived file comes. */
static int put_derived(int org, const char *id, const char *of_sha256, const char *kind, struct str content, struct err *err)
{
	struct part p;
	int rc = check_present(org, id, of_sha256, err);
	if (rc < 0)
		return rc;
	int folder = make_derived(org, id, err);
	if (folder < 0)
		return folder;
	rc = part_open(&p, org, err);
	if (rc == 0) {
		rc = part_write(&p, content.p, content.n, err);
		if (rc == 0)
			rc = part_publish(&p, folder, kind, true, err);
		part_close(&p);
	}
	(void)close(folder);
	return rc;
}

int docstore_put_derived(struct docstore *d, struct str org, struct str id, const char *of_sha256, const char *kind, struct str content,
			 struct err *err)
{
	struct name name, kind_name;
	int rc = name_set(&kind_name, str_from(kind), err);
	if (rc < 0)
		return rc;
	int folder = open_org_for(d, org, id, &name, err);
	if (folder < 0)
		return folder;
	rc = folder_lock(folder, err);
	if (rc == 0)
		rc = put_derived(folder, name.z, of_sha256, kind_name.z, content, err);
	(void)close(folder);
	return rc;
}

static int open_derived(int org, const char *id, const char *kind, struct err *err)
{
	int derived = folder_open(org, DERIVED_FOLDER, err);
	int folder = derived < 0 ? derived : folder_open(derived, id, err);
	int fd = folder < 0 ? folder : file_open(folder, kind, O_RDONLY | O_NONBLOCK, err);
	if (folder >= 0)
		(void)close(folder);
	if (derived >= 0)
		(void)close(derived);
	return fd;
}

int docstore_get_derived(struct docstore *d, struct str org, struct str id, const char *kind, int *fd, int64_t *bytes, struct err *err)
{
	struct name name, kind_name;
	int rc = name_set(&kind_name, str_from(kind), err);
	if (rc < 0)
		return rc;
	int folder = open_org_for(d, org, id, &name, err);
	if (folder < 0)
		return folder;
	int file = open_derived(folder, name.z, kind_name.z, err);
	(void)close(folder);
	if (file < 0)
		return file;
	struct stat st;
	if (fstat(file, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)close(file);
		return err_set(err, ERR_IO, "%s is no plain file", kind_name.z);
	}
	*fd = file;
	*bytes = st.st_size;
	return 0;
}
