#include "lib/auth/auth.h"

#include <errno.h>
#include <jwt.h>
#include <pthread.h>
#include <openssl/crypto.h>

#include "lib/auth/cache.h"
#include "lib/auth/token.h"
#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/json/jwrite.h"

#define VERIFY_MAX_BYTES ((size_t)128 << 10) /* memory of one verification */

/* The keys, and the tokens that were verified by them: what one key has vouched for must not outlive it. */
struct trust {
	struct keys keys;
	struct cache *cache;
};

struct auth {
	pthread_rwlock_t lock; /* read for as long as a token is looked at or made */
	/* protected by lock */
	struct trust *trust;
};

static void trust_free(struct trust *t)
{
	if (!t)
		return;
	keys_release(&t->keys);
	cache_free(t->cache);
	free(t);
}

static struct trust *trust_new(const struct auth_options *o, struct err *err)
{
	struct trust *t = calloc(1, sizeof(*t));
	if (!t) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	int rc = keys_load(&t->keys, o, err);
	if (rc == 0 && !(t->cache = cache_new()))
		rc = err_set(err, ERR_NOMEM, "out of memory");
	if (rc == 0)
		return t;
	trust_free(t);
	return NULL;
}

struct auth *auth_new(const struct auth_options *o, struct err *err)
{
	struct auth *a = calloc(1, sizeof(*a));
	if (!a) {
		err_set(err, ERR_NOMEM, "out of memory");
		return NULL;
	}
	a->trust = trust_new(o, err);
	if (!a->trust) {
		free(a);
		return NULL;
	}
	bug_on(pthread_rwlock_init(&a->lock, NULL) != 0);
	return a;
}

int auth_reload(struct auth *a, const struct auth_options *o, struct err *err)
{
	struct trust *fresh = trust_new(o, err);
	if (!fresh)
		return ERR_INVALID;
	pthread_rwlock_wrlock(&a->lock);
	struct trust *old = a->trust;
	a->trust = fresh;
	pthread_rwlock_unlock(&a->lock);
	trust_free(old);
	return 0;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	trust_free(a->trust);
	pthread_rwlock_destroy(&a->lock);
	free(a);
}

static int verify_in_full(const struct trust *trust, struct arena *memory, struct str text, int64_t now_s, struct principal *out, struct err *err)
{
	struct token t;
	int rc = token_open(&t, memory, text, err);
	if (rc < 0)
		return rc;
	const struct key *key = keys_find(&trust->keys, t.kid, t.alg);
	if (!key)
		return err_set(err, ERR_DENIED, "no key is configured for the token's kid and algorithm");
	rc = token_verify(&t, key, err);
	return rc < 0 ? rc : token_claims(&t, key, now_s, out, err);
}

/* The lock is held for reading. */
static int verify(const struct trust *trust, struct str token, struct principal *out, struct err *err)
{
	unsigned char hash[SHA256_BYTES];
	struct principal who;
	int64_t now_ms = clock_wall_ms();
	digest_sha256(token, hash);
	if (cache_get(trust->cache, hash, now_ms, out))
		return 0;
	struct arena memory;
	arena_init(&memory, VERIFY_MAX_BYTES);
	int rc = verify_in_full(trust, &memory, token, now_ms / 1000, &who, err);
	arena_release(&memory);
	if (rc < 0)
		return rc;
	cache_put(trust->cache, hash, now_ms, &who);
	*out = who;
	return 0;
}

int auth_verify(struct auth *a, struct str token, struct principal *out, struct err *err)
{
	if (token.n > TOKEN_MAX_BYTES)
		return err_set(err, ERR_DENIED, "the token is longer than 4096 bytes");
	pthread_rwlock_rdlock(&a->lock);
	int rc = verify(a->trust, token, out, err);
	pthread_rwlock_unlock(&a->lock);
	return rc;
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

/* The lock is held for reading. */
static int issue(const struct trust *trust, const struct principal *who, int64_t ttl_s, struct buf *out, struct err *err)
{
	const struct key *key = keys_find(&trust->keys, STR_NONE, STR("HS256"));
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

int auth_issue(struct auth *a, const struct principal *who, int64_t ttl_s, struct buf *out, struct err *err)
{
	pthread_rwlock_rdlock(&a->lock);
	int rc = issue(a->trust, who, ttl_s, out, err);
	pthread_rwlock_unlock(&a->lock);
	return rc;
}
