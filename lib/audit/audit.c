#include "lib/audit/audit.h"

#include <stdlib.h>

#include "lib/audit/private.h"

struct audit *audit_new(const struct audit_options *o, struct err *err)
{
	struct audit *a = calloc(1, sizeof(*a));

	if (!a) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	a->o = *o;
	a->gathering = &a->batches[0];
	a->leaving = &a->batches[1];
	id_uuid7(a->source);
	lock_init(&a->mu);
	cond_init(&a->wake);
	cond_init(&a->due);
	arena_init(&a->arena, 0);
	for (size_t i = 0; i < ARRAY_LEN(a->batches); i++)
		arena_init(&a->batches[i].arena, 0);
	buf_adds(&a->key, o->prefix);
	buf_addz(&a->key, ":sluice:audit");
	a->link = a->key.failed ? NULL : pglink_new(o->pg, err);
	if (a->link)
		return a;
	if (a->key.failed)
		err_set(err, ERR_NOMEM, "out of memory");
	audit_free(a);
	return NULL;
}

int audit_start(struct audit *a, struct err *err)
{
	int rc = thread_start(&a->thread, "audit", audit_writer_main, a);

	if (rc == 0 && (rc = thread_start(&a->sender, "audit-send", audit_sender_main, a)) < 0)
		audit_stop(a);
	return rc < 0 ? err_set(err, rc, "a thread cannot be started") : 0;
}

void audit_stop(struct audit *a)
{
	lock_take(&a->mu);
	a->stopping = true;
	cond_broadcast(&a->wake);
	cond_broadcast(&a->due);
	lock_give(&a->mu);
	thread_join(&a->sender);
	thread_join(&a->thread);
	pglink_free(a->link);
	a->link = NULL;
}

void audit_free(struct audit *a)
{
	if (!a)
		return;
	pglink_free(a->link);
	for (size_t i = 0; i < ARRAY_LEN(a->batches); i++)
		audit_batch_release(&a->batches[i]);
	arena_release(&a->arena);
	buf_release(&a->key);
	cond_release(&a->wake);
	cond_release(&a->due);
	lock_release(&a->mu);
	free(a);
}
