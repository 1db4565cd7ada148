#include "lib/redis/rsentinel.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/log/log.h"
#include "lib/redis/rconn.h"
#include "lib/redis/rmaster.h"

#define ASK_EVERY_MS 1000
#define ASK_SELDOM_MS 50 /* between two rounds, however many want to know */
#define ANSWER_MS 1000   /* connecting to one sentinel, and its answer */
#define LOG_AGAIN_MS 10000

struct rsentinel {
	/* set before start */
	struct rsentinel_options o;
	struct rconn *conns[RSENTINEL_MAX];
	struct rmaster *master;
	struct thread thread;
	/* its own thread */
	size_t at;         /* who was asked last */
	int64_t logged_at; /* last "nobody answers" line */
	/* any thread */
	_Atomic bool stopping;
};

static int read_place(struct rsentinel *s, const struct raddr *from, const redisReply *r, struct err *err)
{
	struct str host = rreply_str(rreply_at(r, 0));
	char text[RMASTER_HOST_SIZE], where[RADDR_SHOW_SIZE];
	int64_t port;
	int rc = rreply_error(r, err);
	if (rc < 0)
		return rc;
	if (rreply_is_nil(r))
		return err_set(err, ERR_NOT_FOUND, "it knows no master called %s", s->o.name);
	if (!host.n || host.n >= sizeof(text) || !rreply_int(rreply_at(r, 1), &port) || port < 1 || port > 65535)
		return err_set(err, ERR_PROTOCOL, "its answer is no host and port");
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (!rmaster_tell(s->master, text, (int)port))
		return 0;
	raddr_show(from, where);
	LOG(s->o.log, LOG_INFO, "redis_master", log_strz("name", s->o.name), log_strz("host", text), log_int("port", port),
	    log_strz("sentinel", where));
	return 0;
}

static int ask(struct rsentinel *s, size_t i, struct err *err)
{
	int64_t deadline = clock_mono_ms() + ANSWER_MS;
	struct rconn *c = s->conns[i];
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc = rconn_is_open(c) ? 0 : rconn_open(c, deadline, err);
	if (rc < 0)
		return rc;
	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "SENTINEL");
	rcmd_argz(&cmd, "GET-MASTER-ADDR-BY-NAME");
	rcmd_argz(&cmd, s->o.name);
	rc = rconn_command(c, &cmd, deadline, &replies, err);
	rcmd_release(&cmd);
	if (rc < 0)
		return rc;
	rc = read_place(s, &s->o.sentinels[i], replies.items[0], err);
	rreplies_release(&replies);
	return rc;
}

static void tell_trouble(struct rsentinel *s, const struct err *why)
{
	int64_t now = clock_mono_ms();
	rmaster_tell_trouble(s->master, why);
	if (s->logged_at && now - s->logged_at < LOG_AGAIN_MS)
		return;
	s->logged_at = now;
	LOG(s->o.log, LOG_WARN, "redis_sentinels_silent", log_strz("name", s->o.name), log_err(why));
}

/* Asks one after the other until one knows. */
static void ask_around(struct rsentinel *s)
{
	struct err why = {0}, sum = {0};
	char where[RADDR_SHOW_SIZE];
	for (size_t i = 0; i < s->o.n && !atomic_load(&s->stopping); i++) {
		if (ask(s, s->at, &why) == 0) {
			s->logged_at = 0;
			return;
		}
		raddr_show(&s->o.sentinels[s->at], where);
		err_set(&sum, ERR_UNAVAILABLE, "no sentinel tells where the master %.60s is; the one at %.80s: %.80s", s->o.name, where, why.text);
		s->at = (s->at + 1) % s->o.n;
	}
	if (!atomic_load(&s->stopping))
		tell_trouble(s, &sum);
}

static void ask_main(void *arg)
{
	struct rsentinel *s = arg;
	while (!atomic_load(&s->stopping)) {
		int64_t began = clock_mono_ms();
		ask_around(s);
		if (rmaster_await_doubt(s->master, began + ASK_EVERY_MS))
			s->at = (s->at + 1) % s->o.n;
		int64_t early = began + ASK_SELDOM_MS - clock_mono_ms();
		if (early > 0)
			clock_sleep_ms(early);
	}
}

static int prepare(struct rsentinel *s, struct err *err)
{
	s->master = rmaster_new(s->o.name);
	if (!s->master)
		return err_set(err, ERR_NOMEM, "Redis sentinels: %s", err_sentence(ERR_NOMEM));
	for (size_t i = 0; i < s->o.n; i++)
		if (!(s->conns[i] = rconn_new(&s->o.sentinels[i], "sluice", err)))
			return ERR_INVALID;
	return 0;
}

struct rsentinel *rsentinel_start(const struct rsentinel_options *o, struct err *err)
{
	struct rsentinel *s = calloc(1, sizeof(*s));
	if (!s) {
		err_set(err, ERR_NOMEM, "Redis sentinels: %s", err_sentence(ERR_NOMEM));
		return NULL;
	}
	s->o = *o;
	int rc = prepare(s, err);
	if (rc == 0 && thread_start(&s->thread, "redis-sentinel", ask_main, s) < 0)
		rc = err_set(err, ERR_NOMEM, "Redis sentinels: no thread could be started");
	if (rc == 0)
		return s;
	rsentinel_stop(s);
	return NULL;
}

void rsentinel_stop(struct rsentinel *s)
{
	if (!s)
		return;
	atomic_store(&s->stopping, true);
	if (s->thread.running) {
		rmaster_wake(s->master);
		for (size_t i = 0; i < s->o.n; i++)
			rconn_wake(s->conns[i]);
		thread_join(&s->thread);
	}
	for (size_t i = 0; i < s->o.n; i++)
		rconn_free(s->conns[i]);
	rmaster_free(s->master);
	OPENSSL_cleanse(&s->o, sizeof(s->o));
	free(s);
}

struct rmaster *rsentinel_master(struct rsentinel *s)
{
	return s->master;
}
