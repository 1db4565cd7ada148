#include "lib/auth/auth.h"

#include <errno.h>
#include <jwt.h>
#include <openssl/crypto.h>

#include "lib/auth/cache.h"
#include "lib/auth/token.h"
#include "lib/base/clock.h"
#include "lib/json/jwrite.h"

#define VERIFY_MAX_BYTES ((size_t)128 << 10) /* memory of one verification */

struct auth {
	struct keys keys;
	struct cache *cache;
};

struct auth *auth_new(const struct auth_options *o, struct err *err)
{
	struct auth *a = calloc(1, sizeof(*a));
	if (!a) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	int rc = keys_load(&a->keys, o, err);
	if (rc == 0 && !(a->cache = cache_new()))
		rc = err_set(err, ERR_NOMEM, "out of memory");
	if (rc < 0) {
		auth_free(a);
		return NULL;
	}
	return a;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	keys_release(&a->keys);
	cache_free(a->cache);
	free(a);
}

static int verify_in_full(const struct auth *a, struct arena *memory, struct str text, int64_t now_s, struct principal *out, struct err *err)
{
	struct token t;
	int rc = token_open(&t, memory, text, err);
	if (rc < 0)
		return rc;
	const struct key *key = keys_find(&a->keys, t.kid, t.alg);
	if (!key)
		return err_set(err, ERR_DENIED, "no key is configured for the token's kid and algorithm");
	rc = token_verify(&t, key, err);
	return rc < 0 ? rc : token_claims(&t, key, now_s, out, err);
}

int auth_verify(struct auth *a, struct str token, struct principal *out, struct err *err)
{
	unsigned char hash[SHA256_BYTES];
	struct principal who;
	int64_t now_ms = clock_wall_ms();
	if (token.n > TOKEN_MAX_BYTES)
		return err_set(err, ERR_DENIED, "the token is longer than 4096 bytes");
	digest_sha256(token, hash);
	if (cache_get(a->cache, hash, now_ms, out))
		return 0;
	struct arena memory;
	arena_init(&memory, VERIFY_MAX_BYTES);
	int rc = verify_in_full(a, &memory, token, now_ms / 1000, &who, err);
	arena_release(&memory);
	if (rc < 0)
		return rc;
	cache_put(a->cache, hash, now_ms, &who);
	*out = who;
	return 0;
}

/* ---- making tokens ---- */

static void write_claims(struct buf *out, const struct key *key, const struct principal *who, int64_t now_s, int64_t ttl_s)
{
	struct jwrite w = jwrite_into(out);
	jw_open(&w, '{');
	jw_kstrz(&w, "sub", who->sub);
	jw_kstrz(&w, "org", who->org);
	jw_key(&w, "roles");
	jw_open(&w, '[');
	for (unsigned i = 0; i < ROLE_COUNT; i++)
		if (who->roles & 1u << i)
			jw_strz(&w, role_word(i));
	jw_close(&w, ']');
	jw_kint(&w, "iat", now_s);
	jw_kint(&w, "exp", now_s + ttl_s);
	if (key->issuer.p)
		jw_kstr(&w, "iss", key->issuer);
	if (key->audience.p)
		jw_kstr(&w, "aud", key->audience);
	jw_close(&w, '}');
}

static int sign(const struct key *key, const char *claims, struct buf *out, struct err *err)
{
	jwt_t *jwt = NULL;
	int rc = jwt_new(&jwt);
	if (rc == 0)
		rc = jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)key->material.p, (int)key->material.n);
	if (rc == 0)
		rc = jwt_add_grants_json(jwt, claims);
	char *text = rc == 0 ? jwt_encode_str(jwt) : NULL;
	if (text)
		buf_addz(out, text);
	bool written = text && !out->failed;
	free(text);
	jwt_free(jwt);
	return written ? 0 : err_set(err, ERR_NOMEM, "the token could not be made: %s", strerror(rc ? rc : ENOMEM));
}

int auth_issue(const struct auth *a, const struct principal *who, int64_t ttl_s, struct buf *out, struct err *err)
{
	const struct key *key = keys_find(&a->keys, STR_NONE, STR("HS256"));
	if (!key)
		return err_set(err, ERR_WRONG_STATE, "tokens are made under JWT_SECRET, which is not set");
	if (!auth_sub_ok(str_from(who->sub)))
		return err_set(err, ERR_INVALID, "sub must be 1 to %d bytes without control characters", AUTH_SUB_MAX);
	if (!auth_org_ok(str_from(who->org)))
		return err_set(err, ERR_INVALID, "org must be 1 to %d of A-Z a-z 0-9 . _ - and begin with a letter or digit", AUTH_ORG_MAX);
	if (!who->roles || who->roles >> ROLE_COUNT)
		return err_set(err, ERR_INVALID, "a token needs at least one role");
	if (ttl_s < 1 || ttl_s > AUTH_TTL_MAX_S)
		return err_set(err, ERR_INVALID, "a token's life must be 1 second to 365 days");
	struct buf claims = BUF_INIT;
	write_claims(&claims, key, who, clock_wall_ms() / 1000, ttl_s);
	int rc = claims.failed ? err_set(err, ERR_NOMEM, "out of memory") : sign(key, claims.p, out, err);
	buf_release(&claims);
	return rc;
}
