/* The table of channels, and what they share. */
#include "lib/base/clock.h"
#include "lib/base/digest.h"
#include "processors/notification/address.h"
#include "processors/notification/notifier.h"

#define POLICY_RETRY 0 /* the position of "retry" among the words of SLUICE_NOTIFY_AMBIGUOUS_… */
#define MAX_SENDS 2    /* of a message whose outcome is unknown: once more, not for ever */
#define MAX_ANSWER_BYTES ((size_t)16 << 10)

static bool email_configured(const struct notifier *n)
{
	return n->mailer != NULL;
}

static bool slack_configured(const struct notifier *n)
{
	(void)n; /* a user may bring a webhook; without one and without the common one there is no address */
	return true;
}

static bool sms_configured(const struct notifier *n)
{
	const struct config *c = n->config;
	return *c->sms_account_sid && *c->sms_auth_token && (*c->sms_from || *c->sms_messaging_service_sid);
}

static bool push_configured(const struct notifier *n)
{
	return *n->config->push_webhook_url && n->has_key;
}

static bool webhook_configured(const struct notifier *n)
{
	return n->has_key;
}

static bool email_repeats(const struct notifier *n, unsigned sends)
{
	return n->config->notify_ambiguous_email == POLICY_RETRY && sends < MAX_SENDS;
}

static bool slack_repeats(const struct notifier *n, unsigned sends)
{
	return n->config->notify_ambiguous_slack == POLICY_RETRY && sends < MAX_SENDS;
}

static bool sms_repeats(const struct notifier *n, unsigned sends)
{
	return n->config->notify_ambiguous_sms == POLICY_RETRY && sends < MAX_SENDS;
}

/* Signed webhooks carry the same id every time: the receiver drops what it has seen. */
static bool webhook_repeats(const struct notifier *n, unsigned sends)
{
	(void)n;
	(void)sends;
	return true;
}

static const char *nothing_common(const struct notifier *n)
{
	(void)n;
	return "";
}

static const char *slack_common(const struct notifier *n)
{
	return n->config->slack_webhook_url;
}

static const char *push_common(const struct notifier *n)
{
	return n->config->push_webhook_url;
}

static const char *webhook_common(const struct notifier *n)
{
	return n->config->notify_webhook_url;
}

static const struct channel channels[] = {
	{
		.name = "email", .provider = "smtp", .field = "email", .extension = "eml", .accepted = "sent",
		.settings = "SLUICE_SMTP_URL and SLUICE_SMTP_FROM", .sample = "user@example.invalid",
		.configured = email_configured, .repeats = email_repeats, .common = nothing_common,
		.address_ok = mail_address_ok, .write = email_write, .send = email_send,
	},
	{
		.name = "slack", .provider = "slack-webhook", .field = "slack", .extension = "json", .accepted = "sent",
		.settings = "SLUICE_SLACK_WEBHOOK_URL", .sample = "https://example.invalid/slack",
		.configured = slack_configured, .repeats = slack_repeats, .common = slack_common,
		.address_ok = address_url_ok, .write = slack_write, .send = slack_send,
	},
	{
		.name = "sms", .provider = "twilio", .field = "phone", .extension = "form", .accepted = "queued",
		.settings = "SLUICE_SMS_ACCOUNT_SID, SLUICE_SMS_AUTH_TOKEN, and SLUICE_SMS_FROM or SLUICE_SMS_MESSAGING_SERVICE_SID",
		.sample = "+10000000000",
		.configured = sms_configured, .repeats = sms_repeats, .common = nothing_common,
		.address_ok = address_phone_ok, .write = sms_write, .send = sms_send,
	},
	{
		.name = "push", .provider = "webhook", .field = "push", .extension = "json", .accepted = "sent",
		.settings = "SLUICE_PUSH_WEBHOOK_URL and SLUICE_NOTIFY_WEBHOOK_SECRET", .sample = "https://example.invalid/push",
		.configured = push_configured, .repeats = webhook_repeats, .common = push_common,
		.address_ok = address_url_ok, .write = webhook_write, .send = webhook_send,
	},
	{
		.name = "webhook", .provider = "webhook", .field = "webhook", .extension = "json", .accepted = "sent",
		.settings = "SLUICE_NOTIFY_WEBHOOK_SECRET", .sample = "https://example.invalid/webhook",
		.configured = webhook_configured, .repeats = webhook_repeats, .common = webhook_common,
		.address_ok = address_url_ok, .write = webhook_write, .send = webhook_send,
	},
};

const struct channel *channel_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(channels); i++)
		if (str_is(name, channels[i].name))
			return &channels[i];
	return NULL;
}

int64_t notifier_deadline(const struct notifier *n, const struct notice *m)
{
	int64_t own = clock_mono_ms() + n->config->notify_timeout_ms;
	return own < m->deadline_mono_ms ? own : m->deadline_mono_ms;
}

void notifier_post(const struct notifier *n, const struct notice *m, struct fetch_request *rq, const struct buf *body,
		   struct fetch_response *rs, struct attempt *a)
{
	struct err err = {0};
	rq->method = "POST";
	rq->body = buf_str(body);
	rq->deadline_mono_ms = notifier_deadline(n, m);
	rq->cancel_fd = m->cancel_fd;
	rq->max_response_bytes = MAX_ANSWER_BYTES;
	if (body->failed) {
		*rs = (struct fetch_response){.retry_after_ms = -1};
		a->trouble = TROUBLE_NO_MEMORY;
		return;
	}
	int rc = fetch(n->fetcher, rq, rs, &err);
	a->code = rs->status;
	a->ms = rs->ms;
	if (rc < 0 && !rs->status) {
		a->trouble = trouble_of_fetch(rc, rs->sent);
		return;
	}
	/* The status decides also where the answer's rest was lost. */
	struct judgement j = trouble_of_http(rs->status, rs->retry_after_ms);
	a->trouble = j.trouble;
	a->delay_ms = j.delay_ms;
}

void notice_id(const struct notice *m, struct str to, char out[NOTICE_ID_SIZE])
{
	char added[24];
	unsigned char hash[SHA256_BYTES];
	snprintf(added, sizeof(added), "%lld", (long long)m->added_wall_ms);
	const struct str parts[] = {m->queue, m->job_id, str_from(added), str_from(m->type), to};
	digest_sha256_parts(parts, ARRAY_LEN(parts), hash);
	digest_hex(hash, (NOTICE_ID_SIZE - 1) / 2, out);
}
