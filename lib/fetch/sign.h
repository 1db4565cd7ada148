/* Signatures of webhooks as the Standard Webhooks specification has them: HMAC-SHA256 over "id.timestamp.body", sent as
 *
 *     webhook-id: msg_1          webhook-timestamp: 1614265330          webhook-signature: v1,base64 [v1,base64 …]
 *
 * A secret is "whsec_" and the base64 of 24 to 64 bytes. While a secret is being replaced, both sign. Any thread. */
#ifndef SLUICE_FETCH_SIGN_H
#define SLUICE_FETCH_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

#define SIGN_KEY_MIN_BYTES 24
#define SIGN_KEY_MAX_BYTES 64

struct sign_key {
	unsigned char bytes[SIGN_KEY_MAX_BYTES];
	size_t n;
};

/* 0 or ERR_INVALID, whose text does not repeat the secret. */
int sign_key_parse(struct sign_key *out, struct str secret, struct err *err) MUST_CHECK;
/* Forgets the key's bytes. */
void sign_key_wipe(struct sign_key *key);

/* Appends the value of webhook-signature. */
void sign_webhook(const struct sign_key *keys, size_t n_keys, struct str id, int64_t timestamp_s, struct str body, struct buf *out);

#endif
