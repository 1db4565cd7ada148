/* A signed webhook (Standard Webhooks): the way to everything that has no channel of its own, push services among it. */
#include "lib/base/clock.h"
#include "lib/json/jwrite.h"
#include "processors/notification/notifier.h"

void webhook_write(const struct notifier *n, const struct notice *m, struct str to, struct buf *out)
{
	char time[CLOCK_RFC3339_SIZE];
	struct jwrite w = jwrite_into(out);
	(void)n;
	(void)to;
	clock_rfc3339(m->added_wall_ms, time);
	jw_open(&w, '{');
	jw_kstrz(&w, "type", strcmp(m->type, "push") == 0 ? "notification.push" : "notification.webhook");
	jw_kstrz(&w, "timestamp", time);
	jw_key(&w, "data");
	jw_open(&w, '{');
	jw_kstr(&w, "userId", m->user_id);
	jw_kstr(&w, "subject", m->subject);
	jw_kstr(&w, "message", m->text);
	jw_kraw(&w, "metadata", m->metadata);
	jw_close(&w, '}');
	jw_close(&w, '}');
}

void webhook_send(const struct notifier *n, const struct notice *m, struct str to, struct attempt *a)
{
	char hash[NOTICE_ID_SIZE];
	struct buf id = BUF_INIT, time = BUF_INIT, signature = BUF_INIT, body = BUF_INIT;
	int64_t now_s = clock_wall_ms() / 1000;
	notice_id(m, to, hash);
	buf_addf(&id, "msg_%s", hash);
	buf_addi(&time, now_s);
	webhook_write(n, m, to, &body);
	sign_webhook(&n->key, 1, buf_str(&id), now_s, buf_str(&body), &signature);
	const struct fetch_header headers[] = {
		{STR("Content-Type"), STR("application/json")},
		{STR("webhook-id"), buf_str(&id)},
		{STR("webhook-timestamp"), buf_str(&time)},
		{STR("webhook-signature"), buf_str(&signature)},
	};
	struct fetch_request rq = {.url = to, .headers = headers, .n_headers = ARRAY_LEN(headers)};
	struct fetch_response rs;
	body.failed = body.failed || id.failed || time.failed || signature.failed;
	notifier_post(n, m, &rq, &body, &rs, a);
	if (a->trouble == TROUBLE_NONE)
		snprintf(a->provider_id, sizeof(a->provider_id), "%s", id.p);
	fetch_response_release(&rs);
	buf_release(&id);
	buf_release(&time);
	buf_release(&signature);
	buf_release(&body);
}
