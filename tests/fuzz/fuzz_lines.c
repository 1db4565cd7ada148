/* A body read line by line, as it comes. The first two bytes say how: whether it is chunked, and how much of it came with the head; the
 * rest is the body. The same lines come out as of the whole body cut at its newlines; one that breaks off says so. */
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/chunked.h"
#include "gateway/http/lines.h"
#include "gateway/http/server_state.h"
#include "lib/base/panic.h"
#include "lib/config/config.h"

#define HEAD "v\0\n\r\n" /* the end of a head as civetweb leaves it: the last field's value, NUL over its CR, the empty line */
#define LONGEST 40
#define BODY_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct connection {
	struct config config;
	struct http_deps deps;
	struct server server;
	struct worker worker;
	struct exchange x;
	struct mg_request_info info;
	struct request r;
	struct arena arena;
	char received[RECEIVE_BUFFER_BYTES];
};

/* What the body is when all of it has come. */
struct whole {
	struct buf content;
	bool complete;
};

static struct whole decode(struct str body, const struct guard_facts *facts)
{
	struct whole w = {.content = BUF_INIT, .complete = true};
	buf_adds(&w.content, body);
	if (facts->chunked) {
		struct chunked c = {0};
		w.complete = chunked_decode(&c, w.content.p, body.n, &w.content.n) == CHUNKED_END;
	} else {
		w.complete = (int64_t)body.n >= facts->content_length;
		w.content.n = w.complete ? (size_t)facts->content_length : body.n;
	}
	return w;
}

static void connect_pair(struct connection *c, struct str early, struct str later)
{
	int fds[2];
	bug_on(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0);
	bug_on(write(fds[1], later.p, later.n) != (ssize_t)later.n);
	close(fds[1]);
	c->worker.fd = fds[0];
	memcpy(c->received, HEAD, sizeof(HEAD) - 1);
	memcpy(c->received + sizeof(HEAD) - 1, early.p, early.n);
	c->x.arrived = (struct str){c->received, sizeof(HEAD) - 1 + early.n};
}

static void connection_begin(struct connection *c, const struct guard_facts *facts)
{
	memset(c, 0, offsetof(struct connection, received));
	arena_init(&c->arena, 0);
	c->config.max_body_bytes = LONGEST;
	c->config.request_timeout_ms = 10000;
	c->deps.config = &c->config;
	c->worker.server = &c->server;
	c->worker.receive_buffer = c->received;
	c->info.num_headers = 1;
	c->info.http_headers[0].value = c->received;
	c->x.worker = &c->worker;
	c->x.info = &c->info;
	c->x.facts = *facts;
	c->r = (struct request){.deps = &c->deps, .arena = &c->arena, .by_line = true, .x_ = &c->x};
}

/* The next line of the content as it should be; LINES_END at its end. */
static int cut(struct str *rest, bool complete, struct str *line)
{
	bool ended = rest->p && memchr(rest->p, '\n', rest->n);
	if (!rest->p || (!ended && (!complete || !rest->n)))
		return complete ? (int)LINES_END : ERR_PROTOCOL;
	*line = str_cut(rest, '\n');
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return line->n > LONGEST ? (int)LINE_TOO_LONG : (int)LINE_READ;
}

static void compare(struct connection *c, const struct whole *w)
{
	struct str rest = buf_str(&w->content), expected = STR_NONE, line = STR_NONE;
	struct err err = {0};
	int state;
	do {
		state = cut(&rest, w->complete, &expected);
		bug_on(request_line(&c->r, true, &line, &err) != state);
		bug_on(state == (int)LINE_READ && !str_eq(line, expected));
	} while (state == (int)LINE_READ || state == (int)LINE_TOO_LONG);
	bug_on((state == (int)LINES_END) != (c->x.body == BODY_DONE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct connection c;
	struct err err = {0};
	if (size < 2 || size > BODY_MAX)
		return 0;
	struct str body = {(const char *)data + 2, size - 2};
	size_t early = data[1] < body.n ? data[1] : body.n;
	struct guard_facts facts = {.chunked = data[0] & 1};
	facts.content_length = facts.chunked ? -1 : (int64_t)body.n + (data[0] >> 1) % 4 - 1; /* one less, exact, or more than comes */
	if (!facts.chunked && facts.content_length < 0)
		return 0;
	struct whole w = decode(body, &facts);
	connection_begin(&c, &facts);
	connect_pair(&c, str_sub(body, 0, early), str_sub(body, early, body.n - early));
	bug_on(lines_begin(&c.r, &err) < 0);
	compare(&c, &w);
	close(c.worker.fd);
	arena_release(&c.arena);
	buf_release(&w.content);
	return 0;
}
