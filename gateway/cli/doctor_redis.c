#include <stdio.h>
#include <stdlib.h>

#include "gateway/cli/doctor.h"
#include "gateway/settings.h"
#include "lib/base/clock.h"
#include "lib/redis/rchild.h"
#include "lib/redis/rconn.h"

#define DEADLINE_MS 3000
#define MEMORY_SHORT_PERCENT 90
#define CLOCK_APART_MS 1000
#define SLOW_MS 20

/* ---- what a 201 means under Redis' settings ----------------------------------------------------------------------------------- */

static void say_durability(struct doctor *d, const struct redis_facts *f, struct str fsync)
{
	if (!f->append_only)
		doctor_say(d, DOCTOR_WARN, "set appendonly yes, or accept that a 201 is a promise for as long as Redis runs",
			   "no append-only file: an accepted job survives the gateway's end, not Redis'");
	else if (fsync.p && str_is(fsync, "always"))
		doctor_say(d, DOCTOR_OK, NULL, "appendfsync always: an accepted job survives the end of the gateway, of Redis and of the machine");
	else if (fsync.p && str_is(fsync, "everysec"))
		doctor_say(d, DOCTOR_WARN, "set appendfsync always where no accepted job may be lost",
			   "appendfsync everysec: an accepted job survives the gateway's and Redis' end; a power cut or a full disk may take the "
			   "last two seconds");
	else if (fsync.p)
		doctor_say(d, DOCTOR_WARN, "set appendfsync to always or everysec",
			   "appendfsync %.*s: a power cut takes what the system has not yet written, often half a minute", STR_ARG(fsync));
	else
		doctor_say(d, DOCTOR_WARN, "ask its operator for appendfsync: always keeps every accepted job, everysec may lose two seconds",
			   "an append-only file is kept, but CONFIG is not allowed here, so how often it reaches the disk is unknown");
}

static void say_memory(struct doctor *d, const struct redis_facts *f)
{
	if (f->max_bytes == 0)
		doctor_say(d, DOCTOR_WARN, "set maxmemory below the machine's memory, so that jobs are refused before Redis is killed",
			   "%lld MiB used, without a limit", (long long)(f->used_bytes >> 20));
	else if (f->used_bytes >= f->max_bytes / 100 * MEMORY_SHORT_PERCENT)
		doctor_say(d, DOCTOR_FAIL, "raise maxmemory, or remove finished jobs sooner (removeOnComplete, removeOnFail)",
			   "%lld of %lld MiB used: new jobs are refused above %d %%", (long long)(f->used_bytes >> 20),
			   (long long)(f->max_bytes >> 20), MEMORY_SHORT_PERCENT);
	else
		doctor_say(d, DOCTOR_OK, NULL, "%lld of %lld MiB used", (long long)(f->used_bytes >> 20), (long long)(f->max_bytes >> 20));
}

/* TIME's seconds and microseconds against our clock: delays and locks are counted by the clients' clocks. */
static void say_clock(struct doctor *d, const redisReply *time)
{
	int64_t s, us;
	if (!rreply_int(rreply_at(time, 0), &s) || !rreply_int(rreply_at(time, 1), &us))
		return;
	int64_t apart = llabs(s * 1000 + us / 1000 - clock_wall_ms());
	if (apart > CLOCK_APART_MS)
		doctor_say(d, DOCTOR_WARN, "synchronize both machines' clocks (chrony, systemd-timesyncd)",
			   "Redis' clock and this machine's are %lld ms apart", (long long)apart);
}

/* The replies: INFO's four, CONFIG GET appendfsync, TIME. */
static void say_facts(struct doctor *d, const struct rreplies *r)
{
	struct redis_facts facts;
	struct err err = {0};
	if (redis_facts_read(&facts, r, 0, &err) < 0) {
		doctor_say(d, DOCTOR_FAIL, "allow this user INFO (ACL: +info)", "Redis does not tell about itself: %s", err.text);
		return;
	}
	if (redis_facts_check(&facts, &err) < 0)
		doctor_say(d, DOCTOR_FAIL, "the gateway is not ready before that is changed", "%s", err.text);
	else
		doctor_say(d, DOCTOR_OK, NULL, "Redis %s, %s", facts.version_text, facts.policy);
	say_durability(d, &facts, rreply_str(rreply_at(r->items[REDIS_FACTS_COMMANDS], 1)));
	say_memory(d, &facts);
	say_clock(d, r->items[REDIS_FACTS_COMMANDS + 1]);
}

static int ask(struct rconn *c, struct rreplies *replies, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	redis_facts_ask(&cmd);
	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "CONFIG");
	rcmd_argz(&cmd, "GET");
	rcmd_argz(&cmd, "appendfsync");
	rcmd_begin(&cmd, 1);
	rcmd_argz(&cmd, "TIME");
	int rc = rconn_command(c, &cmd, clock_mono_ms() + DEADLINE_MS, replies, err);
	rcmd_release(&cmd);
	return rc;
}

static int look_through(struct doctor *d, struct rconn *c, const char *where, struct err *err)
{
	struct rreplies replies;
	int64_t since = clock_mono_ms();
	int rc = ask(c, &replies, err);
	if (rc < 0)
		return rc;
	int64_t took = clock_mono_ms() - since;
	doctor_say(d, took > SLOW_MS ? DOCTOR_WARN : DOCTOR_OK, took > SLOW_MS ? "put the gateway nearer to Redis" : NULL,
		   "%.100s answers within %lld ms", where, (long long)took);
	say_facts(d, &replies);
	rreplies_release(&replies);
	return 0;
}

static void look_at(struct doctor *d, const struct raddr *addr)
{
	char where[RADDR_SHOW_SIZE];
	struct err err = {0};
	raddr_show(addr, where);
	struct rconn *c = rconn_new(addr, "sluice-doctor", &err);
	int rc = c ? rconn_open(c, clock_mono_ms() + DEADLINE_MS, &err) : ERR_NOMEM;
	if (rc == 0)
		rc = look_through(d, c, where, &err);
	if (rc < 0)
		doctor_say(d, DOCTOR_FAIL, "start Redis there, or correct REDIS_URL", "%.100s: %s", where, err.text);
	rconn_free(c);
}

/* ---- the embedded one --------------------------------------------------------------------------------------------------------------- */

/* A socket without a server behind it is left by a killed gateway. */
static void look_at_embedded(struct doctor *d)
{
	struct raddr addr = {0};
	struct err err = {0};
	int rc = rchild_find_addr(d->cfg->data_dir, &addr, &err);
	snprintf(addr.password, sizeof(addr.password), "%s", d->cfg->redis_password);
	struct rconn *c = rc == 0 ? rconn_new(&addr, "sluice-doctor", &err) : NULL;
	if (!doctor_in_path("redis-server"))
		doctor_say(d, DOCTOR_FAIL, "apt-get install redis-server, or set REDIS_URL", "REDIS_URL is unset and there is no redis-server program");
	else if (!c || rconn_open(c, clock_mono_ms() + DEADLINE_MS, &err) < 0 || look_through(d, c, "the embedded Redis", &err) < 0)
		doctor_say(d, DOCTOR_OK, NULL, "embedded; it starts with the gateway (appendfsync always, noeviction)");
	rconn_free(c);
}

void doctor_redis(struct doctor *d)
{
	struct raddr addr;
	struct rsentinel *asker = NULL;
	struct err err = {0};
	if (settings_redis_embedded(d->cfg))
		look_at_embedded(d);
	else if (settings_redis_reach(d->cfg, NULL, &addr, &asker, &err) < 0)
		doctor_say(d, DOCTOR_FAIL, "correct the setting", "%s", err.text);
	else if (asker && rmaster_await(addr.master, clock_mono_ms() + DEADLINE_MS, &err) < 0)
		doctor_say(d, DOCTOR_FAIL, "start the sentinels, or correct REDIS_SENTINELS and REDIS_SENTINEL_MASTER", "%s", err.text);
	else
		look_at(d, &addr);
	rsentinel_stop(asker);
}
