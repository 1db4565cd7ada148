#include "processors/runtime/declaration.h"

#include "lib/base/buf.h"
#include "lib/base/embed.h"
#include "lib/base/fs.h"
#include "lib/json/jdoc.h"

EMBED_FILE(builtin_queues, "processors/runtime/queues.json");
EMBED_FILE(queues_schema, "processors/runtime/queues.schema.json");

#define MAX_FILE_BYTES ((size_t)4 << 20)

#define METRICS_POINTS 20160 /* of metrics:*, minutes: two weeks, as BullMQ's documentation suggests */

/* What a queue has when neither the file nor the built-in list says otherwise. */
#define DEFAULT_CONCURRENCY 4
#define DEFAULT_STALLED_INTERVAL_MS 30000
#define DEFAULT_MAX_STALLED 3
#define DEFAULT_TIMEOUT_MS 60000
#define DEFAULT_MAX_WAITING 1000000

/* One text that is being loaded, and where what it says goes. */
struct loader {
	struct declarations *d;
	struct str prefix;
	const char *origin; /* the file's name, for messages */
	processor_lookup *lookup;
	struct jdoc doc;
	struct err *err;
};

struct number_field {
	const char *name;
	size_t offset;
};

static const struct number_field NUMBERS[] = {
	{"lockDuration", offsetof(struct queue_terms, lock_ms)},
	{"stalledInterval", offsetof(struct queue_terms, stalled_interval_ms)},
	{"maxStalledCount", offsetof(struct queue_terms, max_stalled)},
	{"timeout", offsetof(struct queue_terms, timeout_ms)},
	{"maxWaiting", offsetof(struct queue_terms, max_waiting)},
};

static int fail(const struct loader *l, struct str queue, const char *what)
{
	return err_set(l->err, ERR_INVALID, "%s: queue \"%.*s\": %s", l->origin, STR_ARG(queue), what);
}

/* Only while loading, when there is no index yet. */
static struct declaration *find(const struct declarations *d, struct str name)
{
	for (size_t i = 0; i < d->count; i++)
		if (str_eq(d->items[i]->name, name))
			return d->items[i];
	return NULL;
}

static struct declaration *add(struct loader *l, struct str name)
{
	struct declarations *d = l->d;

	if (d->count == DECLARATIONS_MAX) {
		err_set(l->err, ERR_LIMIT, "%s: more than %d queues", l->origin, DECLARATIONS_MAX);
		return NULL;
	}
	struct declaration *q = arena_zalloc(&d->arena, sizeof(*q));
	if (!q) {
		err_set(l->err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	if (bq_queue_init(&q->queue, l->prefix, name, l->err) < 0)
		return NULL;
	q->index = d->count;
	d->items[d->count++] = q;
	d->own++;
	q->name = q->queue.name;
	q->processor_name = STR("none");
	q->record = (struct records_policy){.data.all = true, .result.all = true, .days = RECORDS_DEFAULT_DAYS};
	q->loaded = (struct queue_terms){.job_name = q->name,
					 .concurrency = DEFAULT_CONCURRENCY,
					 .lock_ms = DECLARATION_LOCK_MS,
					 .stalled_interval_ms = DEFAULT_STALLED_INTERVAL_MS,
					 .max_stalled = DEFAULT_MAX_STALLED,
					 .timeout_ms = DEFAULT_TIMEOUT_MS,
					 .max_waiting = DEFAULT_MAX_WAITING};
	bq_opts_init(&q->loaded.defaults);
	q->terms = &q->loaded;
	return q;
}

static void read_numbers(const struct loader *l, uint32_t node, struct queue_terms *q)
{
	int64_t v;

	for (size_t i = 0; i < ARRAY_LEN(NUMBERS); i++)
		if (jdoc_int(&l->doc, jdoc_get(&l->doc, node, NUMBERS[i].name), &v) == 0)
			memcpy((char *)q + NUMBERS[i].offset, &v, sizeof(v));
	if (jdoc_int(&l->doc, jdoc_get(&l->doc, node, "concurrency"), &v) == 0)
		q->concurrency = (unsigned)v;

	uint32_t limiter = jdoc_get(&l->doc, node, "limiter");
	if (limiter != JDOC_NONE && (jdoc_int(&l->doc, jdoc_get(&l->doc, limiter, "max"), &q->limiter.max) < 0 ||
				     jdoc_int(&l->doc, jdoc_get(&l->doc, limiter, "duration"), &q->limiter.duration_ms) < 0))
		q->limiter = (struct bq_limiter){0};
}

static int read_processor(struct loader *l, uint32_t node, struct declaration *q)
{
	struct str name = jdoc_string(&l->doc, jdoc_get(&l->doc, node, "processor"), &l->d->arena);

	if (!name.p)
		return 0;
	q->processor_name = name;
	q->processor = str_is(name, "none") ? NULL : l->lookup(name);
	if (!q->processor && !str_is(name, "none"))
		return fail(l, q->name, "there is no such processor; `sluice dump queues` lists them");
	return 0;
}

static void read_settings(const struct loader *l, uint32_t node, struct declaration *q)
{
	uint32_t settings = q->processor ? jdoc_get(&l->doc, node, q->processor->name) : JDOC_NONE;

	if (settings != JDOC_NONE)
		q->settings = jdoc_raw(&l->doc, settings);
}

static int read_payload(struct loader *l, uint32_t node, struct declaration *q)
{
	struct err why = {0};
	uint32_t payload = jdoc_get(&l->doc, node, "payload");
	struct str text = payload != JDOC_NONE ? jdoc_raw(&l->doc, payload) : STR_NONE;

	if (!text.p && q->processor && !q->loaded.payload && q->processor->payload_schema)
		text = q->processor->payload_schema();
	if (!text.p)
		return 0;
	schema_free(q->loaded.payload);
	q->loaded.payload = schema_compile(text, &why);
	if (!q->loaded.payload)
		return err_set(l->err, why.code, "%s: queue \"%.*s\": payload: %s", l->origin, STR_ARG(q->name), why.text);
	return 0;
}

/* true, false, or names. */
static int read_part(struct loader *l, uint32_t node, struct records_part *part)
{
	const struct jdoc *doc = &l->doc;
	struct str *names;
	size_t n = 0;

	if (node == JDOC_NONE)
		return 0;
	*part = (struct records_part){.all = jdoc_type(doc, node) == J_TRUE};
	if (jdoc_type(doc, node) != J_ARRAY)
		return 0;
	names = arena_array(&l->d->arena, doc->nodes[node].count + 1, sizeof(*names));
	for (uint32_t c = jdoc_first(doc, node); names && c != JDOC_NONE; c = jdoc_next(doc, node, c))
		names[n++] = jdoc_string(doc, c, &l->d->arena);
	part->names = names;
	part->n_names = n;
	return names ? 0 : err_set(l->err, ERR_NOMEM, "out of memory");
}

static int read_record(struct loader *l, uint32_t node, struct declaration *q)
{
	uint32_t record = jdoc_get(&l->doc, node, "record");
	int64_t days;

	if (record == JDOC_NONE)
		return 0;
	q->record.off = jdoc_type(&l->doc, record) == J_FALSE;
	int rc = read_part(l, jdoc_get(&l->doc, record, "data"), &q->record.data);
	if (rc == 0)
		rc = read_part(l, jdoc_get(&l->doc, record, "result"), &q->record.result);
	if (jdoc_int(&l->doc, jdoc_get(&l->doc, record, "days"), &days) == 0)
		q->record.days = days;
	return rc;
}

static int read_options(struct loader *l, uint32_t node, struct declaration *q)
{
	struct bq_opts given;
	struct err why = {0};

	if (bq_opts_read(&given, &l->doc, node, &l->d->arena, false, &why) < 0)
		return fail(l, q->name, why.text);
	given.rest = STR_NONE;
	bq_opts_merge(&given, &q->loaded.defaults);
	q->loaded.defaults = given;
	return 0;
}

static int read_queue(struct loader *l, uint32_t node)
{
	struct str name = jdoc_string(&l->doc, jdoc_get(&l->doc, node, "name"), &l->d->arena);
	struct declaration *q = find(l->d, name);

	if (!q)
		q = add(l, name);
	if (!q)
		return l->err ? l->err->code : ERR_INVALID;
	struct str job_name = jdoc_string(&l->doc, jdoc_get(&l->doc, node, "jobName"), &l->d->arena);
	if (job_name.p)
		q->loaded.job_name = job_name;
	read_numbers(l, node, &q->loaded);
	int rc = read_processor(l, node, q);
	read_settings(l, node, q);
	if (rc == 0)
		rc = read_payload(l, node, q);
	if (rc == 0)
		rc = read_record(l, node, q);
	if (rc == 0)
		rc = read_options(l, node, q);
	return rc;
}

static int check_shape(struct loader *l)
{
	struct arena scratch;
	struct schema *s = schema_compile(EMBEDDED(queues_schema), l->err);

	if (!s)
		return ERR_BUG;
	arena_init(&scratch, 1 << 20);
	struct schema_report report = {.arena = &scratch};
	int rc = schema_check(s, &l->doc, JDOC_ROOT, STR(""), &report);
	if (rc < 0)
		err_set(l->err, rc, "%s: %.*s: %.*s", l->origin, STR_ARG(report.first ? report.first->pointer : STR("")),
			STR_ARG(report.first ? report.first->detail : STR("not valid")));
	arena_release(&scratch);
	schema_free(s);
	return rc;
}

static int load_text(struct loader *l, struct str text)
{
	struct jdoc_fault fault;

	text = arena_dup(&l->d->arena, text);
	if (!text.p)
		return err_set(l->err, ERR_NOMEM, "%s: out of memory", l->origin);
	l->d->text = text;
	if (jdoc_parse(&l->doc, &l->d->arena, text, &JDOC_LIMITS, &fault) < 0)
		return err_set(l->err, ERR_INVALID, "%s: byte %u: %s", l->origin, fault.offset, fault.reason);
	int rc = check_shape(l);
	uint32_t queues = jdoc_get(&l->doc, JDOC_ROOT, "queues");
	for (uint32_t c = jdoc_first(&l->doc, queues); rc == 0 && c != JDOC_NONE; c = jdoc_next(&l->doc, queues, c))
		rc = read_queue(l, c);
	return rc;
}

static int load_file(struct loader *l, const char *file)
{
	struct buf text = BUF_INIT;
	int rc = fs_read_file(file, MAX_FILE_BYTES, &text, l->err);

	if (rc == 0) {
		l->origin = file;
		rc = load_text(l, buf_str(&text));
	}
	buf_release(&text);
	return rc;
}

static int load_default_options(struct declarations *d, struct str json, struct err *err)
{
	struct jdoc doc;
	struct jdoc_fault fault;
	struct err why = {0};

	bq_opts_init(&d->defaults);
	if (!json.n)
		return 0;
	json = arena_dup(&d->arena, json);
	if (!json.p)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (jdoc_parse(&doc, &d->arena, json, &JDOC_LIMITS, &fault) < 0)
		return err_set(err, ERR_INVALID, "BULLMQ_DEFAULT_JOB_OPTIONS: byte %u: %s", fault.offset, fault.reason);
	if (bq_opts_read(&d->defaults, &doc, JDOC_ROOT, &d->arena, true, &why) < 0)
		return err_set(err, ERR_INVALID, "BULLMQ_DEFAULT_JOB_OPTIONS: %s", why.text);
	return 0;
}

/* A deduplication id is told apart by organization, so options that have one differ from job to job. */
static int complete_options(struct declarations *d, struct queue_terms *q, struct err *err)
{
	q->complete = q->defaults;
	bq_opts_merge(&q->complete, &d->defaults);
	if (q->complete.dedup_id.p || bq_opts_prepare(&q->complete, &d->arena) == 0)
		return 0;
	return err_set(err, ERR_NOMEM, "out of memory");
}

int declarations_load(struct declarations *d, struct str prefix, const char *file, struct str default_opts, unsigned workers,
		      processor_lookup *lookup, struct err *err)
{
	struct loader l = {.d = d, .prefix = prefix, .origin = "built-in queues", .lookup = lookup, .err = err};

	*d = (struct declarations){.items = calloc(DECLARATIONS_MAX, sizeof(struct declaration *))};
	arena_init(&d->arena, 0);
	table_init(&d->index);
	d->by_name = &d->index;
	int rc = d->items ? load_default_options(d, default_opts, err) : err_set(err, ERR_NOMEM, "out of memory");
	if (rc == 0)
		rc = load_text(&l, EMBEDDED(builtin_queues));
	if (rc == 0 && file && *file)
		rc = load_file(&l, file);
	for (size_t i = 0; rc == 0 && workers && i < d->count; i++)
		d->items[i]->loaded.concurrency = workers;
	for (size_t i = 0; rc == 0 && i < d->count; i++)
		rc = complete_options(d, &d->items[i]->loaded, err);
	for (size_t i = 0; rc == 0 && i < d->count; i++)
		rc = table_put(&d->index, d->items[i]->name, d->items[i]);
	if (rc < 0)
		declarations_release(d);
	return rc;
}

static void release_one(struct declarations *d)
{
	for (size_t i = 0; i < d->own; i++) {
		schema_free(d->items[i]->loaded.payload);
		bq_queue_release(&d->items[i]->queue);
	}
	free(d->items);
	table_release(&d->index);
	arena_release(&d->arena);
}

void declarations_release(struct declarations *d)
{
	for (struct declarations *later = d->adopted, *before; later; later = before) {
		before = later->adopted;
		release_one(later);
		free(later);
	}
	release_one(d);
	*d = (struct declarations){0};
}

const struct declaration *declarations_find(const struct declarations *d, struct str name)
{
	return table_get(d->by_name, name);
}

struct bq_worker declaration_worker(const struct declaration *decl, struct str name)
{
	const struct queue_terms *t = decl->terms;

	return (struct bq_worker){.name = name,
				  .lock_ms = t->lock_ms,
				  .limiter = t->limiter,
				  .keep_completed = t->defaults.remove_on_complete,
				  .keep_failed = t->defaults.remove_on_fail,
				  .metrics_points = METRICS_POINTS};
}
