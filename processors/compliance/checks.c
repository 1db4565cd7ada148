#include "processors/compliance/checks.h"

#include <math.h>

#include "lib/base/attr.h"

static unsigned digit(char c)
{
	return (unsigned)(c - '0');
}

/* The number that the first n digits make. */
static unsigned leading(struct str digits, size_t n)
{
	unsigned v = 0;
	for (size_t i = 0; i < n && i < digits.n; i++)
		v = v * 10 + digit(digits.p[i]);
	return v;
}

static bool all_same(struct str s)
{
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i] != s.p[0])
			return false;
	return true;
}

static unsigned luhn_sum(struct str digits)
{
	unsigned sum = 0;
	for (size_t i = 0; i < digits.n; i++) {
		unsigned d = digit(digits.p[digits.n - 1 - i]);
		if (i % 2 == 1)
			d = d > 4 ? 2 * d - 9 : 2 * d;
		sum += d;
	}
	return sum;
}

bool check_luhn(struct str digits)
{
	return luhn_sum(digits) % 10 == 0;
}

/* The ranges that the networks publish: first and last prefix of `width` digits, shortest and longest number. */
static const struct {
	unsigned first, last, width, shortest, longest;
} card_ranges[] = {
	{4, 4, 1, 13, 19},                /* Visa; 14, 15, 17 and 18 are unused */
	{51, 55, 2, 16, 16},              /* Mastercard */
	{2221, 2720, 4, 16, 16},          /* Mastercard */
	{34, 34, 2, 15, 15},              /* American Express */
	{37, 37, 2, 15, 15},              /* American Express */
	{300, 305, 3, 14, 19},            /* Diners Club */
	{36, 36, 2, 14, 19},              /* Diners Club */
	{38, 39, 2, 14, 19},              /* Diners Club */
	{6011, 6011, 4, 16, 19},          /* Discover */
	{644, 649, 3, 16, 19},            /* Discover */
	{65, 65, 2, 16, 19},              /* Discover */
	{3528, 3589, 4, 16, 19},          /* JCB */
	{62, 62, 2, 16, 19},              /* UnionPay */
	{5018, 5018, 4, 13, 19},          /* Maestro */
	{5020, 5020, 4, 13, 19},          /* Maestro */
	{5038, 5038, 4, 13, 19},          /* Maestro */
	{6304, 6304, 4, 13, 19},          /* Maestro */
	{6759, 6759, 4, 13, 19},          /* Maestro */
	{6761, 6763, 4, 13, 19},          /* Maestro */
};

bool check_card_range(struct str digits)
{
	if (digits.p[0] == '4' && digits.n != 13 && digits.n != 16 && digits.n != 19)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(card_ranges); i++) {
		unsigned prefix = leading(digits, card_ranges[i].width);
		if (prefix >= card_ranges[i].first && prefix <= card_ranges[i].last && digits.n >= card_ranges[i].shortest &&
		    digits.n <= card_ranges[i].longest)
			return true;
	}
	return false;
}

/* The SWIFT registry of IBAN formats. */
static const struct {
	char country[3];
	unsigned char length;
} iban_lengths[] = {
	{"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22}, {"BH", 22}, {"BI", 27}, {"BR", 29},
	{"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DJ", 27}, {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29},
	{"ES", 24}, {"FI", 18}, {"FK", 18}, {"FO", 18}, {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28},
	{"HR", 21}, {"HU", 28}, {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28},
	{"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20}, {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MN", 20},
	{"MR", 27}, {"MT", 31}, {"MU", 30}, {"NI", 28}, {"NL", 18}, {"NO", 15}, {"OM", 23}, {"PK", 24}, {"PL", 28}, {"PS", 29}, {"PT", 25},
	{"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24}, {"SC", 31}, {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27},
	{"SO", 23}, {"ST", 25}, {"SV", 28}, {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20},
};

unsigned iban_length(struct str country)
{
	for (size_t i = 0; i < ARRAY_LEN(iban_lengths); i++)
		if (country.n >= 2 && memcmp(country.p, iban_lengths[i].country, 2) == 0)
			return iban_lengths[i].length;
	return 0;
}

bool check_iban(struct str s)
{
	if (s.n < 5 || s.n != iban_length(s))
		return false;
	unsigned rest = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[(i + 4) % s.n]; /* the first four count last */
		if (c >= '0' && c <= '9')
			rest = (rest * 10 + digit(c)) % 97;
		else if (c >= 'A' && c <= 'Z')
			rest = (rest * 100 + (unsigned)(c - 'A') + 10) % 97;
		else
			return false;
	}
	return rest == 1;
}

bool check_country(struct str s)
{
	static const char countries[] =
		"ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZ"
		"ECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKY"
		"KZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPY"
		"QARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZM"
		"ZWXK";
	for (size_t i = 0; i + 2 < sizeof(countries) && s.n >= 2; i += 2)
		if (memcmp(s.p, countries + i, 2) == 0)
			return true;
	return false;
}

bool check_ssn(struct str d)
{
	unsigned area = leading(d, 3), group = leading(str_sub(d, 3, 2), 2), serial = leading(str_sub(d, 5, 4), 4);
	if (area == 0 || area == 666 || area >= 900 || group == 0 || serial == 0)
		return false;
	return !str_is(d, "078051120") && !str_is(d, "219099999") && !str_is(d, "123456789") && !all_same(d); /* printed as examples */
}

bool check_nhs(struct str d)
{
	unsigned sum = 0;
	for (size_t i = 0; i < 9; i++)
		sum += digit(d.p[i]) * (unsigned)(10 - i);
	unsigned check = (11 - sum % 11) % 11;
	return check != 10 && check == digit(d.p[9]) && !all_same(d);
}

bool check_npi(struct str d)
{
	/* The prefix 80840 adds 24 to the sum. */
	return (d.p[0] == '1' || d.p[0] == '2') && (luhn_sum(d) + 24) % 10 == 0;
}

bool check_aba(struct str d)
{
	static const unsigned weights[] = {3, 7, 1};
	unsigned sum = 0, district = leading(d, 2);
	for (size_t i = 0; i < 9; i++)
		sum += weights[i % 3] * digit(d.p[i]);
	return sum % 10 == 0 && ((district >= 1 && district <= 12) || (district >= 21 && district <= 32) || (district >= 61 && district <= 72));
}

/* I, O and Q do not occur. */
static unsigned vin_value(char c)
{
	static const unsigned char letters[] = {1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 0, 7, 0, 9, 2, 3, 4, 5, 6, 7, 8, 9};
	return c >= 'A' && c <= 'Z' ? letters[c - 'A'] : digit(c);
}

bool check_vin(struct str s)
{
	static const unsigned char weights[] = {8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2};
	unsigned sum = 0, letters = 0;
	for (size_t i = 0; i < 17; i++) {
		sum += vin_value(s.p[i]) * weights[i];
		letters += s.p[i] > '9';
	}
	char check = sum % 11 == 10 ? 'X' : (char)('0' + sum % 11);
	return letters > 0 && letters < 17 && s.p[8] == check;
}

bool check_nino_prefix(struct str s)
{
	static const char never[][3] = {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"};
	if (strchr("DFIQUV", s.p[0]) || strchr("DFIQUVO", s.p[1]))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		if (memcmp(s.p, never[i], 2) == 0)
			return false;
	return true;
}

bool check_date(unsigned year, unsigned month, unsigned day)
{
	static const unsigned char days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1900 || year > 2099 || month < 1 || month > 12 || day < 1 || day > days[month - 1])
		return false;
	return month != 2 || day < 29 || leap;
}

double entropy_bits(struct str s)
{
	unsigned counts[256] = {0};
	double bits = 0;
	for (size_t i = 0; i < s.n; i++)
		counts[(unsigned char)s.p[i]]++;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (counts[i]) {
			double p = (double)counts[i] / (double)s.n;
			bits -= p * log2(p);
		}
	return bits;
}
