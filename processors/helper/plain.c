/* Plain text in any of the usual encodings. */
#include "processors/helper/extract.h"

bool plain_check(struct extract *x)
{
	size_t mark;
	x->report.text_source = text_charset(x->bytes, &mark);
	if (!x->report.text_source)
		return extract_fail(x, FAILURE_CORRUPT, "declared and recognized as text, but it has bytes that no text has");
	return true;
}

bool plain_take(struct extract *x)
{
	size_t mark;
	const char *charset = text_charset(x->bytes, &mark);
	int rc = text_decode(str_sub(x->bytes, mark, x->bytes.n - mark), charset, &x->text);
	if (rc == ERR_INVALID)
		return extract_fail(x, FAILURE_HELPER_FAILED, arena_printf(x->arena, "no converter for %s is installed", charset));
	return true; /* a failed write is the text's own, sticky failure */
}
