/* The lobby's look at the first bytes of a connection, which come in pieces: it wants the same however they are cut, the same when more is there
 * than the head, and never more than a head and the largest body that is waited for. */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/http/lobby.h"
#include "lib/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the first n bytes, in a block of their own: a read past them is seen. */
static size_t look(const uint8_t *data, size_t n, size_t seen)
{
	char *piece = malloc(n);
	bug_on(!piece);
	memcpy(piece, data, n);
	size_t wanted = lobby_bytes_wanted((struct str){piece, n}, seen);
	(void)lobby_is_urgent((struct str){piece, n});
	free(piece);
	return wanted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step = size > 1 ? 1 + data[0] % 31 : 1, seen = 0, wanted = 0;

	for (size_t n = 0; n < size && !wanted; seen = n) {
		n += size - n < step ? size - n : step;
		wanted = look(data, n, seen);
		bug_on(wanted != look(data, n, 0));
		bug_on(wanted > n + LOBBY_BODY_BYTES);
	}
	if (wanted > seen) /* a head, of which all is there */
		bug_on(look(data, size, 0) != wanted);
	return 0;
}
