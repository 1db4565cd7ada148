#include "gateway/realtime/wording.h"

#include "lib/bullmq/bq.h"

static void write_lines(struct buf *b, const struct cursor *at, const char *type, struct str json)
{
	buf_addz(b, "id: ");
	cursor_write(at, b);
	if (type) {
		buf_addz(b, "\nevent: ");
		buf_addz(b, type);
		buf_addz(b, "\ndata: ");
		buf_adds(b, json);
	}
	buf_addz(b, "\n\n");
}

static void write_message(struct buf *b, const struct cursor *at, const char *type, struct str json)
{
	buf_addz(b, "{\"id\":\"");
	cursor_write(at, b);
	buf_addz(b, "\",\"type\":\"");
	buf_addz(b, type ? type : "cursor");
	buf_addz(b, "\",\"data\":");
	buf_adds(b, type ? json : STR("null"));
	buf_addz(b, "}\n");
}

void wording_write(struct buf *out, bool messages, const struct cursor *at, const char *type, struct str json)
{
	(messages ? write_message : write_lines)(out, at, type, json);
}

void wording_event(struct buf *out, bool messages, const struct cursor *at, const struct event *e)
{
	wording_write(out, messages, at, event_word(e->type), e->json);
}

/* A queue's name needs no escaping. */
void wording_resync(struct buf *out, bool messages, const struct cursor *at, struct str queue)
{
	char json[BQ_QUEUE_NAME_MAX + 16];
	int n = snprintf(json, sizeof(json), "{\"queue\":\"%.*s\"}", STR_ARG(queue));

	wording_write(out, messages, at, "resync", (struct str){json, (size_t)n});
}
