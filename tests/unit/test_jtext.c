#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/json/jtext.h"

/* Words of eight bytes are looked at together, and the last one overlaps the one before. */
static void passes_over_plain_bytes(void **state)
{
	(void)state;
	char text[26];
	for (size_t n = 0; n < sizeof(text); n++) {
		memset(text, 'a', sizeof(text));
		assert_ptr_equal(jtext_skip_plain(text, text + n), text + n);
		for (size_t at = 0; at < n; at++) {
			for (int byte = 0; byte < 256; byte++) {
				memset(text, 'a', n);
				text[at] = (char)byte;
				text[n - 1] = at < n - 1 ? '"' : text[n - 1]; /* a later one does not matter */
				bool stops = byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\';
				const char *expected = stops ? text + at : at < n - 1 ? text + n - 1 : text + n;
				assert_ptr_equal(jtext_skip_plain(text, text + n), expected);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_over_plain_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
