#include "lib/bullmq/opts.h"

#include <math.h>

#include "lib/bullmq/opts_fields.h"

#define AT(member) offsetof(struct bq_opts, member)
#define MAX_PRIORITY ((1 << 21) - 1) /* PRIORITY_LIMIT of bullmq's job.js */
#define MAX_BACKOFF_MS (INT64_C(1) << 52)

const struct opts_field bq_opts_fields[OPTS_FIELD_COUNT] = {
	{"attempts", "attempts", OPTS_INT, AT(attempts), INT32_MAX},
	{"delay", "delay", OPTS_INT, AT(delay_ms), MAX_SAFE_INTEGER},
	{"priority", "priority", OPTS_INT, AT(priority), MAX_PRIORITY},
	{"backoff", "backoff", OPTS_BACKOFF, AT(backoff), 0},
	{"lifo", "lifo", OPTS_LIFO, AT(lifo), 0},
	{"jobId", "jobId", OPTS_JOB_ID, AT(job_id), 0},
	{"deduplication", "de", OPTS_DEDUP, AT(dedup_id), 0},
	{"removeOnComplete", "removeOnComplete", OPTS_KEEP, AT(remove_on_complete), 0},
	{"removeOnFail", "removeOnFail", OPTS_KEEP, AT(remove_on_fail), 0},
	{"keepLogs", "kl", OPTS_INT, AT(keep_logs), INT32_MAX},
	{"stackTraceLimit", "stackTraceLimit", OPTS_INT, AT(stack_trace_limit), INT32_MAX},
	{"sizeLimit", "sizeLimit", OPTS_INT, AT(size_limit), MAX_SAFE_INTEGER},
	{"timestamp", "timestamp", OPTS_INT, AT(timestamp_ms), MAX_SAFE_INTEGER},
	{"failParentOnFailure", "fpof", OPTS_ON_PARENT, AT(on_parent), BQ_PARENT_FAILS},
	{"continueParentOnFailure", "cpof", OPTS_ON_PARENT, AT(on_parent), BQ_PARENT_CONTINUES},
	{"ignoreDependencyOnFailure", "idof", OPTS_ON_PARENT, AT(on_parent), BQ_PARENT_IGNORES},
	{"removeDependencyOnFailure", "rdof", OPTS_ON_PARENT, AT(on_parent), BQ_PARENT_REMOVES},
	{"telemetry", "tm", OPTS_TELEMETRY, AT(telemetry), 0},
	{NULL, "sluice", OPTS_SLUICE, AT(org), 0},
};

void bq_opts_init(struct bq_opts *o)
{
	const struct bq_keep keep = {.count = -1, .age_s = -1, .limit = -1};

	*o = (struct bq_opts){
		.attempts = -1,
		.delay_ms = -1,
		.priority = -1,
		.dedup_ttl_ms = -1,
		.remove_on_complete = keep,
		.remove_on_fail = keep,
		.keep_logs = -1,
		.stack_trace_limit = -1,
		.size_limit = -1,
		.timestamp_ms = -1,
	};
}

static void merge_int(struct bq_opts *o, const struct bq_opts *from, size_t at)
{
	int64_t *mine = (int64_t *)(void *)((char *)o + at);

	if (*mine < 0)
		*mine = *(const int64_t *)(const void *)((const char *)from + at);
}

static void merge_str(struct str *mine, struct str theirs)
{
	if (!mine->p)
		*mine = theirs;
}

static void merge_dedup(struct bq_opts *o, const struct bq_opts *from)
{
	if (o->dedup_id.p)
		return;
	o->dedup_id = from->dedup_id;
	o->dedup_ttl_ms = from->dedup_ttl_ms;
	o->dedup_extend = from->dedup_extend;
	o->dedup_replace = from->dedup_replace;
	o->dedup_keep_last = from->dedup_keep_last;
	o->dedup_reschedule = from->dedup_reschedule;
}

void bq_opts_merge(struct bq_opts *o, const struct bq_opts *from)
{
	for (size_t i = 0; i < OPTS_FIELD_COUNT; i++)
		if (bq_opts_fields[i].kind == OPTS_INT)
			merge_int(o, from, bq_opts_fields[i].at);
	if (!o->backoff.set)
		o->backoff = from->backoff;
	if (!o->lifo_set) {
		o->lifo = from->lifo;
		o->lifo_set = from->lifo_set;
	}
	if (!o->remove_on_complete.set)
		o->remove_on_complete = from->remove_on_complete;
	if (!o->remove_on_fail.set)
		o->remove_on_fail = from->remove_on_fail;
	if (o->on_parent == BQ_PARENT_WAITS)
		o->on_parent = from->on_parent;
	merge_dedup(o, from);
	merge_str(&o->job_id, from->job_id);
	merge_str(&o->org, from->org);
	merge_str(&o->sub, from->sub);
	merge_str(&o->telemetry, from->telemetry);
	merge_str(&o->rest, from->rest);
}

/* Builtin strategies of bullmq's backoffs.js; Math.round there is floor(x + 0.5). */
int64_t bq_backoff_ms(const struct bq_backoff *b, int64_t attempts_made, double random01)
{
	double delay, ms;

	if (!b->set || b->delay_ms <= 0)
		return 0;
	delay = (double)b->delay_ms;
	if (str_is(b->type, "exponential") && attempts_made > 1)
		delay = floor(ldexp(delay, attempts_made > 64 ? 63 : (int)attempts_made - 1) + 0.5);
	ms = delay;
	if (b->jitter > 0)
		ms = floor(random01 * delay * b->jitter + delay * (1 - b->jitter));
	return ms < (double)MAX_BACKOFF_MS ? (int64_t)ms : MAX_BACKOFF_MS;
}
