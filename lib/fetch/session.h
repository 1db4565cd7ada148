/* One libcurl handle with what surrounds it: taken for one transfer, given back, and its connections kept for the next. This folder only. */
#ifndef SLUICE_FETCH_SESSION_H
#define SLUICE_FETCH_SESSION_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/lock.h"

struct session {
	CURL *easy;
	CURLM *multi;
	struct session *next; /* in the pool */
	bool abort;           /* libcurl shall end the transfer */
	char error[CURL_ERROR_SIZE];
};

/* Idle sessions. Any thread. */
struct session_pool {
	struct lock mu;
	struct session *idle; /* protected by mu */
	unsigned n_idle;      /* protected by mu */
};

void session_pool_init(struct session_pool *p);
void session_pool_release(struct session_pool *p);

/* A session whose options are all at their presets of this program; NULL without memory. */
struct session *session_take(struct session_pool *p);
void session_give(struct session_pool *p, struct session *s);

enum session_end { SESSION_DONE, SESSION_DEADLINE, SESSION_CANCELLED, SESSION_BROKEN };

/* Runs the transfer that the easy handle describes. *result is libcurl's verdict when DONE.
 *
 * A transfer is never taken away from libcurl before libcurl has ended it: smtp_done would take that for success, send the dot that
 * completes a message, and wait for the reply (7.88). So deadline and cancelling are libcurl's own timeout and progress callback. */
enum session_end session_run(struct session *s, int64_t deadline_mono_ms, int cancel_fd, CURLcode *result);

#endif
