/* What the lobby makes of a request's first bytes. It decides nothing but when to wait: civetweb and the guard read them for good. */
#include "gateway/http/lobby.h"

/* Where the empty line behind the head ends; 0: it is not there. */
static size_t head_end(struct str s, size_t from)
{
	size_t at = from < 3 ? 0 : from - 3;
	for (const char *nl; at < s.n && (nl = memchr(s.p + at, '\n', s.n - at)); at = (size_t)(nl - s.p) + 1) {
		size_t next = (size_t)(nl - s.p) + 1;
		if (next < s.n && s.p[next] == '\n')
			return next + 1;
		if (next + 1 < s.n && s.p[next] == '\r' && s.p[next + 1] == '\n')
			return next + 2;
	}
	return 0;
}

static bool has_odd_byte(struct str s, size_t from)
{
	for (size_t i = from; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if ((c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
			return true;
	}
	return false;
}

/* The announced length of a body that is read as a whole and small. 0 too where the client waits to hear that it is wanted, and where nothing
 * says who the client is: then it is refused without its body, or one of few whose bodies are read at a time. */
static size_t body_wanted(struct str head)
{
	uint64_t length = 0;
	bool whole = false, known = false;
	(void)str_cut(&head, '\n');
	while (head.n) {
		struct str value = str_cut(&head, '\n');
		struct str name = str_cut(&value, ':');
		if (str_ieq(name, STR("Expect")))
			return 0;
		value = str_trim(str_cut(&value, '\r'));
		if (str_ieq(name, STR("Content-Type")))
			whole = str_ieq(str_trim(str_cut(&value, ';')), STR("application/json"));
		else if (str_ieq(name, STR("Authorization")) || str_ieq(name, STR("Cookie")))
			known = true;
		else if (str_ieq(name, STR("Content-Length")) && str_to_u64(value, &length) < 0)
			return 0;
	}
	return whole && known && length <= LOBBY_BODY_BYTES ? (size_t)length : 0;
}

size_t lobby_bytes_wanted(struct str bytes, size_t seen)
{
	size_t end = head_end(bytes, seen);
	if (end)
		return end + body_wanted((struct str){bytes.p, end});
	return has_odd_byte(bytes, seen) ? bytes.n : 0;
}

bool lobby_is_urgent(struct str bytes)
{
	static const struct str paths[] = {STR("/health"), STR("/livez"), STR("/readyz"), STR("/metrics")};
	struct str method = str_cut(&bytes, ' ');
	if (!bytes.p || (!str_is(method, "GET") && !str_is(method, "HEAD")))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (str_starts(bytes, paths[i]))
			return true;
	return false;
}
