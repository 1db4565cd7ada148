/* Adding jobs by lines: each line is {name, data, opts}, is added as it comes, and is answered by a line of its own after the last.
 *
 * Two windows of lines take turns: while Redis adds the one, the other is read. A window goes when it is full, or when no further line has
 * come yet, so a slow sender's lines do not wait for one another. What a window needs is in an arena of its own; the answers
 * go into a file when there are many, so memory does not grow with the lines. */
#include "gateway/routes/jobs_lines.h"

#include "gateway/admission.h"
#include "gateway/http/audit.h"
#include "gateway/http/server.h"
#include "gateway/http/spool.h"
#include "gateway/routes/creation.h"
#include "lib/base/clock.h"
#include "lib/config/config.h"
#include "processors/runtime/tally.h"

#define LINES_MAX 1000000
#define WINDOW_LINES 200
#define WINDOW_BYTES ((size_t)1 << 20) /* of arena, after which no further line is taken */
#define WINDOW_MS 30000                /* that Redis may take for a window */
#define DETAIL_BYTES ((int64_t)64 << 20) /* of answers, after which a refused line's bad fields are no longer listed */

struct line_answer {
	size_t line;
	size_t place;       /* of its job in the window; SIZE_MAX: it has none */
	struct str problem; /* why not, as JSON */
};

struct window {
	struct request line; /* the request, with this window's arena: a line is read as a body of its own would be */
	struct arena arena;
	struct line_answer answers[WINDOW_LINES];
	struct bq_add jobs[WINDOW_LINES];
	struct bq_add_result results[WINDOW_LINES];
	size_t n, n_jobs;
	struct bq_adding *adding; /* NULL: nothing is under way */
	int rc;                   /* of all its jobs together */
	struct err err;
};

struct intake {
	struct request *r;
	const struct services *s;
	const struct queue_ref *q;
	struct str key;         /* Idempotency-Key; .p NULL: none */
	size_t lines;           /* read so far */
	size_t accepted, created, rejected;
	struct spool answers;
	struct window windows[2];
	struct err stopped;     /* why the body was not read to its end; code 0: it was */
};

/* ---- a line ------------------------------------------------------------------------------------------------------------ */

static void keep_problem(struct window *w, struct line_answer *answer, struct response *item)
{
	answer->problem = arena_dup(&w->arena, buf_str(&item->body));
	buf_release(&item->body);
	buf_release(&item->headers);
}

static void refuse_json(struct request *line, struct response *item, const struct jdoc_fault *fault)
{
	if (fault->kind == JFAULT_MEMORY)
		response_problem(line, item, PROBLEM_INTERNAL, "There was not enough memory for the line.");
	else
		response_problem(line, item, PROBLEM_INVALID_JSON, "At byte %u: %s.", fault->offset, fault->reason);
}

static void refuse_fields(const struct intake *in, struct request *line, struct response *item, struct schema_report *report)
{
	if (in->answers.bytes > DETAIL_BYTES)
		response_problem(line, item, PROBLEM_VALIDATION, "%u fields are not valid", report->count);
	else
		response_invalid(line, item, report);
}

/* Makes a job of the text, or the problem that it has. */
static void read_job(struct intake *in, struct window *w, struct line_answer *answer, struct str text)
{
	struct request *line = &w->line;
	struct response item = {.file_fd = -1};
	struct schema_report report = {.arena = &w->arena};
	struct bq_add *job = &w->jobs[w->n_jobs];
	struct jdoc_fault fault = {.kind = JFAULT_MEMORY};

	line->body = arena_dup(&w->arena, text);
	if (!line->body.p || jdoc_parse(&line->json, &w->arena, line->body, &JDOC_LIMITS, &fault) < 0) {
		refuse_json(line, &item, &fault);
	} else if (!creation_fits(line, "job-add", &line->json, JDOC_ROOT, STR(""), &report) ||
		   !creation_read_item(line, in->q->decl, &line->json, JDOC_ROOT, STR(""), job, &report)) {
		refuse_fields(in, line, &item, &report);
	} else {
		creation_set_key(job, creation_idempotency(line, in->q->queue, in->key, line->body, answer->line));
		answer->place = w->n_jobs++;
		return;
	}
	keep_problem(w, answer, &item);
}

static void refuse_long_line(struct intake *in, struct window *w, struct line_answer *answer)
{
	struct response item = {.file_fd = -1};

	response_problem(&w->line, &item, PROBLEM_TOO_LARGE, "a line may have at most %lld bytes", (long long)in->s->config->max_body_bytes);
	keep_problem(w, answer, &item);
}

static void take_line(struct intake *in, struct window *w, enum line_state state, struct str text)
{
	struct line_answer *answer = &w->answers[w->n];

	in->lines++;
	if (state == LINE_READ && str_trim(text).n == 0)
		return; /* an empty line says nothing, but counts */
	w->n++;
	*answer = (struct line_answer){.line = in->lines, .place = SIZE_MAX};
	if (state == LINE_TOO_LONG)
		refuse_long_line(in, w, answer);
	else
		read_job(in, w, answer, text);
}

/* ---- a window ---------------------------------------------------------------------------------------------------------- */

/* Reads lines until the window is full or further ones would have to be waited for; false: that was the last. */
static bool read_window(struct intake *in, struct window *w)
{
	while (w->n < WINDOW_LINES && w->arena.used < WINDOW_BYTES) {
		struct str text;
		int state = request_line(in->r, w->n == 0, &text, &in->stopped);
		if (state == LINE_NOT_YET)
			return true;
		if (state == LINES_END || state < 0)
			return false;
		if (in->lines == LINES_MAX) {
			err_set(&in->stopped, ERR_LIMIT, "a request may have at most %d lines", LINES_MAX);
			return false;
		}
		take_line(in, w, (enum line_state)state, text);
	}
	return true;
}

static void send_window(struct intake *in, struct window *w)
{
	int64_t deadline = clock_mono_ms() + WINDOW_MS;

	w->rc = admission_check(in->s->admission, &w->err);
	if (!w->n_jobs || w->rc < 0)
		return;
	w->adding = bq_add_many_begin(in->s->bq, in->q->queue, w->jobs, w->n_jobs, &w->arena, w->results, deadline, &w->err);
	w->rc = w->adding ? 0 : w->err.code;
}

static void write_answer(struct intake *in, struct window *w, const struct line_answer *answer)
{
	struct bq_add_result *result = answer->place == SIZE_MAX ? NULL : &w->results[answer->place];
	struct jwrite j = jwrite_into(&in->answers.text);
	bool accepted = result && w->rc == 0 && result->rc == 0;

	jw_open(&j, '{');
	jw_kint(&j, "line", (int64_t)answer->line);
	if (accepted) {
		tallies_created(in->s->tallies, in->q->queue->name, in->q->decl, &result->added, w->jobs[answer->place].data.n);
		in->created += result->added.created && !result->added.replayed;
		jw_kstr(&j, "jobId", result->added.id);
		jw_kbool(&j, "created", result->added.created);
	} else if (result) {
		struct response item = {.file_fd = -1};
		creation_refused(&w->line, &item, w->rc < 0 ? &w->err : &result->err);
		creation_add_problem(&j, &item);
	} else {
		jw_kraw(&j, "problem", answer->problem);
	}
	jw_close(&j, '}');
	buf_addc(&in->answers.text, '\n');
	in->accepted += accepted;
	in->rejected += !accepted;
}

/* Waits for what was sent, writes its answers and empties the window. */
static int settle_window(struct intake *in, struct window *w, struct err *err)
{
	if (w->adding)
		w->rc = bq_add_many_end(w->adding, &w->err);
	for (size_t i = 0; i < w->n; i++)
		write_answer(in, w, &w->answers[i]);
	arena_reset(&w->arena);
	w->adding = NULL;
	w->n = w->n_jobs = 0;
	return spool_flush(&in->answers, err);
}

/* ---- the request ------------------------------------------------------------------------------------------------------- */

static int run_windows(struct intake *in, struct err *err)
{
	bool more = true;
	unsigned turn = 0;
	int rc = 0, last = 0;

	for (; more && rc == 0; turn ^= 1) {
		struct window *w = &in->windows[turn];
		rc = settle_window(in, w, err);
		more = rc == 0 && read_window(in, w);
		send_window(in, w);
	}
	for (unsigned i = 0; i < 2; i++, turn ^= 1) { /* in the order of their lines; also of those whose answers nobody will see */
		last = settle_window(in, &in->windows[turn], rc == 0 ? err : NULL);
		rc = rc < 0 ? rc : last;
	}
	return rc;
}

/* What became of the body as a whole: the ways in which it may end before its time have problems of their own. */
static void write_stop(const struct request *r, struct response *res, const struct err *err)
{
	static const struct {
		int code;
		enum problem problem;
	} rows[] = {
		{ERR_LIMIT, PROBLEM_TOO_LARGE}, {ERR_TIMEOUT, PROBLEM_TIMEOUT}, {ERR_PROTOCOL, PROBLEM_BAD_REQUEST}, {ERR_STOPPING, PROBLEM_DRAINING},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].code == err->code) {
			response_problem(r, res, rows[i].problem, "%s", err->text);
			return;
		}
	response_error(r, res, err);
}

static void write_summary(struct intake *in)
{
	struct jwrite j = jwrite_into(&in->answers.text);

	jw_open(&j, '{');
	jw_kint(&j, "accepted", (int64_t)in->accepted);
	jw_kint(&j, "rejected", (int64_t)in->rejected);
	if (in->stopped.code) {
		struct response item = {.file_fd = -1};
		write_stop(in->r, &item, &in->stopped);
		creation_add_problem(&j, &item);
	}
	jw_close(&j, '}');
	buf_addc(&in->answers.text, '\n');
}

static void note_lines(struct intake *in)
{
	const char *after = arena_printf(in->r->arena, "{\"items\":%zu,\"created\":%zu}", in->accepted + in->rejected, in->created);

	audit_note(in->r, "job.create", in->q->queue->name, STR_NONE, str_from(after));
}

static void answer_lines(struct intake *in, struct response *res)
{
	struct err err = {0};
	int rc = run_windows(in, &err);

	note_lines(in);
	if (rc == 0 && in->stopped.code && in->lines == 0) {
		write_stop(in->r, res, &in->stopped);
		return;
	}
	write_summary(in);
	if (rc == 0)
		rc = spool_finish(&in->answers, res, &err);
	if (rc < 0) {
		response_problem(in->r, res, rc == ERR_IO ? PROBLEM_STORAGE_FULL : PROBLEM_INTERNAL,
				 "%zu lines were accepted and %zu rejected, then there was no room for their answers", in->accepted, in->rejected);
		return;
	}
	res->status = 200;
	res->content_type = "application/x-ndjson";
}

static void release_intake(void *arg)
{
	struct intake *in = arg;

	spool_release(&in->answers);
	arena_release(&in->windows[0].arena);
	arena_release(&in->windows[1].arena);
	free(in);
}

static struct intake *new_intake(struct request *r, const struct queue_ref *q, struct str key)
{
	struct intake *in = calloc(1, sizeof(*in));

	if (!in)
		return NULL;
	in->r = r;
	in->s = app_services(r->app);
	in->q = q;
	in->key = key;
	spool_init(&in->answers, in->s->config->data_dir);
	for (unsigned i = 0; i < 2; i++) {
		struct window *w = &in->windows[i];
		arena_init(&w->arena, r->arena->limit);
		w->line = *r;
		w->line.arena = &w->arena;
	}
	return arena_defer(r->arena, release_intake, in) < 0 ? NULL : in;
}

/* It holds its thread for as long as its sender likes, as one that waits does. */
void jobs_add_lines(struct request *r, struct response *res, const struct queue_ref *q)
{
	struct str key;

	if (!creation_key_or_reply(r, res, &key))
		return;
	if (!request_wait_begin(r)) {
		response_problem(r, res, request_draining(r) ? PROBLEM_DRAINING : PROBLEM_OVERLOADED, NULL);
		return;
	}
	struct intake *in = new_intake(r, q, key);
	if (in)
		answer_lines(in, res);
	else
		response_problem(r, res, PROBLEM_INTERNAL, NULL);
}
