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

	if (seen < p->least)
		seen = p->least;
	if (entries >= portion_count(p))
		p->each /= p->growth;
	if (p->each < seen) {
		p->each = seen;
		p->growth = GROWTH;
	}
}

bool portion_wants_size(const struct portion *p)
{
	return !p->sized && portion_count(p) > PORTION_FIRST;
}

/* A sample would be of the first entries: all nodes are counted, of which there are as many as entries at most. */
void portion_ask_size(struct rcmd *cmd, struct str key)
{
	rcmd_begin(cmd, 5);
	rcmd_argz(cmd, "MEMORY");
	rcmd_argz(cmd, "USAGE");
	rcmd_arg(cmd, key);
	rcmd_argz(cmd, "SAMPLES");
	rcmd_argz(cmd, "0");
	rcmd_begin(cmd, 2);
	rcmd_argz(cmd, "XLEN");
	rcmd_arg(cmd, key);
}

void portion_note_size(struct portion *p, const redisReply *bytes, const redisReply *entries)
{
	int64_t size, length;

	p->sized = true;
	if (rreply_int(bytes, &size) && rreply_int(entries, &length) && size > 0 && length > 0)
		p->least = (size_t)(size / length);
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
