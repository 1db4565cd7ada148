/* Tokens: who is calling, and what they may do.
 *
 * A token is checked in full before libjwt sees it (size, shape, strict base64url, header and claims through the scanner, `alg` and
 * `kid` equal to one configured key's), then libjwt verifies the signature, then the claims are checked against that key's entry.
 * A verified token is remembered by its SHA-256, bounded, until min(exp, 60 s). Any thread after auth_new. */
#ifndef SLUICE_AUTH_AUTH_H
#define SLUICE_AUTH_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum role_bit {
#define X(id, word, what) ROLE_INDEX_##id,
#include "lib/auth/roles.def"
#undef X
	ROLE_COUNT
};
#define X(id, word, what) ROLE_##id = 1u << ROLE_INDEX_##id,
enum role {
#include "lib/auth/roles.def"
};
#undef X
typedef unsigned role_set;

/* Roles that see every organization. */
#define ROLES_EVERY_ORG ((role_set)(ROLE_ADMIN | ROLE_OPERATOR | ROLE_VIEWER))

role_set role_parse(struct str word); /* 0: no such role */
const char *role_word(unsigned index);
void role_dump(struct buf *out); /* JSON: [{role, may}] */

#define AUTH_SUB_MAX 128
#define AUTH_ORG_MAX 64
#define AUTH_ORG_DEFAULT "default"
#define AUTH_TTL_MAX_S INT64_C(31536000) /* 365 days */

struct principal {
	char sub[AUTH_SUB_MAX + 1];
	char org[AUTH_ORG_MAX + 1]; /* [A-Za-z0-9][A-Za-z0-9._-]*; "default" when the token has none */
	role_set roles;
	int64_t expires_s;
};

struct auth_options {
	struct str secret;          /* JWT_SECRET: HS256 */
	const char *public_key_file; /* JWT_PUBLIC_KEY_FILE; NULL or "" for none */
	const char *keys_file;      /* JWT_KEYS_FILE */
	const char *issuer, *audience; /* demanded when set (keys' own override) */
};

struct auth;

/* Everything is read now; *o may go afterwards. Refuses HS keys under 32 bytes, repetitive ones and well-known sample secrets, RSA keys under 2048
 * bits, EC keys off P-256, and a keys file with anything that it does not know; err says what to do. NULL on failure. */
struct auth *auth_new(const struct auth_options *o, struct err *err);
void auth_free(struct auth *a);

/* Reads the keys anew: from its return on, only they count, also for tokens that were remembered. On failure, which is auth_new's, those that were
 * there stay. */
int auth_reload(struct auth *a, const struct auth_options *o, struct err *err) MUST_CHECK;

/* ERR_DENIED with a reason fit for the WWW-Authenticate header (never the token); ERR_NOMEM. */
int auth_verify(struct auth *a, struct str token, struct principal *out, struct err *err) MUST_CHECK;

/* Appends an HS256 token under JWT_SECRET, with iat, exp = now + ttl_s, and iss and aud when they are demanded. ERR_INVALID (a sub, org, role or life that
 * would not be accepted back), ERR_WRONG_STATE (no JWT_SECRET), ERR_NOMEM. who->expires_s is not looked at. */
int auth_issue(struct auth *a, const struct principal *who, int64_t ttl_s, struct buf *out, struct err *err) MUST_CHECK;

#endif
