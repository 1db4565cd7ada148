#include "processors/notification/trouble.h"

#include <stddef.h>

#include "lib/base/err.h"

#define GREYLIST_DELAY_MS 60000
#define MIN_DELAY_MS 1000
#define MAX_DELAY_MS ((int64_t)24 * 3600 * 1000)

static const struct {
	const char *name, *sentence;
	enum trouble_class class;
} rows[] = {
	[TROUBLE_NONE] = {"NONE", "accepted", TROUBLE_PERMANENT},
#define X(code, class, sentence) [TROUBLE_##code] = {#code, sentence, TROUBLE_##class},
#include "processors/notification/troubles.def"
#undef X
};

const char *trouble_name(enum trouble t)
{
	return rows[t].name;
}

bool trouble_find(struct str name, enum trouble *out)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_is(name, rows[i].name)) {
			*out = (enum trouble)i;
			return true;
		}
	return false;
}

const char *trouble_sentence(enum trouble t)
{
	return rows[t].sentence;
}

enum trouble_class trouble_class_of(enum trouble t)
{
	return rows[t].class;
}

/* The first row that fits decides. */
struct smtp_rule {
	int from, to;         /* codes */
	const char *enhanced; /* NULL: any */
	enum trouble trouble;
	int64_t delay_ms;
};

static const struct smtp_rule smtp_rules[] = {
	{450, 451, "4.7.1", TROUBLE_RATE_LIMITED, GREYLIST_DELAY_MS}, /* greylisting: the usual waiting time */
	{400, 499, NULL, TROUBLE_REJECTED_TRANSIENT, -1},
	{500, 504, NULL, TROUBLE_REJECTED_TRANSIENT, -1},             /* it does not understand us: a fault of the connection, not of the message */
	{523, 523, NULL, TROUBLE_MESSAGE_TOO_LARGE, -1},
	{530, 530, NULL, TROUBLE_AUTH_FAILED, -1},
	{534, 535, NULL, TROUBLE_AUTH_FAILED, -1},
	{538, 538, NULL, TROUBLE_AUTH_FAILED, -1},
	{552, 552, "5.2.2", TROUBLE_REJECTED_TRANSIENT, -1},          /* the mailbox is full */
	{552, 552, "5.3.4", TROUBLE_MESSAGE_TOO_LARGE, -1},
	{500, 599, NULL, TROUBLE_REJECTED_PERMANENT, -1},
};

struct judgement trouble_of_smtp(int code, const char *enhanced)
{
	for (size_t i = 0; i < ARRAY_LEN(smtp_rules); i++) {
		const struct smtp_rule *r = &smtp_rules[i];
		if (code >= r->from && code <= r->to && (!r->enhanced || strcmp(r->enhanced, enhanced) == 0))
			return (struct judgement){r->trouble, r->delay_ms};
	}
	return (struct judgement){TROUBLE_CONNECT_FAILED, -1};
}

static const struct {
	int from, to;
	enum trouble trouble;
} http_rules[] = {
	{200, 299, TROUBLE_NONE},
	{401, 401, TROUBLE_AUTH_FAILED},
	{404, 404, TROUBLE_TARGET_GONE},
	{408, 408, TROUBLE_REJECTED_TRANSIENT},
	{410, 410, TROUBLE_TARGET_GONE},
	{413, 413, TROUBLE_MESSAGE_TOO_LARGE},
	{425, 425, TROUBLE_REJECTED_TRANSIENT},
	{429, 429, TROUBLE_REJECTED_TRANSIENT},
	{500, 599, TROUBLE_PROVIDER_ERROR},
	{100, 599, TROUBLE_REJECTED_PERMANENT},
};

struct judgement trouble_of_http(int status, int64_t retry_after_ms)
{
	if ((status == 429 || status == 503) && retry_after_ms >= 0) {
		int64_t delay = retry_after_ms < MIN_DELAY_MS ? MIN_DELAY_MS : retry_after_ms > MAX_DELAY_MS ? MAX_DELAY_MS : retry_after_ms;
		return (struct judgement){TROUBLE_RATE_LIMITED, delay};
	}
	for (size_t i = 0; i < ARRAY_LEN(http_rules); i++)
		if (status >= http_rules[i].from && status <= http_rules[i].to)
			return (struct judgement){http_rules[i].trouble, -1};
	return (struct judgement){TROUBLE_PROVIDER_ERROR, -1};
}

static const struct {
	int64_t number;
	enum trouble trouble;
} sms_rules[] = {
	{20003, TROUBLE_AUTH_FAILED},
	{20429, TROUBLE_REJECTED_TRANSIENT},
	{21211, TROUBLE_INVALID_ADDRESS}, /* no valid number */
	{21608, TROUBLE_REJECTED_PERMANENT}, /* not verified, on a trial account */
	{21610, TROUBLE_REJECTED_PERMANENT}, /* has unsubscribed */
	{21612, TROUBLE_REJECTED_PERMANENT}, /* no route */
	{21614, TROUBLE_INVALID_ADDRESS}, /* not a mobile number */
	{21617, TROUBLE_MESSAGE_TOO_LARGE},
};

enum trouble trouble_of_sms(int64_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(sms_rules); i++)
		if (sms_rules[i].number == number)
			return sms_rules[i].trouble;
	return TROUBLE_NONE;
}

static const struct {
	int rc;
	enum trouble trouble;
} fetch_rules[] = {
	{ERR_INVALID, TROUBLE_INVALID_ADDRESS}, {ERR_DENIED, TROUBLE_ADDRESS_DENIED},   {ERR_UNAVAILABLE, TROUBLE_CONNECT_FAILED},
	{ERR_TIMEOUT, TROUBLE_TIMEOUT},         {ERR_STOPPING, TROUBLE_CANCELLED},      {ERR_NOMEM, TROUBLE_NO_MEMORY},
	{ERR_PROTOCOL, TROUBLE_UNKNOWN_OUTCOME}, {ERR_UNKNOWN_OUTCOME, TROUBLE_UNKNOWN_OUTCOME},
};

enum trouble trouble_of_fetch(int rc, bool sent)
{
	if (sent)
		return TROUBLE_UNKNOWN_OUTCOME;
	for (size_t i = 0; i < ARRAY_LEN(fetch_rules); i++)
		if (fetch_rules[i].rc == rc)
			return fetch_rules[i].trouble;
	return TROUBLE_CONNECT_FAILED;
}
