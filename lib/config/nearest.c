#include "lib/config/options.h"

#define WORD_MAX 64

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance, with two neighbours that have changed places as one mistake; too long words count as far away. */
static unsigned distance(const char *a, const char *b)
{
	size_t m = strlen(a), n = strlen(b);
	unsigned rows[3][WORD_MAX + 1]; /* that of the i-th letter is i % 3 */

	if (m > WORD_MAX || n > WORD_MAX)
		return WORD_MAX;
	for (size_t k = 0; k <= n; k++)
		rows[0][k] = (unsigned)k;
	for (size_t i = 1; i <= m; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t k = 1; k <= n; k++) {
			row[k] = least(above[k - 1] + (a[i - 1] != b[k - 1]), least(above[k], row[k - 1]) + 1);
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				row[k] = least(row[k], second[k - 2] + 1);
		}
	}
	return rows[m % 3][n];
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
