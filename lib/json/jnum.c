#include "lib/json/jnum.h"

#include "lib/base/err.h"
#include "lib/base/panic.h"

/* Far past any double, and so far below INT64_MAX that adding the length of a text cannot overflow. */
#define EXPONENT_MAX INT64_C(1000000000000)
/* The digits that decide how the longest halfway case of a double is rounded; behind them it matters only whether any follow. */
#define DOUBLE_DIGITS 768

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int64_t read_exponent(const char *p, const char *end)
{
	if (p == end)
		return 0;
	bool negative = *++p == '-';
	if (!is_digit(*p))
		p++;
	int64_t v = 0;
	for (; p < end && v < EXPONENT_MAX; p++)
		v = v * 10 + (*p - '0');
	return negative ? -v : v;
}

struct jnum jnum_read(struct str raw)
{
	struct jnum n = {.negative = raw.p[0] == '-'};
	const char *p = raw.p + n.negative, *end = raw.p + raw.n;
	int64_t pos = 0, whole = -1, first = 0, last = 0;
	for (; p < end && (is_digit(*p) || *p == '.'); p++) {
		if (*p == '.') {
			whole = pos;
			continue;
		}
		pos++;
		if (*p == '0')
			continue;
		last = pos;
		if (!n.digits) {
			n.digits = p;
			first = pos;
		}
	}
	if (!n.digits)
		return n;
	n.n_digits = last - first + 1;
	n.power = (whole < 0 ? pos : whole) - last + read_exponent(p, end);
	return n;
}

/* The next significant digit; *at starts at n->digits. */
static unsigned next_digit(const char **at)
{
	if (**at == '.')
		++*at;
	return (unsigned)(*(*at)++ - '0');
}

void jnum_digits(const struct jnum *n, char *out)
{
	const char *at = n->digits;
	for (int64_t i = 0; i < n->n_digits; i++)
		out[i] = (char)('0' + next_digit(&at));
}

bool jnum_is_integer(const struct jnum *n)
{
	return n->n_digits == 0 || n->power >= 0;
}

/* The value when it is an integer of 64 bits without sign. */
static int magnitude(const struct jnum *n, uint64_t *out)
{
	if (!jnum_is_integer(n) || n->n_digits + n->power > 19)
		return ERR_INVALID;
	uint64_t v = 0; /* 19 digits fit */
	const char *at = n->digits;
	for (int64_t i = 0; i < n->n_digits; i++)
		v = v * 10 + next_digit(&at);
	for (int64_t i = 0; n->n_digits && i < n->power; i++)
		v *= 10;
	*out = v;
	return 0;
}

int jnum_int(const struct jnum *n, int64_t *out)
{
	uint64_t v;
	if (magnitude(n, &v) < 0 || v > (uint64_t)INT64_MAX + n->negative)
		return ERR_INVALID;
	*out = n->negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

/* Few digits and a small power of ten: both are exact doubles, so one operation rounds once (Clinger, 1990). */
static bool quick_double(const struct jnum *n, double *out)
{
	static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
				      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	if (n->n_digits > 15 || n->power < -22 || n->power > 22)
		return false;
	uint64_t v = 0;
	const char *at = n->digits;
	for (int64_t i = 0; i < n->n_digits; i++)
		v = v * 10 + next_digit(&at);
	*out = n->power < 0 ? (double)v / tens[-n->power] : (double)v * tens[n->power];
	return true;
}

static double slow_double(const struct jnum *n)
{
	char text[DOUBLE_DIGITS + 32];
	int64_t power = n->power;
	struct jnum head = *n;
	if (head.n_digits > DOUBLE_DIGITS)
		head.n_digits = DOUBLE_DIGITS;
	jnum_digits(&head, text);
	size_t len = (size_t)head.n_digits;
	if (n->n_digits > DOUBLE_DIGITS) {
		text[len++] = '1'; /* stands for the rest, which is not zero */
		power += n->n_digits - DOUBLE_DIGITS - 1;
	}
	(void)snprintf(text + len, sizeof(text) - len, "e%lld", (long long)power);
	return strtod(text, NULL);
}

double jnum_double(const struct jnum *n)
{
	double v = 0;
	if (!quick_double(n, &v))
		v = slow_double(n);
	return n->negative ? -v : v;
}

static int compare_magnitudes(const struct jnum *a, const struct jnum *b)
{
	if (a->n_digits == 0 || b->n_digits == 0)
		return (a->n_digits > 0) - (b->n_digits > 0);
	int64_t size_a = a->n_digits + a->power, size_b = b->n_digits + b->power;
	if (size_a != size_b)
		return size_a < size_b ? -1 : 1;
	const char *pa = a->digits, *pb = b->digits;
	for (int64_t i = 0; i < a->n_digits && i < b->n_digits; i++) {
		unsigned da = next_digit(&pa), db = next_digit(&pb);
		if (da != db)
			return da < db ? -1 : 1;
	}
	return (a->n_digits > b->n_digits) - (a->n_digits < b->n_digits);
}

int jnum_compare(const struct jnum *a, const struct jnum *b)
{
	bool below_a = a->negative && a->n_digits, below_b = b->negative && b->n_digits;
	if (below_a != below_b)
		return below_a ? -1 : 1;
	int order = compare_magnitudes(a, b);
	return below_a ? -order : order;
}

static uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t m)
{
	return (uint64_t)((unsigned __int128)a * b % m);
}

static uint64_t ten_to_mod(int64_t power, uint64_t m)
{
	uint64_t result = 1 % m;
	for (uint64_t square = 10 % m; power > 0; power >>= 1) {
		if (power & 1)
			result = mul_mod(result, square, m);
		square = mul_mod(square, square, m);
	}
	return result;
}

bool jnum_is_multiple(const struct jnum *n, const struct jnum *of)
{
	if (n->n_digits == 0)
		return true;
	if (n->power < of->power) /* the last digit is not 0, so no factor of ten can be taken out */
		return false;
	uint64_t divisor = 0, rest = 0;
	const char *at = of->digits;
	for (int64_t i = 0; i < of->n_digits; i++)
		divisor = divisor * 10 + next_digit(&at);
	bug_on(divisor == 0);
	at = n->digits;
	for (int64_t i = 0; i < n->n_digits; i++)
		rest = (rest * 10 + next_digit(&at)) % divisor;
	return mul_mod(rest, ten_to_mod(n->power - of->power, divisor), divisor) == 0;
}
