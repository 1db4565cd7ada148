/* Outbound HTTP, where the address may be a stranger's: one request, one answer, no surprises.
 *
 *     struct fetcher *f = fetcher_new(&options, &err);           once, at start
 *     struct fetch_request rq = {.method = "POST", .url = url, .body = body, .deadline_mono_ms = deadline, .cancel_fd = -1};
 *     struct fetch_response rs;
 *     int rc = fetch(f, &rq, &rs, &err);
 *     ... rs.status, buf_str(&rs.body) ...
 *     fetch_response_release(&rs);                               also after a failure
 *     fetcher_free(f);                                           after the last fetch has returned
 *
 * Every connection is checked when it is made, on the address that it goes to (guard.h), so neither the URL's spelling nor a name that
 * resolves to something else the second time gets past. Redirects are not followed, proxies and the environment are not heeded, nothing but
 * http and https is spoken, certificates are verified.
 *
 * What a failure means, truthfully (rs->sent says the same as a flag):
 *     ERR_INVALID          the URL, the method or a header cannot be used; nothing was sent
 *     ERR_DENIED           the address may not be reached; nothing was sent
 *     ERR_UNAVAILABLE      no name, no connection, no TLS; nothing was sent
 *     ERR_TIMEOUT          the deadline passed before anything was sent
 *     ERR_UNKNOWN_OUTCOME  sent, and then the connection broke or the deadline passed: it may have happened
 *     ERR_STOPPING         cancelled; rs->sent tells whether it may have happened
 *     ERR_PROTOCOL         an answer came that is no HTTP
 *     ERR_NOMEM
 * Any HTTP status is a success. Any thread; calls from several threads run side by side. */
#ifndef SLUICE_FETCH_FETCH_H
#define SLUICE_FETCH_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct fetcher;

struct fetcher_options {
	const char *const *allow; /* what the guard lets through besides the public Internet; guard.h says in which form */
	size_t n_allow;
	const char *ca_file;      /* PEM file of the authorities to trust; NULL or "": the system's */
	const char *user_agent;   /* NULL: "sluice" */
};

struct fetch_header {
	struct str name, value;
};

struct fetch_request {
	const char *method; /* upper case */
	struct str url;     /* http or https, without user and password */
	const struct fetch_header *headers; /* names: tokens; values: no control characters. A body's Content-Type is the caller's to give */
	size_t n_headers;
	struct str body;    /* sent when .p is not NULL */
	int64_t deadline_mono_ms;
	size_t max_response_bytes; /* 0 = 64 KiB; what is beyond is not read, and rs->truncated is set */
	int cancel_fd;      /* readable: stop at once; -1: never */
	/* Use a kept connection when there is one. Only for what may safely arrive twice: when a kept connection breaks before any answer,
	 * the request is sent again on a fresh one. */
	bool reuse;
};

struct fetch_response {
	int status;             /* 0: no answer. Set after a failure too, when the answer began and did not end */
	int64_t retry_after_ms; /* Retry-After, seconds or a date; -1: none or not readable */
	struct buf body;
	bool truncated;
	bool sent;              /* bytes of the request have left: it may have happened */
	int64_t ms;             /* how long it took */
};

/* NULL: ERR_INVALID (a rule that cannot be read), ERR_NOMEM. */
struct fetcher *fetcher_new(const struct fetcher_options *o, struct err *err);
void fetcher_free(struct fetcher *f);

int fetch(struct fetcher *f, const struct fetch_request *rq, struct fetch_response *rs, struct err *err) MUST_CHECK;
void fetch_response_release(struct fetch_response *rs);

/* Would fetch take this URL at all? The shape only: no name is resolved, no address is checked. 0 or ERR_INVALID. */
int fetch_url_check(struct str url, struct err *err) MUST_CHECK;
/* A header that fetch takes: a token, and a value without control characters. */
bool fetch_header_ok(struct str name, struct str value);

#endif
