#include "gateway/realtime/portion.h"

#define GROWTH_AT_FIRST 4
#define GROWTH 2

struct portion portion_of(size_t most)
{
	return (struct portion){.most = most, .each = PORTION_BYTES / PORTION_FIRST, .growth = GROWTH_AT_FIRST};
}

size_t portion_count(const struct portion *p)
{
	size_t fit = p->each ? PORTION_BYTES / p->each : p->most;

	return fit < 1 ? 1 : fit < p->most ? fit : p->most;
}

/* What was expected is not forgotten at once: large entries have small ones between them. */
void portion_note(struct portion *p, size_t entries, size_t bytes)
{
	size_t seen = entries ? bytes / entries : 0;

	if (entries >= portion_count(p))
		p->each /= p->growth;
	if (p->each < seen) {
		p->each = seen;
		p->growth = GROWTH;
	}
}

size_t portion_weigh(const redisReply *entries, size_t *n)
{
	size_t bytes = 0;

	for (*n = 0; rreply_at(entries, *n); ++*n) {
		const redisReply *fields = rreply_at(rreply_at(entries, *n), 1);
		for (size_t i = 0; rreply_at(fields, i); i++)
			bytes += rreply_str(rreply_at(fields, i)).n;
	}
	return bytes;
}
