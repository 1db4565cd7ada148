/* How what a listener is told reads: as Server-Sent Events, or as messages of a WebSocket, each a line of JSON. */
#ifndef SLUICE_GATEWAY_REALTIME_WORDING_H
#define SLUICE_GATEWAY_REALTIME_WORDING_H

#include "gateway/realtime/cursor.h"

/* An event with the cursor behind it; without a type, the cursor alone. */
void wording_write(struct buf *out, bool messages, const struct cursor *at, const char *type, struct str json);
void wording_event(struct buf *out, bool messages, const struct cursor *at, const struct event *e);
/* What is known of that queue may be out of date. */
void wording_resync(struct buf *out, bool messages, const struct cursor *at, struct str queue);

#endif
