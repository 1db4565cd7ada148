/* The writer of RESP requests: the same bytes as hiredis' redisFormatSdsCommandArgv, but argument by argument and into a
 * buffer that is used again. */
#include "lib/redis/rmux.h"

#define ARG_FRAME_BYTES (1 + STR_U64_SIZE + 2 + 2) /* what stands around an argument */

static void add_header(struct buf *b, char kind, size_t n)
{
	buf_addc(b, kind);
	buf_addu(b, n);
	buf_add(b, "\r\n", 2);
}

void rcmd_begin(struct rcmd *c, size_t n_args)
{
	add_header(&c->wire, '*', n_args);
	c->commands++;
}

/* Nearly all of a command goes through here, so there is one look at the room for the whole of an argument. */
void rcmd_arg(struct rcmd *c, struct str s)
{
	char room[STR_U64_SIZE];
	struct str size = str_of_u64(room, s.n);
	struct buf *b = &c->wire;
	buf_reserve(b, s.n + ARG_FRAME_BYTES);
	if (b->failed)
		return;
	char *at = b->p + b->n;
	*at++ = '$';
	at = mempcpy(at, size.p, size.n);
	at = mempcpy(at, "\r\n", 2);
	at = s.n ? mempcpy(at, s.p, s.n) : at;
	at = mempcpy(at, "\r\n", 3); /* and the NUL */
	b->n = (size_t)(at - b->p) - 1;
}

void rcmd_argz(struct rcmd *c, const char *z)
{
	rcmd_arg(c, str_from(z));
}

void rcmd_argi(struct rcmd *c, int64_t v)
{
	char room[1 + STR_U64_SIZE];
	struct str text = str_of_u64(room + 1, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
	if (v < 0) {
		text = (struct str){text.p - 1, text.n + 1};
		room[text.p - room] = '-';
	}
	rcmd_arg(c, text);
}

void rcmd_script(struct rcmd *c, const struct rscript *s, size_t n_args)
{
	rcmd_begin(c, 3 + s->keys + n_args);
	rcmd_arg(c, STR("EVALSHA"));
	rcmd_argz(c, s->sha1);
	rcmd_argi(c, s->keys);
}

void rcmd_clear(struct rcmd *c)
{
	buf_clear(&c->wire);
	c->commands = 0;
}

void rcmd_release(struct rcmd *c)
{
	buf_release(&c->wire);
	c->commands = 0;
}
