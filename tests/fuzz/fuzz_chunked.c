/* The chunked coding: however the bytes are cut, the same comes out of them, and never more than went in. */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/http/chunked.h"
#include "lib/base/buf.h"
#include "lib/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int decode(const uint8_t *data, size_t n, size_t step, struct buf *out)
{
	struct chunked c = {0};
	int rc = CHUNKED_MORE;

	for (size_t at = 0; at < n && rc == CHUNKED_MORE; at += step) {
		size_t some = n - at < step ? n - at : step, got;
		char *piece = malloc(some);
		bug_on(!piece);
		memcpy(piece, data + at, some);
		rc = chunked_decode(&c, piece, some, &got);
		bug_on(got > some);
		buf_add(out, piece, got);
		free(piece);
	}
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT;
	size_t step = size > 1 ? 1 + data[0] % 31 : 1;
	int rc = decode(data, size, size ? size : 1, &whole);

	bug_on(decode(data, size, step, &cut) != rc);
	bug_on(!str_eq(buf_str(&whole), buf_str(&cut)));
	buf_release(&whole);
	buf_release(&cut);
	return 0;
}
