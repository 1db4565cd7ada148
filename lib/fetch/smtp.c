#include "lib/fetch/smtp.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/fetch/session.h"

#define MAX_ADDRESS_BYTES 254
#define MAX_LOCAL_BYTES 64
#define MAX_LABEL_BYTES 63
#define SMTP_CLOSING 221

struct mailer {
	/* set by mailer_new, then only read */
	char *url; /* with the HELO name as its path, as libcurl wants it */
	char *user, *password, *ca_file;
	enum smtp_tls tls;
	/* any thread */
	struct session_pool pool;
};

/* One message, while it is sent. */
struct delivery {
	struct session *s;
	struct str rest; /* of the message */
	struct smtp_reply *reply;
	bool final;      /* a reply came after the whole message */
};

/* ---- addresses ---- */

static bool is_alnum(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Atoms with single dots between them (RFC 5322 3.2.3); quoted local parts are refused with purpose. */
static bool is_dot_atom(struct str s)
{
	bool dot = true; /* none at the beginning */
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '.' && dot)
			return false;
		if (c != '.' && !is_alnum(c) && !(c && strchr("!#$%&'*+-/=?^_`{|}~", c)))
			return false;
		dot = c == '.';
	}
	return !dot;
}

static bool is_domain(struct str s)
{
	if (s.n == 0)
		return false;
	while (s.p) {
		struct str label = str_cut(&s, '.');
		if (label.n == 0 || label.n > MAX_LABEL_BYTES || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!is_alnum((unsigned char)label.p[i]) && label.p[i] != '-')
				return false;
	}
	return true;
}

bool mail_address_ok(struct str address)
{
	if (address.n > MAX_ADDRESS_BYTES)
		return false;
	struct str domain = address;
	struct str local = str_cut(&domain, '@');
	return domain.p && local.n <= MAX_LOCAL_BYTES && is_dot_atom(local) && is_domain(domain);
}

/* Every CR is followed by LF, every LF preceded by CR, and the last line is whole: nothing that servers read differently. */
static bool is_message(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool cr = s.p[i] == '\r', lf = s.p[i] == '\n';
		if ((cr && (i + 1 == s.n || s.p[i + 1] != '\n')) || (lf && (i == 0 || s.p[i - 1] != '\r')) || s.p[i] == '\0')
			return false;
	}
	return s.n > 0 && s.p[s.n - 1] == '\n';
}

/* ---- replies ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t digits(struct str s, size_t from)
{
	size_t n = 0;
	while (from + n < s.n && n < 3 && is_digit(s.p[from + n]))
		n++;
	return n;
}

/* class.subject.detail, where the class is the code's first digit. */
static void read_enhanced(struct str s, char class, char out[12])
{
	out[0] = '\0';
	size_t subject, detail;
	if (s.n < 5 || s.p[0] != class || s.p[1] != '.' || !(subject = digits(s, 2)) || 2 + subject >= s.n || s.p[2 + subject] != '.' ||
	    !(detail = digits(s, 3 + subject)))
		return;
	size_t n = 3 + subject + detail;
	if (n < s.n && s.p[n] != ' ' && s.p[n] != '\r' && s.p[n] != '\n')
		return;
	memcpy(out, s.p, n);
	out[n] = '\0';
}

bool smtp_read_line(struct str line, int *code, char enhanced[12])
{
	if (digits(line, 0) != 3 || line.p[0] < '2' || line.p[0] > '5')
		return false;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '\r' && line.p[3] != '\n')
		return false; /* "250-": more lines follow */
	*code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
	size_t text = line.n > 4 ? 4 : line.n;
	read_enhanced(str_sub(line, text, line.n - text), line.p[0], enhanced);
	return true;
}

static size_t on_line(char *p, size_t size, size_t n, void *arg)
{
	struct delivery *d = arg;
	int code;
	char enhanced[12];
	/* 221 answers libcurl's QUIT, not the message. */
	if (smtp_read_line((struct str){p, size * n}, &code, enhanced) && code != SMTP_CLOSING) {
		d->reply->code = code;
		memcpy(d->reply->enhanced, enhanced, sizeof(enhanced));
		d->final = d->reply->complete;
	}
	return size * n;
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
	struct delivery *d = arg;
	n *= size;
	if (n > d->rest.n)
		n = d->rest.n;
	memcpy(out, d->rest.p, n);
	d->rest = str_sub(d->rest, n, d->rest.n - n);
	/* The terminating dot follows: from here on the server may have it all. */
	d->reply->complete = d->rest.n == 0;
	return n;
}

/* ---- the mailer ---- */

static bool is_helo(const char *z)
{
	return is_domain(str_from(z));
}

static int check_url(struct str url, struct err *err)
{
	struct str prefix = str_starts(url, STR("smtp://")) ? STR("smtp://") : STR("smtps://");
	struct str host = str_starts(url, prefix) ? str_sub(url, prefix.n, url.n - prefix.n) : STR_NONE;
	if (host.n > 0 && host.p[host.n - 1] == '/')
		host.n--;
	for (size_t i = 0; i < host.n; i++)
		if (!is_alnum((unsigned char)host.p[i]) && !strchr(".-:[]", host.p[i]))
			host.n = 0;
	return host.n ? 0 : err_set(err, ERR_INVALID, "the mail server must be given as smtp://host[:port] or smtps://host[:port]");
}

static char *copy(const char *z)
{
	return strdup(z ? z : "");
}

struct mailer *mailer_new(const struct mailer_options *o, struct err *err)
{
	struct str url = str_from(o->url);
	if (check_url(url, err) < 0)
		return NULL;
	if (o->helo && *o->helo && !is_helo(o->helo)) {
		err_set(err, ERR_INVALID, "the name for HELO is no host name");
		return NULL;
	}
	struct mailer *m = calloc(1, sizeof(*m));
	struct buf b = BUF_INIT;
	buf_adds(&b, str_ends(url, STR("/")) ? str_sub(url, 0, url.n - 1) : url);
	buf_addf(&b, "/%s", o->helo ? o->helo : "");
	if (m) {
		*m = (struct mailer){
			.url = b.failed ? NULL : copy(b.p), .user = copy(o->user), .password = copy(o->password), .ca_file = copy(o->ca_file), .tls = o->tls};
		session_pool_init(&m->pool);
	}
	buf_release(&b);
	if (m && m->url && m->user && m->password && m->ca_file && curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK)
		return m;
	err_set(err, ERR_NOMEM, "no memory for the mailer");
	mailer_free(m);
	return NULL;
}

void mailer_free(struct mailer *m)
{
	if (!m)
		return;
	session_pool_release(&m->pool);
	if (m->password)
		explicit_bzero(m->password, strlen(m->password));
	free(m->url);
	free(m->user);
	free(m->password);
	free(m->ca_file);
	free(m);
}

/* ---- one delivery ---- */

static const long use_ssl[] = {
	[SMTP_TLS_REQUIRE] = CURLUSESSL_ALL, [SMTP_TLS_OPPORTUNISTIC] = CURLUSESSL_TRY, [SMTP_TLS_OFF] = CURLUSESSL_NONE};

static void describe(struct mailer *m, struct delivery *d, const char *from, struct curl_slist *to, size_t size)
{
	CURL *e = d->s->easy;
	curl_easy_setopt(e, CURLOPT_URL, m->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(e, CURLOPT_USE_SSL, use_ssl[m->tls]);
	if (m->ca_file[0])
		curl_easy_setopt(e, CURLOPT_CAINFO, m->ca_file);
	if (m->user[0]) {
		curl_easy_setopt(e, CURLOPT_USERNAME, m->user);
		curl_easy_setopt(e, CURLOPT_PASSWORD, m->password);
	}
	curl_easy_setopt(e, CURLOPT_MAIL_FROM, from);
	curl_easy_setopt(e, CURLOPT_MAIL_RCPT, to);
	curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(e, CURLOPT_READDATA, d);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_line);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, d);
}

static int judge(const struct delivery *d, enum session_end end, CURLcode code, struct err *err)
{
	const struct smtp_reply *r = d->reply;
	bool may_have = r->complete && !d->final;
	if (d->final && r->code / 100 == 2)
		return 0;
	if (end == SESSION_CANCELLED)
		return err_set(err, ERR_STOPPING, "the delivery was cancelled");
	if (end == SESSION_BROKEN)
		return err_set(err, ERR_NOMEM, "no memory for the delivery");
	if (may_have)
		return err_set(err, ERR_UNKNOWN_OUTCOME, "no reply to the message");
	if (end == SESSION_DEADLINE)
		return err_set(err, ERR_TIMEOUT, "the mail server was too slow");
	if (r->code >= 400)
		return err_set(err, ERR_REPLY, "the mail server answered %d%s%s", r->code, r->enhanced[0] ? " " : "", r->enhanced);
	if (code == CURLE_OUT_OF_MEMORY)
		return err_set(err, ERR_NOMEM, "no memory for the delivery");
	return err_set(err, ERR_UNAVAILABLE, "%s", d->s->error[0] ? d->s->error : curl_easy_strerror(code));
}

static int deliver(struct mailer *m, const struct smtp_request *rq, struct smtp_reply *reply, struct err *err)
{
	char from[MAX_ADDRESS_BYTES + 1], to[MAX_ADDRESS_BYTES + 1];
	snprintf(from, sizeof(from), "%.*s", STR_ARG(rq->from));
	snprintf(to, sizeof(to), "%.*s", STR_ARG(rq->to));
	struct delivery d = {.s = session_take(&m->pool), .rest = rq->message, .reply = reply};
	struct curl_slist *recipients = d.s ? curl_slist_append(NULL, to) : NULL;
	int rc = ERR_NOMEM;
	if (recipients) {
		CURLcode code;
		describe(m, &d, from, recipients, rq->message.n);
		enum session_end end = session_run(d.s, rq->deadline_mono_ms, rq->cancel_fd, &code);
		rc = judge(&d, end, code, err);
	} else {
		err_set(err, rc, "no memory for the delivery");
	}
	if (d.s)
		session_give(&m->pool, d.s);
	curl_slist_free_all(recipients);
	return rc;
}

int mailer_send(struct mailer *m, const struct smtp_request *rq, struct smtp_reply *reply, struct err *err)
{
	int64_t begin = clock_mono_ms();
	*reply = (struct smtp_reply){0};
	if (!mail_address_ok(rq->from) || !mail_address_ok(rq->to))
		return err_set(err, ERR_INVALID, "an address is not one that mail can be sent to");
	if (!is_message(rq->message))
		return err_set(err, ERR_INVALID, "the message has lines that do not end in CRLF");
	int rc = deliver(m, rq, reply, err);
	reply->ms = clock_mono_ms() - begin;
	return rc;
}
