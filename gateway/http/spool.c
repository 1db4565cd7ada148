#include "gateway/http/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define TEXT_BYTES ((size_t)128 << 10)

void spool_init(struct spool *s, const char *folder)
{
	*s = (struct spool){.folder = folder, .fd = -1};
}

/* Some file systems know no file without a name: one is taken away from it then. */
static int open_file(struct spool *s, struct err *err)
{
	s->fd = open(s->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->fd >= 0)
		return 0;
	struct buf path = BUF_INIT;
	buf_addf(&path, "%s/answer-XXXXXX", s->folder);
	if (path.failed)
		return err_set(err, ERR_NOMEM, "no memory for an answer");
	s->fd = mkostemp(path.p, O_CLOEXEC);
	int rc = s->fd < 0 ? err_errno(err, "cannot make a file in %s", s->folder) : 0;
	if (rc == 0)
		unlink(path.p);
	buf_release(&path);
	return rc;
}

static int move_text(struct spool *s, struct err *err)
{
	int rc = s->fd < 0 ? open_file(s, err) : 0;

	for (size_t done = 0; rc == 0 && done < s->text.n;) {
		ssize_t n = write(s->fd, s->text.p + done, s->text.n - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			rc = err_errno(err, "cannot write an answer's file in %s", s->folder);
	}
	s->bytes += rc == 0 ? (int64_t)s->text.n : 0;
	buf_clear(&s->text);
	return rc;
}

int spool_flush(struct spool *s, struct err *err)
{
	if (s->text.failed)
		return err_set(err, ERR_NOMEM, "no memory for an answer");
	return s->text.n < TEXT_BYTES ? 0 : move_text(s, err);
}

int spool_finish(struct spool *s, struct response *res, struct err *err)
{
	int rc = s->text.failed ? err_set(err, ERR_NOMEM, "no memory for an answer") : 0;

	if (rc == 0 && s->fd < 0) {
		buf_clear(&res->body);
		buf_adds(&res->body, buf_str(&s->text));
		return 0;
	}
	if (rc == 0)
		rc = move_text(s, err);
	if (rc == 0 && lseek(s->fd, 0, SEEK_SET) < 0)
		rc = err_errno(err, "cannot read an answer's file in %s", s->folder);
	if (rc < 0)
		return rc;
	res->file_fd = s->fd;
	res->file_bytes = s->bytes;
	s->fd = -1;
	return 0;
}

void spool_release(struct spool *s)
{
	buf_release(&s->text);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
