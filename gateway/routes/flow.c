/* The tree of jobs that a job belongs to. */
#include "gateway/routes/handlers.h"
#include "gateway/routes/queues.h"

#define NODES_MAX 256
#define CHILDREN_MAX 100 /* of one job */
#define DEPTH_MAX 8      /* upwards, and downwards */

struct node {
	struct bq_queue *queue;
	struct str id, key;
	size_t parent; /* its place; SIZE_MAX: the root */
	struct bq_job job;
};

struct tree {
	struct request *r;
	const struct services *s;
	struct node *nodes;
	size_t n;
	bool more;
};

static void release_queue(void *arg)
{
	bq_queue_release(arg);
}

/* The keys of a queue, for as long as the request lasts. NULL: nobody's name, or no memory. */
static struct bq_queue *queue_named(struct tree *t, struct str name)
{
	struct bq_queue *q;

	for (size_t i = 0; i < t->n; i++)
		if (str_eq(t->nodes[i].queue->name, name))
			return t->nodes[i].queue;
	q = arena_zalloc(t->r->arena, sizeof(*q));
	if (!q || bq_queue_init(q, str_from(t->s->prefix), name, NULL) < 0)
		return NULL;
	return arena_defer(t->r->arena, release_queue, q) < 0 ? NULL : q;
}

static void add_node(struct tree *t, struct str queue_name, struct str id, size_t parent)
{
	struct bq_queue *queue = queue_named(t, queue_name);
	struct buf key = BUF_INIT;

	if (!queue || t->n == NODES_MAX) {
		t->more = true;
		return;
	}
	bq_job_key(&key, queue, id, "");
	t->nodes[t->n] = (struct node){.queue = queue, .id = id, .key = arena_dup(t->r->arena, buf_str(&key)), .parent = parent};
	t->nodes[t->n].job.state = BQ_STATE_UNKNOWN;
	t->n += t->nodes[t->n].key.p != NULL;
	buf_release(&key);
}

/* From the job upwards to the one that waits for all of them. */
static int find_root(struct tree *t, const struct queue_ref *q, struct str id, struct str *queue_name, struct str *root, struct err *err)
{
	struct bq_job job;
	int rc = bq_status(t->s->bq, q->queue, id, false, t->r->arena, &job, t->r->deadline_mono_ms, err);

	*queue_name = q->queue->name;
	*root = id;
	for (unsigned up = 0; rc == 0 && up < DEPTH_MAX && job.parent_id.p && job.parent_queue.p; up++) {
		struct bq_queue *queue = queue_named(t, job.parent_queue);
		struct str parent_id = job.parent_id, parent_queue = job.parent_queue;

		if (!queue)
			break;
		rc = bq_status(t->s->bq, queue, parent_id, false, t->r->arena, &job, t->r->deadline_mono_ms, err);
		if (rc == ERR_NOT_FOUND) /* the parent has been removed */
			return 0;
		*queue_name = parent_queue;
		*root = parent_id;
	}
	return rc;
}

static int read_children(struct tree *t, size_t from, size_t to, struct err *err)
{
	struct str *keys = arena_array(t->r->arena, to - from, sizeof(*keys));
	struct bq_child_keys *children = arena_array(t->r->arena, to - from, sizeof(*children));

	if (!keys || !children)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = from; i < to; i++)
		keys[i - from] = t->nodes[i].key;
	int rc = bq_child_keys(t->s->bq, keys, to - from, CHILDREN_MAX, t->r->arena, children, t->r->deadline_mono_ms, err);
	for (size_t i = 0; rc == 0 && i < to - from; i++) {
		t->more = t->more || children[i].more;
		for (size_t c = 0; c < children[i].n; c++) {
			struct str queue, id;

			bq_split_key(children[i].keys[c], &queue, &id);
			add_node(t, queue, id, from + i);
		}
	}
	return rc;
}

/* The jobs of one queue at a time. */
static int read_states(struct tree *t, struct err *err)
{
	struct str *ids = arena_array(t->r->arena, t->n, sizeof(*ids));
	struct bq_job *jobs = arena_array(t->r->arena, t->n, sizeof(*jobs));
	size_t *places = arena_array(t->r->arena, t->n, sizeof(*places));
	bool *seen = arena_array(t->r->arena, t->n, sizeof(*seen));
	int rc = 0;

	if (!ids || !jobs || !places || !seen)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (size_t first = 0; rc == 0 && first < t->n; first++) {
		size_t n = 0;

		for (size_t i = first; i < t->n; i++) {
			if (seen[i] || t->nodes[i].queue != t->nodes[first].queue)
				continue;
			seen[i] = true;
			places[n] = i;
			ids[n++] = t->nodes[i].id;
		}
		rc = bq_status_many(t->s->bq, t->nodes[first].queue, ids, n, t->r->arena, jobs, t->r->deadline_mono_ms, err);
		for (size_t i = 0; rc == 0 && i < n; i++)
			t->nodes[places[i]].job = jobs[i];
	}
	return rc;
}

static int read_tree(struct tree *t, const struct queue_ref *q, struct err *err)
{
	struct str queue_name, root;
	size_t from = 0;
	int rc;

	t->nodes = arena_array(t->r->arena, NODES_MAX, sizeof(*t->nodes));
	if (!t->nodes)
		return err_set(err, ERR_NOMEM, "out of memory");
	rc = find_root(t, q, t->r->params[1], &queue_name, &root, err);
	if (rc == 0)
		add_node(t, queue_name, root, SIZE_MAX);
	for (unsigned level = 0; rc == 0 && from < t->n; level++) {
		size_t to = t->n;

		if (level == DEPTH_MAX) {
			t->more = true;
			break;
		}
		rc = read_children(t, from, to, err);
		from = to;
	}
	return rc < 0 ? rc : read_states(t, err);
}

static void write_node(struct jwrite *w, const struct node *n)
{
	bool known = n->job.state != BQ_STATE_UNKNOWN;

	jw_open(w, '{');
	jw_kstr(w, "queue", n->queue->name);
	jw_kstr(w, "id", n->id);
	jw_kstr(w, "name", known ? n->job.name : STR_NONE);
	jw_kstrz(w, "state", known ? bq_state_word(n->job.state) : NULL);
	jw_kstr(w, "failedReason", known ? n->job.failed_reason : STR_NONE);
	write_time(w, "timestamp", known ? n->job.timestamp : -1);
	write_time(w, "finishedOn", known ? n->job.finished_on : -1);
	write_optional(w, "parent", n->parent == SIZE_MAX ? -1 : (int64_t)n->parent);
	jw_close(w, '}');
}

void jobs_flow(struct request *r, struct response *res)
{
	struct tree t = {.r = r, .s = app_services(r->app)};
	struct queue_ref q;
	struct err err = {0};

	if (queue_ref_or_reply(r, res, r->params[0], &q) < 0)
		return;
	if (read_tree(&t, &q, &err) < 0) {
		response_error(r, res, &err);
	} else {
		struct jwrite w = response_json(res, 200);
		jw_open(&w, '{');
		jw_key(&w, "nodes");
		jw_open(&w, '[');
		for (size_t i = 0; i < t.n; i++)
			write_node(&w, &t.nodes[i]);
		jw_close(&w, ']');
		jw_kbool(&w, "more", t.more);
		jw_close(&w, '}');
	}
}
