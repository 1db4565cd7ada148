#include "lib/fetch/fetch.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/fetch/guard.h"
#include "lib/fetch/session.h"

#define DEFAULT_MAX_RESPONSE ((size_t)64 << 10)
#define MAX_URL_BYTES 2048
#define MAX_RETRY_AFTER_S ((curl_off_t)86400 * 30)

struct fetcher {
	/* set by fetcher_new, then only read */
	struct guard guard;
	char *ca_file, *user_agent;
	/* any thread */
	struct session_pool pool;
};

/* One call, while it runs. */
struct call {
	struct fetcher *f;
	const struct fetch_request *rq;
	struct fetch_response *rs;
	struct session *s;
	CURLU *url;
	struct curl_slist *headers;
	size_t max_response_bytes;
	bool host_allowed; /* by a rule that names the host */
	bool denied;       /* an address was refused */
	bool no_memory;
};

struct fetcher *fetcher_new(const struct fetcher_options *o, struct err *err)
{
	struct fetcher *f = calloc(1, sizeof(*f));
	if (!f || guard_init(&f->guard, o->allow, o->n_allow, err) < 0) {
		if (!f)
			err_set(err, ERR_NOMEM, "no memory for outbound requests");
		free(f);
		return NULL;
	}
	session_pool_init(&f->pool);
	f->ca_file = o->ca_file && *o->ca_file ? strdup(o->ca_file) : NULL;
	f->user_agent = strdup(o->user_agent ? o->user_agent : "sluice");
	bool made = f->user_agent && (f->ca_file || !o->ca_file || !*o->ca_file);
	if (made && curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK)
		return f;
	err_set(err, ERR_NOMEM, "no memory for outbound requests");
	session_pool_release(&f->pool);
	guard_release(&f->guard);
	free(f->ca_file);
	free(f->user_agent);
	free(f);
	return NULL;
}

void fetcher_free(struct fetcher *f)
{
	if (!f)
		return;
	session_pool_release(&f->pool);
	guard_release(&f->guard);
	free(f->ca_file);
	free(f->user_agent);
	free(f);
	curl_global_cleanup();
}

void fetch_response_release(struct fetch_response *rs)
{
	buf_release(&rs->body);
}

/* ---- what may be sent ---- */

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && !(c && strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.n > 0;
}

bool fetch_header_ok(struct str name, struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return is_token(name);
}

static bool has_part(CURLU *url, CURLUPart part)
{
	char *value = NULL;
	bool has = curl_url_get(url, part, &value, 0) == CURLUE_OK;
	curl_free(value);
	return has;
}

static int parse_url(struct str text, CURLU **out, struct err *err)
{
	char z[MAX_URL_BYTES + 1];
	if (text.n == 0 || text.n > MAX_URL_BYTES)
		return err_set(err, ERR_INVALID, "the URL must have 1 to %d bytes", MAX_URL_BYTES);
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] <= 0x20 || (unsigned char)text.p[i] >= 0x7f || text.p[i] == '\\')
			return err_set(err, ERR_INVALID, "the URL has a byte that must be percent-encoded");
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	if (!str_starts(text, STR("http://")) && !str_starts(text, STR("https://")))
		return err_set(err, ERR_INVALID, "the URL must begin with http:// or https://");
	CURLU *url = curl_url();
	if (!url)
		return err_set(err, ERR_NOMEM, "no memory for the URL");
	CURLUcode rc = curl_url_set(url, CURLUPART_URL, z, 0);
	const char *wrong = rc != CURLUE_OK ? curl_url_strerror(rc)
		: has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD) ? "user and password do not belong into it"
		: NULL;
	if (wrong) {
		curl_url_cleanup(url);
		return err_set(err, ERR_INVALID, "the URL cannot be used: %s", wrong);
	}
	*out = url;
	return 0;
}

int fetch_url_check(struct str url, struct err *err)
{
	CURLU *parsed;
	int rc = parse_url(url, &parsed, err);
	if (rc == 0)
		curl_url_cleanup(parsed);
	return rc;
}

static int add_header(struct call *c, struct str name, struct str value, struct err *err)
{
	if (!fetch_header_ok(name, value))
		return err_set(err, ERR_INVALID, "a header's name or value has a character that it may not have");
	struct buf line = BUF_INIT;
	buf_adds(&line, name);
	/* libcurl's own words: "Name:" would remove the header, "Name;" sends it empty. */
	buf_addz(&line, value.n ? ": " : ";");
	buf_adds(&line, value);
	struct curl_slist *longer = line.failed ? NULL : curl_slist_append(c->headers, line.p);
	buf_release(&line);
	if (!longer)
		return err_set(err, ERR_NOMEM, "no memory for a header");
	c->headers = longer;
	return 0;
}

static int add_headers(struct call *c, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < c->rq->n_headers; i++)
		rc = add_header(c, c->rq->headers[i].name, c->rq->headers[i].value, err);
	/* No "Expect: 100-continue", which costs a second where a server does not know it. */
	struct curl_slist *longer = rc == 0 ? curl_slist_append(c->headers, "Expect:") : NULL;
	if (rc == 0 && !longer)
		return err_set(err, ERR_NOMEM, "no memory for a header");
	if (rc == 0)
		c->headers = longer;
	return rc;
}

/* Does a rule name the host of this URL? Its numeric port is what libcurl will use. */
static bool host_is_allowed(const struct fetcher *f, CURLU *url)
{
	char *host = NULL, *port = NULL;
	uint64_t number = 0;
	bool known = curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		     curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		     str_to_u64(str_from(port), &number) == 0;
	bool allowed = known && guard_allows_host(&f->guard, str_from(host), (unsigned)number);
	curl_free(host);
	curl_free(port);
	return allowed;
}

/* ---- libcurl's callbacks ---- */

/* The check that counts: the address is resolved, and this connection goes to no other. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct call *c = arg;
	if (purpose != CURLSOCKTYPE_IPCXN || (!c->host_allowed && !guard_allows(&c->f->guard, &to->addr))) {
		c->denied = true;
		return CURL_SOCKET_BAD;
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	struct buf *body = &c->rs->body;
	size_t room = c->max_response_bytes - body->n;
	n *= size;
	buf_add(body, p, n < room ? n : room);
	c->no_memory = body->failed;
	c->rs->truncated = n > room;
	return body->failed || n > room ? 0 : n; /* 0 ends the transfer */
}

/* ---- one transfer ---- */

static void describe(struct call *c)
{
	CURL *e = c->s->easy;
	const struct fetch_request *rq = c->rq;
	curl_easy_setopt(e, CURLOPT_CURLU, c->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(e, CURLOPT_USERAGENT, c->f->user_agent);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, c);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	if (c->f->ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, c->f->ca_file);
	if (!rq->reuse)
		curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	if (rq->body.p) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, rq->body.p);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.n);
	} else if (strcmp(rq->method, "HEAD") == 0) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	}
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, rq->method);
}

static void read_answer(struct call *c)
{
	CURL *e = c->s->easy;
	long status = 0, sent = 0;
	curl_off_t after_s = 0;
	struct curl_header *header;
	curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(e, CURLINFO_REQUEST_SIZE, &sent);
	c->rs->status = (int)status;
	c->rs->sent = sent > 0;
	if (curl_easy_header(e, "Retry-After", 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
	    curl_easy_getinfo(e, CURLINFO_RETRY_AFTER, &after_s) == CURLE_OK) {
		after_s = after_s < 0 ? 0 : after_s > MAX_RETRY_AFTER_S ? MAX_RETRY_AFTER_S : after_s;
		c->rs->retry_after_ms = (int64_t)after_s * 1000;
	}
}

/* What libcurl's verdicts mean when there is no usable answer. */
static const struct verdict {
	CURLcode code;
	int err; /* when nothing was sent; else it is ERR_UNKNOWN_OUTCOME, except ERR_PROTOCOL */
} verdicts[] = {
	{CURLE_OUT_OF_MEMORY, ERR_NOMEM},
	{CURLE_UNSUPPORTED_PROTOCOL, ERR_PROTOCOL}, /* the scheme is checked before: an answer as of HTTP 0.9 */
	{CURLE_URL_MALFORMAT, ERR_INVALID},
	{CURLE_WEIRD_SERVER_REPLY, ERR_PROTOCOL},
	{CURLE_HTTP2, ERR_PROTOCOL},
};

static int verdict_of(CURLcode code, bool sent)
{
	int rc = ERR_UNAVAILABLE;
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
		if (verdicts[i].code == code)
			rc = verdicts[i].err;
	return sent && rc != ERR_PROTOCOL ? ERR_UNKNOWN_OUTCOME : rc;
}

static int judge(struct call *c, enum session_end end, CURLcode code, struct err *err)
{
	const char *said = c->s->error[0] ? c->s->error : curl_easy_strerror(code);
	bool sent = c->rs->sent;
	if (end == SESSION_CANCELLED)
		return err_set(err, ERR_STOPPING, "the request was cancelled");
	if (end == SESSION_DEADLINE)
		return err_set(err, sent ? ERR_UNKNOWN_OUTCOME : ERR_TIMEOUT, sent ? "no answer within the time" : "no connection within the time");
	if (end == SESSION_BROKEN || c->no_memory)
		return err_set(err, ERR_NOMEM, "no memory for the request or its answer");
	if (code == CURLE_OK || c->rs->truncated)
		return 0;
	if (c->denied && !sent)
		return err_set(err, ERR_DENIED, "the address may not be reached from here; SLUICE_FETCH_ALLOW can allow it");
	return err_set(err, verdict_of(code, sent), "%s", said);
}

static int transfer(struct call *c, struct err *err)
{
	CURLcode code;
	c->s = session_take(&c->f->pool);
	if (!c->s)
		return err_set(err, ERR_NOMEM, "no memory for the request");
	describe(c);
	enum session_end end = session_run(c->s, c->rq->deadline_mono_ms, c->rq->cancel_fd, &code);
	read_answer(c);
	int rc = judge(c, end, code, err);
	session_give(&c->f->pool, c->s);
	return rc;
}

int fetch(struct fetcher *f, const struct fetch_request *rq, struct fetch_response *rs, struct err *err)
{
	struct call c = {
		.f = f, .rq = rq, .rs = rs, .max_response_bytes = rq->max_response_bytes ? rq->max_response_bytes : DEFAULT_MAX_RESPONSE};
	int64_t begin = clock_mono_ms();
	*rs = (struct fetch_response){.retry_after_ms = -1};
	int rc = is_token(str_from(rq->method)) ? parse_url(rq->url, &c.url, err) : err_set(err, ERR_INVALID, "the method is no word");
	if (rc < 0)
		return rc;
	c.host_allowed = host_is_allowed(f, c.url);
	rc = add_headers(&c, err);
	if (rc == 0)
		rc = transfer(&c, err);
	curl_slist_free_all(c.headers);
	curl_url_cleanup(c.url);
	rs->ms = clock_mono_ms() - begin;
	return rc;
}
