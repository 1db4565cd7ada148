#include "lib/auth/token.h"

#include <errno.h>
#include <jwt.h>
#include <openssl/err.h>

#include "lib/base/digest.h"

#define KID_MAX_BYTES 128

static int deny(struct err *err, const char *why)
{
	err_set(err, ERR_DENIED, "%s", why);
	return ERR_DENIED;
}

static int no_memory(struct err *err)
{
	err_set(err, ERR_NOMEM, "out of memory");
	return ERR_NOMEM;
}

/* Decodes one segment into the arena. */
static int decode(struct arena *a, struct str segment, struct str *out, struct err *err)
{
	struct buf bytes = BUF_INIT;
	*out = STR_NONE;
	int rc = digest_b64url_decode(&bytes, segment);
	if (rc == 0)
		*out = arena_dup(a, buf_str(&bytes));
	buf_release(&bytes);
	if (rc < 0)
		return deny(err, "the token is not strict base64url");
	return out->p ? 0 : no_memory(err);
}

static int scan(struct jdoc *doc, struct arena *a, struct str segment, struct err *err)
{
	struct str text;
	int rc = decode(a, segment, &text, err);
	if (rc < 0)
		return rc;
	struct jdoc_fault fault;
	rc = jdoc_parse(doc, a, text, &JDOC_TOKEN_LIMITS, &fault);
	if (rc == ERR_NOMEM)
		return no_memory(err);
	if (rc < 0 || jdoc_type(doc, JDOC_ROOT) != J_OBJECT)
		return deny(err, "the token's header or claims are not acceptable JSON");
	return 0;
}

/* A header field that is not understood may change what the others mean (crit, b64, zip) or name a key of the attacker's (jwk, jku, x5c, x5u):
 * nothing else is let through. */
static bool header_fields_known(const struct token *t)
{
	static const char *const known[] = {"alg", "typ", "kid", "x5t", "x5t#S256"};
	for (uint32_t c = jdoc_first(&t->header, JDOC_ROOT); c != JDOC_NONE; c = jdoc_next(&t->header, JDOC_ROOT, c)) {
		struct str name = jdoc_key(&t->header, c, t->arena);
		bool ok = false;
		for (size_t i = 0; i < ARRAY_LEN(known) && !ok; i++)
			ok = name.p && str_is(name, known[i]);
		if (!ok)
			return false;
	}
	return true;
}

static int read_header(struct token *t, struct err *err)
{
	if (!header_fields_known(t))
		return deny(err, "the token's header has a field that is not understood here");
	uint32_t typ = jdoc_get(&t->header, JDOC_ROOT, "typ");
	uint32_t kid = jdoc_get(&t->header, JDOC_ROOT, "kid");
	t->alg = jdoc_string(&t->header, jdoc_get(&t->header, JDOC_ROOT, "alg"), t->arena);
	if (!t->alg.p)
		return deny(err, "the token's header names no algorithm");
	if (typ != JDOC_NONE) {
		struct str word = jdoc_string(&t->header, typ, t->arena);
		if (!word.p || !str_ieq(word, STR("JWT")))
			return deny(err, "the token's type is not JWT");
	}
	t->kid = STR_NONE;
	if (kid != JDOC_NONE) {
		t->kid = jdoc_string(&t->header, kid, t->arena);
		if (!t->kid.p || t->kid.n == 0 || t->kid.n > KID_MAX_BYTES)
			return deny(err, "the token's kid is not a string of 1 to 128 bytes");
	}
	return 0;
}

/* Three segments, none empty. */
static bool split(struct str text, struct str segments[3])
{
	struct str rest = text;
	for (size_t i = 0; i < 3; i++) {
		if (!rest.p)
			return false;
		segments[i] = str_cut(&rest, '.');
		if (segments[i].n == 0)
			return false;
	}
	return rest.p == NULL;
}

int token_open(struct token *t, struct arena *a, struct str text, struct err *err)
{
	struct str segments[3], signature;
	*t = (struct token){.arena = a};
	if (text.n > TOKEN_MAX_BYTES)
		return deny(err, "the token is longer than 4096 bytes");
	if (!split(text, segments))
		return deny(err, "the token does not have three parts");
	t->text = arena_dupz(a, text);
	if (!t->text)
		return no_memory(err);
	int rc = scan(&t->header, a, segments[0], err);
	if (rc == 0)
		rc = scan(&t->claims, a, segments[1], err);
	if (rc == 0)
		rc = decode(a, segments[2], &signature, err);
	if (rc < 0)
		return rc;
	t->signature_bytes = signature.n;
	return read_header(t, err);
}

static const jwt_alg_t libjwt_alg[KEY_ALGS] = {
	[KEY_HS256] = JWT_ALG_HS256,
	[KEY_RS256] = JWT_ALG_RS256,
	[KEY_ES256] = JWT_ALG_ES256,
};

int token_verify(const struct token *t, const struct key *key, struct err *err)
{
	size_t expected = key_alg_signature_bytes(key->alg);
	jwt_t *jwt = NULL;
	if (expected && t->signature_bytes != expected)
		return deny(err, "the signature is wrong");
	int rc = jwt_decode(&jwt, t->text, (const unsigned char *)key->material.p, (int)key->material.n);
	bool good = rc == 0 && jwt_get_alg(jwt) == libjwt_alg[key->alg];
	jwt_free(jwt);
	ERR_clear_error();
	if (good)
		return 0;
	return rc == ENOMEM ? no_memory(err) : deny(err, "the signature is wrong");
}

/* ---- claims ---- */

#define LATEST_S INT64_C(253402300799) /* the end of the year 9999 */

/* NumericDate, but whole and not negative: 0, ERR_NOT_FOUND, ERR_DENIED. */
static int read_time(const struct token *t, const char *name, int64_t *out, struct err *err)
{
	uint32_t node = jdoc_get(&t->claims, JDOC_ROOT, name);
	uint64_t v;
	if (node == JDOC_NONE)
		return ERR_NOT_FOUND;
	if (jdoc_type(&t->claims, node) != J_NUMBER || str_to_u64(jdoc_raw(&t->claims, node), &v) < 0 || v > LATEST_S) {
		err_set(err, ERR_DENIED, "the claim %s is not a whole number of seconds", name);
		return ERR_DENIED;
	}
	*out = (int64_t)v;
	return 0;
}

static int check_expiry(const struct token *t, int64_t now_s, int64_t *expires_s, struct err *err)
{
	int rc = read_time(t, "exp", expires_s, err);
	if (rc == ERR_NOT_FOUND)
		return deny(err, "the token has no exp");
	if (rc == 0 && now_s >= *expires_s)
		return deny(err, "the token has expired");
	return rc;
}

static int check_not_ahead(const struct token *t, const char *name, int64_t now_s, struct err *err)
{
	int64_t at;
	int rc = read_time(t, name, &at, err);
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (rc == 0 && at > now_s + TOKEN_LEEWAY_S)
		return err_set(err, ERR_DENIED, "the token's %s lies in the future", name);
	return rc;
}

static bool claim_is(const struct token *t, uint32_t node, struct str wanted)
{
	struct str s = jdoc_string(&t->claims, node, t->arena);
	return s.p && str_eq(s, wanted);
}

static int check_issuer(const struct token *t, const struct key *key, struct err *err)
{
	if (!key->issuer.p || claim_is(t, jdoc_get(&t->claims, JDOC_ROOT, "iss"), key->issuer))
		return 0;
	return deny(err, "the token is from another issuer");
}

static int check_audience(const struct token *t, const struct key *key, struct err *err)
{
	uint32_t aud = jdoc_get(&t->claims, JDOC_ROOT, "aud");
	if (!key->audience.p || claim_is(t, aud, key->audience))
		return 0;
	if (aud != JDOC_NONE && jdoc_type(&t->claims, aud) == J_ARRAY)
		for (uint32_t c = jdoc_first(&t->claims, aud); c != JDOC_NONE; c = jdoc_next(&t->claims, aud, c))
			if (claim_is(t, c, key->audience))
				return 0;
	return deny(err, "the token is for another audience");
}

static int read_sub(const struct token *t, struct principal *out, struct err *err)
{
	struct str sub = jdoc_string(&t->claims, jdoc_get(&t->claims, JDOC_ROOT, "sub"), t->arena);
	if (!sub.p || !auth_sub_ok(sub))
		return deny(err, "the claim sub is not a name of 1 to 128 bytes");
	memcpy(out->sub, sub.p, sub.n);
	return 0;
}

static int read_org(const struct token *t, const struct key *key, struct principal *out, struct err *err)
{
	uint32_t node = jdoc_get(&t->claims, JDOC_ROOT, "org");
	struct str org = node == JDOC_NONE ? STR(AUTH_ORG_DEFAULT) : jdoc_string(&t->claims, node, t->arena);
	if (!org.p || !auth_org_ok(org))
		return deny(err, "the claim org is not an organization's name");
	if (!key_allows_org(key, org))
		return deny(err, "the key may not speak for this org");
	memcpy(out->org, org.p, org.n);
	return 0;
}

static int read_roles(const struct token *t, const struct key *key, struct principal *out, struct err *err)
{
	uint32_t roles = jdoc_get(&t->claims, JDOC_ROOT, "roles");
	if (roles == JDOC_NONE || jdoc_type(&t->claims, roles) != J_ARRAY)
		return deny(err, "the claim roles is not an array");
	for (uint32_t c = jdoc_first(&t->claims, roles); c != JDOC_NONE; c = jdoc_next(&t->claims, roles, c)) {
		struct str word = jdoc_string(&t->claims, c, t->arena);
		role_set role = word.p ? role_parse(word) : 0;
		if (!role)
			return deny(err, "the claim roles has a role that does not exist");
		out->roles |= role;
	}
	if (!out->roles)
		return deny(err, "the claim roles is empty");
	if (out->roles & ~key->roles)
		return deny(err, "the key may not give these roles");
	return 0;
}

int token_claims(const struct token *t, const struct key *key, int64_t now_s, struct principal *out, struct err *err)
{
	struct principal who = {0};
	int rc = check_expiry(t, now_s, &who.expires_s, err);
	if (rc == 0)
		rc = check_not_ahead(t, "nbf", now_s, err);
	if (rc == 0)
		rc = check_not_ahead(t, "iat", now_s, err);
	if (rc == 0)
		rc = check_issuer(t, key, err);
	if (rc == 0)
		rc = check_audience(t, key, err);
	if (rc == 0)
		rc = read_sub(t, &who, err);
	if (rc == 0)
		rc = read_org(t, key, &who, err);
	if (rc == 0)
		rc = read_roles(t, key, &who, err);
	if (rc == 0)
		*out = who;
	return rc;
}
