/* The document store from inside: folders, safe opening, and the hash kept beside the bytes.
 *
 *     <dir>/<org>/.hash/<id>     the document's SHA-256, and which file it was computed from
 *     <dir>/<org>/.part/<hex>    being written
 *
 * Ids begin with a letter or a digit, so these names are free. Whoever changes a document holds a lock on its org's folder
 * (flock, so it holds between processes too). */
#ifndef SLUICE_DOCSTORE_STORE_H
#define SLUICE_DOCSTORE_STORE_H

#include <dirent.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/base/id.h"
#include "lib/docstore/docstore.h"

#define NAME_SIZE 129
#define PART_SIZE 33
#define HASH_FOLDER ".hash"
#define PART_FOLDER ".part"
#define DERIVED_FOLDER ".derived"

struct docstore {
	int folder;
	char *dir;
	char marker[ID_UUID_SIZE];
	int64_t max_bytes, max_age_s;
};

struct name {
	char z[NAME_SIZE];
};

/* ---- files.c: nothing here follows a link or leaves `base` ---- */

int name_set(struct name *n, struct str id, struct err *err) MUST_CHECK;

/* errno as an error: ERR_NOT_FOUND, ERR_FULL, ERR_EXISTS, else ERR_IO. Returns the code. */
int file_error(struct err *err, const char *doing, const char *name);

/* A descriptor, or negative. */
int file_open(int base, const char *name, int flags, struct err *err) MUST_CHECK;
int folder_open(int base, const char *name, struct err *err) MUST_CHECK;
int folder_make(int base, const char *name, struct err *err) MUST_CHECK; /* makes it if needed, and opens it */
int folder_lock(int folder, struct err *err) MUST_CHECK;                 /* until it is closed */
DIR *folder_list(int folder); /* to read its entries; NULL on failure; the caller's closedir */

/* A new file in folder's PART_FOLDER, and the folder: both negative on failure. */
struct part {
	int fd, folder;
	char name[PART_SIZE];
};
int part_open(struct part *p, int org, struct err *err) MUST_CHECK;
int part_write(const struct part *p, const void *data, size_t n, struct err *err) MUST_CHECK;
/* The file is on the disk first; `replace`: over what is there, else ERR_EXISTS. */
int part_publish(struct part *p, int folder, const char *name, bool replace, struct err *err) MUST_CHECK;
void part_close(struct part *p); /* removes it where it was not published */

/* ---- hash.c ---- */

/* Fills info for an open document: from what is kept beside it when that describes this very file, else by reading (and then
 * it is kept). */
int hash_info(int org, const char *id, int fd, struct docinfo *info, struct err *err) MUST_CHECK;
/* Keeps the hash of an open document; a failure costs time later, no more. */
void hash_keep(int org, const char *id, int fd, const char *sha256);

/* ---- documents.c ---- */

/* Opens a document and fills info. A descriptor, or negative. */
int document_open(int org, const char *id, struct docinfo *info, struct err *err) MUST_CHECK;
/* Removes a document that was modified before older_than_ms, with its hash and what was derived; the caller holds the lock.
 * ERR_NOT_FOUND when there is none that old. */
int document_remove(int org, const char *id, int64_t older_than_ms, struct err *err) MUST_CHECK;
void document_drop_derived(int org, const char *id);
int64_t modified_wall_ms(const struct stat *st);

#endif
