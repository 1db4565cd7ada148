#include "lib/metrics/metrics.h"

#include <math.h>
#include <stdatomic.h>

#include "lib/base/err.h"
#include "lib/base/lock.h"
#include "lib/base/panic.h"
#include "lib/base/table.h"
#include "lib/json/jwrite.h"
#include "lib/metrics/process.h"

#define OVERFLOW_VALUE STR("__other__")

enum kind { COUNTER, GAUGE, HISTOGRAM };

static const char *const kind_names[] = {"counter", "gauge", "histogram"};

/* Upper bounds in seconds, bytes or attempts, rising; the last bucket is +Inf. */
static const double bounds_request[] = {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};
static const double bounds_job[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600};
static const double bounds_size[] = {256, 1024, 4096, 16384, 65536, 262144, 1048576, 16777216};
static const double bounds_attempts[] = {1, 2, 3, 5, 10, 25};

#define BUCKETS_NONE NULL, 0
#define BUCKETS_REQUEST bounds_request, ARRAY_LEN(bounds_request)
#define BUCKETS_JOB bounds_job, ARRAY_LEN(bounds_job)
#define BUCKETS_SIZE bounds_size, ARRAY_LEN(bounds_size)
#define BUCKETS_ATTEMPTS bounds_attempts, ARRAY_LEN(bounds_attempts)

static const struct row {
	const char *name;
	const char *labels;
	const char *help;
	enum kind kind;
	const double *bounds;
	size_t n_bounds;
} rows[M_COUNT] = {
#define X(id, kind_, name_, labels_, help_, buckets) [M_##id] = {name_, labels_, help_, kind_, BUCKETS_##buckets},
#include "lib/metrics/metrics.def"
#undef X
};

struct series {
	/* set before it is shared */
	const struct row *row;
	char *labels; /* "queue=\"x\",state=\"y\"" or "" */
	/* protected by the family's lock */
	struct series *next;
	/* any thread */
	_Atomic uint64_t bits;      /* the value, or a histogram's sum, as the bits of a double */
	_Atomic uint64_t buckets[]; /* histogram: observations of each bucket alone, +Inf last */
};

struct family {
	/* set before start: the one series of a metric without labels, else the one for label sets that have no room */
	struct series *common;
	struct lock lock;
	/* protected by lock */
	struct table by_labels;
	struct series *first;
	struct series **end;
};

struct metrics {
	struct family families[M_COUNT];
};

static double to_double(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

static uint64_t to_bits(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

/* Escaped as the text format asks: backslash, quote and line feed; a byte that is not UTF-8 has no place in it at all. */
static void add_label_value(struct buf *b, struct str value)
{
	if (!str_is_utf8(value))
		value = STR("__invalid__");
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];
		if (c == '\\' || c == '"')
			buf_addc(b, '\\');
		if (c == '\n')
			buf_addz(b, "\\n");
		else
			buf_addc(b, c);
	}
}

/* values == NULL: the labels of the common series. */
static void add_labels(struct buf *b, const struct row *row, const struct str *values)
{
	buf_reserve(b, 1);
	struct str rest = str_from(row->labels);
	for (size_t i = 0; rest.n; i++) {
		struct str name = str_cut(&rest, ',');
		buf_addz(b, i ? "," : "");
		buf_adds(b, name);
		buf_addz(b, "=\"");
		add_label_value(b, values ? values[i] : OVERFLOW_VALUE);
		buf_addc(b, '"');
	}
}

static size_t n_buckets(const struct row *row)
{
	return row->kind == HISTOGRAM ? row->n_bounds + 1 : 0;
}

/* Takes over what `labels` holds. */
static struct series *series_new(const struct row *row, struct buf *labels)
{
	struct series *s = calloc(1, sizeof(*s) + n_buckets(row) * sizeof(s->buckets[0]));
	if (!s || labels->failed) {
		buf_release(labels);
		free(s);
		return NULL;
	}
	s->row = row;
	s->labels = labels->p;
	return s;
}

static void series_free(struct series *s)
{
	if (s)
		free(s->labels);
	free(s);
}

static int family_init(struct family *f, const struct row *row)
{
	struct buf labels = BUF_INIT;
	lock_init(&f->lock);
	table_init(&f->by_labels);
	f->end = &f->first;
	add_labels(&labels, row, NULL);
	f->common = series_new(row, &labels);
	return f->common ? 0 : ERR_NOMEM;
}

static void family_release(struct family *f)
{
	struct series *next;
	for (struct series *s = f->first; s; s = next) {
		next = s->next;
		series_free(s);
	}
	series_free(f->common);
	table_release(&f->by_labels);
	lock_release(&f->lock);
}

struct metrics *metrics_new(void)
{
	struct metrics *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	bool ok = true;
	for (size_t i = 0; i < M_COUNT; i++)
		ok &= family_init(&m->families[i], &rows[i]) == 0;
	if (ok)
		return m;
	metrics_free(m);
	return NULL;
}

void metrics_free(struct metrics *m)
{
	for (size_t i = 0; m && i < M_COUNT; i++)
		family_release(&m->families[i]);
	free(m);
}

/* Schedules are named by whoever makes them. */
static size_t room_for(const struct row *row)
{
	return strstr(row->labels, "schedule") ? METRICS_MAX_SCHEDULES : METRICS_MAX_SERIES;
}

/* With the lock held. NULL: too many series, or no memory. */
static struct series *add_series(struct family *f, const struct row *row, struct buf *labels)
{
	if (f->by_labels.count >= room_for(row))
		return NULL;
	struct series *s = series_new(row, labels);
	if (!s)
		return NULL;
	*labels = BUF_INIT;
	if (table_put(&f->by_labels, str_from(s->labels), s) < 0) {
		series_free(s);
		return NULL;
	}
	*f->end = s;
	f->end = &s->next;
	return s;
}

struct series *metrics_series(struct metrics *m, enum metric_id id, const struct str *values)
{
	struct family *f = &m->families[id];
	if (!rows[id].labels[0])
		return f->common;
	struct buf labels = BUF_INIT;
	add_labels(&labels, &rows[id], values);
	lock_take(&f->lock);
	struct series *s = labels.failed ? NULL : table_get(&f->by_labels, buf_str(&labels));
	if (!s)
		s = add_series(f, &rows[id], &labels);
	lock_give(&f->lock);
	buf_release(&labels);
	return s ? s : f->common;
}

static void add_to(_Atomic uint64_t *bits, double v)
{
	uint64_t seen = atomic_load_explicit(bits, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(bits, &seen, to_bits(to_double(seen) + v), memory_order_relaxed, memory_order_relaxed))
		;
}

void series_add(struct series *s, double v)
{
	bug_on(s->row->kind == HISTOGRAM || (s->row->kind == COUNTER && v < 0));
	add_to(&s->bits, v);
}

void series_set(struct series *s, double v)
{
	bug_on(s->row->kind == HISTOGRAM);
	atomic_store_explicit(&s->bits, to_bits(v), memory_order_relaxed);
}

void series_observe(struct series *s, double v)
{
	bug_on(s->row->kind != HISTOGRAM);
	size_t i = 0;
	while (i < s->row->n_bounds && !(v <= s->row->bounds[i]))
		i++;
	atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
	add_to(&s->bits, v);
}

static uint64_t observations(const struct series *s)
{
	uint64_t n = 0;
	for (size_t i = 0; i < n_buckets(s->row); i++)
		n += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
	return n;
}

double series_value(const struct series *s)
{
	if (s->row->kind == HISTOGRAM)
		return (double)observations(s);
	return to_double(atomic_load_explicit(&s->bits, memory_order_relaxed));
}

struct series *metrics_series_once(struct metrics *m, struct series *_Atomic *slot, enum metric_id id, const struct str *values)
{
	struct series *known = atomic_load_explicit(slot, memory_order_acquire);
	if (!known) {
		known = metrics_series(m, id, values);
		atomic_store_explicit(slot, known, memory_order_release);
	}
	return known;
}

void metrics_add(struct metrics *m, enum metric_id id, double v, const struct str *values)
{
	series_add(metrics_series(m, id, values), v);
}

void metrics_set(struct metrics *m, enum metric_id id, double v, const struct str *values)
{
	series_set(metrics_series(m, id, values), v);
}

void metrics_observe(struct metrics *m, enum metric_id id, double v, const struct str *values)
{
	series_observe(metrics_series(m, id, values), v);
}

static void add_number(struct buf *out, double v)
{
	if (isnan(v))
		buf_addz(out, "NaN");
	else if (isinf(v))
		buf_addz(out, v > 0 ? "+Inf" : "-Inf");
	else if (fabs(v) < 9e15 && v == floor(v))
		buf_addi(out, (int64_t)v);
	else
		buf_addf(out, "%.15g", v);
}

/* `name{labels} value`, where either part of the labels may be empty. */
static void add_sample(struct buf *out, const struct series *s, const char *suffix, const char *more, double v)
{
	buf_addf(out, "%s%s", s->row->name, suffix);
	if (s->labels[0] || more[0])
		buf_addf(out, "{%s%s%s}", s->labels, s->labels[0] && more[0] ? "," : "", more);
	buf_addc(out, ' ');
	add_number(out, v);
	buf_addc(out, '\n');
}

static void write_histogram(struct buf *out, const struct series *s)
{
	uint64_t count = 0;
	char le[40];
	for (size_t i = 0; i <= s->row->n_bounds; i++) {
		count += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
		if (i < s->row->n_bounds)
			(void)snprintf(le, sizeof(le), "le=\"%.15g\"", s->row->bounds[i]);
		else
			(void)snprintf(le, sizeof(le), "le=\"+Inf\"");
		add_sample(out, s, "_bucket", le, (double)count);
	}
	add_sample(out, s, "_sum", "", to_double(atomic_load_explicit(&s->bits, memory_order_relaxed)));
	add_sample(out, s, "_count", "", (double)count);
}

static void write_series(struct buf *out, const struct series *s)
{
	if (s->row->kind == HISTOGRAM)
		write_histogram(out, s);
	else
		add_sample(out, s, "", "", series_value(s));
}

/* A metric with labels of which nothing is known yet is left out. */
static void write_family(struct buf *out, struct family *f, const struct row *row)
{
	bool common = !row->labels[0] || series_value(f->common) != 0;
	lock_take(&f->lock);
	if (f->first || common)
		buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name, kind_names[row->kind]);
	for (const struct series *s = f->first; s; s = s->next)
		write_series(out, s);
	if (common)
		write_series(out, f->common);
	lock_give(&f->lock);
}

void metrics_write(struct metrics *m, struct buf *out)
{
	struct process_facts facts;
	process_facts_read(&facts);
	metrics_set(m, M_PROCESS_CPU_SECONDS, facts.cpu_seconds, NULL);
	metrics_set(m, M_PROCESS_RESIDENT_BYTES, facts.resident_bytes, NULL);
	metrics_set(m, M_PROCESS_OPEN_FDS, facts.open_fds, NULL);
	metrics_set(m, M_PROCESS_MAX_FDS, facts.max_fds, NULL);
	metrics_set(m, M_PROCESS_START_SECONDS, facts.start_seconds, NULL);
	for (size_t i = 0; i < M_COUNT; i++)
		write_family(out, &m->families[i], &rows[i]);
}

void metrics_dump(struct buf *out)
{
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '[');
	for (size_t i = 0; i < M_COUNT; i++) {
		jw_open(&w, '{');
		jw_kstrz(&w, "name", rows[i].name);
		jw_kstrz(&w, "kind", kind_names[rows[i].kind]);
		jw_key(&w, "labels");
		jw_open(&w, '[');
		struct str rest = str_from(rows[i].labels);
		while (rest.n)
			jw_str(&w, str_cut(&rest, ','));
		jw_close(&w, ']');
		jw_kstrz(&w, "help", rows[i].help);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
}
