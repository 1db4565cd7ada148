#include "lib/fetch/session.h"

#include "lib/base/clock.h"
#include "lib/base/panic.h"

#define MAX_IDLE 16           /* sessions kept; more threads than that make theirs anew */
#define MAX_CONNECTIONS 4L    /* kept per session */
#define IDLE_CONNECTION_S 20L /* a kept connection older than that is not trusted */
#define CONNECT_TIMEOUT_MS 10000L
#define SLOW_BYTES_PER_S 16L
#define SLOW_S 30L
#define POLL_MAX_MS 1000 /* the longest sleep without a look at the clock */

void session_pool_init(struct session_pool *p)
{
	*p = (struct session_pool){0};
	lock_init(&p->mu);
}

static void session_free(struct session *s)
{
	if (s->easy)
		curl_easy_cleanup(s->easy);
	if (s->multi)
		curl_multi_cleanup(s->multi);
	free(s);
}

void session_pool_release(struct session_pool *p)
{
	while (p->idle) {
		struct session *s = p->idle;
		p->idle = s->next;
		session_free(s);
	}
	lock_release(&p->mu);
}

static struct session *session_new(void)
{
	struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->easy = curl_easy_init();
	s->multi = curl_multi_init();
	if (!s->easy || !s->multi) {
		session_free(s);
		return NULL;
	}
	curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, MAX_CONNECTIONS);
	return s;
}

/* What holds for every transfer: no signals, nothing from the environment, no waiting for ever. */
static void preset(struct session *s)
{
	curl_easy_reset(s->easy); /* connections stay */
	s->error[0] = '\0';
	curl_easy_setopt(s->easy, CURLOPT_ERRORBUFFER, s->error);
	curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(s->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(s->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(s->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(s->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(s->easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES_PER_S);
	curl_easy_setopt(s->easy, CURLOPT_LOW_SPEED_TIME, SLOW_S);
	curl_easy_setopt(s->easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_S);
}

struct session *session_take(struct session_pool *p)
{
	lock_take(&p->mu);
	struct session *s = p->idle;
	if (s) {
		p->idle = s->next;
		p->n_idle--;
	}
	lock_give(&p->mu);
	if (!s)
		s = session_new();
	if (s)
		preset(s);
	return s;
}

void session_give(struct session_pool *p, struct session *s)
{
	/* Nothing of one transfer is left for the next: headers, credentials, pointers into the caller's stack. */
	curl_easy_reset(s->easy);
	lock_take(&p->mu);
	bool keep = p->n_idle < MAX_IDLE;
	if (keep) {
		s->next = p->idle;
		p->idle = s;
		p->n_idle++;
	}
	lock_give(&p->mu);
	if (!keep)
		session_free(s);
}

static bool finished(struct session *s, CURLcode *result)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(s->multi, &left));)
		if (m->msg == CURLMSG_DONE) {
			*result = m->data.result;
			return true;
		}
	return false;
}

static enum session_end drive(struct session *s, int64_t deadline_mono_ms, int cancel_fd, CURLcode *result)
{
	struct curl_waitfd cancel = {.fd = cancel_fd, .events = CURL_WAIT_POLLIN};
	for (;;) {
		int running;
		if (curl_multi_perform(s->multi, &running) != CURLM_OK)
			return SESSION_BROKEN;
		if (finished(s, result))
			return SESSION_DONE;
		if (cancel.revents)
			return SESSION_CANCELLED;
		int64_t left = deadline_mono_ms - clock_mono_ms();
		if (left <= 0)
			return SESSION_DEADLINE;
		cancel.revents = 0;
		int wait = left < POLL_MAX_MS ? (int)left : POLL_MAX_MS;
		if (curl_multi_poll(s->multi, &cancel, cancel_fd >= 0, wait, NULL) != CURLM_OK)
			return SESSION_BROKEN;
	}
}

enum session_end session_run(struct session *s, int64_t deadline_mono_ms, int cancel_fd, CURLcode *result)
{
	*result = CURLE_OK;
	if (curl_multi_add_handle(s->multi, s->easy) != CURLM_OK)
		return SESSION_BROKEN;
	enum session_end end = drive(s, deadline_mono_ms, cancel_fd, result);
	curl_multi_remove_handle(s->multi, s->easy);
	return end;
}
