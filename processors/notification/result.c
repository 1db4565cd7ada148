/* The return value of a notification job. No address and no word of the message stands in it. */
#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/json/jwrite.h"
#include "processors/notification/task.h"

static const char *state_of(const struct target *g)
{
	return g->entry.attempt.trouble == TROUBLE_NONE ? "accepted" : "rejected";
}

static void write_code(struct jwrite *w, int code)
{
	char digits[12];
	snprintf(digits, sizeof(digits), "%d", code);
	jw_key(w, "code");
	jw_str(w, code ? str_from(digits) : STR_NONE);
}

static void write_target(const struct target *g, struct jwrite *w)
{
	const struct attempt *a = &g->entry.attempt;
	char name[sizeof("hmac:") + LEDGER_TAG_SIZE];
	snprintf(name, sizeof(name), "hmac:%s", g->entry.tag);
	jw_open(w, '{');
	jw_kstrz(w, "target", name);
	jw_kstrz(w, "state", state_of(g));
	write_code(w, a->code);
	jw_kstr(w, "enhanced", a->enhanced[0] ? str_from(a->enhanced) : STR_NONE);
	jw_kstr(w, "providerId", a->provider_id[0] ? str_from(a->provider_id) : STR_NONE);
	if (a->trouble != TROUBLE_NONE)
		jw_kstrz(w, "error", trouble_name(a->trouble));
	jw_kint(w, "ms", a->ms);
	jw_close(w, '}');
}

void task_write_result(const struct task *t, struct buf *out)
{
	struct jwrite w = jwrite_into(out);
	unsigned accepted = 0;
	bool repeated = false;
	int64_t sent_wall_ms = 0;
	char sent_at[CLOCK_RFC3339_SIZE];
	for (unsigned i = 0; i < t->n_targets; i++) {
		const struct ledger_entry *e = &t->targets[i].entry;
		accepted += e->attempt.trouble == TROUBLE_NONE;
		repeated = repeated || t->targets[i].repeated;
		sent_wall_ms = e->sent_wall_ms > sent_wall_ms ? e->sent_wall_ms : sent_wall_ms;
	}
	clock_rfc3339(sent_wall_ms, sent_at);
	jw_open(&w, '{');
	jw_kint(&w, "schema", 1);
	jw_kstr(&w, "userId", t->m.user_id);
	jw_kstrz(&w, "type", t->channel->name);
	jw_kstrz(&w, "status", accepted < t->n_targets ? "partial" : t->channel->accepted);
	jw_kstrz(&w, "provider", t->n->outbox.n ? "outbox" : t->channel->provider);
	jw_kint(&w, "accepted", accepted);
	jw_kint(&w, "rejected", t->n_targets - accepted);
	jw_key(&w, "targets");
	jw_open(&w, '[');
	for (unsigned i = 0; i < t->n_targets; i++)
		write_target(&t->targets[i], &w);
	jw_close(&w, ']');
	jw_kbool(&w, "possibleDuplicate", repeated);
	jw_kstrz(&w, "sentAt", sent_at);
	jw_close(&w, '}');
}
