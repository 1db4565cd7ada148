#include "lib/config/options.h"

#define WORD_MAX 64

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance, one row at a time; too long words count as far away. */
static unsigned distance(const char *a, const char *b)
{
	size_t n = strlen(b);
	unsigned row[WORD_MAX + 1];
	if (n > WORD_MAX || strlen(a) > WORD_MAX)
		return WORD_MAX;
	for (size_t k = 0; k <= n; k++)
		row[k] = (unsigned)k;
	for (; *a; a++) {
		unsigned diagonal = row[0]++;
		for (size_t k = 1; k <= n; k++) {
			unsigned changed = diagonal + (*a != b[k - 1]);
			diagonal = row[k];
			row[k] = least(changed, least(row[k], row[k - 1]) + 1);
		}
	}
	return row[n];
}

const char *options_nearest(const char *typed, const char *const *words)
{
	unsigned best = (unsigned)strlen(typed) / 3 + 1;
	const char *nearest = NULL;
	for (; *words; words++) {
		unsigned d = distance(typed, *words);
		if (d >= best)
			continue;
		best = d;
		nearest = *words;
	}
	return nearest;
}
