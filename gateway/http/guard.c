#include "gateway/http/guard.h"

#include "gateway/http/uri.h"
#include "lib/base/err.h"

#define CONTENT_LENGTH_DIGITS 10

/* The fields that are looked at here, and those that mean something else when they come twice. */
enum field {
	HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE,
	AUTHORIZATION, CONTENT_TYPE, CONTENT_ENCODING, EXPECT, ORIGIN, IDEMPOTENCY_KEY, COOKIE,
	FIELD_COUNT
};

static const struct {
	const char *name;
	bool may_repeat;
} FIELDS[FIELD_COUNT] = {
	[HOST] = {"Host", false}, [CONTENT_LENGTH] = {"Content-Length", false}, [TRANSFER_ENCODING] = {"Transfer-Encoding", false},
	[CONNECTION] = {"Connection", true}, [UPGRADE] = {"Upgrade", true}, [AUTHORIZATION] = {"Authorization", false},
	[CONTENT_TYPE] = {"Content-Type", false}, [CONTENT_ENCODING] = {"Content-Encoding", false}, [EXPECT] = {"Expect", false},
	[ORIGIN] = {"Origin", false}, [IDEMPOTENCY_KEY] = {"Idempotency-Key", false}, [COOKIE] = {"Cookie", false},
};

struct examined {
	const struct guard_request *in;
	struct str fields[FIELD_COUNT]; /* the first of each, trimmed; STR_NONE: it did not come */
};

static int refuse(struct guard_facts *out, enum problem p, const char *reason)
{
	out->problem = p;
	out->reason = reason;
	return ERR_INVALID;
}

/* RFC 9110 5.6.2; it is asked for every byte of every field's name. */
static bool is_token_char(unsigned char c)
{
	static const bool allowed[256] = {
		['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
		['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true, ['*'] = true, ['+'] = true,
		['-'] = true, ['.'] = true, ['^'] = true, ['_'] = true, ['`'] = true, ['|'] = true, ['~'] = true,
	};
	return allowed[c];
}

static bool is_token(const char *z)
{
	const char *p = z;
	while (is_token_char((unsigned char)*p))
		p++;
	return *p == '\0' && p != z;
}

#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

/* Eight bytes at a time: may one of them be a control character? A tab is taken for one; what is above ASCII is none. */
static bool may_have_control(uint64_t w)
{
	uint64_t rubout = w ^ (ONES * 0x7f);
	return (((w - ONES * 0x20) & ~w) | ((rubout - ONES) & ~rubout)) & HIGH;
}

static bool has_control(struct str s)
{
	size_t i = 0;
	for (uint64_t w; s.n - i >= sizeof(w); i += sizeof(w)) {
		memcpy(&w, s.p + i, sizeof(w));
		if (may_have_control(w))
			break;
	}
	for (; i < s.n; i++)
		if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
			return true;
	return false;
}

/* FIELD_COUNT: none of them. */
static enum field field_of(const char *name)
{
	unsigned f = 0;
	while (f < FIELD_COUNT && !((name[0] | 0x20) == (FIELDS[f].name[0] | 0x20) && str_ieqz(name, FIELDS[f].name)))
		f++;
	return f;
}

static int check_fields(struct examined *e, struct guard_facts *out)
{
	if (e->in->n_headers >= GUARD_MAX_HEADERS)
		return refuse(out, PROBLEM_HEADERS_TOO_LARGE, "more than 63 header fields");
	for (unsigned i = 0; i < e->in->n_headers; i++) {
		const struct guard_header *h = &e->in->headers[i];
		struct str value = str_from(h->value);
		if (!is_token(h->name))
			return refuse(out, PROBLEM_BAD_REQUEST, "a header field's name has characters that are not allowed");
		if (has_control(value))
			return refuse(out, PROBLEM_BAD_REQUEST, "a header field's value has control characters");
		enum field f = field_of(h->name);
		if (f == FIELD_COUNT)
			continue;
		if (!e->fields[f].p)
			e->fields[f] = str_trim(value);
		else if (!FIELDS[f].may_repeat)
			return refuse(out, PROBLEM_BAD_REQUEST, "a header field that may come once came twice");
	}
	return 0;
}

static int check_method(struct examined *e, struct guard_facts *out)
{
	const struct guard_request *in = e->in;
	if (!is_token(in->method))
		return refuse(out, PROBLEM_BAD_REQUEST, "the method is not a token");
	if (str_is(str_from(in->method), "CONNECT") || str_is(str_from(in->method), "TRACE"))
		return refuse(out, PROBLEM_NOT_IMPLEMENTED, "CONNECT and TRACE are not supported");
	return 0;
}

static int check_version(struct examined *e, struct guard_facts *out)
{
	out->http10 = str_is(str_from(e->in->version), "1.0");
	if (!out->http10 && !str_is(str_from(e->in->version), "1.1"))
		return refuse(out, PROBLEM_NOT_IMPLEMENTED, "the HTTP version is neither 1.0 nor 1.1");
	return 0;
}

static bool is_authority(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char((unsigned char)s.p[i]) && !strchr("[]:()", s.p[i]))
			return false;
	return s.n > 0;
}

static int check_host(struct examined *e, struct guard_facts *out)
{
	struct str host = e->fields[HOST];
	if (!host.p)
		return out->http10 ? 0 : refuse(out, PROBLEM_BAD_REQUEST, "the Host header is missing");
	return is_authority(host) ? 0 : refuse(out, PROBLEM_BAD_REQUEST, "the Host header is not a host");
}

static int parse_length(struct str s, struct guard_facts *out)
{
	uint64_t v;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return refuse(out, PROBLEM_BAD_REQUEST, "Content-Length is not a decimal number");
	if (s.n > CONTENT_LENGTH_DIGITS)
		return refuse(out, PROBLEM_TOO_LARGE, "Content-Length is beyond every limit");
	if (str_to_u64(s, &v) < 0)
		return refuse(out, PROBLEM_BAD_REQUEST, "Content-Length is empty");
	out->content_length = (int64_t)v;
	return 0;
}

static int check_framing(struct examined *e, struct guard_facts *out)
{
	struct str coding = e->fields[TRANSFER_ENCODING];
	struct str length = e->fields[CONTENT_LENGTH];
	out->chunked = coding.p != NULL;
	out->content_length = out->chunked ? -1 : 0;
	if (!coding.p)
		return length.p ? parse_length(length, out) : 0;
	if (length.p)
		return refuse(out, PROBLEM_BAD_REQUEST, "Transfer-Encoding and Content-Length exclude each other");
	if (out->http10)
		return refuse(out, PROBLEM_BAD_REQUEST, "HTTP/1.0 knows no Transfer-Encoding");
	if (!str_ieq(coding, STR("chunked")))
		return refuse(out, PROBLEM_BAD_REQUEST, "the only Transfer-Encoding taken is \"chunked\"");
	return 0;
}

static int check_target(struct examined *e, struct guard_facts *out)
{
	struct str uri = str_from(e->in->uri);
	if (str_starts(uri, STR("http://"))) {
		struct str path = str_sub(uri, 7, uri.n - 7);
		struct str authority = str_cut(&path, '/');
		if (!str_ieq(authority, e->fields[HOST]))
			return refuse(out, PROBLEM_BAD_REQUEST, "the request target names another host than the Host header");
		if (!path.p)
			return refuse(out, PROBLEM_BAD_REQUEST, "the request target has no path");
		uri = (struct str){path.p - 1, path.n + 1};
	}
	const char *reason = uri_path_fault(uri);
	if (!reason && e->in->query)
		reason = uri_query_fault(str_from(e->in->query));
	out->path = uri;
	return reason ? refuse(out, PROBLEM_BAD_REQUEST, reason) : 0;
}

/* Mirrors how the server library decides; when it says no, the connection is closed whatever we answered. */
static int note_keep_alive(struct examined *e, struct guard_facts *out)
{
	struct str options = e->fields[CONNECTION];
	out->keep_alive = !options.p && !out->http10;
	while (options.p) {
		struct str option = str_trim(str_cut(&options, ','));
		if (str_ieq(option, STR("keep-alive")))
			out->keep_alive = true;
	}
	if (e->fields[UPGRADE].p)
		out->keep_alive = false;
	return 0;
}

int guard_check(const struct guard_request *in, struct guard_facts *out)
{
	typedef int check_fn(struct examined *e, struct guard_facts *out);
	static check_fn *const checks[] = {check_fields,  check_method, check_version,  check_host,
					   check_framing, check_target, note_keep_alive};
	struct examined e = {.in = in};
	*out = (struct guard_facts){0};
	for (unsigned i = 0; i < ARRAY_LEN(checks); i++) {
		int rc = checks[i](&e, out);
		if (rc < 0) {
			out->keep_alive = false;
			return rc;
		}
	}
	return 0;
}

/* Between the name's NUL (the colon) and the value only blanks may stand; a further NUL was a blank before the colon. */
static bool name_is_closed(const struct guard_header *h)
{
	for (const char *p = h->name + strlen(h->name) + 1; p < h->value; p++)
		if (*p != ' ' && *p != '\t')
			return false;
	return true;
}

const char *guard_check_traces(const struct guard_request *in, const char *buffer, size_t size)
{
	if (in->method != buffer)
		return "white space before the request line";
	static const char line_fault[] = "a line that is folded or does not end in CR LF";
	const char *end = buffer + size;
	const char *line = in->version + strlen(in->version);
	for (unsigned i = 0; i <= in->n_headers; i++) {
		/* The line before ended in CR LF, of which both became NUL; then the next line starts, or the last CR (NUL when
		 * it follows the request line). */
		bool more = i < in->n_headers;
		if (end - line < 3 || line[0] != '\0' || line[1] != '\0')
			return line_fault;
		if (more ? line + 2 != in->headers[i].name : line[2] != (i ? '\r' : '\0'))
			return line_fault;
		if (!more)
			break;
		if (!name_is_closed(&in->headers[i]))
			return "white space before a colon";
		line = in->headers[i].value + strlen(in->headers[i].value);
	}
	return NULL;
}
