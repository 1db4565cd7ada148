/* SHA-256 (OpenSSL's), hex, base64 and strict base64url. Any thread. */
#ifndef SLUICE_BASE_DIGEST_H
#define SLUICE_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

#define SHA256_BYTES 32
#define SHA256_HEX_SIZE 65

void digest_sha256(struct str in, unsigned char out[SHA256_BYTES]);
/* The hash of several parts, each preceded by its length so that parts cannot run into each other. */
void digest_sha256_parts(const struct str *parts, size_t n, unsigned char out[SHA256_BYTES]);
void digest_hex(const unsigned char *in, size_t n, char *out); /* 2*n digits and a NUL; in may be out + n */
bool digest_equal(const void *a, const void *b, size_t n);     /* in constant time */

/* RFC 4648 base64url without padding; decoding refuses padding, other characters and non-zero rest bits. */
void digest_b64url(struct buf *out, const void *in, size_t n);
int digest_b64url_decode(struct buf *out, struct str in) MUST_CHECK;
/* Plain base64 with padding (BullMQ's client names). */
void digest_b64(struct buf *out, const void *in, size_t n);

#endif
