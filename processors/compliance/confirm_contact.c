/* What reaches or names a person. */
#include <arpa/inet.h>

#include "lib/base/attr.h"
#include "processors/compliance/checks.h"
#include "processors/compliance/confirm.h"

#define MAX_LOCAL 64  /* RFC 5321, 4.5.3.1 */
#define MAX_DOMAIN 253
#define MAX_ADDRESS 45 /* an IPv6 address as text */

static bool is_local(char c)
{
	return is_alnum(c) || (c && strchr("._%+-", c));
}

/* The domain that begins at `from`: where it ends; `from` when it is none. */
static size_t domain_end(const struct scan *s, size_t from)
{
	size_t i = from, dot = 0;
	while (i - from < MAX_DOMAIN && (is_alnum(at(s, i)) || ((at(s, i) == '-' || at(s, i) == '.') && is_alnum(at(s, i + 1))))) {
		if (at(s, i) == '.')
			dot = i;
		i++;
	}
	size_t top = dot ? i - dot - 1 : 0;
	for (size_t k = 0; k < top; k++)
		if (!is_alpha(at(s, dot + 1 + k)))
			return from;
	return top >= 2 && !is_alnum(at(s, i)) ? i : from;
}

/* RFC 2606: nobody's. */
static bool is_example(struct str domain)
{
	static const char *const names[] = {"example.com", "example.org", "example.net", ".example", ".test", ".invalid", ".localhost"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct str name = str_from(names[i]);
		if (domain.n >= name.n && str_ieq(str_sub(domain, domain.n - name.n, name.n), name) &&
		    (name.p[0] == '.' || domain.n == name.n || domain.p[domain.n - name.n - 1] == '.'))
			return true;
	}
	return false;
}

void confirm_email(struct scan *s, const struct trigger *t, size_t end)
{
	size_t sign = end - 2, start = sign;
	(void)t;
	while (start > 0 && sign - start <= MAX_LOCAL && is_local(s->text.p[start - 1]))
		start--;
	while (start < sign && strchr(".-%+", s->text.p[start]))
		start++;
	size_t stop = domain_end(s, sign + 1);
	if (start == sign || sign - start > MAX_LOCAL || stop == sign + 1 || memmem(s->text.p + start, sign - start, "..", 2))
		return;
	if (is_example(str_sub(s->text, sign + 1, stop - sign - 1)))
		return;
	scan_report(s, &(struct candidate){.entity = ENTITY_EMAIL, .start = start, .end = stop, .validated = "syntax"});
}

/* ---- telephones ---- */

/* Digits with single separators from `i` on: how many; *end is behind the last. */
static unsigned dial(const struct scan *s, size_t i, unsigned most, size_t *end)
{
	unsigned n = 0;
	*end = i;
	while (n <= most) {
		if (is_digit(at(s, i))) {
			n++;
			*end = ++i;
		} else if (at(s, i) && strchr(" -.()", at(s, i)) && (is_digit(at(s, i + 1)) || at(s, i + 1) == '(' || (at(s, i) == ')' && at(s, i + 1) == ' '))) {
			i++;
		} else {
			break;
		}
	}
	return n;
}

/* E.164: a plus sign, the country, 8 to 15 digits in all. */
void confirm_phone_plus(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end - 2, stop;
	(void)t;
	if (is_alnum(before(s, start)) || before(s, start) == '+')
		return;
	unsigned n = dial(s, start + 1, 15, &stop);
	if (n < 8 || n > 15 || is_alpha(at(s, stop)))
		return;
	scan_report(s, &(struct candidate){.entity = ENTITY_PHONE, .start = start, .end = stop, .base = 65, .validated = "e164"});
}

/* "(212) 555-0100" */
void confirm_phone_area(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end - 5, stop, next = end + (at(s, end) == ' ');
	(void)t;
	if (at(s, next) < '2' || !is_digit(at(s, next)) || dial(s, next, 7, &stop) != 7 || is_alnum(at(s, stop)))
		return;
	char middle = at(s, next + 3);
	if (stop - next == 8 && (middle == '-' || middle == ' ' || middle == '.'))
		scan_report(s, &(struct candidate){.entity = ENTITY_PHONE, .start = start, .end = stop, .base = 65, .validated = "nanp"});
}

/* ---- addresses ---- */

static bool is_hex(char c)
{
	return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
}

static bool in_address(char c)
{
	return is_hex(c) || c == ':' || c == '.';
}

/* Unspecified, loopback, link-local, unique local, multicast, documentation (RFC 3849): nobody's. */
static bool is_reserved6(const unsigned char ip[16])
{
	static const unsigned char zero[15];
	return memcmp(ip, zero, 15) == 0 || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) || (ip[0] & 0xfe) == 0xfc || ip[0] == 0xff ||
	       memcmp(ip, "\x20\x01\x0d\xb8", 4) == 0;
}

void confirm_ipv6(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end - 2, stop = end - 1;
	char text[MAX_ADDRESS + 1];
	unsigned char ip[16];
	unsigned colons = 0;
	(void)t;
	while (start > 0 && stop - start <= MAX_ADDRESS && in_address(s->text.p[start - 1]))
		start--;
	while (stop - start <= MAX_ADDRESS && in_address(at(s, stop)))
		stop++;
	while (stop > start && (at(s, stop - 1) == '.' || (at(s, stop - 1) == ':' && at(s, stop - 2) != ':')))
		stop--;
	if (stop - start > MAX_ADDRESS || is_alnum(before(s, start)) || is_alnum(at(s, stop)))
		return;
	for (size_t i = start; i < stop; i++)
		colons += s->text.p[i] == ':';
	memcpy(text, s->text.p + start, stop - start);
	text[stop - start] = '\0';
	if (colons < 3 || inet_pton(AF_INET6, text, ip) != 1 || is_reserved6(ip))
		return;
	scan_report(s, &(struct candidate){.entity = ENTITY_IP_ADDRESS, .start = start, .end = stop, .validated = "inet"});
}

/* ---- names ---- */

/* A capital letter and what follows it; 0: no name. Letters past ASCII count as letters. */
static size_t name_word(const struct scan *s, size_t i)
{
	size_t from = i;
	if (!is_upper(at(s, i)) && (unsigned char)at(s, i) < 0xc3)
		return 0;
	while (is_alpha(at(s, i)) || (unsigned char)at(s, i) >= 0x80 || ((at(s, i) == '\'' || at(s, i) == '-') && is_alpha(at(s, i + 1))))
		i++;
	return i - from;
}

/* Behind a title or a form's label: one to four words with capitals. Weak, and said to be so. */
void confirm_person(struct scan *s, const struct trigger *t, size_t end)
{
	size_t i = end, start, stop;
	(void)t;
	if (is_upper(at(s, end - 1)) && before(s, end - 1) == ' ')
		i = end - 1; /* the pattern took the first letter */
	while (at(s, i) == ' ' && i - end < 3)
		i++;
	start = stop = i;
	for (unsigned words = 0; words < 4; words++) {
		size_t n = name_word(s, i);
		if (n == 0 || n > 40)
			break;
		stop = i + n;
		i = stop + 1;
		if (at(s, stop) != ' ')
			break;
	}
	if (stop - start >= 2 && stop - start < 120)
		scan_report(s, &(struct candidate){.entity = ENTITY_PERSON, .start = start, .end = stop});
}
