/* sluice doctor --queues: every queue and job in Redis, looked through for what cannot be right. */
#include <stdio.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/doctor.h"
#include "gateway/cli/printable.h"
#include "gateway/settings.h"
#include "lib/base/clock.h"
#include "lib/bullmq/checkup.h"
#include "lib/json/jwrite.h"
#include "lib/redis/rchild.h"
#include "lib/redis/rmux.h"

#define CONNECT_MS 5000
#define SHOWN_MAX 20 /* of each kind, as text */

struct report {
	bool json, mend;
	struct buf out;
	struct jwrite w;
	int64_t n[BQ_FAULT_COUNT];
};

static void tell(void *arg, const struct bq_faulty *found)
{
	struct report *r = arg;
	int64_t n = ++r->n[found->fault];

	if (r->json) {
		jw_open(&r->w, '{');
		jw_kstr(&r->w, "queue", found->queue);
		jw_kstr(&r->w, "id", found->id.n ? found->id : STR_NONE);
		jw_kstrz(&r->w, "fault", bq_faults[found->fault].word);
		jw_close(&r->w, '}');
	} else if (n <= SHOWN_MAX) {
		buf_addf(&r->out, "%-19s  ", bq_faults[found->fault].word);
		printable_add(&r->out, found->queue);
		buf_addz(&r->out, found->id.n ? "/" : "");
		printable_add(&r->out, found->id);
		buf_addz(&r->out, n == SHOWN_MAX ? " …\n" : "\n");
	}
}

struct totals {
	int64_t all, mendable, left; /* left: as they were */
};

static struct totals total(const struct report *r)
{
	struct totals t = {0};

	for (unsigned i = 0; i < BQ_FAULT_COUNT; i++) {
		t.all += r->n[i];
		t.mendable += bq_faults[i].mends ? r->n[i] : 0;
	}
	t.left = r->mend ? t.all - t.mendable : t.all;
	return t;
}

static void sum_up(struct report *r, const struct bq_checkup *c)
{
	if (r->json) {
		jw_close(&r->w, ']');
		jw_kint(&r->w, "queues", c->queues);
		jw_kint(&r->w, "jobs", c->jobs);
		jw_kbool(&r->w, "mended", r->mend);
		jw_close(&r->w, '}');
		buf_addc(&r->out, '\n');
		return;
	}
	struct totals t = total(r);
	for (unsigned i = 0; i < BQ_FAULT_COUNT; i++) {
		const char *mends = r->mend ? bq_faults[i].mends : NULL;
		if (r->n[i])
			buf_addf(&r->out, "%lld %s: %s%s%s\n", (long long)r->n[i], bq_faults[i].word, bq_faults[i].means, mends ? "; now " : "",
				 mends ? mends : "");
	}
	buf_addf(&r->out, "%lld jobs in %lld queues; %lld fault%s%s\n", (long long)c->jobs, (long long)c->queues, (long long)t.all,
		 t.all == 1 ? "" : "s", t.mendable && !r->mend ? ": sluice doctor --queues --fix mends them, and throws no job away" : "");
}

static int look_through(const struct config *cfg, struct rmux *mux, struct report *r, struct err *err)
{
	struct bq *bq = bq_new(mux, err);
	struct bq_checkup c = {.prefix = str_from(cfg->bullmq_prefix), .mend = r->mend, .tell = tell, .arg = r};

	if (!bq)
		return ERR_NOMEM;
	int rc = rmux_start(mux, err);
	if (rc == 0) {
		rc = rmux_wait_up(mux, clock_mono_ms() + CONNECT_MS);
		rc = rc < 0 ? err_set(err, ERR_UNAVAILABLE, "Redis does not answer") : bq_check_up(bq, &c, err);
		rmux_stop(mux, clock_mono_ms() + CONNECT_MS);
	}
	if (rc == 0)
		sum_up(r, &c);
	bq_free(bq);
	return rc;
}

/* The embedded Redis is there while the gateway runs. */
static int address(const struct config *cfg, struct raddr *addr, struct rsentinel **asker, struct err *err)
{
	*asker = NULL;
	if (!settings_redis_embedded(cfg))
		return settings_redis_reach(cfg, NULL, addr, asker, err);
	int rc = rchild_find_addr(cfg->data_dir, addr, err);
	if (rc == 0)
		snprintf(addr->password, sizeof(addr->password), "%s", cfg->redis_password);
	return rc;
}

/* Ids are strangers' choice. */
static enum cli_exit print(struct report *r)
{
	struct buf shown = BUF_INIT;

	if (!r->json)
		return cli_print(&r->out);
	printable_add_json(&shown, buf_str(&r->out));
	shown.failed |= r->out.failed;
	buf_release(&r->out);
	return cli_print(&shown);
}

enum cli_exit doctor_look_through_queues(const struct config *cfg, bool mend, bool json)
{
	struct rmux_options o = {.client_name = "sluice-doctor"};
	struct report r = {.json = json, .mend = mend};
	struct err err = {0};
	struct rsentinel *asker;
	int rc = address(cfg, &o.addr, &asker, &err);

	r.w = jwrite_into(&r.out);
	if (json) {
		jw_open(&r.w, '{');
		jw_key(&r.w, "faults");
		jw_open(&r.w, '[');
	}
	struct rmux *mux = rc == 0 ? rmux_new(&o, &err) : NULL;
	rc = mux ? look_through(cfg, mux, &r, &err) : ERR_UNAVAILABLE;
	rmux_free(mux);
	rsentinel_stop(asker);
	if (rc < 0) {
		buf_release(&r.out);
		return cli_fail("%s", err.text);
	}
	enum cli_exit exit = print(&r);
	return exit == CLI_OK && total(&r).left > 0 ? CLI_FAILED : exit;
}
