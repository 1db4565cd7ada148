/* One place in a text, looked at closely. A trigger is a pattern with a function that reads around the pattern's end; it reports
 * what it is sure enough of. Functions read at most a few hundred bytes in either direction, and give the same answer in any order.
 * Private to this folder. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_CONFIRM_H
#define SLUICE_PROCESSORS_COMPLIANCE_CONFIRM_H

#include "processors/compliance/engine.h"
#include "processors/compliance/scan.h"

struct scan {
	struct str text;
	const struct scan_options *options;
	struct findings *found;
	size_t asked; /* hits since stop was asked last */
	bool stopped, out_of_memory;
};

struct trigger;
typedef void confirm_fn(struct scan *s, const struct trigger *t, size_t end);

struct trigger {
	const char *regex;
	bool caseless;
	confirm_fn *confirm;
	int entity;       /* for functions that serve several */
	unsigned phrase;  /* the same */
	unsigned width;   /* bytes of every match; 0: they vary */
	unsigned least;   /* bytes of a whole token */
	struct str words; /* of phrases */
};

/* What arithmetic says: a weak check lets one in ten wrong values pass, so it counts only with a word near by. */
enum proof { PROOF_NONE, PROOF_WEAK, PROOF_STRONG };

struct candidate {
	enum entity entity;
	size_t start, end;
	enum proof proof;
	const char *validated;
	int base;          /* percent; 0: the entity's */
	bool masked;
	unsigned window;   /* bytes before the value in which its words count; 0: the usual */
	bool needs_words;  /* nothing without them */
};

/* Scores it and keeps it when the score suffices. */
void scan_report(struct scan *s, const struct candidate *c);
void scan_report_phrase(struct scan *s, unsigned phrase, size_t start, size_t end);

/* The one of the '|'-divided words (lower case) that stands in text[from, to), as whole words; STR_NONE without. */
struct str words_in(struct str text, size_t from, size_t to, const char *words);

/* Characters, without the locale. */
static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}
static inline bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}
static inline bool is_alpha(char c)
{
	return is_upper(c) || (c >= 'a' && c <= 'z');
}
static inline bool is_alnum(char c)
{
	return is_digit(c) || is_alpha(c);
}
static inline char lower(char c)
{
	return is_upper(c) ? (char)(c + 32) : c;
}
/* '\0' outside of the text. */
static inline char at(const struct scan *s, size_t i)
{
	return i < s->text.n ? s->text.p[i] : '\0';
}
static inline char before(const struct scan *s, size_t i)
{
	return i > 0 ? at(s, i - 1) : '\0';
}

confirm_fn confirm_phrase;
/* confirm_contact.c */
confirm_fn confirm_email, confirm_phone_plus, confirm_phone_area, confirm_ipv6, confirm_person;
/* confirm_digits.c */
confirm_fn confirm_digits;
/* confirm_codes.c */
confirm_fn confirm_iban, confirm_bic, confirm_nino, confirm_vin, confirm_masked_card, confirm_track1, confirm_track2, confirm_icd;
/* confirm_secrets.c */
confirm_fn confirm_private_key, confirm_jwt, confirm_token, confirm_assignment;

extern const struct trigger triggers[];
extern const unsigned triggers_count;

#endif
