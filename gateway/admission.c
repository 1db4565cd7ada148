#include "gateway/admission.h"

#include <stdlib.h>

#include "gateway/data_loss.h"
#include "gateway/redis_facts.h"
#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"

#define POLL_MS 1000
#define ASK_TIMEOUT_MS 2000
#define FULL_PERCENT 90
#define DISK_FAILS "Redis cannot write its append-only file, and takes no jobs until it can: its disk may be full"

struct admission {
	/* Set before start. */
	struct rmux *mux;
	struct metrics *metrics;
	struct log *log;
	struct thread thread;

	/* Owned by the poller. */
	struct data_loss *loss;

	/* Protected by mu. */
	struct lock *mu;
	struct cond wake;
	bool stopping;
	bool known; /* facts were read at least once */
	struct redis_facts facts;
	int settings;          /* redis_facts_check's answer */
	struct err settings_why;
	struct err lost;       /* the last loss of data; code 0: none */
	struct lock lock_;
};

struct admission *admission_new(struct rmux *mux, const struct declarations *queues, struct metrics *metrics, struct log *log, struct err *err)
{
	struct admission *a = calloc(1, sizeof(*a));
	if (!a || !(a->loss = data_loss_new(queues))) {
		free(a);
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	a->mux = mux;
	a->metrics = metrics;
	a->log = log;
	a->mu = &a->lock_; /* so that readers, who get a const struct, can take it */
	lock_init(a->mu);
	cond_init(&a->wake);
	return a;
}

void admission_free(struct admission *a)
{
	if (!a)
		return;
	cond_release(&a->wake);
	lock_release(a->mu);
	data_loss_free(a->loss);
	free(a);
}

static void show(struct admission *a, const struct redis_facts *f)
{
	metrics_set(a->metrics, M_REDIS_MEMORY_BYTES, (double)f->used_bytes, (struct str[]){STR("used")});
	metrics_set(a->metrics, M_REDIS_MEMORY_BYTES, (double)f->max_bytes, (struct str[]){STR("max")});
	metrics_set(a->metrics, M_REDIS_EVICTION_POLICY_OK, strcmp(f->policy, "noeviction") == 0, NULL);
}

static void keep(struct admission *a, const struct redis_facts *f)
{
	struct err why = {0};
	int settings = redis_facts_check(f, &why);
	lock_take(a->mu);
	bool news = settings != a->settings, disk_news = f->disk_fails != a->facts.disk_fails;
	a->known = true;
	a->facts = *f;
	a->settings = settings;
	a->settings_why = why;
	lock_give(a->mu);
	if (news && settings < 0)
		LOG(a->log, LOG_ERROR, "redis_settings_refused", log_err(&why));
	else if (news)
		LOG(a->log, LOG_INFO, "redis_settings_accepted");
	if (disk_news && f->disk_fails)
		LOG(a->log, LOG_ERROR, "redis_disk_fails", log_strz("error", DISK_FAILS));
	else if (disk_news)
		LOG(a->log, LOG_INFO, "redis_disk_works");
}

static void look_for_loss(struct admission *a, const struct redis_facts *f, const struct rreplies *replies)
{
	struct err what = {0};
	if (!data_loss_read(a->loss, f->run_id, replies, REDIS_FACTS_COMMANDS, &what))
		return;
	LOG(a->log, LOG_ERROR, "redis_data_lost", log_err(&what));
	metrics_add(a->metrics, M_REDIS_DATA_LOST, 1, NULL);
	lock_take(a->mu);
	a->lost = what;
	lock_give(a->mu);
}

/* A failure needs no word here: the multiplexer tells of a lost Redis, and the last facts stay. */
static void poll_once(struct admission *a)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	struct redis_facts facts;
	struct err err = {0};
	redis_facts_ask(&cmd);
	data_loss_ask(a->loss, &cmd);
	int64_t began_us = clock_mono_us();
	if (rmux_call(a->mux, &cmd, clock_mono_ms() + ASK_TIMEOUT_MS, &replies, &err) == 0) {
		metrics_observe(a->metrics, M_REDIS_ROUND_TRIP_SECONDS, (double)(clock_mono_us() - began_us) / 1e6, NULL);
		if (redis_facts_read(&facts, &replies, 0, &err) == 0) {
			show(a, &facts);
			keep(a, &facts);
			look_for_loss(a, &facts, &replies);
		} else {
			LOG(a->log, LOG_DEBUG, "redis_facts_unread", log_err(&err));
		}
		rreplies_release(&replies);
	}
	rcmd_release(&cmd);
}

static void poller(void *arg)
{
	struct admission *a = arg;
	lock_take(a->mu);
	while (!a->stopping) {
		lock_give(a->mu);
		poll_once(a);
		int64_t next = clock_mono_ms() + POLL_MS;
		lock_take(a->mu);
		while (!a->stopping && cond_wait_until(&a->wake, a->mu, next))
			continue;
	}
	lock_give(a->mu);
}

int admission_start(struct admission *a, struct err *err)
{
	int rc = thread_start(&a->thread, "admission", poller, a);
	return rc < 0 ? err_set(err, rc, "a thread cannot be started") : 0;
}

void admission_stop(struct admission *a)
{
	lock_take(a->mu);
	a->stopping = true;
	cond_signal(&a->wake);
	lock_give(a->mu);
	thread_join(&a->thread);
}

int admission_facts(const struct admission *a, struct redis_facts *out)
{
	lock_take(a->mu);
	int rc = a->known ? 0 : ERR_NOT_FOUND;
	if (rc == 0)
		*out = a->facts;
	lock_give(a->mu);
	return rc;
}

int admission_check(const struct admission *a, struct err *err)
{
	lock_take(a->mu);
	int64_t used = a->facts.used_bytes, max = a->facts.max_bytes;
	lock_give(a->mu);
	if (max <= 0 || used < max / 100 * FULL_PERCENT)
		return 0;
	return err_set(err, ERR_FULL, "Redis uses %lld of %lld MiB of memory; jobs are taken again below %d %%", (long long)(used >> 20),
		       (long long)(max >> 20), FULL_PERCENT);
}

int admission_settings(const struct admission *a, struct err *err)
{
	lock_take(a->mu);
	int rc = a->settings;
	struct err why = a->settings_why;
	lock_give(a->mu);
	return rc < 0 ? err_set(err, rc, "%s", why.text) : 0;
}

int admission_disk(const struct admission *a, struct err *err)
{
	struct redis_facts facts;
	if (admission_facts(a, &facts) == 0 && facts.disk_fails)
		err_set(err, ERR_IO, "%s", DISK_FAILS);
	return 0;
}

int admission_data(const struct admission *a, struct err *err)
{
	lock_take(a->mu);
	struct err lost = a->lost;
	lock_give(a->mu);
	if (lost.code < 0)
		err_set(err, lost.code, "%s", lost.text);
	return 0;
}
