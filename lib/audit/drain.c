/* From Redis to PostgreSQL: the writer's thread. */
#include "lib/audit/private.h"
#include "lib/base/clock.h"
#include "lib/base/table.h"
#include "lib/json/jdoc.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/pg/pgtext.h"

#define GATHER_MS 100   /* after the first news: what comes meanwhile goes with it */
#define LOOK_MS 5000    /* at what other processes have left, and what could not be sent */
#define CONNECT_MS 200  /* PostgreSQL: its backoff is the pool's */
#define LAST_MS 2000    /* at the end, for what is there */
#define ENTRIES 64      /* of the stream, in one transaction */
#define ELSEWHERE 1     /* another process writes just now */
#define STREAM_ID_SIZE 48
#define SOURCE_MAX_BYTES 64
#define LINES_MAX (INT64_C(1) << 53) /* no process comes so far, and sums of them do not overflow */

/* ---- statements ---- */

static const struct pg_stmt LOCK = {"audit_lock", "SELECT pg_try_advisory_xact_lock(hashtextextended('sluice.audit ' || $1, 0))", 1};
static const struct pg_stmt SOURCES = {"audit_sources", "SELECT source, lines FROM sluice.audit_sources WHERE prefix = $1 AND source = ANY ($2::text[])", 2};
#define NAME(name) ", " #name
static const struct pg_stmt COPY = {"audit_copy", "COPY sluice.audit (prefix, seq, hash" AUDIT_COLUMNS(NAME) ") FROM STDIN", 0};
static const struct pg_stmt SAVE_HEAD = {
	"audit_save_head",
	"INSERT INTO sluice.audit_heads (prefix, seq, hash) VALUES ($1, $2, $3) ON CONFLICT (prefix) DO UPDATE SET seq = excluded.seq, hash = excluded.hash", 3};
static const struct pg_stmt SAVE_SOURCES = {
	"audit_save_sources",
	"INSERT INTO sluice.audit_sources (prefix, source, lines) SELECT $1::text, u.* FROM unnest($2::text[], $3::bigint[]) AS u"
	" ON CONFLICT (prefix, source) DO UPDATE SET lines = excluded.lines",
	3};

/* ---- a batch of the stream ---- */

struct entry {
	struct str id, source, rows;
	int64_t first, lines;
};

struct draining {
	struct audit *a;
	struct rreplies replies;   /* what the entries point into */
	struct entry entries[ENTRIES];
	size_t n;
	struct table sources;      /* int64_t: lines of it that are written */
	struct audit_head head;
	struct pgcopy rows;
	int64_t lost;              /* lines */
};

static struct str member(const redisReply *pairs, const char *name)
{
	for (size_t at = 0; rreply_at(pairs, at + 1); at += 2)
		if (str_is(rreply_str(rreply_at(pairs, at)), name))
			return rreply_str(rreply_at(pairs, at + 1));
	return STR_NONE;
}

static bool is_source(struct str s)
{
	return s.p && s.n <= SOURCE_MAX_BYTES && str_is_utf8(s) && !memchr(s.p, '\0', s.n);
}

static bool read_lines(struct str text, int64_t *out)
{
	return text.p && str_to_i64(text, out) == 0 && *out > 0 && *out <= LINES_MAX;
}

static bool read_entry(struct entry *e, const redisReply *r)
{
	const redisReply *pairs = rreply_at(r, 1);

	e->id = rreply_str(rreply_at(r, 0));
	e->source = member(pairs, "source");
	e->rows = member(pairs, "rows");
	return is_source(e->source) && e->rows.p && read_lines(member(pairs, "first"), &e->first) && read_lines(member(pairs, "lines"), &e->lines);
}

static int call_redis(struct audit *a, struct rcmd *cmd, struct rreplies *out, struct err *err)
{
	int rc = rmux_call(a->o.mux, cmd, clock_mono_ms() + AUDIT_REDIS_TIMEOUT_MS, out, err);

	rcmd_release(cmd);
	if (rc < 0)
		return rc;
	rc = rreply_error(out->items[0], err);
	if (rc < 0)
		rreplies_release(out);
	return rc;
}

static int read_stream(struct draining *d, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	const redisReply *r;

	rcmd_begin(&cmd, 6);
	rcmd_argz(&cmd, "XRANGE");
	rcmd_arg(&cmd, buf_str(&d->a->key));
	rcmd_argz(&cmd, "-");
	rcmd_argz(&cmd, "+");
	rcmd_argz(&cmd, "COUNT");
	rcmd_argi(&cmd, ENTRIES);
	int rc = call_redis(d->a, &cmd, &d->replies, err);
	for (; rc == 0 && d->n < ENTRIES && (r = rreply_at(d->replies.items[0], d->n)) != NULL; d->n++)
		if (!read_entry(&d->entries[d->n], r)) {
			LOG(d->a->o.log, LOG_WARN, "audit_entry_unread", log_str("id", d->entries[d->n].id));
			d->entries[d->n].lines = 0;
		}
	return rc;
}

/* ---- what is written already ---- */

static int note_lines(struct draining *d, struct str source, int64_t lines)
{
	int64_t *known = table_get(&d->sources, source);

	if (!known) {
		known = arena_alloc(&d->a->arena, sizeof(*known));
		if (!known || table_put(&d->sources, source, known) < 0)
			return ERR_NOMEM;
	}
	*known = lines;
	return 0;
}

static int ask_sources(struct draining *d, struct pglink *l, int64_t deadline, struct err *err)
{
	struct pgarray names = PGARRAY_INIT;
	struct pg_rows *rows;
	int64_t lines;
	int rc = 0;

	for (size_t i = 0; i < d->n; i++)
		if (d->entries[i].lines && note_lines(d, d->entries[i].source, 0) == 0)
			pgarray_text(&names, d->entries[i].source);
	pgarray_end(&names);
	const struct pg_value values[] = {pg_text(d->a->o.prefix), pg_text(buf_str(&names.out))};
	const struct pg_call call = {&SOURCES, values};
	if (names.out.failed)
		rc = err_set(err, ERR_NOMEM, "no memory for audit rows");
	else
		rc = pglink_run(l, &call, 1, deadline, &rows, err);
	pgarray_release(&names);
	if (rc < 0)
		return rc;
	for (int i = 0; rc == 0 && i < pg_rows_count(rows); i++)
		if (pg_int_at(rows, i, 1, &lines))
			rc = note_lines(d, pg_at(rows, i, 0), lines);
	pg_rows_free(rows);
	return rc < 0 ? err_set(err, rc, "no memory for audit rows") : 0;
}

/* The lock, of which one process at a time has it until the transaction ends; and where the chain ends. */
static int begin(struct draining *d, struct pglink *l, int64_t deadline, struct err *err)
{
	const struct pg_value prefix = pg_text(d->a->o.prefix);
	const struct pg_call calls[] = {{&LOCK, &prefix}, {&AUDIT_HEAD, &prefix}};
	struct pg_rows *rows[ARRAY_LEN(calls)];
	int rc = pglink_run(l, calls, ARRAY_LEN(calls), deadline, rows, err);

	if (rc < 0)
		return rc;
	if (!pg_bool_at(rows[0], 0, 0))
		rc = ELSEWHERE;
	else if (pg_rows_count(rows[1]) > 0 && !(pg_int_at(rows[1], 0, 0, &d->head.seq) && audit_hash_read(pg_at(rows[1], 0, 1), d->head.hash)))
		rc = err_set(err, ERR_BROKEN, "the head of the audit chain cannot be read");
	pg_rows_free(rows[0]);
	pg_rows_free(rows[1]);
	return rc;
}

/* ---- rows ---- */

static void add_row(struct draining *d, const struct audit_row *row)
{
	audit_chain(&d->head, d->a->o.prefix, row);
	pgcopy_text(&d->rows, d->a->o.prefix);
	pgcopy_int(&d->rows, d->head.seq);
	pgcopy_bytes(&d->rows, (struct str){(const char *)d->head.hash, sizeof(d->head.hash)});
	for (size_t i = 0; i < AUDIT_N_COLUMNS; i++)
		pgcopy_text(&d->rows, row->columns[i]);
	pgcopy_end_row(&d->rows);
}

static void add_gap(struct draining *d, const struct entry *e, int64_t missing)
{
	char at[STR_U64_SIZE], count[STR_U64_SIZE];
	struct audit_row row = {0};

	row.columns[AUDIT_AT_at_ms] = str_of_u64(at, (uint64_t)clock_wall_ms());
	row.columns[AUDIT_AT_action] = STR(AUDIT_GAP);
	row.columns[AUDIT_AT_count] = str_of_u64(count, (uint64_t)missing);
	row.columns[AUDIT_AT_source] = e->source;
	add_row(d, &row);
	d->lost += missing;
}

/* In the form in which a bigint comes back: the hash goes over the text. */
static bool is_number(struct str s)
{
	char room[STR_U64_SIZE];
	int64_t v;

	return str_to_i64(s, &v) == 0 && v >= 0 && str_eq(s, str_of_u64(room, (uint64_t)v));
}

/* Does the table take it? Others may write to Redis, too, and what it refuses would stop every line behind. */
static bool is_storable(const struct audit_row *row)
{
	static const struct {
		bool needed, number, indexed;
	} kinds[AUDIT_N_COLUMNS] = {
		[AUDIT_AT_at_ms] = {.needed = true, .number = true}, [AUDIT_AT_status] = {.number = true},
		[AUDIT_AT_count] = {.needed = true, .number = true}, [AUDIT_AT_action] = {.needed = true, .indexed = true},
		[AUDIT_AT_target] = {.indexed = true}, [AUDIT_AT_sub] = {.indexed = true}, [AUDIT_AT_org] = {.indexed = true},
		[AUDIT_AT_source] = {.needed = true},
	};
	bool ok = true;

	for (size_t i = 0; ok && i < AUDIT_N_COLUMNS; i++) {
		struct str s = row->columns[i];
		ok = s.p ? !memchr(s.p, '\0', s.n) && (!kinds[i].number || is_number(s)) && (!kinds[i].indexed || s.n <= AUDIT_INDEXED_MAX_BYTES)
			 : !kinds[i].needed;
	}
	return ok;
}

static bool read_row(struct draining *d, struct str line, struct audit_row *row)
{
	struct jdoc doc;
	size_t n = 0;

	*row = (struct audit_row){0};
	if (jdoc_parse(&doc, &d->a->arena, line, &JDOC_LIMITS, NULL) < 0 || jdoc_type(&doc, JDOC_ROOT) != J_ARRAY)
		return false;
	for (uint32_t c = jdoc_first(&doc, JDOC_ROOT); c != JDOC_NONE && n < AUDIT_N_COLUMNS; c = jdoc_next(&doc, JDOC_ROOT, c))
		row->columns[n++] = jdoc_string(&doc, c, &d->a->arena);
	return n == AUDIT_N_COLUMNS && is_storable(row);
}

static int add_rows(struct draining *d, const struct entry *e)
{
	struct str rest = e->rows;
	struct audit_row row;

	while (rest.p && rest.n) {
		struct str line = str_cut(&rest, '\n');
		if (read_row(d, line, &row))
			add_row(d, &row);
		else
			add_gap(d, e, 1);
	}
	return note_lines(d, e->source, e->first + e->lines - 1);
}

static int add_entry(struct draining *d, const struct entry *e)
{
	const int64_t *known = table_get(&d->sources, e->source);
	int64_t written = known ? *known : 0;

	if (e->first <= written)
		return 0; /* it was sent twice, or written and not taken off */
	if (e->first > written + 1)
		add_gap(d, e, e->first - written - 1);
	return add_rows(d, e);
}

/* ---- writing ---- */

static int save(struct draining *d, struct pglink *l, int64_t deadline, struct err *err)
{
	struct pgarray names = PGARRAY_INIT, lines = PGARRAY_INIT;
	int rc;

	for (struct table_iter it = {0}; table_next(&d->sources, &it);) {
		pgarray_text(&names, it.key);
		pgarray_int(&lines, *(const int64_t *)it.value);
	}
	pgarray_end(&names);
	pgarray_end(&lines);
	const struct pg_value prefix = pg_text(d->a->o.prefix);
	const struct pg_value head[] = {prefix, pg_int(d->head.seq), pg_bytes((struct str){(const char *)d->head.hash, sizeof(d->head.hash)})};
	const struct pg_value sources[] = {prefix, pg_text(buf_str(&names.out)), pg_text(buf_str(&lines.out))};
	const struct pg_call calls[] = {{&SAVE_HEAD, head}, {&SAVE_SOURCES, sources}};
	if (d->rows.out.failed || names.out.failed || lines.out.failed)
		rc = err_set(err, ERR_NOMEM, "no memory for audit rows");
	else
		rc = pglink_copy(l, &COPY, buf_str(&d->rows.out), deadline, NULL, err);
	if (rc == 0)
		rc = pglink_run(l, calls, ARRAY_LEN(calls), deadline, NULL, err);
	pgarray_release(&names);
	pgarray_release(&lines);
	return rc;
}

static void draining_clear(struct draining *d)
{
	rreplies_release(&d->replies);
	pgcopy_release(&d->rows);
	table_release(&d->sources);
	arena_reset(&d->a->arena);
	*d = (struct draining){.a = d->a};
	table_init(&d->sources);
}

/* Runs again after a deadlock, from the beginning. */
static int write_batch(struct pglink *l, void *arg, int64_t deadline, struct err *err)
{
	struct draining *d = arg;

	draining_clear(d);
	int rc = begin(d, l, deadline, err);
	if (rc == 0)
		rc = read_stream(d, err);
	if (rc == 0 && d->n > 0)
		rc = ask_sources(d, l, deadline, err);
	for (size_t i = 0; rc == 0 && i < d->n; i++)
		if (d->entries[i].lines && add_entry(d, &d->entries[i]) < 0)
			rc = err_set(err, ERR_NOMEM, "no memory for audit rows");
	if (rc == 0 && d->rows.rows > 0)
		rc = save(d, l, deadline, err);
	return rc;
}

/* When this fails, they are read again and known by their numbers. */
static int take_off(struct draining *d, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	rcmd_begin(&cmd, 2 + d->n);
	rcmd_argz(&cmd, "XDEL");
	rcmd_arg(&cmd, buf_str(&d->a->key));
	for (size_t i = 0; i < d->n; i++)
		rcmd_arg(&cmd, d->entries[i].id);
	int rc = call_redis(d->a, &cmd, &replies, err);
	if (rc == 0)
		rreplies_release(&replies);
	return rc;
}

static void count(struct audit *a, const struct draining *d)
{
	metrics_add(a->o.metrics, M_AUDIT_WRITTEN, (double)d->rows.rows, NULL);
	if (d->lost == 0)
		return;
	metrics_add(a->o.metrics, M_AUDIT_LOST, (double)d->lost, NULL);
	LOG(a->o.log, LOG_ERROR, "audit_lost", log_int("lines", d->lost));
}

/* Everything that is there, if there is time. */
static void drain(struct audit *a, int64_t until_mono_ms)
{
	struct draining d = {.a = a};
	struct err err = {0};
	int rc = pglink_open(a->link, clock_mono_ms() + CONNECT_MS, &err);
	bool more = rc == 0;

	table_init(&d.sources);
	while (more && clock_mono_ms() < until_mono_ms) {
		rc = pglink_transact(a->link, write_batch, &d, clock_mono_ms() + AUDIT_PG_TIMEOUT_MS, &err);
		if (rc == 0)
			count(a, &d);
		if (rc == 0 && d.n > 0)
			rc = take_off(&d, &err);
		more = rc == 0 && d.n == ENTRIES;
	}
	if (rc < 0)
		LOG(a->o.log, rc == ERR_UNAVAILABLE || rc == ERR_STOPPING ? LOG_DEBUG : LOG_WARN, "audit_not_written", log_err(&err));
	draining_clear(&d);
	table_release(&d.sources);
	lock_take(&a->mu);
	a->woken = a->woken || more;
	lock_give(&a->mu);
}

/* Until there is news and some more has gathered, or the next look is due. false: it is time to end. */
static bool wait_for_news(struct audit *a)
{
	int64_t look = clock_mono_ms() + LOOK_MS;

	lock_take(&a->mu);
	while (!a->woken && !a->stopping && cond_wait_until(&a->wake, &a->mu, look))
		continue;
	int64_t gathered = clock_mono_ms() + GATHER_MS;
	while (!a->stopping && cond_wait_until(&a->wake, &a->mu, gathered))
		continue;
	a->woken = false;
	bool on = !a->stopping;
	lock_give(&a->mu);
	return on;
}

/* The last lines are sent, or cannot be; and nobody is told of a sending any more. */
static void wait_for_sent(struct audit *a)
{
	audit_send(a);
	lock_take(&a->mu);
	while (a->sending)
		cond_wait(&a->wake, &a->mu);
	lock_give(&a->mu);
}

void audit_writer_main(void *arg)
{
	struct audit *a = arg;

	while (wait_for_news(a)) {
		audit_send(a);
		drain(a, clock_mono_ms() + LOOK_MS);
	}
	wait_for_sent(a);
	drain(a, clock_mono_ms() + LAST_MS);
}
