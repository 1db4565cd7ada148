#include "gateway/early_log.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int early_log_begin(struct early_log *e, int real, struct err *err)
{
	*e = (struct early_log){.fd = memfd_create("log", MFD_CLOEXEC), .real = real};
	return e->fd < 0 ? err_errno(err, "memory for the log cannot be had") : 0;
}

/* Whole lines at a time: other threads write theirs meanwhile. */
static void copy_all(int from, int to)
{
	char piece[65536];
	off_t at = 0;
	ssize_t n;
	while ((n = pread(from, piece, sizeof(piece), at)) > 0) {
		const char *end = memrchr(piece, '\n', (size_t)n);
		size_t whole = end ? (size_t)(end - piece) + 1 : (size_t)n;
		if (write(to, piece, whole) != (ssize_t)whole)
			return;
		at += (off_t)whole;
	}
}

void early_log_end(struct early_log *e)
{
	int held = e->real >= 0 ? dup(e->fd) : -1;
	if (held < 0)
		return;
	if (dup3(e->real, e->fd, O_CLOEXEC) >= 0)
		copy_all(held, e->real);
	close(held);
	e->real = -1;
}

void early_log_release(struct early_log *e)
{
	early_log_end(e);
	close(e->fd);
}
