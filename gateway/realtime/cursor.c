#include "gateway/realtime/cursor.h"

#include "lib/base/digest.h"

#define MARK_BYTES 4

int cursor_init(struct cursor *c, const struct str *queues, size_t n, struct arena *a)
{
	unsigned char sum[SHA256_BYTES];

	*c = (struct cursor){.at = arena_array(a, n, sizeof(*c->at)), .n = n};
	digest_sha256_parts(queues, n, sum);
	digest_hex(sum, MARK_BYTES, c->mark);
	return c->at ? 0 : ERR_NOMEM;
}

void cursor_write(const struct cursor *c, struct buf *out)
{
	if (c->n > 1)
		buf_addz(out, c->mark);
	for (size_t i = 0; i < c->n; i++) {
		if (c->n > 1)
			buf_addc(out, '~');
		buf_addu(out, c->at[i].ms);
		buf_addc(out, '-');
		buf_addu(out, c->at[i].seq);
	}
}

/* The ids, into `at` when that is given. */
static int read_ids(struct str text, size_t n, struct event_id *at)
{
	struct event_id id;
	size_t i = 0;

	for (; text.p; i++) {
		struct str one = str_cut(&text, '~');
		if (i >= n || event_id_read(one, &id) < 0)
			return ERR_INVALID;
		if (at)
			at[i] = id;
	}
	return i == n ? 0 : ERR_INVALID;
}

int cursor_read(struct cursor *c, struct str text)
{
	if (c->n > 1 && !str_is(str_cut(&text, '~'), c->mark))
		return ERR_INVALID;
	if (!text.p || read_ids(text, c->n, NULL) < 0)
		return ERR_INVALID;
	return read_ids(text, c->n, c->at);
}
