/* Checksums and other arithmetic against published examples, and against every single digit changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/attr.h"
#include "processors/compliance/checks.h"

struct vector {
	const char *text;
	bool valid;
};

static void expect(bool (*check)(struct str), const struct vector *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (check(str_from(v[i].text)) != v[i].valid)
			fail_msg("%s should be %s", v[i].text, v[i].valid ? "valid" : "invalid");
}

/* A check digit that is worth its name notices every single wrong digit. */
static void notices_one_wrong_digit(bool (*check)(struct str), const char *valid)
{
	char text[40];
	for (size_t i = 0; valid[i]; i++)
		for (char c = '0'; c <= '9'; c++) {
			snprintf(text, sizeof(text), "%s", valid);
			if (valid[i] < '0' || valid[i] > '9' || c == valid[i])
				continue;
			text[i] = c;
			if (check(str_from(text)))
				fail_msg("%s passes as well as %s", text, valid);
		}
}

static void cards(void **state)
{
	static const struct vector luhn[] = {
		{"4111111111111111", true}, {"378282246310005", true}, {"5555555555554444", true}, {"6011111111111117", true},
		{"3530111333300000", true}, {"30569309025904", true}, {"4111111111111112", false}, {"5555555555554445", false},
	};
	static const struct vector ranges[] = {
		{"4111111111111111", true}, {"41111111111111", false}, {"2221000000000009", true}, {"2220999999999999", false},
		{"2720999999999996", true}, {"378282246310005", true}, {"3782822463100051", false}, {"1234567890123452", false},
		{"3528000000000007", true}, {"3527000000000000", false},
	};
	(void)state;
	expect(check_luhn, luhn, ARRAY_LEN(luhn));
	expect(check_card_range, ranges, ARRAY_LEN(ranges));
	notices_one_wrong_digit(check_luhn, "4111111111111111");
}

static void accounts(void **state)
{
	static const struct vector ibans[] = {
		{"GB82WEST12345698765432", true}, {"DE89370400440532013000", true}, {"FR1420041010050500013M02606", true}, {"NO9386011117947", true},
		{"MT84MALT011000012345MTLCAST001S", true}, {"GB82WEST12345698765433", false}, {"DE8937040044053201300", false},
		{"XX89370400440532013000", false}, {"GB", false}, {"", false},
	};
	static const struct vector abas[] = {{"011000015", true}, {"121000358", true}, {"021000021", true}, {"121000359", false}, {"991000358", false}};
	static const struct vector countries[] = {{"DE", true}, {"US", true}, {"XK", true}, {"XX", false}, {"EA", false}, {"DA", false}};
	(void)state;
	expect(check_iban, ibans, ARRAY_LEN(ibans));
	expect(check_aba, abas, ARRAY_LEN(abas));
	expect(check_country, countries, ARRAY_LEN(countries));
	notices_one_wrong_digit(check_iban, "DE89370400440532013000");
	notices_one_wrong_digit(check_aba, "021000021");
}

static void people(void **state)
{
	static const struct vector ssns[] = {
		{"536904399", true}, {"001010001", true}, {"000123456", false}, {"666123456", false}, {"900123456", false}, {"536004399", false},
		{"536900000", false}, {"078051120", false}, {"219099999", false}, {"111111111", false},
	};
	static const struct vector nhs[] = {{"9434765919", true}, {"9434765918", false}, {"4010232137", true}, {"4444444444", false}};
	static const struct vector npis[] = {{"1234567893", true}, {"1234567890", false}, {"3234567893", false}};
	static const struct vector ninos[] = {{"AB", true}, {"QQ", false}, {"GB", false}, {"JO", false}, {"JG", true}};
	(void)state;
	expect(check_ssn, ssns, ARRAY_LEN(ssns));
	expect(check_nhs, nhs, ARRAY_LEN(nhs));
	expect(check_npi, npis, ARRAY_LEN(npis));
	expect(check_nino_prefix, ninos, ARRAY_LEN(ninos));
	notices_one_wrong_digit(check_nhs, "9434765919");
	notices_one_wrong_digit(check_npi, "1234567893");
}

static void vehicles(void **state)
{
	static const struct vector vins[] = {
		{"1M8GDM9AXKP042788", true}, {"1HGCM82633A004352", true}, {"1M8GDM9A1KP042788", false}, {"11111111111111111", false}};
	(void)state;
	expect(check_vin, vins, ARRAY_LEN(vins));
}

static void dates(void **state)
{
	(void)state;
	assert_true(check_date(2000, 2, 29));
	assert_false(check_date(1900, 2, 29));
	assert_false(check_date(1999, 13, 1));
	assert_false(check_date(1999, 4, 31));
	assert_false(check_date(1850, 4, 1));
}

static void disorder(void **state)
{
	(void)state;
	assert_true(entropy_bits(STR("")) == 0);
	assert_true(entropy_bits(STR("aaaaaaaa")) == 0);
	assert_true(entropy_bits(STR("abababab")) == 1);
	assert_true(entropy_bits(STR("tR7!kq92LmZp")) > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cards), cmocka_unit_test(accounts), cmocka_unit_test(people),
		cmocka_unit_test(vehicles), cmocka_unit_test(dates), cmocka_unit_test(disorder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
