#include "lib/bullmq/bq_impl.h"
#include "lib/json/jdoc.h"

enum field_kind { FIELD_STR, FIELD_INT };

struct field {
	const char *name;
	enum field_kind kind;
	size_t at;
	unsigned read_by; /* bits of enum bq_job_read */
};

#define STR_AT(member) FIELD_STR, offsetof(struct bq_job, member)
#define INT_AT(member) FIELD_INT, offsetof(struct bq_job, member)

#define ANY (BQ_READ_ALL | BQ_READ_HEAD)
#define END BQ_READ_TO_END
#define COMPLETE (BQ_READ_TO_END | BQ_READ_TO_COMPLETE)

static const struct field FIELDS[BQ_JOB_FIELD_COUNT] = {
	{"name", STR_AT(name), ANY},
	{"data", STR_AT(data), BQ_READ_ALL},
	{"opts", STR_AT(opts_json), ANY | COMPLETE},
	{"progress", STR_AT(progress), ANY},
	{"returnvalue", STR_AT(returnvalue), BQ_READ_ALL},
	{"failedReason", STR_AT(failed_reason), ANY},
	{"stacktrace", STR_AT(stacktrace), BQ_READ_ALL | END},
	{"defa", STR_AT(deferred_failure), ANY},
	{"parentKey", STR_AT(parent_key), ANY},
	{"parent", STR_AT(parent_json), ANY},
	{"rjk", STR_AT(repeat_key), ANY | COMPLETE},
	{"pb", STR_AT(processed_by), ANY},
	{"timestamp", INT_AT(timestamp), ANY | COMPLETE},
	{"delay", INT_AT(delay), ANY},
	{"priority", INT_AT(priority), ANY | END},
	{"processedOn", INT_AT(processed_on), ANY},
	{"finishedOn", INT_AT(finished_on), ANY},
	{"atm", INT_AT(attempts_made), ANY | COMPLETE},
	{"attemptsMade", INT_AT(attempts_made), ANY | COMPLETE}, /* bullmq 4's name; it wins, as in every reader */
	{"ats", INT_AT(attempts_started), ANY},
	{"stc", INT_AT(stalled_count), ANY},
};

void bq_job_init(struct bq_job *job)
{
	*job = (struct bq_job){.processed_on = -1, .finished_on = -1, .state = BQ_STATE_UNKNOWN};
	bq_opts_init(&job->opts);
}

/* Numbers beyond those of JavaScript are nobody's honest ones; within them a clock or a count can be added without looking. */
static void set_int(const redisReply *value, int64_t *out)
{
	int64_t v;

	if (rreply_int(value, &v))
		*out = v > MAX_SAFE_INTEGER ? MAX_SAFE_INTEGER : v < -MAX_SAFE_INTEGER ? -MAX_SAFE_INTEGER : v;
}

static int set_field(struct bq_job *job, const struct field *f, const redisReply *value, struct arena *a)
{
	char *at = (char *)job + f->at;
	struct str s = rreply_str(value);

	if (!s.p)
		return 0;
	if (f->kind == FIELD_INT) {
		set_int(value, (int64_t *)(void *)at);
		return 0;
	}
	*(struct str *)(void *)at = arena_dup(a, s);
	return ((struct str *)(void *)at)->p ? 0 : ERR_NOMEM;
}

/* Old Python workers stored failedReason as a JSON string. */
static void unquote_reason(struct bq_job *job, struct arena *a)
{
	struct str reason = job->failed_reason;
	struct jdoc doc;
	struct jdoc_fault fault;

	if (reason.n < 2 || reason.p[0] != '"' || jdoc_parse(&doc, a, reason, &JDOC_LIMITS, &fault) < 0)
		return;
	job->failed_reason = jdoc_string(&doc, JDOC_ROOT, a);
	if (!job->failed_reason.p)
		job->failed_reason = reason;
}

static void read_opts(struct bq_job *job, const struct bq_job *like, struct arena *a)
{
	struct jdoc doc;
	struct jdoc_fault fault;

	if (like && job->opts_json.p && str_eq(job->opts_json, like->opts_json)) {
		job->opts = like->opts;
		return;
	}
	if (!job->opts_json.p || jdoc_parse(&doc, a, job->opts_json, &JDOC_LIMITS, &fault) < 0)
		return;
	if (bq_opts_read(&job->opts, &doc, JDOC_ROOT, a, false, NULL) < 0)
		bq_opts_init(&job->opts);
}

/* "P:Q:id" or "P:Q": the part behind the last colon. */
static struct str last_part(struct str key)
{
	size_t at = key.n;

	while (at > 0 && key.p[at - 1] != ':')
		at--;
	return str_sub(key, at, key.n - at);
}

static void read_parent(struct bq_job *job, struct arena *a)
{
	struct str queue_key = STR_NONE;
	struct jdoc doc;
	struct jdoc_fault fault;

	if (job->parent_json.p && jdoc_parse(&doc, a, job->parent_json, &JDOC_LIMITS, &fault) == 0) {
		uint32_t id = jdoc_get(&doc, JDOC_ROOT, "id"), key = jdoc_get(&doc, JDOC_ROOT, "queueKey");

		if (id != JDOC_NONE)
			job->parent_id = jdoc_string(&doc, id, a);
		if (key != JDOC_NONE)
			queue_key = jdoc_string(&doc, key, a);
	}
	if (!job->parent_id.p && job->parent_key.p)
		job->parent_id = last_part(job->parent_key);
	if (!queue_key.p && job->parent_key.n > job->parent_id.n)
		queue_key = str_sub(job->parent_key, 0, job->parent_key.n - job->parent_id.n - 1);
	if (queue_key.p)
		job->parent_queue = last_part(queue_key);
}

static int finish_reading(struct bq_job *job, struct str id, const struct bq_job *like, struct arena *a)
{
	job->id = arena_dup(a, id);
	if (!job->id.p)
		return ERR_NOMEM;
	read_opts(job, like, a);
	read_parent(job, a);
	unquote_reason(job, a);
	return 0;
}

void bq_job_fetch(struct rcmd *cmd, const struct bq_queue *q, struct str id, enum bq_job_read read)
{
	struct buf key = BUF_INIT;
	size_t n = 0;

	for (size_t i = 0; i < BQ_JOB_FIELD_COUNT; i++)
		n += (FIELDS[i].read_by & read) != 0;
	bq_job_key(&key, q, id, "");
	if (key.failed)
		cmd->wire.failed = true;
	rcmd_begin(cmd, n + 2);
	rcmd_argz(cmd, "HMGET");
	rcmd_arg(cmd, buf_str(&key));
	for (size_t i = 0; i < BQ_JOB_FIELD_COUNT; i++)
		if (FIELDS[i].read_by & read)
			rcmd_argz(cmd, FIELDS[i].name);
	buf_release(&key);
}

/* Every job has a timestamp. Other hashes of the queue (its meta, schedulers, the next job of a deduplication id) have none, and are no
 * jobs, whatever else stands in them. */
int bq_job_from_values(struct bq_job *job, struct str id, enum bq_job_read read, const redisReply *values, const struct bq_job *like,
		       struct arena *a)
{
	bool found = false;
	size_t at = 0;

	bq_job_init(job);
	for (size_t i = 0; i < BQ_JOB_FIELD_COUNT; i++) {
		const redisReply *value;

		if (!(FIELDS[i].read_by & read))
			continue;
		value = rreply_at(values, at++);
		found = found || (str_is(STR("timestamp"), FIELDS[i].name) && !rreply_is_nil(value));
		if (set_field(job, &FIELDS[i], value, a) < 0)
			return ERR_NOMEM;
	}
	return found ? finish_reading(job, id, like, a) : ERR_NOT_FOUND;
}

/* Of how many fields the job is that its end depends on itself alone, as struct bq_job says. */
static unsigned count_plain(const redisReply *pairs)
{
	static const char *const not_plain[] = {"atm", "parentKey", "parent", "deid"};
	bool has_timestamp = false;
	unsigned n = 0;

	for (; rreply_at(pairs, 2 * n + 1); n++) {
		struct str name = rreply_str(rreply_at(pairs, 2 * n));

		has_timestamp = has_timestamp || str_is(name, "timestamp");
		for (size_t i = 0; i < ARRAY_LEN(not_plain); i++)
			if (str_is(name, not_plain[i]))
				return 0;
	}
	return has_timestamp ? n : 0;
}

int bq_job_from_pairs(struct bq_job *job, struct str id, const redisReply *pairs, const struct bq_job *like, struct arena *a)
{
	bq_job_init(job);
	for (size_t at = 0; rreply_at(pairs, at + 1); at += 2) {
		struct str name = rreply_str(rreply_at(pairs, at));

		for (size_t i = 0; i < BQ_JOB_FIELD_COUNT; i++)
			if (str_is(name, FIELDS[i].name) && set_field(job, &FIELDS[i], rreply_at(pairs, at + 1), a) < 0)
				return ERR_NOMEM;
	}
	job->plain_fields = count_plain(pairs);
	if (!job->data.p)
		job->data = STR("{}"); /* as the official client reads a hash without data */
	return finish_reading(job, id, like, a);
}
