/* Addresses of notifications: what is taken for one lies in the text that was read, and carries nothing by which a line of SMTP or of a mail's head
 * could end. */
#include <stdint.h>

#include "lib/base/panic.h"
#include "lib/fetch/smtp.h"
#include "processors/notification/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct str part, struct str text)
{
	return !part.n || (part.p >= text.p && part.p + part.n <= text.p + text.n);
}

static void check_address(struct str address)
{
	for (size_t i = 0; i < address.n; i++) {
		unsigned char c = (unsigned char)address.p[i];
		bug_on(c <= ' ' || c == 0x7f || c == '<' || c == '>');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data, size}, name, address;
	struct err err = {0};

	if (mail_address_ok(text))
		check_address(text);
	if (address_read_sender(text, &name, &address, &err) == 0) {
		bug_on(!lies_in(name, text) || !lies_in(address, text));
		bug_on(!mail_address_ok(address));
		check_address(address);
	}
	bug_on(address_phone_ok(text) && (size > 16 || memchr(data, '\0', size)));
	(void)address_url_ok(text);
	return 0;
}
