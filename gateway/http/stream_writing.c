/* How text goes out: as it is, or line by line as messages of a WebSocket. */
#include <arpa/inet.h>
#include <stdio.h>

#include "gateway/http/stream_state.h"
#include "gateway/http/wire.h"

static int write_text(struct stream *s, const char *at, size_t left, size_t *taken)
{
	struct iovec part = {(void *)(uintptr_t)at, left}, *rest = &part;
	int n = 1, rc = wire_push(s->fd, &rest, &n);

	if (rc >= 0)
		*taken = rc ? left - part.iov_len : left;
	return rc;
}

/* civetweb waits until the socket has taken a message: so it is asked only while there is room for more than the largest one. */
static int write_frame(struct stream *s, int opcode, const char *p, size_t n)
{
	if (!wire_has_room(s->fd))
		return 1;
	return mg_websocket_write(s->websocket, opcode, p, n) > 0 ? 0 : ERR_IO;
}

static int write_lines(struct stream *s, const char *at, size_t left, size_t *taken)
{
	int rc = 0;

	while (rc == 0 && *taken < left) {
		const char *line = at + *taken, *end = memchr(line, '\n', left - *taken);
		size_t n = end ? (size_t)(end - line) : left - *taken;

		rc = write_frame(s, MG_WEBSOCKET_OPCODE_TEXT, line, n);
		if (rc == 0)
			*taken += end ? n + 1 : n;
	}
	return rc;
}

int stream_write(struct stream *s, const char *at, size_t left, size_t *taken)
{
	*taken = 0;
	return (s->websocket ? write_lines : write_text)(s, at, left, taken);
}

void stream_write_pong(struct stream *s)
{
	char pong[PONG_MAX];

	if (!s->websocket)
		return;
	lock_take(&s->all->mu);
	bool due = s->pong_due;
	size_t n = s->pong_bytes;
	memcpy(pong, s->pong, n);
	s->pong_due = false;
	lock_give(&s->all->mu);
	if (due && write_frame(s, MG_WEBSOCKET_OPCODE_PONG, pong, n) < 0)
		s->gone = true;
}

void stream_write_ping(struct stream *s)
{
	if (s->websocket && write_frame(s, MG_WEBSOCKET_OPCODE_PING, "", 0) < 0)
		s->gone = true;
}

struct str stream_farewell(const struct stream *s, enum stream_end why, char room[STREAM_FAREWELL_SIZE])
{
	const char *form = s->websocket ? "{\"type\":\"end\",\"data\":{\"reason\":\"%s\"}}\n" : "retry: 1000\nevent: end\ndata: {\"reason\":\"%s\"}\n\n";
	int n = snprintf(room, STREAM_FAREWELL_SIZE, form, stream_end_word(why));

	return (struct str){room, (size_t)n};
}

/* Codes of RFC 6455 7.4; those from 4000 on are a program's own. */
static const uint16_t CLOSE_CODES[STREAM_END_COUNT] = {
	[STREAM_EXPIRED] = 4001, [STREAM_DRAINING] = 1001, [STREAM_CHANGED] = 4000, [STREAM_REFUSED] = 1003, [STREAM_LEFT] = 1000};

void stream_write_close(struct stream *s, enum stream_end why)
{
	char payload[2 + STREAM_FAREWELL_SIZE];
	uint16_t code = htons(CLOSE_CODES[why]);
	int n = snprintf(payload + sizeof(code), STREAM_FAREWELL_SIZE, "%s", stream_end_word(why));

	memcpy(payload, &code, sizeof(code));
	(void)write_frame(s, MG_WEBSOCKET_OPCODE_CONNECTION_CLOSE, payload, sizeof(code) + (size_t)n);
}
