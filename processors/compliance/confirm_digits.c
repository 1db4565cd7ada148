/* Everything that is written in digits: one run of groups, compared with a table of shapes. */
#include <arpa/inet.h>

#include "lib/base/attr.h"
#include "processors/compliance/checks.h"
#include "processors/compliance/confirm.h"

#define MAX_GROUPS 6
#define MAX_DIGITS 24

/* Groups of digits that single separators divide: "4111 1111 1111 1111". */
struct run {
	size_t start;
	unsigned n; /* groups */
	unsigned lengths[MAX_GROUPS];
	size_t ends[MAX_GROUPS];
	char separators[MAX_GROUPS]; /* behind the group; '\0' at the end */
	char digits[MAX_GROUPS * (MAX_DIGITS + 1)];
};

/* A part of it: its first groups. */
struct number {
	const struct run *run;
	struct str digits;
	size_t start, end;
	bool grouped;
	char separator; /* the one between the groups; '\0': there is one group */
};

typedef void number_fn(struct scan *s, const struct number *n);

#define G1(a) (a)
#define G2(a, b) (G1(a) << 5 | (b))
#define G3(a, b, c) (G2(a, b) << 5 | (c))
#define G4(a, b, c, d) (G3(a, b, c) << 5 | (d))
#define G5(a, b, c, d, e) (G4(a, b, c, d) << 5 | (e))

static void card(struct scan *s, const struct number *n)
{
	if (check_card_range(n->digits) && check_luhn(n->digits))
		scan_report(s, &(struct candidate){.entity = ENTITY_PAN, .start = n->start, .end = n->end, .proof = PROOF_STRONG, .validated = "luhn"});
}

static void verification_code(struct scan *s, const struct number *n)
{
	if (n->run->n == 1)
		scan_report(s, &(struct candidate){.entity = ENTITY_CVV, .start = n->start, .end = n->end, .window = 22, .needs_words = true});
}

static void nine(struct scan *s, const struct number *n)
{
	if (check_ssn(n->digits))
		scan_report(s, &(struct candidate){.entity = ENTITY_SSN, .start = n->start, .end = n->end, .base = n->grouped ? 0 : 30, .validated = "ssn-rules"});
	if (!n->grouped && check_aba(n->digits))
		scan_report(s, &(struct candidate){.entity = ENTITY_ABA_ROUTING, .start = n->start, .end = n->end, .proof = PROOF_WEAK, .validated = "mod10", .needs_words = true});
}

static void ten(struct scan *s, const struct number *n)
{
	const char *d = n->digits.p;
	if (check_nhs(n->digits))
		scan_report(s, &(struct candidate){.entity = ENTITY_NHS_NUMBER, .start = n->start, .end = n->end, .proof = PROOF_WEAK, .validated = "mod11"});
	if (!n->grouped && check_npi(n->digits))
		scan_report(s, &(struct candidate){.entity = ENTITY_NPI, .start = n->start, .end = n->end, .proof = PROOF_WEAK, .validated = "luhn", .needs_words = true});
	if (d[0] >= '2' && d[3] >= '2' && !(d[1] == '1' && d[2] == '1'))
		scan_report(s, &(struct candidate){.entity = ENTITY_PHONE, .start = n->start, .end = n->end, .base = !n->grouped ? 20 : n->separator == ' ' ? 40 : 55});
}

static void eleven(struct scan *s, const struct number *n)
{
	if (n->digits.p[0] == '1' && n->digits.p[1] >= '2' && n->digits.p[4] >= '2')
		scan_report(s, &(struct candidate){.entity = ENTITY_PHONE, .start = n->start, .end = n->end, .base = n->grouped ? 55 : 15});
}

static void record(struct scan *s, const struct number *n)
{
	scan_report(s, &(struct candidate){.entity = ENTITY_MEDICAL_RECORD, .start = n->start, .end = n->end, .needs_words = true, .window = 32});
}

static unsigned part(const struct number *n, unsigned group)
{
	const char *p = n->digits.p;
	unsigned v = 0;
	for (unsigned g = 0; g < group; g++)
		p += n->run->lengths[g];
	for (unsigned i = 0; i < n->run->lengths[group]; i++)
		v = v * 10 + (unsigned)(p[i] - '0');
	return v;
}

/* Day and month come in either order. */
static void birth(struct scan *s, const struct number *n)
{
	unsigned a = part(n, 0), b = part(n, 1), c = part(n, 2);
	bool year_first = n->run->lengths[0] == 4;
	bool ok = year_first ? check_date(a, b, c) : check_date(c, b, a) || check_date(c, a, b);
	if (ok)
		scan_report(s, &(struct candidate){.entity = ENTITY_DATE_OF_BIRTH, .start = n->start, .end = n->end, .needs_words = true, .validated = "calendar"});
}

/* What a document may say without meaning anybody: RFC 1918, loopback, link-local, RFC 5737, multicast and beyond. */
static bool is_reserved(uint32_t ip)
{
	static const struct {
		uint32_t net, mask;
	} nets[] = {
		{0x00000000, 0xff000000}, {0x0a000000, 0xff000000}, {0x7f000000, 0xff000000}, {0xa9fe0000, 0xffff0000}, {0xac100000, 0xfff00000},
		{0xc0000200, 0xffffff00}, {0xc0a80000, 0xffff0000}, {0xc6336400, 0xffffff00}, {0xcb007100, 0xffffff00}, {0xe0000000, 0xe0000000},
	};
	for (size_t i = 0; i < ARRAY_LEN(nets); i++)
		if ((ip & nets[i].mask) == nets[i].net)
			return true;
	return false;
}

static void address(struct scan *s, const struct run *r)
{
	char text[16];
	struct in_addr ip;
	size_t n = r->ends[3] - r->start;
	if (n >= sizeof(text))
		return;
	memcpy(text, s->text.p + r->start, n);
	text[n] = '\0';
	if (inet_pton(AF_INET, text, &ip) != 1 || is_reserved(ntohl(ip.s_addr)))
		return;
	scan_report(s, &(struct candidate){.entity = ENTITY_IP_ADDRESS, .start = r->start, .end = r->ends[3], .validated = "inet"});
}

static const struct {
	unsigned groups; /* their lengths */
	const char *separators;
	number_fn *look;
} shapes[] = {
	{G1(3), "", verification_code},
	{G1(4), "", verification_code},
	{G1(6), "", record},
	{G1(7), "", record},
	{G1(8), "", record},
	{G1(9), "", nine},
	{G1(9), "", record},
	{G3(3, 2, 4), "- ", nine},
	{G1(10), "", ten},
	{G1(10), "", record},
	{G3(3, 3, 4), "-. ", ten},
	{G1(11), "", eleven},
	{G4(1, 3, 3, 4), "-. ", eleven},
	{G3(2, 2, 4), "/-.", birth},
	{G3(1, 2, 4), "/-.", birth},
	{G3(2, 1, 4), "/-.", birth},
	{G3(1, 1, 4), "/-.", birth},
	{G3(4, 2, 2), "/-.", birth},
	{G1(13), "", card},
	{G1(14), "", card},
	{G1(15), "", card},
	{G1(16), "", card},
	{G1(17), "", card},
	{G1(18), "", card},
	{G1(19), "", card},
	{G4(4, 4, 4, 4), "- .", card},
	{G3(4, 6, 5), "- ", card},
	{G3(4, 6, 4), "- ", card},
	{G5(4, 4, 4, 4, 3), "- ", card},
};

/* Does something stand here that makes the digits a part of something longer? */
static bool starts_inside(const struct scan *s, size_t start)
{
	char c = before(s, start);
	if (c == '+' || c == '$' || c == '_')
		return true;
	return (c == '-' || c == '.' || c == '/') && start > 1 && is_alnum(s->text.p[start - 2]);
}

static bool ends_inside(const struct scan *s, const struct run *r, unsigned groups)
{
	size_t end = r->ends[groups - 1];
	char c = at(s, end), next = at(s, end + 1);
	if (is_alpha(c) || c == '_' || c == '%')
		return true;
	return (c == '-' || c == '.' || c == '/') && is_alnum(next);
}

static bool read_run(const struct scan *s, size_t start, struct run *r)
{
	size_t i = start, total = 0;
	r->start = start;
	r->n = 0;
	while (r->n < MAX_GROUPS) {
		size_t from = i;
		while (is_digit(at(s, i)) && i - from <= MAX_DIGITS)
			r->digits[total++] = s->text.p[i++];
		if (i - from > MAX_DIGITS)
			return false;
		r->lengths[r->n] = (unsigned)(i - from);
		r->ends[r->n] = i;
		char c = at(s, i);
		bool more = (c == ' ' || c == '-' || c == '.' || c == '/') && is_digit(at(s, i + 1));
		r->separators[r->n++] = more ? c : '\0';
		if (!more)
			break;
		i++;
	}
	return true;
}

static void look_at(struct scan *s, const struct run *r, unsigned groups, unsigned key)
{
	struct number n = {.run = r, .start = r->start, .end = r->ends[groups - 1], .grouped = groups > 1};
	n.digits.p = r->digits;
	for (unsigned g = 0; g < groups; g++)
		n.digits.n += r->lengths[g];
	n.separator = groups > 1 ? r->separators[0] : '\0';
	for (unsigned g = 1; g + 1 < groups; g++)
		if (r->separators[g] != n.separator)
			return;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		if (shapes[i].groups == key && (groups == 1 || strchr(shapes[i].separators, n.separator)))
			shapes[i].look(s, &n);
}

static bool is_address(const struct scan *s, const struct run *r)
{
	return r->n == 4 && r->separators[0] == '.' && r->separators[1] == '.' && r->separators[2] == '.' && r->ends[3] - r->start <= 15 &&
	       !ends_inside(s, r, 4);
}

void confirm_digits(struct scan *s, const struct trigger *t, size_t end)
{
	struct run r;
	size_t start = end - 1;
	(void)t;
	if (starts_inside(s, start) || !read_run(s, start, &r))
		return;
	if (is_address(s, &r))
		address(s, &r);
	unsigned key = 0;
	for (unsigned g = 1; g <= r.n && g <= 5 && r.lengths[g - 1] < 32; g++) {
		key = key << 5 | r.lengths[g - 1];
		if (!ends_inside(s, &r, g))
			look_at(s, &r, g, key);
	}
}
