/* Drives lib/bullmq for differential.test.mjs: one JSON command a line on stdin, one JSON answer a line on stdout.
 *
 *     bqdrive SOCKET DB
 *     {"op":"add","queue":"q","now":1700000000000,"name":"n","data":"{}","opts":{"delay":5}}
 *     {"rc":0,"id":"1","created":true,"state":"delayed"}
 *
 * The clock stands at "now" (the program is linked with clock_wall_ms wrapped), so both sides write the same times. */
#include <jansson.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/table.h"
#include "lib/bullmq/bq.h"
#include "lib/bullmq/cron.h"
#include "lib/bullmq/flow.h"
#include "lib/bullmq/outbox.h"
#include "lib/bullmq/work.h"

#define DEADLINE (clock_mono_ms() + 10000)

int64_t __wrap_clock_wall_ms(void);

static int64_t wall_ms;

int64_t __wrap_clock_wall_ms(void)
{
	return wall_ms;
}

struct drive {
	struct bq *bq;
	struct table queues, jobs; /* by name; taken jobs by id */
	struct bq_outbox outbox;   /* of every queue, in commands with "outbox" */
	struct arena arena;        /* never reset: a driver lives for one run */
	json_t *in, *out;
	struct err err;
};

static struct str text(const struct drive *d, const char *key)
{
	json_t *v = json_object_get(d->in, key);

	return json_is_string(v) ? (struct str){json_string_value(v), json_string_length(v)} : STR_NONE;
}

static int64_t number(const struct drive *d, const char *key, int64_t fallback)
{
	json_t *v = json_object_get(d->in, key);

	return json_is_integer(v) ? json_integer_value(v) : fallback;
}

static bool flag(const struct drive *d, const char *key)
{
	return json_is_true(json_object_get(d->in, key));
}

static void put_text(struct drive *d, const char *key, struct str s)
{
	json_object_set_new(d->out, key, s.p ? json_stringn(s.p, s.n) : json_null());
}

static void put_number(struct drive *d, const char *key, int64_t v)
{
	json_object_set_new(d->out, key, json_integer(v));
}

static void die(const char *what)
{
	fprintf(stderr, "bqdrive: %s\n", what);
	exit(1);
}

static void ignore(void *arg UNUSED)
{
}

static const struct bq_queue *queue(struct drive *d)
{
	struct bq_queue *q = table_get(&d->queues, text(d, "queue"));

	if (!q) {
		q = arena_zalloc(&d->arena, sizeof(*q));
		if (!q || bq_queue_init(q, STR("bull"), text(d, "queue"), &d->err) < 0 || table_put(&d->queues, text(d, "queue"), q) < 0)
			die("a queue");
	}
	q->outbox = flag(d, "outbox") ? &d->outbox : NULL;
	return q;
}

/* The JSON value of a member as a document of ours. */
static void member_doc(struct drive *d, const char *key, struct jdoc *doc)
{
	json_t *v = json_object_get(d->in, key);
	char *dumped = json_dumps(v ? v : json_null(), JSON_ENCODE_ANY);
	struct jdoc_fault fault;

	if (!dumped || jdoc_parse(doc, &d->arena, arena_dup(&d->arena, str_from(dumped)), &JDOC_LIMITS, &fault) < 0)
		die("a member");
	free(dumped);
}

static int read_opts(struct drive *d, struct bq_opts *o, const char *key)
{
	struct jdoc doc;

	bq_opts_init(o);
	if (!json_object_get(d->in, key))
		return 0;
	member_doc(d, key, &doc);
	return bq_opts_read(o, &doc, JDOC_ROOT, &d->arena, true, &d->err);
}

static int op_add(struct drive *d)
{
	struct bq_add job = {.name = text(d, "name"), .data = text(d, "data"), .waits_for_children = flag(d, "waitsForChildren")};
	struct bq_added added;
	int rc = read_opts(d, &job.opts, "opts");

	job.parent = (struct bq_parent){.id = text(d, "parentId"), .queue_key = text(d, "parentQueueKey")};
	if (rc == 0)
		rc = bq_add(d->bq, queue(d), &job, &d->arena, &added, DEADLINE, &d->err);
	if (rc == 0) {
		put_text(d, "id", added.id);
		put_text(d, "state", str_from(bq_state_word(added.state)));
		json_object_set_new(d->out, "created", json_boolean(added.created));
	}
	return rc;
}

/* {"jobs":[{name, data, opts}, …]} in one call */
static int op_add_many(struct drive *d)
{
	json_t *in = d->in, *list = json_object_get(in, "jobs"), *ids = json_array();
	const struct bq_queue *q = queue(d);
	size_t n = json_array_size(list);
	struct bq_add *jobs = arena_array(&d->arena, n, sizeof(*jobs));
	struct bq_add_result *results = arena_array(&d->arena, n, sizeof(*results));
	int rc = 0;

	if (!jobs || !results)
		die("memory");
	for (size_t i = 0; i < n && rc == 0; i++) {
		d->in = json_array_get(list, i);
		jobs[i].name = text(d, "name");
		jobs[i].data = text(d, "data");
		rc = read_opts(d, &jobs[i].opts, "opts");
	}
	d->in = in;
	if (rc == 0)
		rc = bq_add_many(d->bq, q, jobs, n, &d->arena, results, DEADLINE, &d->err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = results[i].rc;
		if (rc == 0)
			json_array_append_new(ids, json_stringn(results[i].added.id.p, results[i].added.id.n));
	}
	json_object_set_new(d->out, "ids", ids);
	return rc;
}

/* {"jobs":[{queue, name, data, opts, parent}, …]}: parent is the place of another, before it */
static int op_add_flow(struct drive *d)
{
	json_t *in = d->in, *list = json_object_get(in, "jobs"), *ids = json_array();
	size_t n = json_array_size(list);
	struct bq_flow_job *jobs = arena_array(&d->arena, n, sizeof(*jobs));
	const struct bq_flow flow = {.jobs = jobs, .n = n};
	struct bq_flow_added added;
	int rc = 0;

	if (!jobs)
		die("memory");
	for (size_t i = 0; i < n && rc == 0; i++) {
		d->in = json_array_get(list, i);
		jobs[i].queue = queue(d);
		jobs[i].add.name = text(d, "name");
		jobs[i].add.data = text(d, "data");
		jobs[i].parent = i ? (size_t)number(d, "parent", 0) : BQ_FLOW_ROOT;
		rc = read_opts(d, &jobs[i].add.opts, "opts");
	}
	d->in = in;
	if (rc == 0)
		rc = bq_add_flow(d->bq, &flow, &d->arena, &added, DEADLINE, &d->err);
	for (size_t i = 0; i < n && rc == 0; i++)
		json_array_append_new(ids, json_stringn(added.ids[i].p, added.ids[i].n));
	json_object_set_new(d->out, "ids", ids);
	return rc;
}

static struct bq_worker worker(struct drive *d)
{
	struct bq_worker w = {
		.name = text(d, "worker"),
		.lock_ms = number(d, "lockMs", 30000),
		.limiter = {number(d, "limitMax", 0), number(d, "limitMs", 0)},
		.metrics_points = number(d, "metrics", 0),
	};
	struct bq_opts keep;

	if (read_opts(d, &keep, "keep") < 0)
		die(d->err.text);
	w.keep_completed = keep.remove_on_complete;
	w.keep_failed = keep.remove_on_fail;
	return w;
}

/* Keeps a taken job for the commands on it; its schedule goes on. */
static int keep_job(struct drive *d, struct bq_job *job)
{
	if (table_put(&d->jobs, job->id, job) < 0)
		die("memory");
	int64_t missed;

	return job->repeat_key.p ? bq_schedule_next(d->bq, queue(d), job, &missed, DEADLINE, &d->err) : 0;
}

static int keep_taken(struct drive *d, struct bq_job *job)
{
	put_text(d, "id", job->id);
	return keep_job(d, job);
}

static struct bq_job *new_job(struct drive *d)
{
	struct bq_job *job = arena_zalloc(&d->arena, sizeof(*job));

	if (!job)
		die("memory");
	return job;
}

static int op_take(struct drive *d)
{
	struct bq_worker w = worker(d);
	struct bq_job *job = new_job(d);
	struct bq_taken taken;
	int rc = bq_take(d->bq, queue(d), &w, text(d, "token"), &d->arena, job, &taken, DEADLINE, &d->err);

	return rc == 0 && taken.got ? keep_taken(d, job) : rc;
}

static const struct bq_job *taken_job(struct drive *d)
{
	const struct bq_job *job = table_get(&d->jobs, text(d, "id"));

	if (!job)
		die("a job that was not taken");
	return job;
}

static int op_complete(struct drive *d)
{
	struct bq_worker w = worker(d);

	return bq_complete(d->bq, queue(d), &w, taken_job(d), text(d, "token"), text(d, "value"), DEADLINE, &d->err);
}

static struct bq_failure failure(struct drive *d)
{
	return (struct bq_failure){
		.reason = text(d, "reason"), .trace = text(d, "trace"), .permanent = flag(d, "permanent"), .retry_after_ms = -1};
}

static int op_fail(struct drive *d)
{
	static const char *const words[] = {"final", "delayed", "retried"};
	const struct bq_failure f = failure(d);
	struct bq_worker w = worker(d);
	enum bq_failed how;
	int rc = bq_fail(d->bq, queue(d), &w, taken_job(d), text(d, "token"), &f, &how, DEADLINE, &d->err);

	put_text(d, "how", str_from(words[how]));
	return rc;
}

static int op_delay(struct drive *d)
{
	return bq_delay(d->bq, queue(d), taken_job(d), text(d, "token"), number(d, "ms", 0), DEADLINE, &d->err);
}

static int op_release(struct drive *d)
{
	return bq_release(d->bq, queue(d), taken_job(d), text(d, "token"), DEADLINE, &d->err);
}

/* One of {"endings":[{kind, id, token, value | reason, trace, permanent | ms}, …]} */
static const struct bq_end_args *encode_ending(struct drive *d, const struct bq_worker *w)
{
	static const char *const kinds[] = {
		[BQ_END_COMPLETE] = "complete", [BQ_END_FAIL] = "fail", [BQ_END_DELAY] = "delay", [BQ_END_RELEASE] = "release"};
	const struct bq_failure f = failure(d);
	struct bq_ending e = {.token = text(d, "token"), .value = text(d, "value"), .failure = &f, .delay_ms = number(d, "ms", 0)};
	struct bq_end_args *args = arena_zalloc(&d->arena, sizeof(*args));
	enum bq_failed how;

	if (!args)
		die("memory");
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		if (str_is(text(d, "kind"), kinds[k]))
			e.kind = (enum bq_end)k;
	bq_end_encode(args, w, taken_job(d), &e, &how);
	return args;
}

static int put_work(struct drive *d, const struct bq_work *work, const struct bq_work_answer *answer)
{
	json_t *codes = json_array(), *taken = json_array();
	int rc = 0;

	json_object_set_new(d->out, "codes", codes);
	json_object_set_new(d->out, "taken", taken);
	put_text(d, "trouble", answer->trouble);
	for (size_t i = 0; i < work->n_endings; i++) {
		struct err err = {0};
		int code = bq_work_ended(answer, i, &err);

		json_array_append_new(codes, json_string(code == 0 ? "OK" : err_name(code)));
	}
	for (size_t i = 0; i < answer->n_taken && rc == 0; i++) {
		struct bq_job *job = new_job(d);
		struct str token;

		rc = bq_work_taken(answer, i, NULL, &d->arena, job, &token, &d->err);
		if (rc == 0) {
			json_array_append_new(taken, json_pack("[s%s%]", job->id.p, job->id.n, token.p, token.n));
			rc = keep_job(d, job);
		}
	}
	return rc;
}

static int op_work(struct drive *d)
{
	json_t *in = d->in, *list = json_object_get(in, "endings");
	struct bq_worker w = worker(d);
	const struct bq_end_args *endings[BQ_WORK_PER_CALL];
	struct bq_work work = {.queue = queue(d), .worker = &w, .token_stem = text(d, "stem"), .free = (size_t)number(d, "free", 0),
			       .frees = flag(d, "frees"), .endings = endings, .n_endings = json_array_size(list)};
	struct bq_work_answer answer;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;

	for (size_t i = 0; i < work.n_endings; i++) {
		d->in = json_array_get(list, i);
		endings[i] = encode_ending(d, &w);
	}
	d->in = in;
	bq_work_command(&cmd, &work);
	for (size_t i = 0; i < work.n_endings; i++)
		bq_end_release((struct bq_end_args *)(uintptr_t)endings[i]);
	int rc = rmux_call(bq_mux(d->bq), &cmd, DEADLINE, &replies, &d->err);
	rcmd_release(&cmd);
	if (rc < 0)
		return rc;
	rc = bq_work_read(replies.items[0], &answer, &d->err);
	if (rc == 0)
		rc = put_work(d, &work, &answer);
	rreplies_release(&replies);
	return rc;
}

static int op_progress(struct drive *d)
{
	return bq_progress(d->bq, queue(d), text(d, "id"), text(d, "value"), DEADLINE, &d->err);
}

static int op_log(struct drive *d)
{
	int64_t count = 0;
	int rc = bq_log_add(d->bq, queue(d), text(d, "id"), text(d, "line"), number(d, "keep", -1), &count, DEADLINE, &d->err);

	put_number(d, "count", count);
	return rc;
}

static int op_extend(struct drive *d)
{
	const struct str id = text(d, "id"), token = text(d, "token");
	bool lost = false;
	int rc = bq_extend_locks(d->bq, queue(d), &id, &token, 1, number(d, "lockMs", 30000), &lost, DEADLINE, &d->err);

	json_object_set_new(d->out, "lost", json_boolean(lost));
	return rc;
}

static int op_stalled(struct drive *d)
{
	struct str *ids;
	size_t n = 0;
	int rc = bq_stalled_check(d->bq, queue(d), number(d, "interval", 30000), number(d, "max", 1), &d->arena, &ids, &n, DEADLINE,
				  &d->err);

	put_number(d, "count", (int64_t)n);
	return rc;
}

static int op_pause(struct drive *d)
{
	return bq_pause(d->bq, queue(d), !flag(d, "resume"), DEADLINE, &d->err);
}

static int op_status(struct drive *d)
{
	struct bq_job job;
	int rc = bq_status(d->bq, queue(d), text(d, "id"), true, &d->arena, &job, DEADLINE, &d->err);

	put_text(d, "state", str_from(rc == 0 ? bq_state_word(job.state) : "unknown"));
	return rc;
}

static int op_counts(struct drive *d)
{
	struct bq_counts c;
	int rc = bq_counts(d->bq, queue(d), &c, DEADLINE, &d->err);

	for (int s = 0; rc == 0 && s < BQ_STATE_COUNT; s++)
		put_number(d, bq_state_word((enum bq_state)s), c.n[s]);
	return rc;
}

/* The next `count` times of a pattern. */
static int op_cron(struct drive *d)
{
	json_t *times = json_array();
	struct cron cron;
	struct tz *tz;
	int64_t at = number(d, "after", 0);
	int rc = cron_parse(&cron, text(d, "pattern"), &d->err);

	json_object_set_new(d->out, "times", times);
	if (rc < 0)
		return rc;
	tz = tz_new(text(d, "tz"), &d->err);
	if (!tz)
		return ERR_INVALID;
	for (int64_t i = number(d, "count", 1); i > 0; i--) {
		if (cron_next(&cron, tz, at, number(d, "end", -1), &at) < 0)
			break;
		json_array_append_new(times, json_integer(at));
	}
	tz_free(tz);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct drive *d);
} OPS[] = {
	{"addMany", op_add_many},  {"add", op_add}, {"addFlow", op_add_flow},           {"take", op_take},         {"complete", op_complete}, {"fail", op_fail},
	{"delay", op_delay},       {"release", op_release},   {"progress", op_progress}, {"log", op_log},
	{"extend", op_extend},     {"stalled", op_stalled},   {"pause", op_pause},
	{"work", op_work}, {"status", op_status},     {"counts", op_counts},     {"cron", op_cron},
};

static void run_line(struct drive *d, const char *line)
{
	struct str op;
	int rc = ERR_BUG;

	d->in = json_loads(line, 0, NULL);
	d->out = json_object();
	d->err = (struct err){0};
	if (!d->in || !d->out)
		die("the line is not JSON");
	wall_ms = number(d, "now", wall_ms);
	op = text(d, "op");
	for (size_t i = 0; i < ARRAY_LEN(OPS); i++)
		if (str_is(op, OPS[i].name))
			rc = OPS[i].run(d);
	put_text(d, "rc", str_from(rc == 0 ? "OK" : err_name(rc)));
	put_text(d, "error", str_from(d->err.text));
	json_dumpf(d->out, stdout, JSON_COMPACT);
	fputc('\n', stdout);
	fflush(stdout);
	json_decref(d->in);
	json_decref(d->out);
}

static struct rmux *connect_to(const char *socket, const char *db, struct bq **bq)
{
	struct rmux_options options = {.connect_timeout_ms = 5000};
	struct err err = {0};
	struct rmux *mux;

	snprintf(options.addr.unix_path, sizeof(options.addr.unix_path), "%s", socket);
	options.addr.db = (int)strtol(db, NULL, 10);
	mux = rmux_new(&options, &err);
	*bq = mux ? bq_new(mux, &err) : NULL;
	if (!*bq || rmux_start(mux, &err) < 0 || rmux_wait_up(mux, DEADLINE) < 0)
		die("no connection");
	return mux;
}

static void release_queues(struct drive *d)
{
	for (struct table_iter it = {0}; table_next(&d->queues, &it);)
		bq_queue_release(it.value);
	table_release(&d->queues);
	table_release(&d->jobs);
	arena_release(&d->arena);
}

int main(int argc, char **argv)
{
	struct drive d = {.outbox = {.data_cap = 1000, .result_cap = 1000, .adds = true, .wake = ignore}};
	struct rmux *mux;
	char *line = NULL;
	size_t size = 0;

	if (argc != 3)
		die("usage: bqdrive SOCKET DB");
	mux = connect_to(argv[1], argv[2], &d.bq);
	table_init(&d.queues);
	table_init(&d.jobs);
	arena_init(&d.arena, 0);
	while (getline(&line, &size, stdin) > 0)
		run_line(&d, line);
	free(line);
	release_queues(&d);
	rmux_stop(mux, DEADLINE);
	bq_free(d.bq);
	rmux_free(mux);
	return 0;
}
