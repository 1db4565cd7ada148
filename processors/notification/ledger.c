#include "processors/notification/ledger.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "lib/base/clock.h"
#include "lib/base/digest.h"
#include "lib/base/id.h"
#include "lib/base/panic.h"

static const char *const state_names[] = {
	[LEDGER_NONE] = "none", [LEDGER_SENDING] = "sending", [LEDGER_SENT] = "sent", [LEDGER_REFUSED] = "refused"};

/* ---- a field's text: state|sends|trouble|code|enhanced|providerId|ms|when ---- */

void ledger_write_entry(const struct ledger_entry *e, struct buf *out)
{
	const struct attempt *a = &e->attempt;
	buf_addf(out, "%s|%u|%s|%d|%s|%s|%" PRId64 "|%" PRId64, state_names[e->state], e->sends, trouble_name(a->trouble), a->code, a->enhanced,
		 a->provider_id, a->ms, e->sent_wall_ms);
}

static bool next_number(struct str *rest, int64_t max, int64_t *out)
{
	return rest->p && str_to_i64(str_cut(rest, '|'), out) == 0 && *out >= 0 && *out <= max;
}

static bool next_word(struct str *rest, char *out, size_t size)
{
	struct str word = rest->p ? str_cut(rest, '|') : STR_NONE;
	if (!word.p || word.n >= size)
		return false;
	memcpy(out, word.p, word.n);
	out[word.n] = '\0';
	return true;
}

static bool read_state(struct str word, enum ledger_state *out)
{
	for (size_t i = 0; i < ARRAY_LEN(state_names); i++)
		if (str_is(word, state_names[i])) {
			*out = (enum ledger_state)i;
			return true;
		}
	return false;
}

bool ledger_read_entry(struct str text, struct ledger_entry *e)
{
	struct ledger_entry r = {0};
	int64_t sends, code;
	if (!read_state(str_cut(&text, '|'), &r.state) || !next_number(&text, 1000000, &sends) ||
	    !text.p || !trouble_find(str_cut(&text, '|'), &r.attempt.trouble) || !next_number(&text, 999, &code) ||
	    !next_word(&text, r.attempt.enhanced, sizeof(r.attempt.enhanced)) ||
	    !next_word(&text, r.attempt.provider_id, sizeof(r.attempt.provider_id)) || !next_number(&text, INT64_MAX, &r.attempt.ms) ||
	    !next_number(&text, INT64_MAX, &r.sent_wall_ms))
		return false;
	r.sends = (unsigned)sends;
	r.attempt.code = (int)code;
	memcpy(r.tag, e->tag, sizeof(r.tag));
	*e = r;
	return true;
}

/* ---- calls ---- */

static int call(struct ledger *l, struct rcmd *cmd, struct rreplies *out, struct err *err)
{
	int rc = rmux_call(l->n->redis, cmd, clock_mono_ms() + l->n->config->redis_timeout_ms, out, err);
	rcmd_release(cmd);
	for (size_t i = 0; rc == 0 && i < out->count; i++) {
		rc = rreply_error(out->items[i], err);
		if (rc < 0)
			rreplies_release(out);
	}
	return rc;
}

static void add_expiry(struct ledger *l, struct rcmd *cmd)
{
	rcmd_begin(cmd, 3);
	rcmd_argz(cmd, "PEXPIRE");
	rcmd_arg(cmd, buf_str(&l->key));
	rcmd_argi(cmd, l->n->config->notify_ledger_ttl_ms);
}

static int read_tag_key(struct ledger *l, struct err *err)
{
	char fresh[LEDGER_TAG_SIZE];
	struct buf name = BUF_INIT;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies r;
	id_random_hex(fresh, (LEDGER_TAG_SIZE - 1) / 2);
	buf_addf(&name, "%s:notify:tag-key", l->n->config->bullmq_prefix);
	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, "SET");
	rcmd_arg(&cmd, buf_str(&name));
	rcmd_argz(&cmd, fresh);
	rcmd_argz(&cmd, "NX");
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "GET");
	rcmd_arg(&cmd, buf_str(&name));
	int rc = name.failed ? err_set(err, ERR_NOMEM, "no memory for the ledger") : call(l, &cmd, &r, err);
	buf_release(&name);
	if (rc < 0)
		return rc;
	struct str key = rreply_str(r.items[1]);
	snprintf(l->tag_key, sizeof(l->tag_key), "%.*s", STR_ARG(key));
	rreplies_release(&r);
	return 0;
}

int ledger_open(struct ledger *l, const struct notifier *n, const struct notice *m, struct err *err)
{
	*l = (struct ledger){.n = n, .m = m};
	buf_addf(&l->key, "%s:notify:%.*s:%.*s:%" PRId64, n->config->bullmq_prefix, STR_ARG(m->queue), STR_ARG(m->job_id), m->added_wall_ms);
	int rc = l->key.failed ? err_set(err, ERR_NOMEM, "no memory for the ledger") : read_tag_key(l, err);
	if (rc < 0)
		ledger_release(l);
	return rc;
}

void ledger_release(struct ledger *l)
{
	buf_release(&l->key);
}

static void make_tag(const struct ledger *l, const char *channel, struct str address, char out[LEDGER_TAG_SIZE])
{
	struct buf text = BUF_INIT;
	unsigned char mac[SHA256_BYTES];
	unsigned n = sizeof(mac);
	buf_addf(&text, "%s:", channel);
	buf_adds(&text, address);
	bug_on(text.failed); /* an address is short */
	bug_on(!HMAC(EVP_sha256(), l->tag_key, (int)strlen(l->tag_key), (const unsigned char *)text.p, text.n, mac, &n));
	digest_hex(mac, (LEDGER_TAG_SIZE - 1) / 2, out);
	buf_release(&text);
}

int ledger_read(struct ledger *l, const char *channel, struct str address, struct ledger_entry *e, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies r;
	*e = (struct ledger_entry){0};
	make_tag(l, channel, address, e->tag);
	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "HGET");
	rcmd_arg(&cmd, buf_str(&l->key));
	rcmd_argz(&cmd, e->tag);
	int rc = call(l, &cmd, &r, err);
	if (rc < 0)
		return rc;
	struct str text = rreply_str(r.items[0]);
	/* What cannot be read was written by another version: it stands for "may have been sent". */
	if (text.p && !ledger_read_entry(text, e)) {
		e->state = LEDGER_SENDING;
		e->sends = 1;
	}
	rreplies_release(&r);
	return 0;
}

int ledger_claim(struct ledger *l, struct ledger_entry *e, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies r;
	struct buf text = BUF_INIT;
	bool first = e->state == LEDGER_NONE;
	struct ledger_entry claimed = *e;
	int64_t made = 1;
	claimed.state = LEDGER_SENDING;
	claimed.sends++;
	ledger_write_entry(&claimed, &text);
	rcmd_begin(&cmd, 4);
	rcmd_argz(&cmd, first ? "HSETNX" : "HSET");
	rcmd_arg(&cmd, buf_str(&l->key));
	rcmd_argz(&cmd, e->tag);
	rcmd_arg(&cmd, buf_str(&text));
	add_expiry(l, &cmd);
	int rc = text.failed ? err_set(err, ERR_NOMEM, "no memory for the ledger") : call(l, &cmd, &r, err);
	buf_release(&text);
	if (rc < 0)
		return rc;
	if (first && rreply_int(r.items[0], &made) && !made)
		rc = err_set(err, ERR_TAKEN, "another process is sending this message");
	rreplies_release(&r);
	if (rc == 0)
		*e = claimed;
	return rc;
}

/* What the entry becomes. False: it stays as it is. */
static bool settled(struct ledger_entry *e)
{
	enum trouble t = e->attempt.trouble;
	if (t != TROUBLE_NONE && trouble_class_of(t) == TROUBLE_UNKNOWN)
		return false;
	if (t == TROUBLE_NONE) {
		e->state = LEDGER_SENT;
		e->sent_wall_ms = clock_wall_ms();
	} else if (trouble_class_of(t) == TROUBLE_PERMANENT) {
		e->state = LEDGER_REFUSED;
	} else if (--e->sends == 0) { /* this time it did not arrive; an earlier time it may have */
		e->state = LEDGER_NONE;
	}
	return true;
}

int ledger_settle(struct ledger *l, struct ledger_entry *e, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies r;
	struct buf text = BUF_INIT;
	struct ledger_entry after = *e;
	if (!settled(&after))
		return 0;
	bool gone = after.state == LEDGER_NONE;
	ledger_write_entry(&after, &text);
	rcmd_begin(&cmd, gone ? 3 : 4);
	rcmd_argz(&cmd, gone ? "HDEL" : "HSET");
	rcmd_arg(&cmd, buf_str(&l->key));
	rcmd_argz(&cmd, e->tag);
	if (!gone)
		rcmd_arg(&cmd, buf_str(&text));
	add_expiry(l, &cmd);
	int rc = text.failed ? err_set(err, ERR_NOMEM, "no memory for the ledger") : call(l, &cmd, &r, err);
	buf_release(&text);
	if (rc < 0)
		return rc;
	rreplies_release(&r);
	*e = after;
	return 0;
}
