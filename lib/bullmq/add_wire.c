#include "lib/bullmq/add_wire.h"

#include "lib/base/clock.h"
#include "lib/bullmq/opts_fields.h"

/* add.lua's arguments ahead of the jobs; FIELDS; FIELDS_ALIKE, and what each of those jobs has of its own */
#define ARGS_AHEAD 2
#define ARGS_BY_ITSELF 12
#define ARGS_ALIKE 6
#define ARGS_OWN 2

#define KEYS_ROOM 1024 /* bytes that the script's name and its keys take, of most queues */
#define OPTS_ROOM 384 /* bytes that most jobs' options have as JSON */

/* Outcomes of add.lua. */
enum outcome {
	OUTCOME_CREATED = 1,
	OUTCOME_EXISTED = 2,
	OUTCOME_REPLAYED_CREATED = 3,
	OUTCOME_REPLAYED_EXISTED = 4,
	OUTCOME_TAKEN = -101,
	OUTCOME_MISMATCH = -102,
	OUTCOME_FULL = -103,
	OUTCOME_ERROR = -104,
};

/* Nothing that would need the official scripts: no parent, no deduplication, no order but that of arrival. */
static bool is_plain(const struct bq_add *job)
{
	return !job->waits_for_children && !job->parent.id.p && !job->opts.dedup_id.p && job->opts.delay_ms <= 0 &&
	       job->opts.priority <= 0;
}

const char *bq_add_kind(const struct bq_add *job)
{
	if (job->waits_for_children)
		return "parent";
	if (job->opts.delay_ms > 0)
		return "delayed";
	return job->opts.priority > 0 ? "prioritized" : "standard";
}

static const char *plain_kind(const struct bq_add *job)
{
	return job->opts.lifo ? "plain-lifo" : "plain";
}

static int64_t timestamp_of(const struct bq_add *job)
{
	return job->opts.timestamp_ms > 0 ? job->opts.timestamp_ms : clock_wall_ms();
}

static void pack_parent(struct buf *b, const struct bq_add *job)
{
	static const char *const short_names[] = {
		[BQ_PARENT_FAILS] = "fpof",
		[BQ_PARENT_CONTINUES] = "cpof",
		[BQ_PARENT_IGNORES] = "idof",
		[BQ_PARENT_REMOVES] = "rdof",
	};
	struct mp_map m = mp_map_open(b);

	mp_key(&m, "id");
	mp_str(b, job->parent.id);
	mp_key(&m, "queueKey");
	mp_str(b, job->parent.queue_key);
	if (job->opts.on_parent != BQ_PARENT_WAITS) {
		mp_key(&m, short_names[job->opts.on_parent]);
		mp_bool(b, true);
	}
	mp_map_close(&m);
}

/* "queueKey:id" + suffix */
static void pack_parent_key(struct buf *b, const struct bq_parent *parent, const char *suffix)
{
	struct buf key = BUF_INIT;

	buf_adds(&key, parent->queue_key);
	buf_addc(&key, ':');
	buf_adds(&key, parent->id);
	buf_addz(&key, suffix);
	mp_str(b, buf_str(&key));
	b->failed = b->failed || key.failed;
	buf_release(&key);
}

static void pack_dedup_key(struct buf *b, const struct bq_queue *q, struct str dedup_id)
{
	struct buf key = BUF_INIT;

	buf_adds(&key, q->keys[BQ_KEY_DE]);
	buf_addc(&key, ':');
	buf_adds(&key, dedup_id);
	mp_str(b, buf_str(&key));
	b->failed = b->failed || key.failed;
	buf_release(&key);
}

/* The array that every official add script takes as ARGV[1]: prefix, id, name, timestamp, parent key, key of the parent's
 * dependencies, parent, scheduler's key, deduplication key, whether the parent's release is put off. */
static void put_packed(struct rcmd *cmd, const struct bq_queue *q, const struct bq_add *job, struct str id, int64_t timestamp, bool in_flow)
{
	struct buf b = BUF_INIT;

	mp_array(&b, 10);
	mp_str(&b, q->keys[BQ_KEY_BASE]);
	mp_str(&b, id);
	mp_str(&b, job->name);
	mp_int(&b, timestamp);
	if (job->parent.id.p) {
		pack_parent_key(&b, &job->parent, "");
		pack_parent_key(&b, &job->parent, ":dependencies");
		pack_parent(&b, job);
	} else {
		for (int i = 0; i < 3; i++)
			mp_nil(&b);
	}
	mp_nil(&b);
	if (job->opts.dedup_id.p)
		pack_dedup_key(&b, q, job->opts.dedup_id);
	else
		mp_nil(&b);
	if (in_flow)
		mp_int(&b, 1);
	else
		mp_nil(&b);
	bq_arg_packed(cmd, &b);
}

static void put_json_opts(struct rcmd *cmd, const struct bq_add *job)
{
	struct buf b = BUF_IN(cmd->wire.arena);
	struct jwrite w = jwrite_into(&b);

	buf_reserve(&b, OPTS_ROOM);
	bq_opts_write_stored(&w, &job->opts);
	bq_arg_packed(cmd, &b);
}

static void put_packed_opts(struct rcmd *cmd, const struct bq_add *job)
{
	struct buf b = BUF_INIT;
	struct mp_map m = mp_map_open(&b);

	bq_opts_pack_into(&m, &job->opts);
	if (job->parent.id.p) {
		struct mp_map parent;

		mp_key(&m, "parent");
		parent = mp_map_open(&b);
		mp_key(&parent, "id");
		mp_str(&b, job->parent.id);
		mp_key(&parent, "queue");
		mp_str(&b, job->parent.queue_key);
		mp_map_close(&parent);
	}
	mp_map_close(&m);
	bq_arg_packed(cmd, &b);
}

static void put_by_itself(struct rcmd *args, const struct bq_queue *q, const struct bq_add *job)
{
	struct str id = job->opts.job_id.p ? job->opts.job_id : STR("");
	int64_t timestamp = timestamp_of(job);

	rcmd_argz(args, is_plain(job) ? plain_kind(job) : bq_add_kind(job));
	rcmd_arg(args, id);
	rcmd_arg(args, job->opts.org.p ? job->opts.org : STR("default"));
	rcmd_argz(args, job->opts.dedup_id.p ? "1" : "");
	rcmd_argi(args, job->max_waiting);
	rcmd_argz(args, job->idem_key.p ? "1" : "");
	rcmd_arg(args, job->idem_fingerprint.p ? job->idem_fingerprint : STR(""));
	rcmd_argi(args, job->idem_ttl_ms);
	rcmd_argi(args, timestamp);
	rcmd_arg(args, job->data);
	if (is_plain(job)) {
		rcmd_arg(args, job->name);
		put_json_opts(args, job);
	} else {
		put_packed(args, q, job, id, timestamp, false);
		put_packed_opts(args, job);
	}
}

static void put_alike(struct rcmd *args, const struct bq_add *job)
{
	rcmd_argi(args, job->max_waiting);
	rcmd_argz(args, job->opts.lifo ? "RPUSH" : "LPUSH");
	rcmd_arg(args, job->name);
	put_json_opts(args, job);
}

struct bq_add_text bq_add_encode(struct rcmd *args, const struct bq_queue *q, const struct bq_add *job)
{
	size_t start = args->wire.n, own = start;

	if (is_plain(job) && !job->opts.job_id.p && !job->idem_key.p) {
		put_alike(args, job);
		own = args->wire.n;
		rcmd_argi(args, timestamp_of(job));
		rcmd_arg(args, job->data);
	} else {
		put_by_itself(args, q, job);
	}
	return (struct bq_add_text){.alike = {NULL, own - start}, .own = {NULL, args->wire.n - own}};
}

void bq_add_place(struct bq_add_text *texts, size_t n, const struct rcmd *args)
{
	const char *at = args->wire.p;

	for (size_t i = 0; i < n; i++) {
		texts[i].alike.p = at;
		texts[i].own.p = at + texts[i].alike.n;
		at = texts[i].own.p + texts[i].own.n;
	}
}

/* How many jobs from texts[i] on go together. */
static size_t run_length(const struct bq_add_call *call, size_t i)
{
	size_t end = i + 1;

	while (call->texts[i].alike.n && end < call->n && str_eq(call->texts[end].alike, call->texts[i].alike))
		end++;
	return end - i;
}

static size_t count_args(const struct bq_add_call *call)
{
	size_t args = ARGS_AHEAD, run;

	for (size_t i = 0; i < call->n; i += run) {
		run = run_length(call, i);
		args += call->texts[i].alike.n ? ARGS_ALIKE + run * ARGS_OWN : ARGS_BY_ITSELF;
	}
	return args;
}

void bq_add_command(struct rcmd *cmd, const struct bq_queue *q, const struct bq_add_call *call)
{
	const struct bq_script_call script = {.queue = q, .more = call->records, .n_more = call->n_records};
	size_t run, bytes = KEYS_ROOM;

	for (size_t i = 0; i < call->n; i++)
		bytes += call->texts[i].alike.n + call->texts[i].own.n;
	buf_reserve(&cmd->wire, bytes);
	bq_script_begin(cmd, BQ_SCRIPT_ADD, &script, count_args(call));
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	bq_arg_outbox_adds(cmd, q);
	for (size_t i = 0; i < call->n; i += run) {
		run = run_length(call, i);
		if (call->texts[i].alike.n) {
			rcmd_argz(cmd, "alike");
			rcmd_argi(cmd, (int64_t)run);
			buf_adds(&cmd->wire, call->texts[i].alike);
		}
		for (size_t k = i; k < i + run; k++)
			buf_adds(&cmd->wire, call->texts[k].own);
	}
}

void bq_add_encode_in_flow(struct rcmd *args, const struct bq_queue *q, const struct bq_add *job, struct str id)
{
	put_packed(args, q, job, id, timestamp_of(job), true);
	rcmd_arg(args, job->data);
	put_packed_opts(args, job);
}

static enum bq_state state_from_word(struct str word)
{
	for (int s = 0; s < BQ_STATE_COUNT; s++)
		if (str_is(word, bq_state_word((enum bq_state)s)))
			return (enum bq_state)s;
	return BQ_WAITING;
}

static int read_failure(int64_t outcome, struct str text, struct err *err)
{
	switch (outcome) {
	case OUTCOME_TAKEN:
		return err_set(err, ERR_TAKEN, "the job id belongs to another organization");
	case OUTCOME_MISMATCH:
		return err_set(err, ERR_MISMATCH, "the idempotency key was used with another body");
	case OUTCOME_FULL:
		return err_set(err, ERR_FULL, "the queue holds as many waiting jobs as it may");
	case OUTCOME_ERROR:
		return rreply_error_text(text, err);
	default:
		return bq_script_failure(outcome, err);
	}
}

/* A number: the id of a job that was created and waits, or an outcome below 0. */
static int read_number(int64_t number, struct arena *a, struct bq_added *out, struct err *err)
{
	if (number < 0)
		return read_failure(number, STR(""), err);
	char room[STR_U64_SIZE];
	*out = (struct bq_added){.id = arena_dup(a, str_of_u64(room, (uint64_t)number)), .created = true, .state = BQ_WAITING};
	return out->id.p ? 0 : err_set(err, ERR_NOMEM, "no memory for a job id");
}

int bq_add_read(const redisReply *r, struct arena *a, struct bq_added *out, struct err *err)
{
	struct str text = rreply_str(rreply_at(r, 3));
	int64_t outcome;

	if (rreply_int(r, &outcome))
		return read_number(outcome, a, out, err);
	if (!rreply_int(rreply_at(r, 0), &outcome))
		return err_set(err, ERR_PROTOCOL, "the add script answered in an unknown form");
	if (outcome < 0)
		return read_failure(outcome, text.p ? text : STR(""), err);
	*out = (struct bq_added){
		.id = arena_dup(a, rreply_str(rreply_at(r, 1))),
		.created = outcome == OUTCOME_CREATED || outcome == OUTCOME_REPLAYED_CREATED,
		.replayed = outcome >= OUTCOME_REPLAYED_CREATED,
		.state = state_from_word(rreply_str(rreply_at(r, 2))),
	};
	return out->id.p ? 0 : err_set(err, ERR_NOMEM, "no memory for a job id");
}

int bq_add_check(const struct bq_add *job, struct err *err)
{
	if (job->opts.size_limit < 0 || (int64_t)job->data.n <= job->opts.size_limit)
		return 0;
	return err_set(err, ERR_LIMIT, "the job's data has more than the %lld bytes of its sizeLimit", (long long)job->opts.size_limit);
}
