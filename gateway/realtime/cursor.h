/* How far a listener has come in the event streams of its queues, as text that it sends back to go on from there.
 *
 * Of one queue that is the id of its last entry; of several their ids behind a mark of the list of queues. Opaque to clients. */
#ifndef SLUICE_GATEWAY_REALTIME_CURSOR_H
#define SLUICE_GATEWAY_REALTIME_CURSOR_H

#include "gateway/realtime/event.h"

#define CURSOR_MARK_SIZE 9

struct cursor {
	struct event_id *at; /* n of them */
	size_t n;
	char mark[CURSOR_MARK_SIZE];
};

/* Of these queues, at the beginning of each; `at` is in the arena. ERR_NOMEM. */
int cursor_init(struct cursor *c, const struct str *queues, size_t n, struct arena *a) MUST_CHECK;
void cursor_write(const struct cursor *c, struct buf *out);
/* ERR_INVALID: it is no cursor, or one of other queues; *c is as it was. */
int cursor_read(struct cursor *c, struct str text) MUST_CHECK;

#endif
