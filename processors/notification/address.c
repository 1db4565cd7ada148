#include "processors/notification/address.h"

#include "lib/fetch/fetch.h"
#include "lib/fetch/smtp.h"

bool address_phone_ok(struct str s)
{
	if (s.n < 8 || s.n > 16 || s.p[0] != '+' || s.p[1] == '0')
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

bool address_url_ok(struct str s)
{
	return fetch_url_check(s, NULL) == 0;
}

int address_read_sender(struct str text, struct str *name, struct str *address, struct err *err)
{
	text = str_trim(text);
	const char *open = text.n ? memrchr(text.p, '<', text.n) : NULL;
	*name = STR("");
	*address = text;
	if (open && text.p[text.n - 1] == '>') {
		size_t before = (size_t)(open - text.p);
		*name = str_trim(str_sub(text, 0, before));
		*address = str_sub(text, before + 1, text.n - before - 2);
		if (name->n >= 2 && name->p[0] == '"' && name->p[name->n - 1] == '"')
			*name = str_sub(*name, 1, name->n - 2);
	}
	if (!mail_address_ok(*address) || !str_is_utf8(*name))
		return err_set(err, ERR_INVALID, "it is neither an address nor Name <address>");
	return 0;
}
