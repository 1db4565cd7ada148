/* Numbers as JSON writes them: read once into sign, significant digits and a power of ten, then compared and converted
 * exactly, so that 1, 1.0 and 10e-1 are one number and 9007199254740993 stays what it is. Any thread. */
#ifndef SLUICE_JSON_JNUM_H
#define SLUICE_JSON_JNUM_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

/* ± d1d2…dn × 10^power, without zeros at either end; n_digits 0 is zero. */
struct jnum {
	bool negative;
	const char *digits; /* into the text; may have the decimal point among them */
	int64_t n_digits;
	int64_t power;
};

/* `raw` is a number that the scanner has passed; it must outlive the result. */
struct jnum jnum_read(struct str raw);

bool jnum_is_integer(const struct jnum *n);
int jnum_int(const struct jnum *n, int64_t *out) MUST_CHECK; /* ERR_INVALID: a fraction, or past 64 bits */
double jnum_double(const struct jnum *n);                    /* the nearest double; infinite when past its range */
int jnum_compare(const struct jnum *a, const struct jnum *b); /* <0, 0, >0 */

/* Copies the significant digits, n_digits bytes without the point. */
void jnum_digits(const struct jnum *n, char *out);

/* Is n a whole multiple of `of`? `of` is above 0 and has at most JNUM_DIVISOR_DIGITS digits. */
#define JNUM_DIVISOR_DIGITS 18
bool jnum_is_multiple(const struct jnum *n, const struct jnum *of);

#endif
