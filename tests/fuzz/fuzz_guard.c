/* The guard behind a parser that forgives as civetweb's does: it cuts the input into a request line and fields by writing NULs over the
 * separators. Whatever comes out, the guard answers, and what it accepts keeps the promises that the rest of the server builds on. */
#include <stdbool.h>
#include <stdint.h>

#include "gateway/http/guard.h"
#include "gateway/http/uri.h"
#include "lib/base/panic.h"

#define BUFFER_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the word at p, and returns what follows its separator; NULL at the end of the text. */
static char *cut(char *p, const char *separators)
{
	p += strcspn(p, separators);
	if (!*p)
		return NULL;
	*p = '\0';
	return p + 1;
}

static char *end_line(char *p)
{
	p += strcspn(p, "\r\n");
	if (*p == '\r')
		*p++ = '\0';
	if (*p != '\n')
		return NULL;
	*p = '\0';
	return p + 1;
}

static unsigned cut_fields(char *p, struct guard_header *fields)
{
	unsigned n = 0;
	while (p && n < GUARD_MAX_HEADERS && *p && *p != '\r' && *p != '\n') {
		char *value = cut(p, ":");
		if (!value)
			break;
		for (char *blank = value - 2; blank > p && *blank == ' '; blank--)
			*blank = '\0';
		value += strspn(value, " \t");
		fields[n++] = (struct guard_header){p, value};
		p = end_line(value);
	}
	return n;
}

static void check_promises(const struct guard_request *in, const struct guard_facts *f)
{
	struct arena a;
	arena_init(&a, 0);
	bug_on(f->chunked && f->content_length != -1);
	bug_on(!f->chunked && (f->content_length < 0 || f->content_length > 9999999999));
	bug_on(in->n_headers >= GUARD_MAX_HEADERS);
	struct str decoded = uri_decode(&a, f->path, false);
	bug_on(f->path.p[0] != '/' || memchr(decoded.p, '\0', decoded.n) || !str_is_utf8(decoded));
	if (in->query)
		(void)uri_query_value(&a, str_from(in->query), "a").n;
	arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char buffer[BUFFER_BYTES];
	struct guard_header fields[GUARD_MAX_HEADERS];
	struct guard_request in = {.method = buffer, .headers = fields};
	struct guard_facts facts;
	if (size >= BUFFER_BYTES)
		return 0;
	memset(buffer, 0, sizeof(buffer));
	if (size)
		memcpy(buffer, data, size);
	char *uri = cut(buffer, " ");
	char *version = uri ? cut(uri, " ") : NULL;
	char *rest = version ? end_line(version) : NULL;
	if (!rest)
		return 0;
	in.uri = uri;
	in.query = cut(uri, "?");
	in.version = version;
	in.n_headers = cut_fields(rest, fields);
	if (guard_check(&in, &facts) == 0)
		check_promises(&in, &facts);
	else
		bug_on(!facts.reason || facts.keep_alive);
	(void)guard_check_traces(&in, buffer, sizeof(buffer));
	return 0;
}
