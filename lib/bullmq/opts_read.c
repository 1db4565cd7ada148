#include <math.h>

#include "lib/bullmq/opts_fields.h"
#include "lib/bullmq/queue.h"

struct reader {
	struct bq_opts *o;
	const struct jdoc *doc;
	struct arena *arena;
	bool strict;
	struct err *err;
	struct buf rest; /* members of *o's rest, with commas */
};

typedef int read_fn(struct reader *r, const struct opts_field *f, uint32_t node);

static int refuse(struct reader *r, const char *field, const char *rule)
{
	return err_set(r->err, ERR_INVALID, "%s: %s", field, rule);
}

static void *member(struct reader *r, const struct opts_field *f)
{
	return (char *)r->o + f->at;
}

static bool has_type(const struct reader *r, uint32_t node, enum jtype type)
{
	return node != JDOC_NONE && jdoc_type(r->doc, node) == type;
}

/* An integer of 0…max. */
static bool get_int(struct reader *r, uint32_t node, int64_t max, int64_t *out)
{
	int64_t v;

	if (!has_type(r, node, J_NUMBER) || jdoc_int(r->doc, node, &v) < 0 || v < 0 || v > max)
		return false;
	*out = v;
	return true;
}

static bool get_bool(struct reader *r, uint32_t node, bool *out)
{
	if (!has_type(r, node, J_TRUE) && !has_type(r, node, J_FALSE))
		return false;
	*out = has_type(r, node, J_TRUE);
	return true;
}

static bool get_string(struct reader *r, uint32_t node, struct str *out)
{
	struct str s = has_type(r, node, J_STRING) ? jdoc_string(r->doc, node, r->arena) : STR_NONE;

	if (!s.p || s.n == 0)
		return false;
	*out = s;
	return true;
}

static bool is_object(struct reader *r, uint32_t node)
{
	return has_type(r, node, J_OBJECT);
}

static int read_int(struct reader *r, const struct opts_field *f, uint32_t node)
{
	if (get_int(r, node, f->max, member(r, f)))
		return 0;
	return err_set(r->err, ERR_INVALID, "%s: must be an integer from 0 to %lld", f->name, (long long)f->max);
}

static int read_lifo(struct reader *r, const struct opts_field *f, uint32_t node)
{
	if (!get_bool(r, node, &r->o->lifo))
		return refuse(r, f->name, "must be true or false");
	r->o->lifo_set = true;
	return 0;
}

static int read_job_id(struct reader *r, const struct opts_field *f, uint32_t node)
{
	struct str id;

	if (!get_string(r, node, &id) || (r->strict && !bq_job_id_ok(id)))
		return refuse(r, f->name, "must be a string of 1 to 255 bytes that is no integer, has no ':' and is no key of a queue");
	r->o->job_id = id;
	return 0;
}

static int read_backoff_object(struct reader *r, const struct opts_field *f, uint32_t node, struct bq_backoff *b)
{
	uint32_t delay = jdoc_get(r->doc, node, "delay"), jitter = jdoc_get(r->doc, node, "jitter");

	if (!get_string(r, jdoc_get(r->doc, node, "type"), &b->type))
		return refuse(r, f->name, "type must be \"fixed\" or \"exponential\"");
	if (r->strict && !str_is(b->type, "fixed") && !str_is(b->type, "exponential"))
		return refuse(r, f->name, "type must be \"fixed\" or \"exponential\"");
	if (delay != JDOC_NONE && !get_int(r, delay, INT64_C(1) << 52, &b->delay_ms))
		return refuse(r, f->name, "delay must be a whole number of milliseconds");
	if (jitter != JDOC_NONE && (jdoc_double(r->doc, jitter, &b->jitter) < 0 || !(b->jitter >= 0 && b->jitter <= 1)))
		return refuse(r, f->name, "jitter must be between 0 and 1");
	return 0;
}

static int read_backoff(struct reader *r, const struct opts_field *f, uint32_t node)
{
	struct bq_backoff b = {.set = true, .type = STR("fixed")};
	int rc = 0;

	if (is_object(r, node))
		rc = read_backoff_object(r, f, node, &b);
	else if (!get_int(r, node, INT64_C(1) << 52, &b.delay_ms))
		rc = refuse(r, f->name, "must be a number of milliseconds or {type, delay, jitter}");
	if (rc == 0)
		r->o->backoff = b;
	return rc;
}

static int read_dedup(struct reader *r, const struct opts_field *f, uint32_t node)
{
	const struct {
		const char *name;
		bool *to;
	} flags[] = {
		{"extend", &r->o->dedup_extend},
		{"replace", &r->o->dedup_replace},
		{"keepLastIfActive", &r->o->dedup_keep_last},
		{"reschedule", &r->o->dedup_reschedule},
	};
	uint32_t ttl = jdoc_get(r->doc, node, "ttl");
	struct str id;

	if (!is_object(r, node) || !get_string(r, jdoc_get(r->doc, node, "id"), &id))
		return refuse(r, f->name, "must be an object with an id");
	if (ttl != JDOC_NONE && !get_int(r, ttl, INT64_C(1) << 52, &r->o->dedup_ttl_ms))
		return refuse(r, f->name, "ttl must be a whole number of milliseconds");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		uint32_t flag = jdoc_get(r->doc, node, flags[i].name);

		if (flag != JDOC_NONE && !get_bool(r, flag, flags[i].to))
			return refuse(r, f->name, "extend, replace, keepLastIfActive and reschedule must be true or false");
	}
	r->o->dedup_id = id;
	return 0;
}

static bool read_keep_object(struct reader *r, uint32_t node, struct bq_keep *keep)
{
	const struct {
		const char *name;
		int64_t *to;
	} numbers[] = {{"count", &keep->count}, {"age", &keep->age_s}, {"limit", &keep->limit}};
	int64_t any = -1;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uint32_t n = jdoc_get(r->doc, node, numbers[i].name);
		bool is_all = n != JDOC_NONE && jdoc_int(r->doc, n, &any) == 0 && any == -1;

		if (n != JDOC_NONE && !is_all && !get_int(r, n, INT64_C(1) << 52, numbers[i].to))
			return false;
	}
	return true;
}

static int read_keep(struct reader *r, const struct opts_field *f, uint32_t node)
{
	struct bq_keep keep = {.set = true, .count = -1, .age_s = -1, .limit = -1};
	bool remove, ok = true;

	if (get_bool(r, node, &remove))
		keep.count = remove ? 0 : -1;
	else if (is_object(r, node))
		ok = read_keep_object(r, node, &keep);
	else
		ok = get_int(r, node, INT64_C(1) << 52, &keep.count);
	if (!ok)
		return refuse(r, f->name, "must be true, false, a count, or {count, age, limit}");
	*(struct bq_keep *)member(r, f) = keep;
	return 0;
}

static int read_on_parent(struct reader *r, const struct opts_field *f, uint32_t node)
{
	bool on;

	if (!get_bool(r, node, &on))
		return refuse(r, f->name, "must be true or false");
	if (!on)
		return 0;
	if (r->strict && r->o->on_parent != BQ_PARENT_WAITS)
		return refuse(r, f->name, "at most one of the options for a failed child may be true");
	r->o->on_parent = (enum bq_on_parent)f->max;
	return 0;
}

static int read_telemetry(struct reader *r, const struct opts_field *f, uint32_t node)
{
	uint32_t metadata = is_object(r, node) ? jdoc_get(r->doc, node, "metadata") : node;

	if (!get_string(r, metadata, &r->o->telemetry))
		return refuse(r, f->name, "must be {metadata}, a string");
	return 0;
}

static int read_sluice(struct reader *r, const struct opts_field *f, uint32_t node)
{
	if (!is_object(r, node))
		return refuse(r, f->stored, "must be an object");
	get_string(r, jdoc_get(r->doc, node, "org"), &r->o->org);
	get_string(r, jdoc_get(r->doc, node, "sub"), &r->o->sub);
	return 0;
}

static read_fn *const READERS[OPTS_KIND_COUNT] = {
	[OPTS_INT] = read_int,
	[OPTS_LIFO] = read_lifo,
	[OPTS_JOB_ID] = read_job_id,
	[OPTS_BACKOFF] = read_backoff,
	[OPTS_DEDUP] = read_dedup,
	[OPTS_KEEP] = read_keep,
	[OPTS_ON_PARENT] = read_on_parent,
	[OPTS_TELEMETRY] = read_telemetry,
	[OPTS_SLUICE] = read_sluice,
};

static const struct opts_field *find_field(struct str name, bool strict)
{
	for (size_t i = 0; i < OPTS_FIELD_COUNT; i++) {
		const struct opts_field *f = &bq_opts_fields[i];

		if ((f->name && str_is(name, f->name)) || (!strict && str_is(name, f->stored)))
			return f;
	}
	return NULL;
}

/* Keeps the member as it was written. */
static void keep_rest(struct reader *r, uint32_t node)
{
	const struct jnode *n = &r->doc->nodes[node];

	buf_addc(&r->rest, r->rest.n == 0 ? '{' : ',');
	buf_addc(&r->rest, '"');
	buf_adds(&r->rest, str_sub(r->doc->text, n->key_off, n->key_len));
	buf_addz(&r->rest, "\":");
	buf_adds(&r->rest, jdoc_raw(r->doc, node));
}

/* What another client stored is taken as it is: a member of the wrong shape stays in rest. */
static int read_member(struct reader *r, uint32_t node)
{
	struct str name = jdoc_key(r->doc, node, r->arena);
	const struct opts_field *f = name.p ? find_field(name, r->strict) : NULL;
	struct err *err = r->err;
	int rc;

	if (r->strict)
		return f ? READERS[f->kind](r, f, node)
			 : err_set(r->err, ERR_INVALID, "%.*s: there is no such job option", STR_ARG(name));
	r->err = NULL;
	rc = f ? READERS[f->kind](r, f, node) : ERR_NOT_FOUND;
	r->err = err;
	if (rc < 0)
		keep_rest(r, node);
	return 0;
}

static int take_rest(struct reader *r)
{
	if (r->rest.n == 0 && !r->rest.failed)
		return 0;
	buf_addc(&r->rest, '}');
	r->o->rest = r->rest.failed ? STR_NONE : arena_dup(r->arena, buf_str(&r->rest));
	return r->o->rest.p ? 0 : err_set(r->err, ERR_NOMEM, "no memory for job options");
}

int bq_opts_read(struct bq_opts *o, const struct jdoc *doc, uint32_t node, struct arena *a, bool strict, struct err *err)
{
	struct reader r = {.o = o, .doc = doc, .arena = a, .strict = strict, .err = err, .rest = BUF_INIT};
	int rc = 0;

	bq_opts_init(o);
	if (jdoc_type(doc, node) != J_OBJECT)
		return err_set(err, ERR_INVALID, "job options must be an object");
	for (uint32_t c = jdoc_first(doc, node); c != JDOC_NONE && rc == 0; c = jdoc_next(doc, node, c))
		rc = read_member(&r, c);
	if (rc == 0)
		rc = take_rest(&r);
	buf_release(&r.rest);
	return rc;
}
