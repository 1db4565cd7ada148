/* A body that is read line by line, as it comes (NDJSON). Private to this folder: handlers call request_line.
 *
 * civetweb's mg_read returns when it has all the bytes it was asked for, so a line would wait for the next ones. Such a body is therefore
 * read past civetweb: what it had received with the head, then the socket itself. It cannot find the next request behind the
 * body any more, so the connection is closed after the answer. The connection's thread. */
#ifndef SLUICE_GATEWAY_HTTP_LINES_H
#define SLUICE_GATEWAY_HTTP_LINES_H

#include "gateway/http/request.h"
#include "lib/base/err.h"

struct lines;

/* Takes the body over from civetweb. Everything is in the request's arena. ERR_NOMEM, or ERR_PROTOCOL: the request came before the answer
 * to the one before, which does not go with this, or the client is gone. */
int lines_begin(struct request *r, struct err *err) MUST_CHECK;

#endif
