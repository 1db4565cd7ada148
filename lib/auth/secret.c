#include "lib/auth/secret.h"

#include <stdbool.h>

/* Samples from manuals and tutorials contain one of these once case and separators are gone; a random secret does not. */
static const char *const sample_words[] = {
	"256bitsecret", "256bitslong",   "atleast32",  "changeme",   "changethis",   "changein",   "defaultsecret", "donotuse",
	"examplekey",   "examplesecret", "jwtsecret",  "mysecret",   "mysupersecret", "password123", "placeholder",  "replaceme",
	"replacethis",  "secretkey",     "supersecret", "thisisasecret", "topsecret", "verysecret",  "yourjwt",      "yoursecret",
};

#define FEWEST_DISTINCT_BYTES 10
#define LONGEST_UNIT 12 /* "0123456789" over and over */

static bool is_letter_or_digit(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* The next letter or digit at or after *at, in lower case; 0 at the end. */
static char next_plain(struct str s, size_t *at)
{
	while (*at < s.n) {
		unsigned char c = (unsigned char)s.p[(*at)++];
		if (is_letter_or_digit(c))
			return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	return '\0';
}

static bool word_at(struct str s, size_t at, const char *word)
{
	while (*word && next_plain(s, &at) == *word)
		word++;
	return *word == '\0';
}

static bool has_sample_word(struct str s)
{
	for (size_t at = 0; at < s.n; at++)
		for (size_t i = 0; i < ARRAY_LEN(sample_words); i++)
			if (word_at(s, at, sample_words[i]))
				return true;
	return false;
}

static unsigned distinct_bytes(struct str s)
{
	bool seen[256] = {false};
	unsigned n = 0;
	for (size_t i = 0; i < s.n; i++) {
		bool *mark = &seen[(unsigned char)s.p[i]];
		n += !*mark;
		*mark = true;
	}
	return n;
}

static bool repeats(struct str s)
{
	for (size_t unit = 1; unit <= LONGEST_UNIT && unit < s.n; unit++)
		if (memcmp(s.p, s.p + unit, s.n - unit) == 0)
			return true;
	return false;
}

const char *secret_weakness(struct str secret)
{
	if (secret.n < SECRET_MIN_BYTES)
		return "is shorter than 32 bytes";
	if (str_starts(secret, STR("-----BEGIN")))
		return "is a PEM key, which HS256 must never share with RS256 or ES256";
	if (distinct_bytes(secret) < FEWEST_DISTINCT_BYTES || repeats(secret))
		return "is one short piece over and over";
	if (has_sample_word(secret))
		return "is a sample from a manual";
	return NULL;
}
