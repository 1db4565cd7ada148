#include "lib/bullmq/flow.h"

#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/panic.h"
#include "lib/bullmq/add_wire.h"

#define ARGS_AHEAD 3 /* fingerprint, life of the record, now */
#define ARGS_PER_JOB 12 /* addFlow.lua's FIELDS */

/* A flow on its way to the wire; each array has room for every job. */
struct draft {
	struct bq_add *jobs; /* with their parents */
	struct str *ids;     /* given, or made; only a given one stands in the options */
	size_t *queue_of;
	const struct bq_queue **queues; /* without repeats */
	size_t n_queues;
};

/* "P:Q" */
static struct str queue_key(const struct bq_queue *q)
{
	return str_sub(q->keys[BQ_KEY_BASE], 0, q->keys[BQ_KEY_BASE].n - 1);
}

static size_t number_of(struct draft *d, const struct bq_queue *q)
{
	for (size_t i = 0; i < d->n_queues; i++)
		if (str_eq(d->queues[i]->keys[BQ_KEY_BASE], q->keys[BQ_KEY_BASE]))
			return i;
	d->queues[d->n_queues] = q;
	return d->n_queues++;
}

static int set_id(struct str *id, struct str given, struct arena *a, struct err *err)
{
	char uuid[ID_UUID_SIZE];

	*id = given;
	if (given.p)
		return 0;
	id_uuid7(uuid);
	*id = arena_dup(a, str_from(uuid));
	return id->p ? 0 : err_set(err, ERR_NOMEM, "no memory for a job id");
}

static int draft_job(struct draft *d, const struct bq_flow *flow, size_t i, struct arena *a, struct err *err)
{
	const struct bq_flow_job *from = &flow->jobs[i];
	struct bq_add *job = &d->jobs[i];
	int rc;

	bug_on((i == 0) != (from->parent == BQ_FLOW_ROOT));
	bug_on(i > 0 && from->parent >= i);
	*job = from->add;
	job->waits_for_children = false;
	d->queue_of[i] = number_of(d, from->queue);
	rc = bq_add_check(job, err);
	if (rc == 0)
		rc = set_id(&d->ids[i], job->opts.job_id, a, err);
	if (rc < 0 || i == 0)
		return rc;
	d->jobs[from->parent].waits_for_children = true;
	job->parent = (struct bq_parent){d->ids[from->parent], queue_key(flow->jobs[from->parent].queue)};
	return 0;
}

/* KEYS behind those of the first job's queue: the other queues' in the script's order, then the record. */
static size_t more_keys(const struct draft *d, const struct bq_flow *flow, struct str *more)
{
	const struct bq_script_def *def = &bq_scripts[BQ_SCRIPT_ADD_FLOW];
	size_t n = 0;

	for (size_t q = 1; q < d->n_queues; q++)
		for (unsigned k = 0; k < def->wire.keys; k++)
			more[n++] = d->queues[q]->keys[def->keys[k]];
	if (flow->idem_key.p)
		more[n++] = flow->idem_key;
	return n;
}

static void put_job(struct rcmd *cmd, const struct draft *d, size_t i)
{
	const struct bq_add *job = &d->jobs[i];
	const struct bq_queue *q = d->queues[d->queue_of[i]];

	rcmd_argi(cmd, (int64_t)d->queue_of[i] + 1);
	rcmd_argz(cmd, bq_add_kind(job));
	rcmd_arg(cmd, q->keys[BQ_KEY_BASE]);
	rcmd_arg(cmd, d->ids[i]);
	rcmd_arg(cmd, job->opts.org.p ? job->opts.org : STR("default"));
	rcmd_argi(cmd, job->max_waiting);
	rcmd_arg(cmd, job->parent.id.p ? job->parent.queue_key : STR(""));
	rcmd_arg(cmd, job->parent.id.p ? job->parent.id : STR(""));
	bq_arg_outbox_adds(cmd, q);
	bq_add_encode_in_flow(cmd, q, job, d->ids[i]);
}

static int put_flow(struct rcmd *cmd, const struct draft *d, const struct bq_flow *flow, struct arena *a, struct err *err)
{
	struct bq_script_call call = {.queue = d->queues[0]};
	struct str *more = arena_array(a, d->n_queues * BQ_SCRIPT_KEYS_MAX + 1, sizeof(*more));

	if (!more)
		return err_set(err, ERR_NOMEM, "no memory for a flow");
	call.more = more;
	call.n_more = more_keys(d, flow, more);
	bq_script_begin(cmd, BQ_SCRIPT_ADD_FLOW, &call, ARGS_AHEAD + flow->n * ARGS_PER_JOB);
	rcmd_arg(cmd, flow->idem_key.p ? flow->idem_fingerprint : STR(""));
	rcmd_argi(cmd, flow->idem_ttl_ms);
	rcmd_argi(cmd, clock_wall_ms());
	for (size_t i = 0; i < flow->n; i++)
		put_job(cmd, d, i);
	return 0;
}

static int read_added(const redisReply *r, size_t n, struct arena *a, struct bq_flow_added *out, struct err *err)
{
	int rc = rreply_error(r, err);

	if (rc == 0)
		rc = bq_add_read(rreply_at(r, 0), a, &out->root, err);
	if (rc < 0)
		return rc;
	out->ids = arena_array(a, n, sizeof(*out->ids));
	for (size_t i = 0; out->ids && i < n; i++) {
		struct str id = rreply_str(rreply_at(rreply_at(r, 1), i));

		if (!id.p)
			return err_set(err, ERR_PROTOCOL, "the script named %zu jobs of %zu", i, n);
		out->ids[i] = arena_dup(a, id);
		if (!out->ids[i].p)
			return err_set(err, ERR_NOMEM, "no memory for a job id");
	}
	return out->ids ? 0 : err_set(err, ERR_NOMEM, "no memory for job ids");
}

static int draft_flow(struct draft *d, const struct bq_flow *flow, struct arena *a, struct err *err)
{
	int rc = 0;

	bug_on(flow->n == 0 || flow->n > BQ_FLOW_MAX);
	*d = (struct draft){
		.jobs = arena_array(a, flow->n, sizeof(*d->jobs)),
		.ids = arena_array(a, flow->n, sizeof(*d->ids)),
		.queue_of = arena_array(a, flow->n, sizeof(*d->queue_of)),
		.queues = arena_array(a, flow->n, sizeof(const struct bq_queue *)),
	};
	if (!d->jobs || !d->ids || !d->queue_of || !d->queues)
		return err_set(err, ERR_NOMEM, "no memory for a flow");
	for (size_t i = 0; i < flow->n && rc == 0; i++)
		rc = draft_job(d, flow, i, a, err);
	return rc;
}

int bq_add_flow(struct bq *bq, const struct bq_flow *flow, struct arena *a, struct bq_flow_added *out, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	struct draft d;
	int rc = draft_flow(&d, flow, a, err);

	if (rc == 0)
		rc = put_flow(&cmd, &d, flow, a, err);
	if (rc == 0)
		rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	rc = read_added(replies.items[0], flow->n, a, out, err);
	rreplies_release(&replies);
	return rc;
}
