/* Flows: trees of jobs in which a parent runs when its children have ended, as BullMQ's FlowProducer makes them.
 *
 *     n = bq_children(bq, &queue, id, 8, arena, &children, deadline, &err);      what became of a parent's children
 *
 * Failures of the connection are rmux.h's. Any thread. */
#ifndef SLUICE_BULLMQ_FLOW_H
#define SLUICE_BULLMQ_FLOW_H

#include "lib/bullmq/bq.h"

/* ---- what became of the children ---- */
#define BQ_CHILDREN_MAX 256
#define BQ_CHILD_OF_JOB SIZE_MAX

struct bq_child {
	struct str queue, id;     /* the queue's bare name */
	struct str value;         /* the return value, JSON text; .p NULL: it failed */
	struct str failed_reason; /* .p NULL: it completed; "" when the child is gone and nobody noted the reason */
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
