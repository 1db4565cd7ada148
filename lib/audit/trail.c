/* From the requests to Redis. */
#include "lib/audit/private.h"
#include "lib/base/clock.h"
#include "lib/json/jwrite.h"
#include "lib/log/log.h"

/* Of jobs, and so many of them that each by itself would cost more than the change. */
static const char *const FOLDED[] = {"job.create", "job.complete"};

/* ---- rows ---- */

static void write_text(struct jwrite *w, int64_t v)
{
	char room[STR_U64_SIZE];

	jw_str(w, str_of_u64(room, (uint64_t)v));
}

/* Ids of other clients may be of any length. */
static struct str indexed(struct str target)
{
	size_t n = AUDIT_INDEXED_MAX_BYTES;

	if (target.n <= n)
		return target;
	while (n > 0 && ((unsigned char)target.p[n] & 0xc0) == 0x80)
		n--;
	return str_sub(target, 0, n);
}

static void write_row(struct audit_batch *b, const char *source, int64_t at_ms, const struct audit_line *line, int64_t count, struct str ids)
{
	struct jwrite w = jwrite_into(&b->rows);

	jw_open(&w, '[');
	write_text(&w, at_ms);
	jw_strz(&w, line->action);
	jw_str(&w, indexed(line->target));
	jw_str(&w, line->sub);
	jw_str(&w, line->org);
	jw_str(&w, line->request_id);
	jw_str(&w, line->ip);
	write_text(&w, line->status);
	write_text(&w, count);
	jw_str(&w, ids);
	jw_str(&w, line->before);
	jw_str(&w, line->after);
	jw_strz(&w, source);
	jw_close(&w, ']');
	buf_addc(&b->rows, '\n');
}

/* ---- folding ---- */

static void close_fold(struct audit_batch *b, struct audit_fold *f, const char *source)
{
	bool several = f->count > 1;
	const struct audit_line line = {
		.action = f->action,
		.target = several ? f->queue : f->target,
		.sub = f->sub,
		.org = f->org,
		.request_id = several ? STR_NONE : f->request_id,
		.ip = f->ip,
		.before = several ? STR_NONE : f->before,
		.after = several ? STR_NONE : f->after,
		.status = f->status,
	};

	buf_addc(&f->ids, ']');
	b->rows.failed = b->rows.failed || f->ids.failed;
	write_row(b, source, f->at_ms, &line, f->count, several ? buf_str(&f->ids) : STR_NONE);
	buf_clear(&f->ids);
}

static void close_folds(struct audit_batch *b, const char *source)
{
	for (size_t i = 0; i < b->n_folds; i++)
		close_fold(b, &b->folds[i], source);
	b->n_folds = 0;
}

static const char *folded_action(const struct audit_line *line)
{
	for (size_t i = 0; i < ARRAY_LEN(FOLDED); i++)
		if (strcmp(FOLDED[i], line->action) == 0)
			return FOLDED[i];
	return NULL;
}

static bool is_same(const struct audit_fold *f, const struct audit_line *line, const char *action, struct str queue)
{
	return f->action == action && f->status == line->status && f->count < AUDIT_FOLD_MAX && str_eq(f->queue, queue) && str_eq(f->sub, line->sub) &&
	       str_eq(f->org, line->org) && str_eq(f->ip, line->ip);
}

static void add_id(struct audit_fold *f, struct str id)
{
	struct jwrite w = jwrite_into(&f->ids);

	buf_addc(&f->ids, f->count ? ',' : '[');
	jw_str(&w, id);
	f->count++;
}

static bool keep(struct arena *a, struct str s, struct str *out)
{
	*out = s.p ? arena_dup(a, s) : STR_NONE;
	return out->p || !s.p;
}

static struct audit_fold *open_fold(struct audit_batch *b, const char *source, const struct audit_line *line, const char *action, struct str queue)
{
	if (b->n_folds == AUDIT_FOLDS)
		close_folds(b, source);
	struct audit_fold *f = &b->folds[b->n_folds];
	struct buf ids = f->ids; /* its memory serves again */

	*f = (struct audit_fold){.action = action, .status = line->status, .at_ms = clock_wall_ms(), .ids = ids};
	if (!keep(&b->arena, queue, &f->queue) || !keep(&b->arena, line->sub, &f->sub) || !keep(&b->arena, line->org, &f->org) ||
	    !keep(&b->arena, line->ip, &f->ip) || !keep(&b->arena, line->target, &f->target) || !keep(&b->arena, line->request_id, &f->request_id) ||
	    !keep(&b->arena, line->before, &f->before) || !keep(&b->arena, line->after, &f->after))
		return NULL;
	b->n_folds++;
	return f;
}

/* false: it is no line that is folded, or there is no memory to do so. */
static bool fold(struct audit_batch *b, const char *source, const struct audit_line *line)
{
	const char *action = folded_action(line);
	struct str id = line->target, queue = str_cut(&id, '/');
	struct audit_fold *f = NULL;

	if (!action || !id.p)
		return false;
	for (size_t i = 0; i < b->n_folds && !f; i++)
		if (is_same(&b->folds[i], line, action, queue))
			f = &b->folds[i];
	if (!f)
		f = open_fold(b, source, line, action, queue);
	if (f)
		add_id(f, id);
	return f != NULL;
}

/* ---- gathering ---- */

static size_t bytes_of(const struct audit_batch *b)
{
	size_t n = b->rows.n + b->arena.used;

	for (size_t i = 0; i < b->n_folds; i++)
		n += b->folds[i].ids.n;
	return n;
}

/* The batch ends before the first line that it does not take: its lines follow one another. */
static void take(struct audit *a, const struct audit_line *line)
{
	struct audit_batch *b = a->gathering;

	a->lines++;
	b->full = b->full || b->rows.failed || bytes_of(b) > AUDIT_GATHER_MAX;
	if (b->full)
		return;
	if (b->lines == 0)
		b->first = a->lines;
	b->lines++;
	if (fold(b, a->source, line))
		return;
	close_folds(b, a->source); /* what is said later of the same job stays behind it */
	write_row(b, a->source, clock_wall_ms(), line, 1, line->ids);
}

static void batch_clear(struct audit_batch *b)
{
	for (size_t i = 0; i < AUDIT_FOLDS; i++)
		buf_clear(&b->folds[i].ids);
	buf_clear(&b->rows);
	arena_reset(&b->arena);
	b->n_folds = 0;
	b->first = b->lines = 0;
	b->full = false;
}

void audit_batch_release(struct audit_batch *b)
{
	for (size_t i = 0; i < AUDIT_FOLDS; i++)
		buf_release(&b->folds[i].ids);
	buf_release(&b->rows);
	arena_release(&b->arena);
}

/* ---- sending ---- */

static void on_sent(void *arg, int rc, const struct rreplies *replies, const struct err *err);

static void make_command(const struct audit *a, const struct audit_batch *b, struct rcmd *cmd)
{
	rcmd_begin(cmd, 14);
	rcmd_argz(cmd, "XADD");
	rcmd_arg(cmd, buf_str(&a->key));
	rcmd_argz(cmd, "MAXLEN");
	rcmd_argz(cmd, "~");
	rcmd_argi(cmd, AUDIT_STREAM_MAX);
	rcmd_argz(cmd, "*");
	rcmd_argz(cmd, "source");
	rcmd_argz(cmd, a->source);
	rcmd_argz(cmd, "first");
	rcmd_argi(cmd, (int64_t)b->first);
	rcmd_argz(cmd, "lines");
	rcmd_argi(cmd, (int64_t)b->lines);
	rcmd_argz(cmd, "rows");
	rcmd_arg(cmd, buf_str(&b->rows));
}

/* Under mu: is there something to send now? Then it is in `leaving`, and in the command. A batch that could not be put together for want of memory is
 * given up: the numbers of its lines are missing. */
static bool prepare(struct audit *a, struct rcmd *cmd)
{
	int64_t now = clock_mono_ms();

	if (a->sending || (now < a->next_mono_ms && !a->stopping))
		return false;
	if (a->leaving->lines == 0) {
		struct audit_batch *empty = a->leaving;
		close_folds(a->gathering, a->source);
		if (a->gathering->rows.failed)
			batch_clear(a->gathering);
		a->leaving = a->gathering;
		a->gathering = empty;
	}
	if (a->leaving->lines == 0)
		return false;
	make_command(a, a->leaving, cmd);
	a->sending = true;
	a->next_mono_ms = now + AUDIT_PACE_MS;
	return true;
}

/* Under mu: what has gathered waits for its time. */
static void let_wait(struct audit *a)
{
	if (a->waiting)
		return;
	a->waiting = true;
	cond_signal(&a->due);
}

/* Not under mu: what fails at once is told of before this returns. */
static void hand_over(struct audit *a, struct rcmd *cmd)
{
	rmux_send(a->o.mux, cmd, clock_mono_ms() + AUDIT_REDIS_TIMEOUT_MS, on_sent, a);
	rcmd_release(cmd);
}

void audit_send(struct audit *a)
{
	struct rcmd cmd = RCMD_INIT;

	lock_take(&a->mu);
	bool due = prepare(a, &cmd);
	lock_give(&a->mu);
	if (due)
		hand_over(a, &cmd);
}

/* What failed, or may have failed, is sent again with the next line, or when the writer next looks: who reads it knows it by its numbers. */
static void on_sent(void *arg, int rc, const struct rreplies *replies, const struct err *err)
{
	struct audit *a = arg;
	struct rcmd cmd = RCMD_INIT;
	struct err why = {0};

	if (rc == 0)
		rc = rreply_error(replies->items[0], &why);
	else
		why = *err;
	if (rc < 0)
		LOG(a->o.log, LOG_DEBUG, "audit_not_sent", log_err(&why));
	lock_take(&a->mu);
	if (rc == 0)
		batch_clear(a->leaving);
	a->sending = false;
	bool more = rc == 0 && prepare(a, &cmd);
	if (rc == 0 && !more && a->gathering->lines > 0)
		let_wait(a);
	if (a->stopping || (rc == 0 && !a->woken))
		cond_signal(&a->wake);
	a->woken = a->woken || rc == 0;
	lock_give(&a->mu); /* unless there is more, *a may be freed now */
	if (more)
		hand_over(a, &cmd);
}

void audit_add(struct audit *a, const struct audit_line *line)
{
	struct rcmd cmd = RCMD_INIT;

	lock_take(&a->mu);
	take(a, line);
	bool due = prepare(a, &cmd);
	if (!due && !a->sending)
		let_wait(a);
	lock_give(&a->mu);
	if (due)
		hand_over(a, &cmd);
}

void audit_sender_main(void *arg)
{
	struct audit *a = arg;

	lock_take(&a->mu);
	while (!a->stopping) {
		if (!a->waiting) {
			cond_wait(&a->due, &a->mu);
		} else if (!cond_wait_until(&a->due, &a->mu, a->next_mono_ms)) {
			a->waiting = false;
			lock_give(&a->mu);
			audit_send(a);
			lock_take(&a->mu);
		}
	}
	lock_give(&a->mu);
}
