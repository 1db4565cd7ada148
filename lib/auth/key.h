/* The keys that tokens may be verified with. Each has one algorithm, by which alone its tokens are verified, and a bound of what
 * they may claim. Immutable after loading: any thread may read. */
#ifndef SLUICE_AUTH_KEY_H
#define SLUICE_AUTH_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/auth/auth.h"
#include "lib/base/arena.h"

enum key_alg { KEY_HS256, KEY_RS256, KEY_ES256, KEY_ALGS };

struct key {
	struct str kid;      /* .p NULL: the key of tokens that name none */
	enum key_alg alg;
	struct str material; /* HS256: the secret; else the public key as PEM. A NUL follows. Never empty. */
	role_set roles;      /* the most a token may claim */
	const struct str *orgs;
	size_t n_orgs;
	bool every_org;      /* orgs do not matter */
	struct str issuer, audience; /* demanded of the token; .p NULL: not */
};

struct keys {
	struct arena memory;
	struct key *items;
	size_t n;
};

/* "HS256"; also what a token's header must say, to the letter. */
const char *key_alg_word(enum key_alg alg);
/* The bytes of a P-256 signature in a token, and so on; 0: depends on the key. */
size_t key_alg_signature_bytes(enum key_alg alg);

/* Reads everything that the options name; err says which setting is wrong and what to do. keys_release also after a failure. */
int keys_load(struct keys *k, const struct auth_options *o, struct err *err) MUST_CHECK;
/* Secrets are wiped. */
void keys_release(struct keys *k);

/* The one key for a header with this kid (.p NULL when it has none) and alg; NULL when there is none. */
const struct key *keys_find(const struct keys *k, struct str kid, struct str alg);
bool key_allows_org(const struct key *key, struct str org);

/* Rules that the makers of tokens share with their readers. */
bool auth_sub_ok(struct str sub); /* 1 to AUTH_SUB_MAX bytes of UTF-8 without control characters */
bool auth_org_ok(struct str org); /* [A-Za-z0-9][A-Za-z0-9._-]*, at most AUTH_ORG_MAX bytes */

#endif
