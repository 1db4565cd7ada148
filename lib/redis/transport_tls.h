/* The TLS layer of a transport, over OpenSSL. For transport.c only. */
#ifndef SLUICE_REDIS_TRANSPORT_TLS_H
#define SLUICE_REDIS_TRANSPORT_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/redis/raddr.h"

/* What has to happen before the last operation can go on. */
enum tls_want { TLS_WANT_NOTHING, TLS_WANT_READ, TLS_WANT_WRITE };

/* Trust store, client certificate, versions. NULL with ERR_INVALID or ERR_NOMEM. */
SSL_CTX *tls_context(const struct raddr *addr, struct err *err) MUST_CHECK;
/* A client session over a connected socket, with SNI and the name to verify. NULL: ERR_NOMEM. */
SSL *tls_session(SSL_CTX *ctx, int fd, const struct raddr *addr, struct err *err) MUST_CHECK;
/* 1: done; 0: see *want; ERR_UNAVAILABLE. */
int tls_handshake(SSL *ssl, enum tls_want *want, struct err *err) MUST_CHECK;
/* As transport_read and transport_write. */
ssize_t tls_read(SSL *ssl, void *p, size_t n, enum tls_want *want, struct err *err) MUST_CHECK;
ssize_t tls_write(SSL *ssl, const void *p, size_t n, enum tls_want *want, struct err *err) MUST_CHECK;

#endif
