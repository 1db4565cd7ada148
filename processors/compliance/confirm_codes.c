/* Codes of letters and digits. */
#include "lib/base/attr.h"
#include "processors/compliance/checks.h"
#include "processors/compliance/confirm.h"

#define MAX_IBAN 34

/* An account number is printed in one piece or in groups of four. */
void confirm_iban(struct scan *s, const struct trigger *t, size_t end)
{
	char compact[MAX_IBAN];
	size_t start = end - 4, i = start, n = 0;
	unsigned length = iban_length(str_sub(s->text, start, 2));
	(void)t;
	while (n < length && (is_upper(at(s, i)) || is_digit(at(s, i)))) {
		compact[n++] = s->text.p[i++];
		if (n % 4 == 0 && n < length && at(s, i) == ' ')
			i++;
	}
	if (length == 0 || is_alnum(at(s, i)) || !check_iban((struct str){compact, n}))
		return;
	scan_report(s, &(struct candidate){.entity = ENTITY_IBAN, .start = start, .end = i, .proof = PROOF_STRONG, .validated = "mod97"});
}

void confirm_bic(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end - 8, stop = end;
	(void)t;
	while (stop - end < 4 && (is_upper(at(s, stop)) || is_digit(at(s, stop))))
		stop++;
	if ((stop != end && stop != end + 3) || is_alnum(at(s, stop)) || at(s, stop) == '_' || !check_country(str_sub(s->text, start + 4, 2)))
		return;
	scan_report(s, &(struct candidate){.entity = ENTITY_BIC, .start = start, .end = stop, .validated = "country", .needs_words = true});
}

/* Two letters, six digits in pairs or not, A to D. */
void confirm_nino(struct scan *s, const struct trigger *t, size_t end)
{
	bool spaced = before(s, end - 2) == ' ';
	size_t start = end - (spaced ? 5 : 4), i = start + 2;
	unsigned digits = 0;
	(void)t;
	while (digits < 6) {
		if (at(s, i) == ' ' && digits % 2 == 0)
			i++;
		if (!is_digit(at(s, i)))
			return;
		digits++;
		i++;
	}
	if (at(s, i) == ' ')
		i++;
	if (at(s, i) < 'A' || at(s, i) > 'D' || is_alnum(at(s, i + 1)) || !check_nino_prefix(str_sub(s->text, start, 2)))
		return;
	scan_report(s, &(struct candidate){.entity = ENTITY_NINO, .start = start, .end = i + 1, .validated = "prefix"});
}

void confirm_vin(struct scan *s, const struct trigger *t, size_t end)
{
	(void)t;
	if (check_vin(str_sub(s->text, end - 17, 17)))
		scan_report(s, &(struct candidate){.entity = ENTITY_VIN, .start = end - 17, .end = end, .proof = PROOF_STRONG, .validated = "mod11"});
}

void confirm_icd(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end - 5, stop = end;
	(void)t;
	while (stop - end < 4 && (is_upper(at(s, stop)) || is_digit(at(s, stop))))
		stop++;
	if (stop - end < 4 && !is_alnum(at(s, stop)))
		scan_report(s, &(struct candidate){.entity = ENTITY_DIAGNOSIS_CODE, .start = start, .end = stop, .needs_words = true});
}

static bool is_mask(char c)
{
	return c == '*' || c == 'X' || c == 'x' || c == '#';
}

/* "411111******1111": a card number whose writer hid the middle. */
void confirm_masked_card(struct scan *s, const struct trigger *t, size_t end)
{
	size_t i = end - 4;
	unsigned masks = 0, digits = 4;
	(void)t;
	while (i > 0 && end - i < 30) {
		char c = s->text.p[i - 1];
		if (is_mask(c))
			masks++;
		else if (is_digit(c) && masks > 0)
			digits++;
		else if (!((c == ' ' || c == '-') && i > 1 && (is_mask(s->text.p[i - 2]) || is_digit(s->text.p[i - 2]))))
			break;
		i--;
	}
	if (masks < 6 || digits > 10 || masks + digits < 13 || masks + digits > 19 || is_alnum(before(s, i)))
		return;
	scan_report(s, &(struct candidate){.entity = ENTITY_PAN, .start = i, .end = end, .base = 60, .masked = true});
}

/* ---- magnetic stripes (ISO/IEC 7813) ---- */

/* The card number at `i`: where it ends; 0 when it is none. */
static size_t stripe_number(const struct scan *s, size_t i)
{
	size_t from = i;
	while (is_digit(at(s, i)) && i - from < 20)
		i++;
	struct str digits = str_sub(s->text, from, i - from);
	return digits.n >= 13 && digits.n <= 19 && check_luhn(digits) ? i : 0;
}

/* Expiry and service code, then whatever, up to the question mark; 0 when it is no stripe. */
static size_t stripe_end(const struct scan *s, size_t i)
{
	size_t from = i;
	while (is_digit(at(s, i)) && i - from < 30)
		i++;
	return i - from >= 7 && at(s, i) == '?' ? i + 1 : 0;
}

void confirm_track1(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end - t->width, i = stripe_number(s, start + 2);
	if (!i || at(s, i) != '^')
		return;
	size_t name = ++i;
	while (at(s, i) && at(s, i) != '^' && at(s, i) != '\n' && i - name < 27)
		i++;
	size_t stop = at(s, i) == '^' ? stripe_end(s, i + 1) : 0;
	if (stop)
		scan_report(s, &(struct candidate){.entity = ENTITY_TRACK_DATA, .start = start, .end = stop, .proof = PROOF_STRONG, .validated = "luhn"});
}

void confirm_track2(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end - t->width, i = stripe_number(s, start + 1);
	size_t stop = i && at(s, i) == '=' ? stripe_end(s, i + 1) : 0;
	if (stop)
		scan_report(s, &(struct candidate){.entity = ENTITY_TRACK_DATA, .start = start, .end = stop, .proof = PROOF_STRONG, .validated = "luhn"});
}
