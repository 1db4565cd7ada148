/* What is said to connections that leave without having had a thread. */
#include "gateway/http/server_state.h"
#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/log/log.h"

#define LOG_AGAIN_MS 10000

static const struct departure {
	const char *reason; /* of sluice_http_rejected_total */
	bool logged;        /* not what one client does alone */
	enum problem problem;
	const char *detail; /* NULL: nothing is said */
} departures[] = {
	[LOBBY_SLOW] = {"slow", false, PROBLEM_TIMEOUT, "The request did not arrive in time."},
	[LOBBY_NO_THREAD] = {"crowded", true, PROBLEM_OVERLOADED, "All threads were busy for too long."},
	[LOBBY_GAVE_WAY] = {"gave_way", true, PROBLEM_OVERLOADED, "More connections came than can wait, and this one had waited longest for its request."},
	[LOBBY_NO_DESCRIPTORS] = {"descriptors", true, PROBLEM_OVERLOADED, NULL},
};

static void log_crowd(struct server *s, const struct departure *d)
{
	int64_t now = clock_mono_ms();
	if (s->crowd_logged_ms && now - s->crowd_logged_ms < LOG_AGAIN_MS)
		return;
	s->crowd_logged_ms = now;
	LOG(s->deps.log, LOG_WARN, "http_crowded", log_strz("reason", d->reason), log_int("waiting", lobby_count(s->lobby)),
	    log_int("threads", atomic_load(&s->connections)));
}

struct str farewell(void *server, enum lobby_event event)
{
	struct server *s = server;
	const struct departure *d = &departures[event];
	struct worker w = {.server = s, .fd = -1};
	struct exchange x = {.worker = &w};
	struct request r = {.deps = &s->deps, .x_ = &x};
	struct response res = {.file_fd = -1};
	middleware_rejected(s, d->reason);
	if (d->logged)
		log_crowd(s, d);
	buf_clear(&s->farewell);
	if (!d->detail)
		return STR("");
	id_uuid7(r.id);
	response_problem(&r, &res, d->problem, "%s", d->detail);
	response_prepare(&r, &res);
	buf_adds(&s->farewell, buf_str(&w.head));
	buf_adds(&s->farewell, buf_str(&res.body));
	bool failed = w.head.failed || res.body.failed || s->farewell.failed;
	buf_release(&w.head);
	buf_release(&res.headers);
	buf_release(&res.body);
	return failed ? STR("") : buf_str(&s->farewell);
}
