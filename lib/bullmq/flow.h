/* Flows: trees of jobs in which a parent runs when its children have ended, as BullMQ's FlowProducer makes them.
 *
 *     bq_add_flow(bq, &flow, arena, &added, deadline, &err);                   the whole tree, or nothing
 *     bq_children(bq, &queue, id, 8, arena, &children, deadline, &err);        what became of a parent's children
 *
 * Failures of the connection are rmux.h's. Any thread. */
#ifndef SLUICE_BULLMQ_FLOW_H
#define SLUICE_BULLMQ_FLOW_H

#include "lib/bullmq/bq.h"

/* ---- adding ---- */
#define BQ_FLOW_MAX 100
#define BQ_FLOW_ROOT SIZE_MAX

struct bq_flow_job {
	const struct bq_queue *queue;
	/* opts.job_id: a UUID is made where none is given. The idempotency members and waits_for_children are not looked at; parent is the
	 * root's only, for a flow that is hung under a job that is there already. */
	struct bq_add add;
	size_t parent; /* the place of the job that waits for this one, always before it; BQ_FLOW_ROOT for the first */
};

struct bq_flow {
	const struct bq_flow_job *jobs; /* the first is the root; FlowProducer's order is level by level */
	size_t n;                       /* 1…BQ_FLOW_MAX */
	struct str idem_key, idem_fingerprint; /* for the whole flow, as in struct bq_add; the key stands in the root's queue */
	int64_t idem_ttl_ms;
};

struct bq_flow_added {
	struct bq_added root;
	struct str *ids; /* of each job, in the flow's order */
};

/* All of them or none, in one script call. With Redis Cluster all queues of a flow must have the same hash tag, as BullMQ asks for.
 * ERR_TAKEN (an id is another org's), ERR_MISMATCH, ERR_FULL (one of the queues is), ERR_NOT_FOUND (the root's parent is missing),
 * ERR_WRONG_STATE (a job is there already and waits for another parent, or an id is given twice), ERR_LIMIT (sizeLimit). */
int bq_add_flow(struct bq *bq, const struct bq_flow *flow, struct arena *a, struct bq_flow_added *out, int64_t deadline, struct err *err)
	MUST_CHECK;

/* ---- what became of the children ---- */
#define BQ_CHILDREN_MAX 256
#define BQ_CHILD_OF_JOB SIZE_MAX

struct bq_child {
	struct str queue, id;     /* the queue's bare name */
	struct str value;         /* the return value, JSON text; .p NULL: it failed */
	struct str failed_reason; /* .p NULL: it completed; "" when the child is gone and nobody noted the reason */
	bool by_child;            /* it failed because a child of its own did, which stands further down; its reason only names that child's key */
	size_t parent;            /* the place in the list of the child that waited for this one; BQ_CHILD_OF_JOB: a direct child */
	struct str key;           /* "P:Q:id" */
};

struct bq_children {
	struct bq_child *items; /* direct children first, then theirs, level by level */
	size_t n;               /* at most BQ_CHILDREN_MAX */
	int64_t pending;        /* direct children that have not ended */
	bool more;              /* there are more than the list has */
};

/* The children that have ended, `depth` levels down (1: direct children only). One round trip for each level that has any, and one more. A
 * job without children, or none, has an empty list. */
int bq_children(struct bq *bq, const struct bq_queue *q, struct str id, unsigned depth, struct arena *a, struct bq_children *out,
		int64_t deadline, struct err *err) MUST_CHECK;

#endif
