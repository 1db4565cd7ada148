/* A token taken apart. Everything here is our own reading, made before libjwt sees a byte.
 *
 *     struct token t;
 *     if (token_open(&t, arena, text, &err) < 0) ...       shape, base64url, both JSON parts, the header's fields
 *     const struct key *key = keys_find(keys, t.kid, t.alg);
 *     ... token_verify(&t, key, &err), token_claims(&t, key, now_s, &who, &err)
 *
 * Failures are ERR_DENIED with a phrase without quotes or bytes of the token, and ERR_NOMEM. Any thread; a token is one thread's. */
#ifndef SLUICE_AUTH_TOKEN_H
#define SLUICE_AUTH_TOKEN_H

#include "lib/auth/key.h"
#include "lib/json/jdoc.h"

#define TOKEN_MAX_BYTES ((size_t)4096)
#define TOKEN_LEEWAY_S 60 /* for nbf and iat, whose maker's clock may be ahead of ours; exp has none */

struct token {
	struct arena *arena;
	char *text; /* NUL-terminated copy, at most TOKEN_MAX_BYTES */
	struct jdoc header, claims;
	size_t signature_bytes;
	struct str alg, kid; /* of the header; kid.p NULL when absent */
};

int token_open(struct token *t, struct arena *a, struct str text, struct err *err) MUST_CHECK;
/* The signature, by libjwt, under this key and its algorithm alone. */
int token_verify(const struct token *t, const struct key *key, struct err *err) MUST_CHECK;
/* exp, nbf, iat, iss, aud, sub, org and roles, against the key's bounds. */
int token_claims(const struct token *t, const struct key *key, int64_t now_s, struct principal *out, struct err *err) MUST_CHECK;

#endif
