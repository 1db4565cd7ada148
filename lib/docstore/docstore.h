/* The document store: one folder per org under SLUICE_DOCUMENTS_DIR, shared by api and worker processes.
 *
 *     <dir>/.sluice-store            marker: an id made once; api and workers compare it
 *     <dir>/<org>/<documentId>       the bytes
 *     <dir>/<org>/.derived/<documentId>/text   what processing made of them
 *
 *     <dir>/<org>/.hash, .part         hashes, and files being written
 *
 * Ids (of orgs, documents, kinds): [A-Za-z0-9][A-Za-z0-9._-]{0,127}. Files are opened beneath the folder only (openat2
 * RESOLVE_BENEATH, no links). Writes go to a temporary file, are fsynced and appear whole. Any thread. Errors: ERR_INVALID (id),
 * ERR_NOT_FOUND, ERR_EXISTS, ERR_LIMIT (too large), ERR_FULL (no space), ERR_IO (also where a link stands in the way). */
#ifndef SLUICE_DOCSTORE_DOCSTORE_H
#define SLUICE_DOCSTORE_DOCSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/digest.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct docstore;

struct docstore_options {
	const char *dir;
	int64_t max_bytes;   /* of one document */
	int64_t max_age_s;   /* docstore_sweep removes older ones; 0: never */
};

struct docstore *docstore_open(const struct docstore_options *o, struct err *err);
void docstore_close(struct docstore *d);
const char *docstore_marker(const struct docstore *d); /* the store's id */
/* Is the marker readable and unchanged? (readiness) */
int docstore_check(struct docstore *d, struct err *err) MUST_CHECK;

bool docstore_id_ok(struct str id);

struct docinfo {
	int64_t bytes;
	int64_t modified_wall_ms;
	char sha256[SHA256_HEX_SIZE];
};

/* An open document for reading; the caller closes the fd. The hash is kept beside the bytes, so nothing is read for it. */
int docstore_get(struct docstore *d, struct str org, struct str id, int *fd, struct docinfo *info, struct err *err) MUST_CHECK;
int docstore_stat(struct docstore *d, struct str org, struct str id, struct docinfo *info, struct err *err) MUST_CHECK;
int docstore_delete(struct docstore *d, struct str org, struct str id, struct err *err) MUST_CHECK; /* with what was derived */

/* Writing: begin, write…, then commit or abort. */
struct docwrite;
struct docwrite *docwrite_begin(struct docstore *d, struct str org, struct str id, struct err *err);
int docwrite_add(struct docwrite *w, const void *p, size_t n, struct err *err) MUST_CHECK;
void docwrite_abort(struct docwrite *w);
/* Frees w in any case. if_match: NULL, or the sha256 that the present document must have (ERR_MISMATCH else). Without if_match, other bytes
 * under the same id are ERR_EXISTS. *created: false when the same bytes were there already. */
int docwrite_commit(struct docwrite *w, const char *if_match, struct docinfo *info, bool *created, struct err *err) MUST_CHECK;

/* Derived files (kind: "text", "pages.json"), replaced whole. of_sha256: the document's that the content was made of; ERR_MISMATCH when that has been
 * replaced since. So a derived file is always one of the document that is there. */
int docstore_put_derived(struct docstore *d, struct str org, struct str id, const char *of_sha256, const char *kind, struct str content,
			 struct err *err) MUST_CHECK;
int docstore_get_derived(struct docstore *d, struct str org, struct str id, const char *kind, int *fd, int64_t *bytes, struct err *err)
	MUST_CHECK;

/* Removes documents older than max_age_s, at most `limit` a call; how many. */
int64_t docstore_sweep(struct docstore *d, unsigned limit);

#endif
