#include "gateway/routes/health.h"

#include "lib/base/panic.h"

void health_add(struct health *h, const char *name, health_fn *fn, void *arg)
{
	bug_on(h->count == HEALTH_MAX_CHECKS);
	h->checks[h->count++] = (struct health_check){name, fn, arg};
}
