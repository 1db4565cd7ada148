/* A request as handlers see it, and the response they fill. Only gateway/http knows civetweb.
 *
 * Flow: civetweb → guard (refuses what cannot be trusted) → router (raw path, percent-decoded segment by segment) → middleware
 * (request id, authentication, role, rate limit, body read and schema: all from the route's row) → handler → response written.
 * A handler runs on the connection's thread (stack: 1 MiB, we raise civetweb's), may block on Redis up to the request's
 * deadline, and never touches PostgreSQL or another server. Everything here lives until the response is written.
 *
 * A handler whose only remaining work is one call to Redis, and an answer made of the reply, need not keep its thread asleep meanwhile:
 *
 *     static void on_added(void *arg, int rc, const struct bq_added *added, const struct err *err)
 *     {                                               on the thread that has the reply: it must not block
 *             struct creation *c = arg;
 *             ... fills c->res as any handler does ...
 *             response_ready(c->r, c->res);           the last use of r, res and of the request's arena
 *     }
 *     void handler(struct request *r, struct response *res)
 *     {
 *             struct creation *c = arena_alloc(r->arena, sizeof(*c)) ...       what the end needs, in the arena
 *             struct parker *answered = response_defer(r);        from here on r, res and the arena are those of who has the reply
 *             bq_add_send(bq, ..., on_added, c, answered);        the handler's last act
 *     }
 *
 * The connection's thread goes to its next request at once; where it may not (the connection ends after this answer), it waits. When Redis has
 * nothing else to do, the connection's thread itself is the one that has the reply. */
#ifndef SLUICE_GATEWAY_HTTP_REQUEST_H
#define SLUICE_GATEWAY_HTTP_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/http/problem.h"
#include "lib/auth/auth.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"

struct app;
struct exchange;
struct http_deps;
struct parker;
struct route;
struct schema_report;

#define REQUEST_MAX_PARAMS 4
#define REQUEST_ID_SIZE 65

struct request {
	struct app *app;
	const struct http_deps *deps; /* what the server was started with */
	struct arena *arena;
	const struct route *route;
	struct str method;      /* "GET"; HEAD arrives as GET with head_only */
	bool head_only;
	struct str path;        /* raw, without the query */
	struct str query;       /* raw, without '?' */
	struct str params[REQUEST_MAX_PARAMS]; /* decoded values of the pattern's {…}, in order */
	struct principal who;   /* sub "" on public routes without a token */
	char id[REQUEST_ID_SIZE]; /* X-Request-Id: the client's when well-formed ([A-Za-z0-9._-]{1,64}), else a UUIDv7 */
	struct str client_ip;
	int64_t deadline_mono_ms;
	struct str body;        /* whole body, for routes that take one (BODY_JSON) */
	struct jdoc json;       /* body scanned and, when the route names a schema, valid */
	bool by_line;           /* the body is lines of JSON, which the handler reads (ROUTE_LINES); body and json are empty */
	struct exchange *x_;    /* the connection */
};

/* A request header's value; .p NULL when absent. */
struct str request_header(const struct request *r, const char *name);
/* A query parameter's decoded value; .p NULL when absent. Repeated names: the first. */
struct str request_query(const struct request *r, const char *name);

/* Streams the body for BODY_STREAM routes: bytes read (0 at the proper end), ERR_LIMIT (over the route's limit), ERR_TIMEOUT, ERR_PROTOCOL (the body
 * broke off or its framing is wrong: never use what was read). */
int64_t request_read(struct request *r, void *into, size_t n, struct err *err);
/* The next line of a by_line body, without its end; valid until the next call. Without `wait`, only when it has come already. A line must
 * arrive whole within SLUICE_REQUEST_TIMEOUT and a time by its size; the body may take as long as it likes.
 * One of enum line_state, or the body's end before its time: ERR_TIMEOUT, ERR_PROTOCOL, ERR_STOPPING (the process is on its way out), ERR_NOMEM. */
enum line_state {
	LINES_END,     /* there are no more */
	LINE_READ,     /* *line is it */
	LINE_TOO_LONG, /* over SLUICE_MAX_BODY_BYTES: it was passed over */
	LINE_NOT_YET   /* only without `wait` */
};
int request_line(struct request *r, bool wait, struct str *line, struct err *err) MUST_CHECK;
/* Content-Length; -1 when chunked. */
int64_t request_content_length(const struct request *r);

/* A request that sleeps for an event holds its thread, so at most three quarters of the threads may do so at a time. false: none is left,
 * answer at once. What was begun is ended by request_wait_end, or when the answer is written. */
bool request_wait_begin(struct request *r) MUST_CHECK;
void request_wait_end(struct request *r);
/* Has the client gone away? For handlers that wait. */
bool request_peer_gone(const struct request *r);
/* Is the process on its way out? Handlers that wait answer at once then. */
bool request_draining(const struct request *r);

struct response {
	int status;           /* 200 unless set */
	struct buf headers;   /* "Name: value\r\n" lines; use response_header */
	struct buf body;      /* complete body; Content-Length is written for it */
	const char *content_type; /* "application/json" unless set */
	int file_fd;          /* >= 0: the body is this file (closed by the writer), file_bytes long */
	int64_t file_bytes;
	bool close;           /* close the connection afterwards */
};

/* A value with control characters is left out: nobody can end the line early. */
void response_header(struct response *res, const char *name, struct str value);
void response_headerf(struct response *res, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
struct jwrite response_json(struct response *res, int status); /* a writer into body */

/* Sets `ETag: "tag"` and lets clients keep the answer as long as they ask again (Cache-Control: private, no-cache). true: the client has this
 * version, the answer is a 304 and complete. tag: what identifies the representation; its hash is sent. Call it before
 * the body is built, when the tag is cheaper than the body. */
bool response_etag(const struct request *r, struct response *res, struct str tag) MUST_CHECK;
/* The same with a tag that is sent as it is, NUL-terminated letters and digits (a document's SHA-256, which If-Match names again). */
bool response_etag_exact(const struct request *r, struct response *res, struct str token) MUST_CHECK;

/* Turns the response into a problem (RFC 9457): the status comes from problems.def. detail may be NULL. */
void response_problem(const struct request *r, struct response *res, enum problem p, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* With a member more, of that key and JSON text. */
void response_problem_with(const struct request *r, struct response *res, enum problem p, const char *detail, const char *key, struct str json);
/* With a list of bad fields. */
void response_invalid(const struct request *r, struct response *res, const struct schema_report *issues);
/* From a library failure: UNAVAILABLE → 503 redis-unavailable + Retry-After, UNKNOWN_OUTCOME → 504 outcome-unknown with retrySafe, FULL →
 * 503 queue-full, TAKEN → 409, MISMATCH → 422, NOT_FOUND → 404, … one table (problem_of_error). A 500's cause is logged, not shown. */
void response_error(const struct request *r, struct response *res, const struct err *err);

/* The answer will be made by another thread, or later by this one: after this, response_ready is called exactly once. Not after
 * request_wait_begin. What is returned is woken when the request has become its connection's again: a hint for who could make the answer himself. */
struct parker *response_defer(struct request *r);
/* The response is filled. Any thread; never blocks. */
void response_ready(struct request *r, struct response *res);

typedef void handler_fn(struct request *r, struct response *res);

#endif
