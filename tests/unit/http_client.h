/* A raw HTTP client for tests: it sends any bytes and reads one response at a time. Every wait ends within CLIENT_MS. */
#ifndef SLUICE_TESTS_UNIT_HTTP_CLIENT_H
#define SLUICE_TESTS_UNIT_HTTP_CLIENT_H

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

#define CLIENT_MS 15000

struct client {
	int fd;
	struct buf in; /* received and not yet used */
};

struct reply {
	int status;
	struct buf head, body;
};

void client_open(struct client *c, unsigned port);
void client_close(struct client *c);
void client_send(struct client *c, const char *bytes, size_t n);
/* Reads one response (with no body for HEAD); false when the connection ends before one is complete. */
bool client_read(struct client *c, struct reply *out, bool head_only);
/* true when the peer closes without sending more. */
bool client_at_end(struct client *c);

/* A response header's value; "" when absent. Valid until the reply is released. */
struct str reply_header(const struct reply *r, const char *name);
void reply_release(struct reply *r);

#endif
