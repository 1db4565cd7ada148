#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/base/digest.h"
#include "processors/notification/mime.h"
#include "processors/notification/notifier.h"

#define MAX_PLAIN_ID 48

/* Letters that may stand in a Message-ID; other job ids are hashed. */
static bool is_plain_id(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return s.n > 0 && s.n <= MAX_PLAIN_ID;
}

static void add_id(struct buf *out, struct str s)
{
	unsigned char hash[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];
	if (is_plain_id(s)) {
		buf_adds(out, s);
		return;
	}
	digest_sha256(s, hash);
	digest_hex(hash, SHA256_BYTES / 2, hex);
	buf_addz(out, hex);
}

/* The same for every attempt of the same job, so that whoever gets the message twice can tell. */
static void message_id(const struct notifier *n, const struct notice *m, struct buf *out)
{
	struct str domain = n->from;
	(void)str_cut(&domain, '@');
	buf_addz(out, "<sluice.");
	add_id(out, m->queue);
	buf_addc(out, '.');
	add_id(out, m->job_id);
	buf_addf(out, ".%" PRId64 "@%.*s>", m->added_wall_ms, STR_ARG(domain));
}

void email_write(const struct notifier *n, const struct notice *m, struct str to, struct buf *out)
{
	struct buf id = BUF_INIT;
	message_id(n, m, &id);
	const struct mime_message mail = {
		.from_name = n->from_name,
		.from = n->from,
		.to = to,
		.subject = m->subject,
		.text = m->text,
		.message_id = buf_str(&id),
		.date_wall_ms = clock_wall_ms(),
	};
	mime_write(&mail, out);
	out->failed = out->failed || id.failed;
	buf_release(&id);
}

/* What a failed delivery means. */
static struct judgement judge(int rc, const struct smtp_reply *reply)
{
	if (rc == ERR_REPLY)
		return trouble_of_smtp(reply->code, reply->enhanced);
	/* Not sent is sure only where the message was not complete. */
	return (struct judgement){trouble_of_fetch(rc, rc == ERR_UNKNOWN_OUTCOME || (rc == ERR_STOPPING && reply->complete)), -1};
}

void email_send(const struct notifier *n, const struct notice *m, struct str to, struct attempt *a)
{
	struct buf text = BUF_INIT, id = BUF_INIT;
	struct smtp_reply reply = {0};
	struct err err = {0};
	email_write(n, m, to, &text);
	message_id(n, m, &id);
	const struct smtp_request rq = {
		.from = n->from, .to = to, .message = buf_str(&text), .deadline_mono_ms = notifier_deadline(n, m), .cancel_fd = m->cancel_fd};
	int rc = text.failed || id.failed ? ERR_NOMEM : mailer_send(n->mailer, &rq, &reply, &err);
	if (rc < 0) {
		struct judgement j = judge(rc, &reply);
		a->trouble = j.trouble;
		a->delay_ms = j.delay_ms;
	}
	if (rc == ERR_UNAVAILABLE)
		LOG(n->log, LOG_WARN, "mail_server_unavailable", log_err(&err));
	a->code = reply.code;
	a->ms = reply.ms;
	memcpy(a->enhanced, reply.enhanced, sizeof(a->enhanced));
	if (rc == 0 && id.n < sizeof(a->provider_id))
		memcpy(a->provider_id, id.p, id.n + 1);
	buf_release(&text);
	buf_release(&id);
}
