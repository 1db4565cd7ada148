#include "gateway/sweeper.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/docstore/docstore.h"
#include "lib/log/log.h"

#define STEP_DOCUMENTS 500
#define PAUSE_BETWEEN_STEPS_MS 100
#define PAUSE_BETWEEN_SWEEPS_MS 60000

struct sweeper {
	/* Set before start. */
	struct docstore *documents;
	struct log *log;
	struct thread thread;

	/* Protected by mu. */
	struct lock mu;
	struct cond wake;
	bool stopping;
};

/* False: it is time to stop. */
static bool pause_ms(struct sweeper *s, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms;
	lock_take(&s->mu);
	while (!s->stopping && cond_wait_until(&s->wake, &s->mu, until))
		continue;
	bool go_on = !s->stopping;
	lock_give(&s->mu);
	return go_on;
}

static void sweep(void *arg)
{
	struct sweeper *s = arg;
	int64_t removed;
	do {
		removed = docstore_sweep(s->documents, STEP_DOCUMENTS);
		if (removed > 0)
			LOG(s->log, LOG_INFO, "documents_expired", log_int("documents", removed));
	} while (pause_ms(s, removed >= STEP_DOCUMENTS ? PAUSE_BETWEEN_STEPS_MS : PAUSE_BETWEEN_SWEEPS_MS));
}

struct sweeper *sweeper_start(struct docstore *documents, struct log *log, struct err *err)
{
	struct sweeper *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	s->documents = documents;
	s->log = log;
	lock_init(&s->mu);
	cond_init(&s->wake);
	if (thread_start(&s->thread, "sweeper", sweep, s) < 0) {
		err_set(err, ERR_NOMEM, "a thread cannot be started");
		sweeper_stop(s);
		return NULL;
	}
	return s;
}

void sweeper_stop(struct sweeper *s)
{
	if (!s)
		return;
	lock_take(&s->mu);
	s->stopping = true;
	cond_signal(&s->wake);
	lock_give(&s->mu);
	thread_join(&s->thread);
	cond_release(&s->wake);
	lock_release(&s->mu);
	free(s);
}
