/* Text decoding: whatever the bytes, what comes out is UTF-8 without NUL, within its limit, the same however it arrives. */
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/panic.h"
#include "processors/helper/text.h"

#define MAX_TEXT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_back(const struct text_out *t, int fd, struct buf *b)
{
	char block[MAX_TEXT];
	ssize_t n = pread(fd, block, sizeof(block), 0);
	bug_on(n < 0 || (uint64_t)n != t->bytes);
	buf_add(b, block, (size_t)n);
	bug_on(!str_is_utf8(buf_str(b)) || memchr(block, '\0', (size_t)n));
}

static void decode(struct str in, struct buf *b)
{
	struct text_out t;
	size_t mark;
	const char *charset = text_charset(in, &mark);
	if (!charset)
		return;
	bug_on(mark > in.n);
	int fd = memfd_create("text", MFD_CLOEXEC);
	text_out_init(&t, fd, MAX_TEXT);
	bug_on(text_decode(str_sub(in, mark, in.n - mark), charset, &t) < 0);
	take_back(&t, fd, b);
	close(fd);
}

static void stream(struct str in, size_t piece, struct buf *b)
{
	struct text_out t;
	int fd = memfd_create("text", MFD_CLOEXEC);
	text_out_init(&t, fd, MAX_TEXT);
	for (size_t i = 0; i < in.n && text_out_add(&t, in.p + i, in.n - i < piece ? in.n - i : piece);)
		i += piece;
	bug_on(text_out_finish(&t) < 0);
	take_back(&t, fd, b);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};
	struct buf decoded = BUF_INIT, whole = BUF_INIT, pieces = BUF_INIT;
	decode(in, &decoded);
	stream(in, size + 1, &whole);
	stream(in, 3, &pieces);
	bug_on(!str_eq(buf_str(&whole), buf_str(&pieces)));
	buf_release(&decoded);
	buf_release(&whole);
	buf_release(&pieces);
	return 0;
}
