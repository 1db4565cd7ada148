/* Short messages in Twilio's form, which other providers understand too. */
#include "lib/base/digest.h"
#include "lib/json/jdoc.h"
#include "processors/notification/notifier.h"

static const struct jdoc_limits answer_limits = {.max_depth = 8, .max_nodes = 1000};

static void add_form(struct buf *out, const char *name, struct str value)
{
	buf_addf(out, "%s%s=", out->n ? "&" : "", name);
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
		if (plain)
			buf_addc(out, (char)c);
		else
			buf_addf(out, "%%%02X", c);
	}
}

void sms_write(const struct notifier *n, const struct notice *m, struct str to, struct buf *out)
{
	const struct config *c = n->config;
	struct buf text = BUF_INIT;
	buf_adds(&text, m->subject);
	buf_addc(&text, '\n');
	buf_adds(&text, m->text);
	add_form(out, "To", to);
	if (*c->sms_messaging_service_sid)
		add_form(out, "MessagingServiceSid", str_from(c->sms_messaging_service_sid));
	else
		add_form(out, "From", str_from(c->sms_from));
	add_form(out, "Body", buf_str(&text));
	out->failed = out->failed || text.failed;
	buf_release(&text);
}

static bool is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') || (s.p[i] >= '0' && s.p[i] <= '9')))
			return false;
	return s.n > 0;
}

/* The answer's own error number says more than its status; its sid names the message. */
static void read_answer(const struct notice *m, struct str text, struct attempt *a)
{
	struct jdoc doc;
	int64_t number;
	if (jdoc_parse(&doc, m->arena, text, &answer_limits, NULL) < 0)
		return;
	uint32_t code = jdoc_get(&doc, JDOC_ROOT, "code"), sid = jdoc_get(&doc, JDOC_ROOT, "sid");
	if (a->trouble != TROUBLE_NONE && a->trouble != TROUBLE_RATE_LIMITED && code != JDOC_NONE && jdoc_int(&doc, code, &number) == 0 &&
	    trouble_of_sms(number) != TROUBLE_NONE)
		a->trouble = trouble_of_sms(number);
	struct str id = sid == JDOC_NONE ? STR_NONE : jdoc_string(&doc, sid, m->arena);
	if (a->trouble == TROUBLE_NONE && id.p && is_word(id) && id.n < sizeof(a->provider_id))
		snprintf(a->provider_id, sizeof(a->provider_id), "%.*s", STR_ARG(id));
}

void sms_send(const struct notifier *n, const struct notice *m, struct str to, struct attempt *a)
{
	const struct config *c = n->config;
	struct buf url = BUF_INIT, pair = BUF_INIT, basic = BUF_INIT, body = BUF_INIT;
	buf_addf(&url, "%s/2010-04-01/Accounts/%s/Messages.json", c->sms_api_base, c->sms_account_sid);
	buf_addf(&pair, "%s:%s", c->sms_account_sid, c->sms_auth_token);
	buf_addz(&basic, "Basic ");
	digest_b64(&basic, pair.p, pair.n);
	sms_write(n, m, to, &body);
	const struct fetch_header headers[] = {
		{STR("Content-Type"), STR("application/x-www-form-urlencoded")}, {STR("Authorization"), buf_str(&basic)}};
	struct fetch_request rq = {.url = buf_str(&url), .headers = headers, .n_headers = ARRAY_LEN(headers)};
	struct fetch_response rs;
	body.failed = body.failed || url.failed || pair.failed || basic.failed;
	notifier_post(n, m, &rq, &body, &rs, a);
	read_answer(m, buf_str(&rs.body), a);
	fetch_response_release(&rs);
	struct buf *const all[] = {&url, &pair, &basic, &body};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (all[i]->p)
			explicit_bzero(all[i]->p, all[i]->n);
		buf_release(all[i]);
	}
}
