/* A document's hash stands in a file of its own, as a line "<sha256> <inode> <size> <modified, ns>". Where the last three are
 * not those of the document (a crash between the two files, a restored backup), the line counts for nothing and the hash is
 * computed again. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "lib/docstore/store.h"

#define LINE_SIZE 192
#define READ_BYTES ((size_t)16 << 10)

static void format_line(char out[LINE_SIZE], const char *sha256, const struct stat *st)
{
	(void)snprintf(out, LINE_SIZE, "%s %" PRIu64 " %" PRId64 " %" PRId64 "%09ld\n", sha256, (uint64_t)st->st_ino, (int64_t)st->st_size,
		       (int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

/* The hash kept for this very file; false when there is none. */
static bool read_kept(int org, const char *id, const struct stat *st, char sha256[SHA256_HEX_SIZE])
{
	int folder = folder_open(org, HASH_FOLDER, NULL);
	if (folder < 0)
		return false;
	int fd = file_open(folder, id, O_RDONLY | O_NONBLOCK, NULL);
	(void)close(folder);
	if (fd < 0)
		return false;
	char line[LINE_SIZE], expected[LINE_SIZE];
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);
	(void)close(fd);
	if (n < SHA256_HEX_SIZE)
		return false;
	line[n] = '\0';
	memcpy(sha256, line, SHA256_HEX_SIZE - 1);
	sha256[SHA256_HEX_SIZE - 1] = '\0';
	format_line(expected, sha256, st);
	return strcmp(line, expected) == 0;
}

void hash_keep(int org, const char *id, int fd, const char *sha256)
{
	struct stat st;
	struct part p;
	int folder = folder_make(org, HASH_FOLDER, NULL);
	if (folder < 0)
		return;
	if (fstat(fd, &st) == 0 && part_open(&p, org, NULL) == 0) {
		char line[LINE_SIZE];
		format_line(line, sha256, &st);
		/* Not synced: what a crash leaves of it does not match, and is computed again. */
		if (part_write(&p, line, strlen(line), NULL) == 0 && renameat(p.folder, p.name, folder, id) == 0)
			p.name[0] = '\0';
		part_close(&p);
	}
	(void)close(folder);
}

/* From the beginning, whatever the descriptor's position, which stays. */
static int hash_file(int fd, EVP_MD_CTX *ctx)
{
	unsigned char part[READ_BYTES];
	for (off_t at = 0;;) {
		ssize_t n = pread(fd, part, sizeof(part), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		if (EVP_DigestUpdate(ctx, part, (size_t)n) != 1)
			return -1;
		at += n;
	}
}

static int compute(int fd, char sha256[SHA256_HEX_SIZE])
{
	unsigned char digest[SHA256_BYTES];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 && hash_file(fd, ctx) == 0 &&
		  EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return ERR_IO;
	digest_hex(digest, sizeof(digest), sha256);
	return 0;
}

int hash_info(int org, const char *id, int fd, struct docinfo *info, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return file_error(err, "read", id);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_IO, "%s is no plain file", id);
	info->bytes = st.st_size;
	info->modified_wall_ms = modified_wall_ms(&st);
	if (read_kept(org, id, &st, info->sha256))
		return 0;
	if (compute(fd, info->sha256) < 0)
		return err_set(err, ERR_IO, "cannot compute the hash of %s", id);
	hash_keep(org, id, fd, info->sha256);
	return 0;
}
