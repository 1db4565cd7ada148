/* How many entries of an event stream to ask Redis for: few while nothing is known of them, soon as many as make PORTION_BYTES. An event that brings
 * what a job returned may have a megabyte, of which listeners are told nothing; a fixed number of such would hold up every other reply.
 *
 *     struct portion p = portion_of(most);
 *     ... ask for portion_count(&p) ...
 *     bytes = portion_weigh(entries, &n);
 *     portion_note(&p, n, bytes);
 *
 * Redis knows no limit in bytes, so this is a guess from what came before. Where many small ones stand before large ones, the size of the whole stream
 * tells more; without it, these come together once:
 *
 *     if (portion_wants_size(&p)) ... portion_ask_size(&cmd, key), in the same call, and then
 *     portion_note_size(&p, replies[n - 2], replies[n - 1]) */
#ifndef SLUICE_GATEWAY_REALTIME_PORTION_H
#define SLUICE_GATEWAY_REALTIME_PORTION_H

#include "lib/redis/rmux.h"

#define PORTION_BYTES ((size_t)256 << 10)
#define PORTION_FIRST 4 /* entries of which nothing is known */

struct portion {
	size_t most;     /* entries, however small */
	size_t each;     /* bytes that an entry is expected to have */
	size_t least;    /* and has at least: the stream's average */
	unsigned growth; /* how many times as many may be next */
	bool sized;      /* the stream's size has been asked for */
};

struct portion portion_of(size_t most);
size_t portion_count(const struct portion *p); /* at least 1 */
/* What the last reading brought. Only when it was all that was asked for, the next one may be more. */
void portion_note(struct portion *p, size_t entries, size_t bytes);
/* Once, when there are more than the first few. */
bool portion_wants_size(const struct portion *p);
void portion_ask_size(struct rcmd *cmd, struct str key); /* two replies */
void portion_note_size(struct portion *p, const redisReply *bytes, const redisReply *entries); /* an error, or nil, says nothing */

/* The bytes of the texts in XRANGE's reply, or in one stream's of XREAD's; *n: the entries. Anything else has none. */
size_t portion_weigh(const redisReply *entries, size_t *n);

#endif
