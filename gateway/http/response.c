#include <errno.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "gateway/http/server_state.h"
#include "gateway/http/wire.h"
#include "lib/base/clock.h"
#include "lib/base/digest.h"
#include "lib/config/config.h"
#include "lib/log/log.h"

/* An answer may take this long, plus its size at the pace of request bodies. */
#define SEND_MS 10000
#define SEND_BYTES_PER_MS 16
#define STATUS_NOT_MODIFIED 304

static bool is_token(const char *name)
{
	for (const char *p = name; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == ':')
			return false;
	return *name != '\0';
}

void response_header(struct response *res, const char *name, struct str value)
{
	bool ok = value.p && is_token(name);
	for (size_t i = 0; ok && i < value.n; i++)
		ok = (unsigned char)value.p[i] >= 0x20 && value.p[i] != 0x7f;
	if (!ok)
		return;
	buf_addz(&res->headers, name);
	buf_addz(&res->headers, ": ");
	buf_adds(&res->headers, value);
	buf_addz(&res->headers, "\r\n");
}

void response_headerf(struct response *res, const char *name, const char *fmt, ...)
{
	char *value = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&value, fmt, ap);
	va_end(ap);
	if (n < 0) {
		res->headers.failed = true;
		return;
	}
	response_header(res, name, (struct str){value, (size_t)n});
	free(value);
}

struct jwrite response_json(struct response *res, int status)
{
	res->status = status;
	res->content_type = "application/json";
	buf_clear(&res->body);
	return jwrite_into(&res->body);
}

/* If-None-Match: a list of tags, weak ones compare equal to strong ones (RFC 9110 13.1.2). */
static bool tag_listed(struct str list, struct str tag)
{
	while (list.p) {
		struct str one = str_trim(str_cut(&list, ','));
		if (str_starts(one, STR("W/")))
			one = str_sub(one, 2, one.n - 2);
		if (str_eq(one, tag) || str_is(one, "*"))
			return true;
	}
	return false;
}

#define ETAG_MAX 64

bool response_etag_exact(const struct request *r, struct response *res, struct str token)
{
	char quoted[ETAG_MAX + 3];
	int n = snprintf(quoted, sizeof(quoted), "\"%.*s\"", ETAG_MAX, token.p);

	response_header(res, "ETag", (struct str){quoted, (size_t)n});
	response_header(res, "Cache-Control", STR("private, no-cache"));
	if (!tag_listed(request_header(r, "If-None-Match"), (struct str){quoted, (size_t)n}))
		return false;
	res->status = STATUS_NOT_MODIFIED;
	buf_clear(&res->body);
	return true;
}

bool response_etag(const struct request *r, struct response *res, struct str tag)
{
	unsigned char sum[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];

	digest_sha256(tag, sum);
	digest_hex(sum, 12, hex);
	return response_etag_exact(r, res, str_from(hex));
}

/* ---- problems ------------------------------------------------------------------------------------------------------ */

static void problem_headers(struct response *res, enum problem p)
{
	static const struct {
		enum problem problem;
		const char *name, *value;
	} extra[] = {
		{PROBLEM_REDIS_UNAVAILABLE, "Retry-After", "1"}, {PROBLEM_DRAINING, "Retry-After", "1"},
		{PROBLEM_OVERLOADED, "Retry-After", "1"},	 {PROBLEM_QUEUE_FULL, "Retry-After", "5"},
		{PROBLEM_OUTCOME_UNKNOWN, "Retry-After", "1"},	 {PROBLEM_RECORDS_UNAVAILABLE, "Retry-After", "2"},
		{PROBLEM_TOO_MANY_SEARCHES, "Retry-After", "2"},
	};
	for (unsigned i = 0; i < ARRAY_LEN(extra); i++)
		if (extra[i].problem == p)
			response_header(res, extra[i].name, str_from(extra[i].value));
}

/* Drops what the handler had prepared and opens the body; the caller may add members and closes it. */
static struct jwrite problem_open(const struct request *r, struct response *res, enum problem p, const char *detail)
{
	const struct problem_row *row = problem_row(p);
	char type[96];
	buf_clear(&res->headers);
	if (res->file_fd >= 0)
		close(res->file_fd);
	res->file_fd = -1;
	problem_headers(res, p);
	struct jwrite w = response_json(res, row->status);
	res->content_type = "application/problem+json";
	snprintf(type, sizeof(type), "/problems/%s", row->slug);
	jw_open(&w, '{');
	jw_kstrz(&w, "type", type);
	jw_kstrz(&w, "code", row->slug);
	jw_kstrz(&w, "title", row->title);
	jw_kint(&w, "status", row->status);
	jw_kstrz(&w, "detail", detail ? detail : row->title);
	jw_kstrz(&w, "instance", r->id);
	if (p == PROBLEM_OUTCOME_UNKNOWN)
		jw_kbool(&w, "retrySafe", request_header(r, "Idempotency-Key").p != NULL);
	return w;
}

void response_problem(const struct request *r, struct response *res, enum problem p, const char *fmt, ...)
{
	char detail[512];
	if (fmt) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(detail, sizeof(detail), fmt, ap);
		va_end(ap);
	}
	struct jwrite w = problem_open(r, res, p, fmt ? detail : NULL);
	jw_close(&w, '}');
}

void response_problem_with(const struct request *r, struct response *res, enum problem p, const char *detail, const char *key, struct str json)
{
	struct jwrite w = problem_open(r, res, p, detail);
	jw_kraw(&w, key, json);
	jw_close(&w, '}');
}

void response_invalid(const struct request *r, struct response *res, const struct schema_report *issues)
{
	char detail[64];
	snprintf(detail, sizeof(detail), "%u %s not valid", issues->count, issues->count == 1 ? "field is" : "fields are");
	struct jwrite w = problem_open(r, res, PROBLEM_VALIDATION, detail);
	jw_key(&w, "errors");
	jw_open(&w, '[');
	for (const struct schema_issue *i = issues->first; i; i = i->next) {
		jw_open(&w, '{');
		jw_kstr(&w, "pointer", i->pointer);
		jw_kstr(&w, "detail", i->detail);
		jw_close(&w, '}');
	}
	jw_close(&w, ']');
	jw_close(&w, '}');
}

void response_error(const struct request *r, struct response *res, const struct err *err)
{
	enum problem p = problem_of_error(err->code);
	if (p != PROBLEM_INTERNAL) {
		response_problem(r, res, p, "%s", err->text);
		return;
	}
	LOG(r->deps->log, LOG_ERROR, "request_failed", log_strz("requestId", r->id), log_strz("code", err_name(err->code)), log_err(err));
	response_problem(r, res, p, NULL);
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

static const char *reason_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {206, "Partial Content"},
		{302, "Found"}, {303, "See Other"}, {304, "Not Modified"}, {400, "Bad Request"}, {401, "Unauthorized"},
		{403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {406, "Not Acceptable"},
		{408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"}, {412, "Precondition Failed"},
		{413, "Content Too Large"}, {415, "Unsupported Media Type"}, {422, "Unprocessable Content"},
		{426, "Upgrade Required"}, {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
		{501, "Not Implemented"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"}, {507, "Insufficient Storage"},
	};
	for (unsigned i = 0; i < ARRAY_LEN(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "";
}

/* Sent unless the handler has set the same. */
static const struct {
	struct str name, line;
} DEFAULTS[] = {
#define DEFAULT(name, value) {STR(name), STR(name ": " value "\r\n")}
	DEFAULT("Cache-Control", "no-store"),
	DEFAULT("X-Content-Type-Options", "nosniff"),
	DEFAULT("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
	DEFAULT("Referrer-Policy", "no-referrer"),
#undef DEFAULT
};

static bool is_line_of(struct str line, struct str name)
{
	return line.n > name.n && line.p[name.n] == ':' && str_ieq(str_sub(line, 0, name.n), name);
}

static bool has_header(const struct response *res, struct str name)
{
	struct str rest = buf_str(&res->headers);
	while (rest.n)
		if (is_line_of(str_cut(&rest, '\n'), name))
			return true;
	return false;
}

static const char *date(struct worker *w)
{
	int64_t now = clock_wall_ms() / 1000;
	if (now != w->date_s) {
		time_t t = (time_t)now;
		struct tm tm;
		gmtime_r(&t, &tm);
		strftime(w->date, sizeof(w->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		w->date_s = now;
	}
	return w->date;
}

static void add_defaults(const struct response *res, struct buf *head)
{
	for (unsigned i = 0; i < ARRAY_LEN(DEFAULTS); i++)
		if (!has_header(res, DEFAULTS[i].name))
			buf_adds(head, DEFAULTS[i].line);
}

static void add_content_type(const struct response *res, struct buf *head)
{
	if (has_header(res, STR("Content-Type")))
		return;
	buf_addz(head, "Content-Type: ");
	buf_addz(head, res->content_type);
	buf_addz(head, "\r\n");
}

static int64_t body_bytes(const struct response *res)
{
	return res->file_fd >= 0 ? res->file_bytes : (int64_t)res->body.n;
}

static bool is_bodiless(int status)
{
	return status == 204 || status == STATUS_NOT_MODIFIED;
}

#define HTTP11_IMPLIED_BYTES (sizeof("Connection: keep-alive\r\n") - 1)

/* Without being told how long an idle connection lasts, a client may send its next request just as that time ends. */
void response_prepare_keep_alive(struct server *s)
{
	snprintf(s->keep_alive, sizeof(s->keep_alive), "Connection: keep-alive\r\nKeep-Alive: timeout=%lld\r\n",
		 (long long)s->deps.config->keep_alive_ms / 1000);
}

static void build_head(const struct request *r, struct response *res, struct buf *head)
{
	buf_clear(head);
	buf_addz(head, "HTTP/1.1 ");
	buf_addi(head, res->status);
	buf_addc(head, ' ');
	buf_addz(head, reason_phrase(res->status));
	buf_addz(head, "\r\nDate: ");
	buf_addz(head, date(r->x_->worker));
	buf_addz(head, "\r\nX-Request-Id: ");
	buf_addz(head, r->id);
	buf_addz(head, "\r\n");
	if (r->x_->way == ANSWER_STREAMED) {
		add_content_type(res, head);
	} else if (!is_bodiless(res->status)) {
		buf_addz(head, "Content-Length: ");
		buf_addi(head, body_bytes(res));
		buf_addz(head, "\r\n");
		if (body_bytes(res) > 0)
			add_content_type(res, head);
	}
	add_defaults(res, head);
	if (res->close)
		buf_addz(head, "Connection: close\r\n");
	else
		buf_addz(head, r->x_->worker->server->keep_alive + (r->x_->facts.http10 ? 0 : HTTP11_IMPLIED_BYTES));
	buf_adds(head, buf_str(&res->headers));
	buf_addz(head, "\r\n");
}

bool response_has_body(const struct request *r, const struct response *res)
{
	return !r->head_only && !is_bodiless(res->status);
}

int64_t response_deadline_ms(const struct response *res)
{
	return clock_mono_ms() + SEND_MS + body_bytes(res) / SEND_BYTES_PER_MS;
}

static int send_all(const struct request *r, const struct response *res, const struct buf *head)
{
	int fd = r->x_->worker->fd;
	bool with_body = response_has_body(r, res);
	int64_t deadline = response_deadline_ms(res);
	struct iovec iov[2] = {{head->p, head->n}, {res->body.p, with_body && res->file_fd < 0 ? res->body.n : 0}};
	int rc = wire_send(fd, iov, 2, deadline);
	if (rc == 0 && res->file_fd >= 0 && with_body)
		rc = wire_send_file(fd, res->file_fd, res->file_bytes, deadline);
	return rc;
}

/* Out of memory while the answer was built: what was begun cannot be trusted. */
static void replace_failed(const struct request *r, struct response *res)
{
	buf_release(&res->headers);
	buf_release(&res->body);
	response_problem(r, res, PROBLEM_INTERNAL, "There was not enough memory for the answer.");
}

/* While a detached answer is due, its connection's thread already waits for the next request: too little of that time may be left for a
 * client that was told how long the connection goes on. Clients that keep to what they are told stop a second before that. */
static bool is_next_request_late(const struct exchange *x)
{
	return x->way == ANSWER_DETACHED && clock_mono_us() - x->started_us > x->worker->server->deps.config->keep_alive_ms * 250;
}

void response_prepare(struct request *r, struct response *res)
{
	struct exchange *x = r->x_;
	if (res->status == 0)
		res->status = 200;
	if (res->headers.failed || res->body.failed)
		replace_failed(r, res);
	if (!x->facts.keep_alive || request_draining(r) || atomic_load(&x->worker->closing) || !exchange_body_is_small(r) ||
	    is_next_request_late(x) || lobby_is_crowded(x->worker->server->lobby))
		res->close = true;
	build_head(r, res, &x->worker->head);
}

void response_write(struct request *r, struct response *res)
{
	struct exchange *x = r->x_;
	response_prepare(r, res);
	if (x->worker->head.failed || send_all(r, res, &x->worker->head) < 0)
		res->close = true;
	if (res->file_fd >= 0)
		close(res->file_fd);
	res->file_fd = -1;
	if (!res->close && exchange_discard_body(r))
		return;
	mg_disable_keep_alive(x->conn);
	if (x->body != BODY_DONE && x->body_read != x->facts.content_length)
		wire_linger(x->worker->fd);
}
