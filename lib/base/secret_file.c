#include "lib/base/secret_file.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/id.h"

#define SECRET_BYTES 48
#define FILE_MAX_BYTES 4096

static void secret_path(struct buf *path, const char *dir, const char *name)
{
	buf_addf(path, "%s/%s", dir, name);
}

int secret_file_read(const char *dir, const char *name, struct buf *out, struct err *err)
{
	struct buf path = BUF_INIT;
	secret_path(&path, dir, name);
	int rc = path.failed ? err_set(err, ERR_NOMEM, "out of memory") : fs_read_file(path.p, FILE_MAX_BYTES, out, err);
	if (rc == 0 && out->n && out->p[out->n - 1] == '\n')
		out->n--;
	buf_release(&path);
	return rc;
}

/* Written under a name of its own and then linked to the one that counts, which fails when another process was first. */
static int make_secret(const char *path, struct err *err)
{
	unsigned char bytes[SECRET_BYTES];
	char unique[17];
	struct buf text = BUF_INIT, temporary = BUF_INIT;
	id_random(bytes, sizeof(bytes));
	id_random_hex(unique, 8);
	digest_b64url(&text, bytes, sizeof(bytes));
	buf_addc(&text, '\n');
	buf_addf(&temporary, "%s.%s", path, unique);
	int rc = text.failed || temporary.failed ? err_set(err, ERR_NOMEM, "out of memory")
						 : fs_write_file(temporary.p, buf_str(&text), 0600, err);
	if (rc == 0) {
		if (link(temporary.p, path) < 0 && errno != EEXIST)
			rc = err_errno(err, "%s cannot be made", path);
		(void)unlink(temporary.p);
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	buf_release(&text);
	buf_release(&temporary);
	return rc;
}

int secret_file_ensure(const char *dir, const char *name, struct buf *out, struct err *err)
{
	int rc = secret_file_read(dir, name, out, err);
	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = fs_make_dirs(dir, 0700, err);
	if (rc < 0)
		return rc;
	struct buf path = BUF_INIT;
	secret_path(&path, dir, name);
	rc = path.failed ? err_set(err, ERR_NOMEM, "out of memory") : make_secret(path.p, err);
	buf_release(&path);
	return rc < 0 ? rc : secret_file_read(dir, name, out, err);
}
