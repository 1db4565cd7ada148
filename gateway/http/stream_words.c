/* How what is said goes out: as it is, or in frames of a WebSocket (RFC 6455). */
#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>

#include "gateway/http/stream_state.h"

#define FRAME_LAST 0x80 /* RFC 6455 5.2: a message is one frame */
#define LENGTH_SHORT 125
#define LENGTH_16 126
#define LENGTH_64 127

static void add_frame(struct buf *out, int opcode, struct str payload)
{
	uint16_t n16 = htons((uint16_t)payload.n);
	uint64_t n64 = htobe64(payload.n);
	bool is_short = payload.n <= LENGTH_SHORT, fits_16 = payload.n <= UINT16_MAX;

	buf_addc(out, (char)(FRAME_LAST | opcode));
	buf_addc(out, (char)(is_short ? payload.n : fits_16 ? LENGTH_16 : LENGTH_64));
	if (!is_short)
		buf_add(out, fits_16 ? (const void *)&n16 : &n64, fits_16 ? sizeof(n16) : sizeof(n64));
	buf_adds(out, payload);
}

void stream_add_text(struct buf *out, bool messages, struct str text)
{
	if (!messages) {
		buf_adds(out, text);
		return;
	}
	while (text.p && text.n)
		add_frame(out, MG_WEBSOCKET_OPCODE_TEXT, str_cut(&text, '\n'));
}

void stream_add_pong(struct stream *s, struct buf *out)
{
	if (s->pong_due)
		add_frame(out, MG_WEBSOCKET_OPCODE_PONG, (struct str){s->pong, s->pong_bytes});
	s->pong_due = false;
}

void stream_add_ping(const struct stream *s, struct buf *out)
{
	if (s->websocket)
		add_frame(out, MG_WEBSOCKET_OPCODE_PING, STR(""));
}

/* Codes of RFC 6455 7.4; those from 4000 on are a program's own. */
static const uint16_t CLOSE_CODES[STREAM_END_COUNT] = {
	[STREAM_EXPIRED] = 4001, [STREAM_DRAINING] = 1001, [STREAM_CHANGED] = 4000, [STREAM_REFUSED] = 1003, [STREAM_LEFT] = 1000};

void stream_add_close(const struct stream *s, struct buf *out, enum stream_end why)
{
	char payload[2 + STREAM_FAREWELL_SIZE];
	uint16_t code = htons(CLOSE_CODES[why]);

	if (!s->websocket)
		return;
	int n = snprintf(payload + sizeof(code), STREAM_FAREWELL_SIZE, "%s", stream_end_word(why));
	memcpy(payload, &code, sizeof(code));
	add_frame(out, MG_WEBSOCKET_OPCODE_CONNECTION_CLOSE, (struct str){payload, sizeof(code) + (size_t)n});
}

void stream_add_farewell(const struct stream *s, struct buf *out, enum stream_end why)
{
	const char *form = s->websocket ? "{\"type\":\"end\",\"data\":{\"reason\":\"%s\"}}\n" : "retry: 1000\nevent: end\ndata: {\"reason\":\"%s\"}\n\n";
	char room[STREAM_FAREWELL_SIZE];
	int n = snprintf(room, sizeof(room), form, stream_end_word(why));

	stream_add_text(out, s->websocket, (struct str){room, (size_t)n});
	stream_add_close(s, out, why);
}
