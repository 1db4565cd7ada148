/* The forms of addresses, checked before anything is done with them. Any thread. */
#ifndef SLUICE_PROCESSORS_NOTIFICATION_ADDRESS_H
#define SLUICE_PROCESSORS_NOTIFICATION_ADDRESS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

bool address_phone_ok(struct str s); /* E.164: "+", 7 to 15 digits, the first not 0 */
bool address_url_ok(struct str s);   /* what lib/fetch would take */

/* "Name <address>" or "address", as SLUICE_SMTP_FROM has it; the parts point into the text. ERR_INVALID. */
int address_read_sender(struct str text, struct str *name, struct str *address, struct err *err) MUST_CHECK;

#endif
