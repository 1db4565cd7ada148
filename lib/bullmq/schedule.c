#include "lib/base/clock.h"
#include "lib/bullmq/bq_impl.h"
#include "lib/bullmq/cron.h"
#include "lib/json/jdoc.h"

/* What a schedule says, as its last job carries it in opts.repeat. */
struct schedule {
	struct jdoc opts;
	uint32_t repeat;      /* node */
	int64_t every;        /* ms; 0: by pattern */
	struct str pattern, tz;
	int64_t limit;        /* -1: none */
	int64_t count;        /* runs so far, with this job's */
	int64_t offset;       /* ms within every; 0: none */
	int64_t start, end;   /* ms; -1: none */
	int64_t previous;     /* when this job was due; 0: unknown */
	int64_t missed;       /* runs between then and now */
};

#define MISSED_MAX 1000 /* are counted */

static int64_t int_member(const struct jdoc *doc, uint32_t obj, const char *name, int64_t fallback)
{
	uint32_t node = jdoc_get(doc, obj, name);
	int64_t v;

	return node != JDOC_NONE && jdoc_int(doc, node, &v) == 0 ? v : fallback;
}

static struct str str_member(const struct jdoc *doc, uint32_t obj, const char *name, struct arena *a)
{
	uint32_t node = jdoc_get(doc, obj, name);

	return node == JDOC_NONE ? STR_NONE : jdoc_string(doc, node, a);
}

static int read_schedule(struct schedule *s, const struct bq_job *job, struct arena *a, struct err *err)
{
	struct jdoc_fault fault;

	if (!job->opts_json.p || jdoc_parse(&s->opts, a, job->opts_json, &JDOC_LIMITS, &fault) < 0)
		return err_set(err, ERR_INVALID, "the options of the scheduled job %.*s cannot be read", STR_ARG(job->id));
	s->repeat = jdoc_get(&s->opts, JDOC_ROOT, "repeat");
	s->every = int_member(&s->opts, s->repeat, "every", 0);
	s->pattern = str_member(&s->opts, s->repeat, "pattern", a);
	s->tz = str_member(&s->opts, s->repeat, "tz", a);
	s->limit = int_member(&s->opts, s->repeat, "limit", -1);
	s->count = int_member(&s->opts, s->repeat, "count", 0) + 1;
	s->offset = s->every > 0 ? int_member(&s->opts, s->repeat, "offset", 0) : 0;
	s->start = int_member(&s->opts, s->repeat, "startDate", -1);
	s->end = int_member(&s->opts, s->repeat, "endDate", -1);
	s->previous = int_member(&s->opts, JDOC_ROOT, "prevMillis", 0);
	if ((s->every > 0) == (s->pattern.n > 0))
		return err_set(err, ERR_INVALID, "the schedule %.*s must have either a pattern or an interval", STR_ARG(job->repeat_key));
	return 0;
}

static int64_t count_missed(const struct cron *cron, struct tz *tz, const struct schedule *s, int64_t now)
{
	int64_t n = 0, at = s->previous;

	while (at > 0 && at < now && n < MISSED_MAX && cron_next(cron, tz, at, s->end, &at) == 0)
		n += at <= now;
	return n;
}

static int next_by_pattern(struct schedule *s, int64_t now, int64_t *next, struct err *err)
{
	int64_t after = s->previous < now ? now : s->previous;
	struct cron cron;
	struct tz *tz;
	int rc = cron_parse(&cron, s->pattern, err);

	if (rc < 0)
		return rc;
	tz = tz_new(s->tz, err);
	if (!tz)
		return ERR_INVALID;
	s->missed = count_missed(&cron, tz, s, now);
	rc = cron_next(&cron, tz, s->start > after ? s->start : after, s->end, next);
	tz_free(tz);
	return rc;
}

static int64_t missed_by_interval(const struct schedule *s, int64_t now)
{
	int64_t n = s->previous > 0 && s->previous < now ? (now - s->previous) / s->every : 0;

	return n < MISSED_MAX ? n : MISSED_MAX;
}

/* JSON in document order is MessagePack in order: containers know their number of children. */
static void pack_json(struct buf *b, const struct jdoc *doc, uint32_t node, struct arena *a)
{
	for (uint32_t i = node; i < doc->nodes[node].end; i++) {
		const struct jnode *n = &doc->nodes[i];
		int64_t integer;
		double real = 0;

		if (i > node && n->key_off > 0)
			mp_str(b, jdoc_key(doc, i, a));
		if (n->type == J_OBJECT)
			mp_map(b, n->count);
		else if (n->type == J_ARRAY)
			mp_array(b, n->count);
		else if (n->type == J_STRING)
			mp_str(b, jdoc_string(doc, i, a));
		else if (n->type == J_TRUE || n->type == J_FALSE)
			mp_bool(b, n->type == J_TRUE);
		else if (n->type == J_NULL)
			mp_nil(b);
		else if (jdoc_int(doc, i, &integer) == 0)
			mp_int(b, integer);
		else if (jdoc_double(doc, i, &real) == 0)
			mp_double(b, real);
		else
			b->failed = true;
	}
}

/* The members of an object but for those named, which the caller sets anew. */
static void pack_others(struct mp_map *m, const struct jdoc *doc, uint32_t obj, const char *const *set_anew, struct arena *a)
{
	for (uint32_t c = jdoc_first(doc, obj); c != JDOC_NONE; c = jdoc_next(doc, obj, c)) {
		struct str name = jdoc_key(doc, c, a);
		const char *const *skip = set_anew;

		while (*skip && !str_is(name, *skip))
			skip++;
		if (*skip)
			continue;
		mp_keys(m, name);
		pack_json(m->b, doc, c, a);
	}
}

static void pack_repeat(struct mp_map *opts, const struct schedule *s, struct arena *a)
{
	static const char *const set_anew[] = {"count", "offset", "immediately", NULL};
	struct mp_map m;

	mp_key(opts, "repeat");
	m = mp_map_open(opts->b);
	pack_others(&m, &s->opts, s->repeat, set_anew, a);
	mp_key(&m, "count");
	mp_int(m.b, s->count);
	if (s->offset > 0) {
		mp_key(&m, "offset");
		mp_int(m.b, s->offset);
	}
	mp_map_close(&m);
}

/* The successor's options: this job's, moved on. With an interval the script works out when it runs, and its id. */
static void put_opts(struct rcmd *cmd, const struct schedule *s, const struct bq_job *job, int64_t next, int64_t now, struct arena *a)
{
	static const char *const set_anew[] = {"repeat", "jobId", "delay", "timestamp", "prevMillis", "repeatJobKey", NULL};
	struct buf packed = BUF_INIT, id = BUF_INIT;
	struct mp_map m = mp_map_open(&packed);

	pack_others(&m, &s->opts, JDOC_ROOT, set_anew, a);
	pack_repeat(&m, s, a);
	mp_key(&m, "timestamp");
	mp_int(&packed, now);
	mp_key(&m, "repeatJobKey");
	mp_str(&packed, job->repeat_key);
	if (s->every == 0) {
		buf_addf(&id, "repeat:%.*s:%lld", STR_ARG(job->repeat_key), (long long)next);
		mp_key(&m, "jobId");
		mp_str(&packed, buf_str(&id));
		mp_key(&m, "delay");
		mp_int(&packed, next > now ? next - now : 0);
		mp_key(&m, "prevMillis");
		mp_int(&packed, next);
	}
	mp_map_close(&m);
	packed.failed = packed.failed || id.failed;
	buf_release(&id);
	bq_arg_packed(cmd, &packed);
}

static int update_scheduler(struct bq *bq, const struct bq_queue *q, const struct schedule *s, const struct bq_job *job, int64_t next,
			    int64_t now, struct arena *a, int64_t deadline, struct err *err)
{
	const struct bq_script_call call = {.queue = q, .id = job->id};
	struct rcmd cmd = RCMD_INIT;
	struct err why = {0};

	bq_script_begin(&cmd, BQ_SCRIPT_UPDATE_JOB_SCHEDULER, &call, 7);
	if (s->every > 0)
		rcmd_argz(&cmd, "");
	else
		rcmd_argi(&cmd, next);
	rcmd_arg(&cmd, job->repeat_key);
	rcmd_arg(&cmd, job->data);
	put_opts(&cmd, s, job, next, now, a);
	rcmd_argi(&cmd, now);
	rcmd_arg(&cmd, q->keys[BQ_KEY_BASE]);
	rcmd_arg(&cmd, job->id);
	int rc = bq_call_plain(bq, &cmd, deadline, &why);
	if (rc == ERR_REPLY)
		return bq_script_error(str_from(why.text), err);
	return rc < 0 ? err_set(err, rc, "%s", why.text) : 0;
}

/* As upsertJobScheduler of the official client when its worker takes a scheduler's job. */
static int schedule_next(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, int64_t *missed, struct arena *a,
			 int64_t deadline, struct err *err)
{
	struct schedule s = {0};
	int64_t now = clock_wall_ms(), next = 0;
	int rc = read_schedule(&s, job, a, err);

	if (rc < 0)
		return rc;
	if ((s.limit >= 0 && s.count > s.limit) || (s.end >= 0 && now > s.end))
		return 0;
	if (s.every > 0)
		s.missed = missed_by_interval(&s, now);
	else
		rc = next_by_pattern(&s, now, &next, err);
	if (rc < 0)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	*missed = s.missed;
	return update_scheduler(bq, q, &s, job, next, now, a, deadline, err);
}

int bq_schedule_next(struct bq *bq, const struct bq_queue *q, const struct bq_job *job, int64_t *missed, int64_t deadline, struct err *err)
{
	struct arena a;
	int rc;

	*missed = 0;
	if (!job->repeat_key.p)
		return 0;
	arena_init(&a, 0);
	rc = schedule_next(bq, q, job, missed, &a, deadline, err);
	arena_release(&a);
	return rc;
}
