/* Who has asked this process for jobs over HTTP lately. Any thread. */
#ifndef SLUICE_GATEWAY_REALTIME_LESSEES_H
#define SLUICE_GATEWAY_REALTIME_LESSEES_H

#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

#define LESSEES_MEMORY_MS 90000 /* a worker that waits asks anew every 30 s */
#define LESSEES_MAX 10000

struct lessees;

struct lessees *lessees_new(void); /* NULL: no memory */
void lessees_free(struct lessees *l);

/* The worker has asked, and been given so many jobs. Beyond LESSEES_MAX the newest are not remembered. */
void lessees_note(struct lessees *l, struct str queue, struct str worker_id, struct str org, struct str sub, size_t taken);

struct lessee {
	struct str queue, worker_id, org, sub;
	int64_t first_ms, last_ms; /* wall time of its asking */
	int64_t taken;             /* jobs in that time */
};
/* Those of one queue, in the arena. */
int lessees_list(struct lessees *l, struct str queue, struct arena *a, struct lessee **out, size_t *n, struct err *err) MUST_CHECK;
/* How many there are. */
size_t lessees_count(struct lessees *l, struct str queue);

#endif
