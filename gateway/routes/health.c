#include "gateway/routes/health.h"

#include "lib/base/panic.h"

static void add(struct health *h, struct health_check check)
{
	bug_on(h->count == HEALTH_MAX_CHECKS);
	h->checks[h->count++] = check;
}

void health_add(struct health *h, const char *name, health_fn *fn, void *arg)
{
	add(h, (struct health_check){name, fn, arg, true});
}

void health_add_note(struct health *h, const char *name, health_fn *fn, void *arg)
{
	add(h, (struct health_check){name, fn, arg, false});
}
