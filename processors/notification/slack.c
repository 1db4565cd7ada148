#include "lib/json/jwrite.h"
#include "processors/notification/notifier.h"

/* Slack's three control characters. */
static void add_escaped(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		const char *escape = s.p[i] == '&' ? "&amp;" : s.p[i] == '<' ? "&lt;" : s.p[i] == '>' ? "&gt;" : NULL;
		if (escape)
			buf_addz(out, escape);
		else
			buf_addc(out, s.p[i]);
	}
}

void slack_write(const struct notifier *n, const struct notice *m, struct str to, struct buf *out)
{
	struct buf text = BUF_INIT;
	(void)n;
	(void)to;
	buf_addc(&text, '*');
	add_escaped(&text, m->subject);
	buf_addz(&text, "*\n");
	add_escaped(&text, m->text);
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '{');
	jw_kstr(&w, "text", buf_str(&text));
	jw_close(&w, '}');
	out->failed = out->failed || text.failed;
	buf_release(&text);
}

void slack_send(const struct notifier *n, const struct notice *m, struct str to, struct attempt *a)
{
	static const struct fetch_header json = {STR("Content-Type"), STR("application/json")};
	struct fetch_request rq = {.url = to, .headers = &json, .n_headers = 1};
	struct fetch_response rs;
	struct buf body = BUF_INIT;
	slack_write(n, m, to, &body);
	notifier_post(n, m, &rq, &body, &rs, a);
	fetch_response_release(&rs);
	buf_release(&body);
}
