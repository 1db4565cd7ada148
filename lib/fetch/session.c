#include "lib/fetch/session.h"

#include <sys/socket.h>

#include "lib/base/clock.h"

#define MAX_IDLE 16           /* sessions kept; more threads than that make theirs anew */
#define MAX_CONNECTIONS 4L    /* kept per session */
#define IDLE_CONNECTION_S 20L /* a kept connection older than that is not trusted */
#define CONNECT_TIMEOUT_MS 10000L
#define SLOW_BYTES_PER_S 16L
#define SLOW_S 30L
#define POLL_MAX_MS 1000
#define ABORT_MS 3000         /* how long libcurl may take to end what it was told to end */

void session_pool_init(struct session_pool *p)
{
	*p = (struct session_pool){0};
	lock_init(&p->mu);
}

/* Without this, closing a kept SMTP connection would say QUIT and wait two minutes for the answer of a server that is silent. */
static void cut_connection(struct session *s)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	if (s->multi && curl_easy_getinfo(s->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK && fd != CURL_SOCKET_BAD)
		shutdown(fd, SHUT_RDWR);
}

static void session_free(struct session *s)
{
	if (s->easy) {
		cut_connection(s);
		curl_easy_cleanup(s->easy);
	}
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

/* curl_xferinfo_callback: libcurl asks at every turn whether to go on. */
static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	const struct session *s = arg;
	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	return s->abort;
}

/* false: libcurl itself has failed. */
static bool drive(struct session *s, int cancel_fd, CURLcode *result)
{
	struct curl_waitfd cancel = {.fd = cancel_fd, .events = CURL_WAIT_POLLIN};
	int64_t give_up = INT64_MAX;
	for (;;) {
		int running;
		if (curl_multi_perform(s->multi, &running) != CURLM_OK || clock_mono_ms() > give_up)
			return false;
		if (finished(s, result))
			return true;
		bool watch = cancel_fd >= 0 && !s->abort;
		cancel.revents = 0;
		if (curl_multi_poll(s->multi, &cancel, watch, s->abort ? 1 : POLL_MAX_MS, NULL) != CURLM_OK)
			return false;
		if (watch && cancel.revents) {
			s->abort = true;
			give_up = clock_mono_ms() + ABORT_MS;
			curl_easy_setopt(s->easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, 1L); /* for the answer to QUIT */
		}
	}
}

static enum session_end end_of(const struct session *s, CURLcode result)
{
	if (result == CURLE_OPERATION_TIMEDOUT)
		return SESSION_DEADLINE;
	return s->abort && result == CURLE_ABORTED_BY_CALLBACK ? SESSION_CANCELLED : SESSION_DONE;
}

enum session_end session_run(struct session *s, int64_t deadline_mono_ms, int cancel_fd, CURLcode *result)
{
	int64_t left = deadline_mono_ms - clock_mono_ms();
	*result = CURLE_OK;
	if (left <= 0)
		return SESSION_DEADLINE;
	s->abort = false;
	curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, (long)left);
	curl_easy_setopt(s->easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)(left / 1000 + 1));
	curl_easy_setopt(s->easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(s->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(s->easy, CURLOPT_XFERINFODATA, s);
	if (curl_multi_add_handle(s->multi, s->easy) != CURLM_OK)
		return SESSION_BROKEN;
	bool driven = drive(s, cancel_fd, result);
	curl_multi_remove_handle(s->multi, s->easy);
	return driven ? end_of(s, *result) : SESSION_BROKEN;
}
