#include "lib/records/row.h"

#include "lib/base/buf.h"
#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"
#include "lib/records/fingerprint.h"

#define REPLACEMENT "\xef\xbf\xbd"

struct making {
	struct record_row *row;
	const struct records_policy *policy;
	struct arena *a;
	bool failed; /* no memory */
};

/* What the buf holds, in the arena; the buf is released. */
static struct str settle(struct making *m, struct buf *b)
{
	struct str s = b->failed ? STR_NONE : arena_dup(m->a, buf_str(b));

	m->failed = m->failed || !s.p;
	buf_release(b);
	return s;
}

/* The text as PostgreSQL can hold it. */
static struct str clean(struct making *m, struct str s)
{
	struct buf b = BUF_INIT;

	if (!s.p || (str_is_utf8(s) && !memchr(s.p, '\0', s.n)))
		return s;
	while (s.n > 0) {
		size_t n = s.p[0] ? str_utf8_length(s) : 0;
		if (n)
			buf_add(&b, s.p, n);
		else
			buf_addz(&b, REPLACEMENT);
		s = str_sub(s, n ? n : 1, s.n - (n ? n : 1));
	}
	return settle(m, &b);
}

/* The same, no longer than that: the last character is whole. */
static struct str clean_up_to(struct making *m, struct str s, size_t max)
{
	s = clean(m, s);
	if (s.n <= max)
		return s;
	while (max > 0 && ((unsigned char)s.p[max] & 0xc0) == 0x80)
		max--;
	return str_sub(s, 0, max);
}

/* The id is what a record is found by: it is never cut. */
static int verdict(const struct making *m)
{
	if (m->failed)
		return ERR_NOMEM;
	return m->row->job_id.n > RECORD_ID_MAX_BYTES ? ERR_LIMIT : 0;
}

/* ---- data and return value ---- */

static bool is_named(const struct records_part *part, struct str key)
{
	for (size_t i = 0; i < part->n_names; i++)
		if (str_eq(part->names[i], key))
			return true;
	return false;
}

/* The object's members that the policy names; .p NULL when it is no object. */
static struct str named_members(struct making *m, const struct records_part *part, const struct jdoc *doc)
{
	struct buf b = BUF_INIT;
	struct jwrite w = jwrite_into(&b);

	if (jdoc_type(doc, JDOC_ROOT) != J_OBJECT)
		return STR_NONE;
	jw_open(&w, '{');
	for (uint32_t c = jdoc_first(doc, JDOC_ROOT); c != JDOC_NONE; c = jdoc_next(doc, JDOC_ROOT, c)) {
		struct str key = jdoc_key(doc, c, m->a);
		if (key.p && is_named(part, key)) {
			jw_keys(&w, key);
			jw_raw(&w, jdoc_raw(doc, c));
		}
	}
	jw_close(&w, '}');
	return settle(m, &b);
}

/* What of the text is kept; *parsed tells whether *doc describes that. */
static struct str keep(struct making *m, const struct records_part *part, struct str text, struct jdoc *doc, bool *parsed)
{
	struct jdoc_fault fault;

	*parsed = false;
	if (!text.p || (!part->all && part->n_names == 0))
		return STR_NONE;
	*parsed = jdoc_parse(doc, m->a, text, &JDOC_LIMITS, &fault) == 0;
	if (part->all)
		return *parsed ? text : clean(m, text);
	text = *parsed ? named_members(m, part, doc) : STR_NONE;
	*parsed = text.p && jdoc_parse(doc, m->a, text, &JDOC_LIMITS, &fault) == 0;
	return text;
}

#define EXPONENT_DIGITS 3

bool record_number_fits(struct str raw)
{
	struct str exponent = raw;

	while (exponent.n > 0 && (exponent.p[0] | 0x20) != 'e')
		exponent = str_sub(exponent, 1, exponent.n - 1);
	return raw.n <= RECORD_FIELD_MAX_BYTES && exponent.n <= strlen("e-") + EXPONENT_DIGITS;
}

/* A value that jsonb can hold and that somebody may look for. */
static bool is_plain(const struct jdoc *doc, uint32_t node, struct str value)
{
	switch (jdoc_type(doc, node)) {
	case J_STRING:
		return value.p && value.n <= RECORD_FIELD_MAX_BYTES && !memchr(value.p, '\0', value.n);
	case J_NUMBER:
		return record_number_fits(jdoc_raw(doc, node));
	case J_TRUE:
	case J_FALSE:
		return true;
	default:
		return false;
	}
}

static struct str plain_members(struct making *m, const struct jdoc *doc)
{
	struct buf b = BUF_INIT;
	struct jwrite w = jwrite_into(&b);
	int n = 0;

	jw_open(&w, '{');
	for (uint32_t c = jdoc_first(doc, JDOC_ROOT); c != JDOC_NONE && n < RECORD_FIELDS_MAX; c = jdoc_next(doc, JDOC_ROOT, c)) {
		struct str key = jdoc_key(doc, c, m->a);
		if (key.p && key.n <= RECORD_FIELD_MAX_BYTES && is_plain(doc, c, jdoc_string(doc, c, m->a))) {
			jw_keys(&w, key);
			jw_raw(&w, jdoc_raw(doc, c));
			n++;
		}
	}
	jw_close(&w, '}');
	if (n == 0)
		buf_release(&b);
	return n ? settle(m, &b) : STR_NONE;
}

static void put_payload(struct making *m, struct str data, struct str returnvalue)
{
	struct jdoc doc;
	bool parsed;

	m->row->data = keep(m, &m->policy->data, data, &doc, &parsed);
	if (parsed && jdoc_type(&doc, JDOC_ROOT) == J_OBJECT)
		m->row->fields = plain_members(m, &doc);
	m->row->returnvalue = keep(m, &m->policy->result, returnvalue, &doc, &parsed);
}

/* ---- the rest ---- */

/* A job's log lines, written anew: what a client wrote may be anything. */
static struct str log_lines(struct making *m, struct str json)
{
	struct jdoc doc;
	struct jdoc_fault fault;
	struct buf b = BUF_INIT;
	struct jwrite w = jwrite_into(&b);

	if (!json.p || jdoc_parse(&doc, m->a, clean(m, json), &JDOC_LIMITS, &fault) < 0)
		return STR_NONE;
	jw_open(&w, '[');
	for (uint32_t c = jdoc_first(&doc, JDOC_ROOT); c != JDOC_NONE; c = jdoc_next(&doc, JDOC_ROOT, c))
		jw_str(&w, clean(m, jdoc_string(&doc, c, m->a)));
	jw_close(&w, ']');
	return settle(m, &b);
}

/* {"<start>": {"end", "worker", "error"}} */
static struct str attempt(struct making *m, int64_t start_ms, int64_t end_ms, struct str worker, struct str error)
{
	struct buf b = BUF_INIT;
	struct jwrite w = jwrite_into(&b);
	char start[24];

	snprintf(start, sizeof(start), "%lld", (long long)start_ms);
	jw_open(&w, '{');
	jw_key(&w, start);
	jw_open(&w, '{');
	jw_kint(&w, "end", end_ms);
	if (worker.p)
		jw_kstr(&w, "worker", worker);
	if (error.p)
		jw_kstr(&w, "error", error);
	jw_close(&w, '}');
	jw_close(&w, '}');
	return settle(m, &b);
}

static void put_failure(struct making *m, struct str reason)
{
	struct buf b = BUF_INIT;

	fingerprint(&b, reason);
	m->row->failed_reason = reason;
	m->row->fingerprint = settle(m, &b);
}

static const char *state_word(enum bq_entry_kind kind, enum bq_state state)
{
	if (kind == BQ_ENTRY_REMOVED)
		return "removed";
	return kind == BQ_ENTRY_END ? bq_state_word(state) : "pending";
}

static struct making begin(struct record_row *row, const struct records_policy *policy, struct arena *a)
{
	*row = (struct record_row){
		.processed_ms = -1,
		.finished_ms = -1,
		.delay_ms = -1,
		.priority = -1,
		.attempts_made = -1,
		.data_bytes = -1,
		.result_bytes = -1,
		.attempts = STR("{}"),
	};
	return (struct making){.row = row, .policy = policy, .a = a};
}

static void put_job(struct making *m, const struct bq_job *job)
{
	struct record_row *row = m->row;

	row->job_id = clean(m, job->id);
	row->created_ms = job->timestamp;
	row->name = clean_up_to(m, job->name, RECORD_NAME_MAX_BYTES);
	row->org = job->opts.org.p ? clean_up_to(m, job->opts.org, RECORD_NAME_MAX_BYTES) : STR("default");
	row->sub = clean(m, job->opts.sub);
	row->processed_ms = job->processed_on;
	row->delay_ms = job->delay;
	row->priority = job->priority;
	row->attempts_made = job->attempts_made;
	row->worker = clean(m, job->processed_by);
	row->opts = clean(m, job->opts_json);
	row->parent_queue = clean(m, job->parent_queue);
	row->parent_id = clean(m, job->parent_id);
	row->progress = clean(m, job->progress);
}

static void put_end(struct making *m, const struct bq_entry *e, struct str reason)
{
	struct record_row *row = m->row;
	bool failed = e->job.state == BQ_FAILED;

	row->finished_ms = e->job.finished_on >= 0 ? e->job.finished_on : e->at_ms;
	row->at_ms = row->finished_ms;
	row->stacktrace = clean(m, e->job.stacktrace);
	if (failed)
		put_failure(m, reason);
	else
		row->failed_reason = reason; /* of an attempt before, as the job's hash has it */
	if (row->processed_ms >= 0)
		row->attempts = attempt(m, row->processed_ms, row->finished_ms, row->worker, failed ? reason : STR_NONE);
}

int record_row_make(struct record_row *row, const struct bq_entry *e, const struct records_policy *policy, struct arena *a)
{
	struct making m = begin(row, policy, a);
	struct str reason = clean(&m, e->job.failed_reason);

	put_job(&m, &e->job);
	row->at_ms = e->at_ms;
	row->state = str_from(state_word(e->kind, e->job.state));
	row->data_bytes = e->data_bytes;
	row->result_bytes = e->result_bytes;
	row->logs = log_lines(&m, e->logs);
	row->first = e->kind == BQ_ENTRY_ADDED || (e->kind == BQ_ENTRY_END && e->job.attempts_made <= 1);
	put_payload(&m, e->job.data, e->job.returnvalue);
	if (e->kind == BQ_ENTRY_END)
		put_end(&m, e, reason);
	else if (e->kind == BQ_ENTRY_ATTEMPT)
		row->attempts = attempt(&m, row->processed_ms >= 0 ? row->processed_ms : e->at_ms, e->at_ms, row->worker, reason);
	return verdict(&m);
}

int record_row_trace(struct record_row *row, const struct record_trace *t, const struct records_policy *policy, struct arena *a)
{
	struct making m = begin(row, policy, a);
	bool ended = t->state == BQ_COMPLETED || t->state == BQ_FAILED;

	row->job_id = clean(&m, t->id);
	row->name = clean_up_to(&m, t->name, RECORD_NAME_MAX_BYTES);
	row->created_ms = t->created_ms;
	row->at_ms = t->at_ms;
	row->finished_ms = ended ? t->at_ms : -1;
	row->state = str_from(ended ? bq_state_word(t->state) : "removed");
	row->org = STR("");
	row->partial = true;
	if (t->state == BQ_COMPLETED) {
		put_payload(&m, STR_NONE, t->value);
		row->result_bytes = t->value_bytes;
	}
	if (t->state == BQ_FAILED)
		put_failure(&m, clean(&m, t->value));
	return verdict(&m);
}

bool record_row_is_whole(const struct record_row *row)
{
	return row->finished_ms >= 0 && !row->partial && row->data_bytes < 0;
}

struct str record_key(int64_t created_ms, struct str job_id, struct arena *a)
{
	return str_from(arena_printf(a, "%lld %.*s", (long long)created_ms, STR_ARG(job_id)));
}
