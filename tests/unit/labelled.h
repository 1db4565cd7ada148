/* Text with known contents, made from the specifications of what it contains: valid values in sentences that mention them, near misses (one
 * digit wrong, wrong length, another kind of number) and sentences without anything. The same seed makes the same text. */
#ifndef SLUICE_TESTS_UNIT_LABELLED_H
#define SLUICE_TESTS_UNIT_LABELLED_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "processors/compliance/checks.h"
#include "processors/compliance/entity.h"

#define LABELLED_MAX 1024

struct label {
	int entity;
	size_t start, end;
};

struct labelled {
	struct buf text;
	struct label labels[LABELLED_MAX];
	size_t n;
	uint32_t seed;
};

/* xorshift */
static inline uint32_t labelled_random(struct labelled *l, uint32_t below)
{
	l->seed ^= l->seed << 13;
	l->seed ^= l->seed >> 17;
	l->seed ^= l->seed << 5;
	return l->seed % below;
}

static inline void labelled_digits(struct labelled *l, char *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (char)('0' + labelled_random(l, 10));
	out[n] = '\0';
}

/* Sets the digit at `at` so that the check holds (or, for a near miss, does not). */
static inline bool labelled_settle(char *text, size_t at, bool (*check)(struct str), bool valid)
{
	for (char c = '0'; c <= '9'; c++) {
		text[at] = c;
		if (check(str_from(text)) == valid)
			return true;
	}
	return false;
}

/* Each maker writes a value; with valid == false one that only looks like it. */
typedef void labelled_maker(struct labelled *l, char *out, bool valid);

static inline void labelled_card(struct labelled *l, char *out, bool valid)
{
	static const char *const prefixes[] = {"4", "51", "55", "2221", "34", "37", "6011", "3528"};
	const char *prefix = prefixes[labelled_random(l, ARRAY_LEN(prefixes))];
	size_t n = prefix[0] == '3' && prefix[1] != '5' ? 15 : 16;
	char d[24];
	labelled_digits(l, d, n);
	memcpy(d, prefix, strlen(prefix));
	labelled_settle(d, n - 1, check_luhn, valid);
	if (n == 16 && labelled_random(l, 2))
		snprintf(out, 48, "%.4s %.4s %.4s %.4s", d, d + 4, d + 8, d + 12);
	else
		snprintf(out, 48, "%s", d);
}

static inline void labelled_iban(struct labelled *l, char *out, bool valid)
{
	static const struct {
		const char *country, *bank;
		size_t n;
	} forms[] = {{"DE", "", 22}, {"GB", "WEST", 22}, {"FR", "", 27}, {"NL", "ABNA", 18}, {"CH", "", 21}, {"NO", "", 15}};
	size_t f = labelled_random(l, ARRAY_LEN(forms));
	char s[40];
	labelled_digits(l, s, forms[f].n);
	memcpy(s, forms[f].country, 2);
	memcpy(s + 4, forms[f].bank, strlen(forms[f].bank));
	for (unsigned check = 2; check <= 98; check++) {
		s[2] = (char)('0' + check / 10);
		s[3] = (char)('0' + check % 10);
		if (check_iban(str_from(s)) == valid)
			break;
	}
	size_t n = 0;
	bool spaced = labelled_random(l, 2);
	for (size_t i = 0; s[i]; i++) {
		if (spaced && i > 0 && i % 4 == 0)
			out[n++] = ' ';
		out[n++] = s[i];
	}
	out[n] = '\0';
}

static inline void labelled_checked(struct labelled *l, char *out, bool valid, size_t n, const char *prefix, bool (*check)(struct str))
{
	do {
		labelled_digits(l, out, n);
		memcpy(out, prefix, strlen(prefix));
	} while (!labelled_settle(out, n - 1, check, valid));
}

static inline void labelled_nhs(struct labelled *l, char *out, bool valid)
{
	char d[12];
	labelled_checked(l, d, valid, 10, "4", check_nhs);
	snprintf(out, 48, "%.3s %.3s %.4s", d, d + 3, d + 6);
}

static inline void labelled_npi(struct labelled *l, char *out, bool valid)
{
	labelled_checked(l, out, valid, 10, "1", check_npi);
}

static inline void labelled_aba(struct labelled *l, char *out, bool valid)
{
	labelled_checked(l, out, valid, 9, "12", check_aba);
}

static inline void labelled_vin(struct labelled *l, char *out, bool valid)
{
	static const char signs[] = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789";
	do {
		for (size_t i = 0; i < 17; i++)
			out[i] = signs[labelled_random(l, sizeof(signs) - 1)];
		out[17] = '\0';
	} while (!labelled_settle(out, 8, check_vin, valid));
}

static inline void labelled_ssn(struct labelled *l, char *out, bool valid)
{
	char d[12];
	do
		labelled_digits(l, d, 9);
	while (check_ssn(str_from(d)) != valid);
	snprintf(out, 48, "%.3s-%.2s-%.4s", d, d + 3, d + 5);
}

static inline void labelled_email(struct labelled *l, char *out, bool valid)
{
	static const char *const hosts[] = {"acme-widgets.io", "mail.one-firm.co.uk", "posteo.de"};
	snprintf(out, 48, "user.%u@%s", labelled_random(l, 100000), valid ? hosts[labelled_random(l, ARRAY_LEN(hosts))] : "example.com");
}

static inline void labelled_address(struct labelled *l, char *out, bool valid)
{
	snprintf(out, 48, "%u.%u.%u.%u", valid ? 80 + labelled_random(l, 10) : 10u, labelled_random(l, 256), labelled_random(l, 256), labelled_random(l, 256));
}

static inline void labelled_phone(struct labelled *l, char *out, bool valid)
{
	if (valid)
		snprintf(out, 48, "(%u) %u-%04u", 201 + labelled_random(l, 700), 201 + labelled_random(l, 700), labelled_random(l, 10000));
	else
		snprintf(out, 48, "%u-%04u", 201 + labelled_random(l, 700), labelled_random(l, 10000));
}

static const struct {
	int entity;
	labelled_maker *make;
	const char *before, *after;
} labelled_sentences[] = {
	{ENTITY_PAN, labelled_card, "Paid by card ", " on Monday."},
	{ENTITY_PAN, labelled_card, "The number ", " was read over the line."},
	{ENTITY_IBAN, labelled_iban, "Please transfer to ", ", thank you."},
	{ENTITY_IBAN, labelled_iban, "", " is where it goes."},
	{ENTITY_NHS_NUMBER, labelled_nhs, "The NHS number is ", "."},
	{ENTITY_NPI, labelled_npi, "Provider NPI ", " signed."},
	{ENTITY_ABA_ROUTING, labelled_aba, "Use routing number ", " for wires."},
	{ENTITY_VIN, labelled_vin, "A vehicle, ", ", was sold."},
	{ENTITY_SSN, labelled_ssn, "SSN: ", "."},
	{ENTITY_EMAIL, labelled_email, "Write to ", " for more."},
	{ENTITY_IP_ADDRESS, labelled_address, "The request came from ", " at noon."},
	{ENTITY_PHONE, labelled_phone, "Or call ", " until five."},
};

static const char *const labelled_filler[] = {
	"The harvest of the year was good and the barns are full.", "Version 12.4.1 of the tool fixes 37 faults.", "On 2024-03-17 the board met at 10:30.",
	"Invoice 20240317-000481 totals 1,234.56 EUR.", "See section 4.2.1, page 118, of the manual.", "Part no. 88-1203-77 replaces 88-1203-76.",
	"The parcel 1Z999AA10123456784 left on Friday.", "It measures 120 x 60 x 45 cm and weighs 12.5 kg.", "std::vector is a container; a::b is not.",
	"Commit 9fceb02d0ae598e95dc970b74767f19372d61af8 broke it.",
};

static inline void labelled_add(struct labelled *l, size_t kind, bool valid)
{
	char value[64];
	labelled_sentences[kind].make(l, value, valid);
	buf_addz(&l->text, labelled_sentences[kind].before);
	if (valid && l->n < LABELLED_MAX)
		l->labels[l->n++] = (struct label){labelled_sentences[kind].entity, l->text.n, l->text.n + strlen(value)};
	buf_addz(&l->text, value);
	buf_addz(&l->text, labelled_sentences[kind].after);
}

static inline struct labelled labelled_make(uint32_t seed, unsigned sentences)
{
	struct labelled l = {.seed = seed * 2654435761u | 1};
	for (unsigned i = 0; i < sentences; i++) {
		uint32_t what = labelled_random(&l, 4);
		if (what < 2)
			buf_addz(&l.text, labelled_filler[labelled_random(&l, ARRAY_LEN(labelled_filler))]);
		else
			labelled_add(&l, labelled_random(&l, ARRAY_LEN(labelled_sentences)), what == 2);
		/* Far enough apart that the words of one sentence do not speak for the next. */
		buf_addz(&l.text, "\nAnd then, as every year at this time, nothing else happened at all for a while.\n");
	}
	return l;
}

static inline void labelled_release(struct labelled *l)
{
	buf_release(&l->text);
}

#endif
