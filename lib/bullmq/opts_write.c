#include "lib/base/panic.h"
#include "lib/bullmq/opts_fields.h"

/* One emitter for all forms: into a MessagePack map, or into JSON. */
struct sink {
	struct mp_map map;
	struct jwrite *json; /* NULL: the map */
	bool stored;         /* short names and what only the store holds */
};

typedef void emit_fn(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f);

static void emit_key(struct sink *s, const char *key)
{
	if (s->json)
		jw_key(s->json, key);
	else
		mp_key(&s->map, key);
}

static void emit_int_as(struct sink *s, const char *key, int64_t v)
{
	emit_key(s, key);
	if (s->json)
		jw_int(s->json, v);
	else
		mp_int(s->map.b, v);
}

static void emit_double_as(struct sink *s, const char *key, double v)
{
	emit_key(s, key);
	if (s->json)
		jw_double(s->json, v);
	else
		mp_double(s->map.b, v);
}

static void emit_true_as(struct sink *s, const char *key, bool v)
{
	emit_key(s, key);
	if (s->json)
		jw_bool(s->json, v);
	else
		mp_bool(s->map.b, v);
}

static void emit_str_as(struct sink *s, const char *key, struct str v)
{
	emit_key(s, key);
	if (s->json)
		jw_str(s->json, v);
	else
		mp_str(s->map.b, v);
}

static struct sink emit_open(struct sink *s, const char *key)
{
	emit_key(s, key);
	if (s->json) {
		jw_open(s->json, '{');
		return (struct sink){.json = s->json};
	}
	return (struct sink){.map = mp_map_open(s->map.b)};
}

static void emit_close(struct sink *s)
{
	if (s->json)
		jw_close(s->json, '}');
	else
		mp_map_close(&s->map);
}

static const void *member(const struct bq_opts *o, const struct opts_field *f)
{
	return (const char *)o + f->at;
}

static void emit_int(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f)
{
	int64_t v = *(const int64_t *)member(o, f);

	if (v >= 0)
		emit_int_as(s, key, v);
}

static void emit_lifo(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f UNUSED)
{
	if (o->lifo_set)
		emit_true_as(s, key, o->lifo);
}

static void emit_job_id(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f UNUSED)
{
	if (o->job_id.p)
		emit_str_as(s, key, o->job_id);
}

static void emit_backoff(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f UNUSED)
{
	const struct bq_backoff *b = &o->backoff;
	struct sink in;

	if (!b->set)
		return;
	in = emit_open(s, key);
	emit_str_as(&in, "type", b->type);
	emit_int_as(&in, "delay", b->delay_ms);
	if (b->jitter > 0)
		emit_double_as(&in, "jitter", b->jitter);
	emit_close(&in);
}

static void emit_dedup(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f UNUSED)
{
	struct sink in;

	if (!o->dedup_id.p)
		return;
	in = emit_open(s, key);
	emit_str_as(&in, "id", o->dedup_id);
	if (o->dedup_ttl_ms >= 0)
		emit_int_as(&in, "ttl", o->dedup_ttl_ms);
	if (o->dedup_extend)
		emit_true_as(&in, "extend", true);
	if (o->dedup_replace)
		emit_true_as(&in, "replace", true);
	if (o->dedup_keep_last)
		emit_true_as(&in, "keepLastIfActive", true);
	if (o->dedup_reschedule)
		emit_true_as(&in, "reschedule", true);
	emit_close(&in);
}

/* Always the object form, which every client reads; {count: -1} keeps all. */
static void emit_keep(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f)
{
	const struct bq_keep *keep = member(o, f);
	struct sink in;

	if (!keep->set)
		return;
	in = emit_open(s, key);
	if (keep->count >= 0 || keep->age_s < 0)
		emit_int_as(&in, "count", keep->count);
	if (keep->age_s >= 0)
		emit_int_as(&in, "age", keep->age_s);
	if (keep->limit >= 0)
		emit_int_as(&in, "limit", keep->limit);
	emit_close(&in);
}

static void emit_on_parent(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f)
{
	if ((int64_t)o->on_parent == f->max)
		emit_true_as(s, key, true);
}

static void emit_telemetry(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f UNUSED)
{
	struct sink in;

	if (!o->telemetry.p)
		return;
	if (s->stored) {
		emit_str_as(s, key, o->telemetry);
		return;
	}
	in = emit_open(s, key);
	emit_str_as(&in, "metadata", o->telemetry);
	emit_close(&in);
}

static void emit_sluice(struct sink *s, const char *key, const struct bq_opts *o, const struct opts_field *f UNUSED)
{
	struct sink in;

	if (!o->org.p && !o->sub.p)
		return;
	in = emit_open(s, key);
	if (o->org.p)
		emit_str_as(&in, "org", o->org);
	if (o->sub.p)
		emit_str_as(&in, "sub", o->sub);
	emit_close(&in);
}

static emit_fn *const EMITTERS[OPTS_KIND_COUNT] = {
	[OPTS_INT] = emit_int,
	[OPTS_LIFO] = emit_lifo,
	[OPTS_JOB_ID] = emit_job_id,
	[OPTS_BACKOFF] = emit_backoff,
	[OPTS_DEDUP] = emit_dedup,
	[OPTS_KEEP] = emit_keep,
	[OPTS_ON_PARENT] = emit_on_parent,
	[OPTS_TELEMETRY] = emit_telemetry,
	[OPTS_SLUICE] = emit_sluice,
};

static void emit_stored(struct sink *s, const struct bq_opts *o)
{
	struct bq_opts stored = *o;

	if (stored.attempts < 0)
		stored.attempts = 0; /* as the official client's constructor */
	for (size_t i = 0; i < OPTS_FIELD_COUNT; i++)
		EMITTERS[bq_opts_fields[i].kind](s, bq_opts_fields[i].stored, &stored, &bq_opts_fields[i]);
}

void bq_opts_pack_into(struct mp_map *m, const struct bq_opts *o)
{
	struct sink s = {.map = *m, .stored = true};

	emit_stored(&s, o);
	*m = s.map;
}

/* The table's last field: what differs between jobs with the same options stands behind all else. */
#define SLUICE_FIELD (&bq_opts_fields[OPTS_FIELD_COUNT - 1])

void bq_opts_write_stored(struct jwrite *w, const struct bq_opts *o)
{
	struct sink s = {.json = w, .stored = true};

	if (o->prepared.p) {
		jw_raw(w, o->prepared);
		emit_sluice(&s, SLUICE_FIELD->stored, o, SLUICE_FIELD);
	} else {
		jw_open(w, '{');
		emit_stored(&s, o);
	}
	jw_close(w, '}');
}

int bq_opts_prepare(struct bq_opts *o, struct arena *a)
{
	struct buf text = BUF_INIT;
	struct jwrite w = jwrite_into(&text);
	struct sink s = {.json = &w, .stored = true};

	bug_on(SLUICE_FIELD->kind != OPTS_SLUICE || o->org.p || o->sub.p);
	jw_open(&w, '{');
	emit_stored(&s, o);
	o->prepared = text.failed ? STR_NONE : arena_dup(a, buf_str(&text));
	buf_release(&text);
	return o->prepared.p ? 0 : ERR_NOMEM;
}

void bq_opts_pack(struct buf *out, const struct bq_opts *o)
{
	struct mp_map m = mp_map_open(out);

	bq_opts_pack_into(&m, o);
	mp_map_close(&m);
}

/* The members of an object text, without its braces. */
static void write_rest(struct jwrite *w, struct str rest)
{
	if (rest.n <= 2)
		return;
	if (w->comma)
		buf_addc(w->b, ',');
	buf_add(w->b, rest.p + 1, rest.n - 2);
	w->comma = true;
}

void bq_opts_write(struct jwrite *w, const struct bq_opts *o)
{
	struct sink s = {.json = w};

	jw_open(w, '{');
	for (size_t i = 0; i < OPTS_FIELD_COUNT; i++)
		if (bq_opts_fields[i].name)
			EMITTERS[bq_opts_fields[i].kind](&s, bq_opts_fields[i].name, o, &bq_opts_fields[i]);
	write_rest(w, o->rest);
	jw_close(w, '}');
}
