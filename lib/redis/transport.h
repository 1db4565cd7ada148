/* A non-blocking byte stream to a Redis: TCP, Unix socket or TLS.
 *
 *     struct transport *t = transport_new(&addr, &err);       reads certificates, connects nothing
 *     rc = transport_begin(t, deadline, &err);                resolves the name (this may block) and starts
 *     while (rc == 0) {
 *             poll transport_fd for transport_events, until transport_deadline at the latest
 *             rc = transport_advance(t, &err);                1: connected
 *     }
 *     transport_read, transport_write ...                     0: would block, poll again
 *     transport_close(t);                                     may begin anew
 *     transport_free(t);
 *
 * Where sentinels tell the address, it is asked for at every begin. Every address of the name is tried in turn, each for its share of the time left. TLS is 1.2 or newer, the chain and the
 * host name are verified, SNI is sent. The process ignores SIGPIPE, or the thread blocks it: OpenSSL writes without
 * MSG_NOSIGNAL. One thread at a time. */
#ifndef SLUICE_REDIS_TRANSPORT_H
#define SLUICE_REDIS_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/redis/raddr.h"

struct transport;

/* NULL: no memory, or a certificate file cannot be used. *addr is copied. */
struct transport *transport_new(const struct raddr *addr, struct err *err) MUST_CHECK;
void transport_free(struct transport *t); /* NULL: nothing */

/* 1: connected; 0: under way; ERR_UNAVAILABLE: no address works; ERR_TIMEOUT. On failure it is closed. */
int transport_begin(struct transport *t, int64_t deadline_mono_ms, struct err *err) MUST_CHECK;
int transport_advance(struct transport *t, struct err *err) MUST_CHECK;
int64_t transport_deadline(const struct transport *t); /* when to call transport_advance even if nothing happened */
void transport_close(struct transport *t);

/* The address with the host and port of the last begin, for messages. Valid until the next one. */
const struct raddr *transport_addr(const struct transport *t);
/* Is the master, to which this was to connect, somewhere else by now? ERR_UNAVAILABLE; 0 where no sentinels tell. */
int transport_check_place(const struct transport *t, struct err *err) MUST_CHECK;

int transport_fd(const struct transport *t); /* -1 when closed */
short transport_events(const struct transport *t, bool want_write); /* for poll(2) */

/* The number of bytes; 0: would block; ERR_IO: broken or ended by the peer. */
ssize_t transport_read(struct transport *t, void *p, size_t n, struct err *err) MUST_CHECK;
ssize_t transport_write(struct transport *t, const void *p, size_t n, struct err *err) MUST_CHECK;
/* Bytes are here that poll(2) does not know of: read again before polling. */
bool transport_has_buffered(const struct transport *t);

#endif
