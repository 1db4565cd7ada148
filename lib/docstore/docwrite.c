#include <openssl/evp.h>
#include <unistd.h>

#include "lib/docstore/store.h"

struct docwrite {
	int org;
	struct name id;
	struct part part;
	EVP_MD_CTX *hash;
	int64_t bytes, max_bytes;
	bool failed; /* some bytes are missing: it must not be published */
};

/* Opens what a write needs; the caller frees w when this fails. */
static int begin(struct docwrite *w, struct docstore *d, struct str org, struct str id, struct err *err)
{
	struct name org_name;
	int rc = name_set(&w->id, id, err);
	if (rc < 0 || (rc = name_set(&org_name, org, err)) < 0)
		return rc;
	w->org = folder_make(d->folder, org_name.z, err);
	if (w->org < 0)
		return w->org;
	w->hash = EVP_MD_CTX_new();
	if (!w->hash || EVP_DigestInit_ex(w->hash, EVP_sha256(), NULL) != 1)
		return err_set(err, ERR_NOMEM, "out of memory");
	return part_open(&w->part, w->org, err);
}

struct docwrite *docwrite_begin(struct docstore *d, struct str org, struct str id, struct err *err)
{
	struct docwrite *w = calloc(1, sizeof(*w));
	if (!w) {
		(void)err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	*w = (struct docwrite){.org = -1, .part = {.fd = -1, .folder = -1}, .max_bytes = d->max_bytes};
	if (begin(w, d, org, id, err) < 0) {
		docwrite_abort(w);
		return NULL;
	}
	return w;
}

void docwrite_abort(struct docwrite *w)
{
	if (!w)
		return;
	part_close(&w->part);
	EVP_MD_CTX_free(w->hash);
	if (w->org >= 0)
		(void)close(w->org);
	free(w);
}

int docwrite_add(struct docwrite *w, const void *p, size_t n, struct err *err)
{
	bool room = n <= INT64_MAX && (int64_t)n <= w->max_bytes - w->bytes;
	int rc = room ? part_write(&w->part, p, n, err)
		      : err_set(err, ERR_LIMIT, "a document may have at most %lld bytes", (long long)w->max_bytes);
	if (rc == 0 && n && EVP_DigestUpdate(w->hash, p, n) != 1)
		rc = err_set(err, ERR_IO, "cannot compute the hash");
	if (rc < 0)
		w->failed = true;
	else
		w->bytes += (int64_t)n;
	return rc;
}

/* Puts the bytes in place, under the lock; `replace`: there is a document, and what was derived from it goes with it. */
static int publish(struct docwrite *w, const char *sha256, bool replace, struct docinfo *info, struct err *err)
{
	struct stat st;
	if (replace)
		document_drop_derived(w->org, w->id.z);
	int rc = part_publish(&w->part, w->org, w->id.z, replace, err);
	if (rc < 0)
		return rc;
	if (fstat(w->part.fd, &st) < 0)
		return file_error(err, "read", w->id.z);
	hash_keep(w->org, w->id.z, w->part.fd, sha256);
	*info = (struct docinfo){.bytes = w->bytes, .modified_wall_ms = modified_wall_ms(&st)};
	memcpy(info->sha256, sha256, SHA256_HEX_SIZE);
	return 0;
}

/* Compares with what is there, and puts the bytes in place where that is right. */
static int settle(struct docwrite *w, const char *sha256, const char *if_match, struct docinfo *info, bool *created, struct err *err)
{
	struct docinfo present;
	struct err detail = {0};
	int fd = document_open(w->org, w->id.z, &present, &detail);
	if (fd < 0 && fd != ERR_NOT_FOUND)
		return err_set(err, fd, "%s", detail.text);
	bool exists = fd >= 0;
	if (exists)
		(void)close(fd);
	if (if_match && (!exists || strcmp(if_match, present.sha256) != 0))
		return err_set(err, ERR_MISMATCH, "the document is not the one that was meant");
	bool same = exists && strcmp(sha256, present.sha256) == 0;
	if (same) {
		*info = present;
		*created = false;
		return 0;
	}
	if (exists && !if_match)
		return err_set(err, ERR_EXISTS, "other bytes are stored under this id");
	int rc = publish(w, sha256, exists, info, err);
	if (rc == 0)
		*created = true;
	return rc;
}

static int commit(struct docwrite *w, const char *if_match, struct docinfo *info, bool *created, struct err *err)
{
	unsigned char digest[SHA256_BYTES];
	char sha256[SHA256_HEX_SIZE];
	if (w->failed || EVP_DigestFinal_ex(w->hash, digest, NULL) != 1)
		return err_set(err, ERR_IO, "the document was not written whole");
	digest_hex(digest, sizeof(digest), sha256);
	int rc = folder_lock(w->org, err);
	return rc < 0 ? rc : settle(w, sha256, if_match, info, created, err);
}

int docwrite_commit(struct docwrite *w, const char *if_match, struct docinfo *info, bool *created, struct err *err)
{
	int rc = commit(w, if_match, info, created, err);
	docwrite_abort(w);
	return rc;
}
