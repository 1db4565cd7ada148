/* The arithmetic that tells a number of some kind from any other: pure functions over ASCII. Digits are '0' to '9' and nothing
 * else; letters are upper case. Any thread. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_CHECKS_H
#define SLUICE_PROCESSORS_COMPLIANCE_CHECKS_H

#include <stdbool.h>

#include "lib/base/str.h"

bool check_luhn(struct str digits);              /* ISO/IEC 7812-1 annex B */
bool check_card_range(struct str digits);        /* an issuer's range, with a length that the range uses */
bool check_iban(struct str compact);             /* ISO 13616: the country's length, and mod 97 == 1 */
unsigned iban_length(struct str country);        /* 0: the country has none */
bool check_country(struct str two_letters);      /* ISO 3166-1 alpha-2, and XK */
bool check_ssn(struct str nine_digits);          /* numbers that the administration never gave out are refused */
bool check_nhs(struct str ten_digits);           /* mod 11 */
bool check_npi(struct str ten_digits);           /* Luhn behind 80840 */
bool check_aba(struct str nine_digits);          /* weights 3 7 1, and a Federal Reserve district */
bool check_vin(struct str seventeen);            /* 49 CFR 565.15(c) */
bool check_nino_prefix(struct str two_letters);
bool check_date(unsigned year, unsigned month, unsigned day); /* of a living person */
double entropy_bits(struct str s);               /* Shannon's, for each byte */

#endif
