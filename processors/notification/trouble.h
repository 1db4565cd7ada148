/* What can go wrong with a notification, and what a provider's answer means. Any thread. */
#ifndef SLUICE_PROCESSORS_NOTIFICATION_TROUBLE_H
#define SLUICE_PROCESSORS_NOTIFICATION_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

enum trouble {
	TROUBLE_NONE,
#define X(code, class, sentence) TROUBLE_##code,
#include "processors/notification/troubles.def"
#undef X
	TROUBLE_COUNT
};

enum trouble_class { TROUBLE_PERMANENT, TROUBLE_RETRY, TROUBLE_LATER, TROUBLE_UNKNOWN };

const char *trouble_name(enum trouble t);
/* The trouble of this name, "NONE" among them; false when there is none. */
bool trouble_find(struct str name, enum trouble *out);
const char *trouble_sentence(enum trouble t);
enum trouble_class trouble_class_of(enum trouble t);

/* What a provider's answer means, and for LATER when to come back (-1: it did not say). */
struct judgement {
	enum trouble trouble;
	int64_t delay_ms;
};

/* A negative SMTP reply, with its enhanced code ("" when it has none). */
struct judgement trouble_of_smtp(int code, const char *enhanced);
/* An HTTP status; retry_after_ms -1 when there is none. */
struct judgement trouble_of_http(int status, int64_t retry_after_ms);
/* The error number in an SMS provider's answer; TROUBLE_NONE when it says nothing beyond the status. */
enum trouble trouble_of_sms(int64_t number);
/* A failure of lib/fetch. */
enum trouble trouble_of_fetch(int rc, bool sent);

#endif
