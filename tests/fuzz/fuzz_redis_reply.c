/* What a server may send. The first byte cuts the rest into pieces; whole or in pieces, the reader must see the same replies, and
 * the readers of replies must stand every one of them. */
#include <stdint.h>

#include "lib/base/panic.h"
#include "lib/redis/rmux.h"
#include "lib/redis/rparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	uint64_t hash;
	size_t replies;
	int rc; /* of the last rparse_next or rparse_feed */
};

static void mix(struct outcome *o, const void *p, size_t n)
{
	const unsigned char *bytes = p;
	for (size_t i = 0; i < n; i++)
		o->hash = (o->hash ^ bytes[i]) * 1099511628211u;
}

static void look_at(struct outcome *o, const redisReply *r)
{
	struct err err = {0};
	int64_t v = 0;
	struct str s = rreply_str(r);
	int failed = rreply_error(r, &err);
	mix(o, &r->type, sizeof(r->type));
	if (s.p)
		mix(o, s.p, s.n);
	if (rreply_int(r, &v))
		mix(o, &v, sizeof(v));
	bug_on((failed < 0) != (r->type == REDIS_REPLY_ERROR));
	bug_on(rreply_is_nil(r) && s.p);
	for (size_t i = 0; rreply_at(r, i); i++)
		look_at(o, rreply_at(r, i));
}

static int feed_piece(struct rparse *p, struct outcome *o, const char *bytes, size_t n)
{
	redisReply *r = NULL;
	int rc = rparse_feed(p, bytes, n, NULL);
	while (rc == 0 && (rc = rparse_next(p, &r, NULL)) > 0) {
		rc = 0;
		o->replies++;
		look_at(o, r);
		rreply_free(r);
	}
	return rc;
}

static struct outcome parse_in_pieces(const char *bytes, size_t n, size_t piece)
{
	struct outcome o = {.hash = 14695981039346656037u};
	struct rparse p;
	bug_on(rparse_init(&p) < 0);
	while (n > 0 && o.rc == 0) {
		size_t now = n < piece ? n : piece;
		o.rc = feed_piece(&p, &o, bytes, now);
		bytes += now;
		n -= now;
	}
	rparse_release(&p);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t piece = data[0] ? data[0] : 1;
	struct outcome whole = parse_in_pieces((const char *)data + 1, size - 1, RPARSE_PIECE_BYTES);
	struct outcome cut = parse_in_pieces((const char *)data + 1, size - 1, piece);
	bug_on(whole.replies != cut.replies || whole.hash != cut.hash || whole.rc != cut.rc);
	return 0;
}
