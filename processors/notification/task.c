#include "processors/notification/task.h"

#include "lib/base/clock.h"
#include "processors/notification/children.h"
#include "processors/notification/outbox.h"

#define SETTLE_PAUSE_MS 100
#define LATER_MAX_AGE_MS ((int64_t)24 * 3600 * 1000) /* a provider that says "later" for longer uses up attempts */

/* Fails the job for the trouble. */
static enum outcome fail(struct task *t, enum trouble trouble, const char *detail)
{
	job_fail(t->ctx, trouble_name(trouble), "%s%s%s", trouble_sentence(trouble), detail ? ": " : "", detail ? detail : "");
	return trouble_class_of(trouble) == TROUBLE_PERMANENT ? OUTCOME_PERMANENT : OUTCOME_RETRY;
}

static struct str member(const struct task *t, const char *name)
{
	const struct jdoc *data = job_data(t->ctx);
	uint32_t node = jdoc_get(data, JDOC_ROOT, name);
	return node == JDOC_NONE ? STR_NONE : jdoc_string(data, node, t->m.arena);
}

/* A queue may be declared with another schema than this processor's. */
static enum trouble read_payload(struct task *t)
{
	const struct jdoc *data = job_data(t->ctx);
	uint32_t metadata = jdoc_get(data, JDOC_ROOT, "metadata");
	struct str type;
	t->m = (struct notice){
		.arena = job_arena(t->ctx),
		.queue = job_queue(t->ctx),
		.job_id = job_id(t->ctx),
		.org = job_org(t->ctx),
		.added_wall_ms = job_added_wall_ms(t->ctx),
		.deadline_mono_ms = job_deadline_mono_ms(t->ctx),
		.cancel_fd = job_cancel_fd(t->ctx),
	};
	t->m.user_id = member(t, "userId");
	t->m.subject = member(t, "subject");
	t->m.text = member(t, "message");
	t->m.metadata = metadata == JDOC_NONE ? STR("") : jdoc_raw(data, metadata);
	type = member(t, "type");
	if (!t->m.user_id.p || !t->m.subject.p || !t->m.text.p || !type.p)
		return TROUBLE_INVALID_PAYLOAD;
	t->channel = channel_find(type);
	if (!t->channel)
		return TROUBLE_UNKNOWN_TYPE;
	t->m.type = t->channel->name;
	return TROUBLE_NONE;
}

static bool is_dry(const struct task *t)
{
	return t->n->outbox.n > 0;
}

/* The user's addresses, else what the channel has for everybody. */
static enum trouble find_targets(struct task *t)
{
	struct addresses found;
	enum trouble trouble = directory_find(t->n, &t->m, t->channel->field, &found);
	const char *common = t->channel->common(t->n);
	if (!*common && is_dry(t))
		common = t->channel->sample;
	if ((trouble == TROUBLE_RECIPIENT_NOT_FOUND || trouble == TROUBLE_NO_ADDRESS) && *common) {
		found = (struct addresses){.items = {str_from(common)}, .count = 1};
		trouble = TROUBLE_NONE;
	}
	if (trouble != TROUBLE_NONE)
		return trouble;
	for (unsigned i = 0; i < found.count; i++) {
		if (!t->channel->address_ok(found.items[i]))
			return TROUBLE_INVALID_ADDRESS;
		t->targets[i] = (struct target){.address = found.items[i]};
	}
	t->n_targets = found.count;
	return TROUBLE_NONE;
}

/* ---- one target ---- */

static enum trouble ledger_trouble(struct task *t, const struct err *err)
{
	LOG(t->n->log, LOG_WARN, "notification_ledger_unavailable", log_str("queue", t->m.queue), log_str("jobId", t->m.job_id), log_err(err));
	return TROUBLE_LEDGER_UNAVAILABLE;
}

/* The provider has decided: that must not be forgotten, so it is told until Redis has it. */
static void settle(struct task *t, struct target *g)
{
	for (;;) {
		struct err err = {0};
		if (ledger_settle(&t->ledger, &g->entry, &err) == 0)
			return;
		(void)ledger_trouble(t, &err);
		if (job_cancelled(t->ctx) || clock_mono_ms() >= t->m.deadline_mono_ms)
			return; /* "sending" stays: the next attempt knows that it may have arrived */
		clock_sleep_ms(SETTLE_PAUSE_MS);
	}
}

static void send(struct task *t, struct target *g)
{
	struct attempt *a = &g->entry.attempt;
	*a = (struct attempt){.delay_ms = -1};
	if (is_dry(t))
		outbox_put(t->n, t->channel, &t->m, g->address, a);
	else
		t->channel->send(t->n, &t->m, g->address, a);
	settle(t, g);
	if (a->trouble == TROUBLE_UNKNOWN_OUTCOME && !t->channel->repeats(t->n, g->entry.sends))
		a->trouble = TROUBLE_AMBIGUOUS;
}

static void deliver(struct task *t, struct target *g)
{
	struct err err = {0};
	struct ledger_entry *e = &g->entry;
	if (job_cancelled(t->ctx)) {
		e->attempt.trouble = TROUBLE_CANCELLED;
		return;
	}
	if (ledger_read(&t->ledger, t->channel->name, g->address, e, &err) < 0) {
		e->attempt.trouble = ledger_trouble(t, &err);
		return;
	}
	g->repeated = e->sends > 1;
	g->duplicate = e->state == LEDGER_SENT || e->state == LEDGER_REFUSED;
	if (g->duplicate)
		return;
	if (e->state == LEDGER_SENDING) {
		g->repeated = true;
		if (!t->channel->repeats(t->n, e->sends)) {
			e->attempt.trouble = TROUBLE_AMBIGUOUS;
			return;
		}
	}
	if (ledger_claim(&t->ledger, e, &err) < 0) {
		e->attempt.trouble = ledger_trouble(t, &err);
		return;
	}
	send(t, g);
}

/* ---- the whole ---- */

static void describe(const struct attempt *a, char *out, size_t size)
{
	out[0] = '\0';
	if (a->code)
		snprintf(out, size, "it answered %d%s%s", a->code, a->enhanced[0] ? " " : "", a->enhanced);
}

static const struct attempt *first_of(const struct task *t, enum trouble_class class)
{
	for (unsigned i = 0; i < t->n_targets; i++) {
		const struct attempt *a = &t->targets[i].entry.attempt;
		if (a->trouble != TROUBLE_NONE && trouble_class_of(a->trouble) == class)
			return a;
	}
	return NULL;
}

static bool any_accepted(const struct task *t)
{
	for (unsigned i = 0; i < t->n_targets; i++)
		if (t->targets[i].entry.attempt.trouble == TROUBLE_NONE)
			return true;
	return false;
}

static int64_t longest_delay(const struct task *t)
{
	int64_t delay = 0;
	for (unsigned i = 0; i < t->n_targets; i++) {
		const struct attempt *a = &t->targets[i].entry.attempt;
		if (a->trouble != TROUBLE_NONE && a->delay_ms > delay)
			delay = a->delay_ms;
	}
	return delay;
}

static enum outcome fail_for(struct task *t, const struct attempt *a)
{
	char detail[64];
	describe(a, detail, sizeof(detail));
	return fail(t, a->trouble, detail[0] ? detail : NULL);
}

static enum outcome conclude(struct task *t)
{
	const struct attempt *later = first_of(t, TROUBLE_LATER), *again = first_of(t, TROUBLE_RETRY);
	if (later && clock_wall_ms() - t->m.added_wall_ms < LATER_MAX_AGE_MS) {
		job_delay(t->ctx, longest_delay(t));
		(void)fail_for(t, later);
		return OUTCOME_DELAY;
	}
	again = again ? again : later;
	again = again ? again : first_of(t, TROUBLE_UNKNOWN);
	if (again)
		return fail_for(t, again);
	if (!any_accepted(t))
		return fail_for(t, first_of(t, TROUBLE_PERMANENT));
	struct buf result = BUF_INIT;
	task_write_result(t, &result);
	enum outcome outcome = result.failed ? fail(t, TROUBLE_NO_MEMORY, NULL) : OUTCOME_DONE;
	if (outcome == OUTCOME_DONE) {
		job_return(t->ctx, buf_str(&result));
		job_progress(t->ctx, 100, "done");
	}
	buf_release(&result);
	return outcome;
}

enum outcome task_run(struct task *t)
{
	struct err err = {0};
	job_progress(t->ctx, 0, "received");
	enum trouble trouble = read_payload(t);
	if (trouble != TROUBLE_NONE)
		return fail(t, trouble, NULL);
	if (!is_dry(t) && !t->channel->configured(t->n)) {
		char detail[200];
		snprintf(detail, sizeof(detail), "set %s", t->channel->settings);
		return fail(t, TROUBLE_CHANNEL_NOT_CONFIGURED, detail);
	}
	trouble = find_targets(t);
	if (trouble == TROUBLE_NONE)
		trouble = children_tell(t->ctx, &t->m);
	if (trouble != TROUBLE_NONE)
		return fail(t, trouble, NULL);
	job_progress(t->ctx, 10, "recipient resolved");
	if (ledger_open(&t->ledger, t->n, &t->m, &err) < 0)
		return fail(t, ledger_trouble(t, &err), NULL);
	t->ledger_open = true;
	job_progress(t->ctx, 50, "sending");
	for (unsigned i = 0; i < t->n_targets; i++)
		deliver(t, &t->targets[i]);
	job_progress(t->ctx, 90, "provider answered");
	return conclude(t);
}

void task_release(struct task *t)
{
	if (t->ledger_open)
		ledger_release(&t->ledger);
	t->ledger_open = false;
}
