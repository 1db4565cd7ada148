#include "processors/notification/mime.h"

#include "lib/base/digest.h"

#define LINE_MAX_CHARS 76    /* of quoted-printable, RFC 2045 6.7 */
#define PLAIN_MAX_BYTES 60   /* a header value that is left on its line */
#define WORD_MAX_BYTES 39    /* "Subject: =?utf-8?B?" + 52 digits + "?=" stays within RFC 2047's 76 */

static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] > 0x7e)
			return false;
		if (s.p[i] == '=' && i + 1 < s.n && s.p[i + 1] == '?')
			return false; /* would be read as an encoded word */
	}
	return s.n <= PLAIN_MAX_BYTES && (s.n == 0 || (s.p[0] != ' ' && s.p[s.n - 1] != ' '));
}

/* The most whole characters that fit into one encoded word. */
static size_t word_length(struct str s)
{
	size_t n = 0;
	while (n < s.n) {
		size_t next = str_utf8_length(str_sub(s, n, s.n - n));
		next = next ? next : 1;
		if (n + next > WORD_MAX_BYTES)
			break;
		n += next;
	}
	return n;
}

void mime_add_words(struct buf *out, struct str text)
{
	if (is_plain(text)) {
		buf_adds(out, text);
		return;
	}
	for (const char *gap = ""; text.n > 0; gap = "\r\n ") {
		size_t n = word_length(text);
		buf_addf(out, "%s=?utf-8?B?", gap);
		digest_b64(out, text.p, n);
		buf_addz(out, "?=");
		text = str_sub(text, n, text.n - n);
	}
}

static void add_display_name(struct buf *out, struct str name)
{
	if (!is_plain(name)) {
		mime_add_words(out, name);
		return;
	}
	buf_addc(out, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, name.p[i]);
	}
	buf_addc(out, '"');
}

void mime_add_date(struct buf *out, int64_t wall_ms)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t s = (time_t)(wall_ms / 1000);
	struct tm t;
	gmtime_r(&s, &t);
	buf_addf(out, "%s, %d %s %d %02d:%02d:%02d +0000", days[t.tm_wday], t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min,
		 t.tm_sec);
}

/* ---- quoted-printable ---- */

/* At the beginning of a line a dot is SMTP's, and "From " old mailboxes'. */
static bool is_risky_start(struct str rest)
{
	return rest.p[0] == '.' || str_starts(rest, STR("From "));
}

static void add_qp_line(struct buf *out, struct str line)
{
	size_t width = 0;
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];
		bool last = i + 1 == line.n;
		bool blank = c == ' ' || c == '\t';
		bool literal = (c > 0x20 && c < 0x7f && c != '=') || (blank && !last);
		size_t need = literal ? 1 : 3;
		if (width + need > LINE_MAX_CHARS - (last ? 0 : 1)) {
			buf_addz(out, "=\r\n");
			width = 0;
		}
		if (width == 0 && is_risky_start(str_sub(line, i, line.n - i))) {
			literal = false;
			need = 3;
		}
		if (literal)
			buf_addc(out, (char)c);
		else
			buf_addf(out, "=%02X", c);
		width += need;
	}
	buf_addz(out, "\r\n");
}

void mime_add_text(struct buf *out, struct str text)
{
	do {
		size_t n = 0;
		while (n < text.n && text.p[n] != '\r' && text.p[n] != '\n')
			n++;
		add_qp_line(out, str_sub(text, 0, n));
		size_t skip = n < text.n ? 1 : 0;
		if (n + 1 < text.n && text.p[n] == '\r' && text.p[n + 1] == '\n')
			skip = 2;
		text = str_sub(text, n + skip, text.n - n - skip);
	} while (text.n > 0);
}

void mime_write(const struct mime_message *m, struct buf *out)
{
	buf_addz(out, "Date: ");
	mime_add_date(out, m->date_wall_ms);
	buf_addz(out, "\r\nFrom: ");
	if (m->from_name.n > 0) {
		add_display_name(out, m->from_name);
		buf_addz(out, "\r\n ");
	}
	buf_addf(out, "<%.*s>\r\nTo: <%.*s>\r\nMessage-ID: %.*s\r\nSubject: ", STR_ARG(m->from), STR_ARG(m->to), STR_ARG(m->message_id));
	mime_add_words(out, m->subject);
	buf_addz(out, "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
		      "Auto-Submitted: auto-generated\r\n\r\n");
	mime_add_text(out, m->text);
}
