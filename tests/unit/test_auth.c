/* Which tokens are let in, and which of the known forgeries are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/auth/auth.h"
#include "lib/base/fs.h"
#include "lib/base/lock.h"
#include "tests/unit/forge.h"

#define HS "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define RS "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"
#define ES "{\"alg\":\"ES256\",\"kid\":\"ec\"}"
#define SHOP "{\"alg\":\"HS256\",\"kid\":\"shop\"}"
#define GOOD "{\"sub\":\"ann\",\"roles\":[\"producer\"],\"exp\":@+600}"
/* One claim more, or in place of one. */
#define WITH(more) "{\"sub\":\"ann\",\"roles\":[\"producer\"],\"exp\":@+600," more "}"
#define EXP(exp) "{\"sub\":\"ann\",\"roles\":[\"producer\"],\"exp\":" exp "}"
#define ROLES(roles) "{\"sub\":\"ann\",\"roles\":" roles ",\"exp\":@+600}"
#define SUB(sub) "{\"sub\":" sub ",\"roles\":[\"producer\"],\"exp\":@+600}"
#define SHOP_CLAIMS "{\"sub\":\"till\",\"org\":\"shop\",\"roles\":[\"producer\"],\"exp\":@+600,\"iss\":\"https://shop.example\",\"aud\":\"sluice\"}"
#define SHOP_WITH(org, roles, iss, aud) \
	"{\"sub\":\"till\",\"exp\":@+600,\"org\":" org ",\"roles\":" roles ",\"iss\":" iss ",\"aud\":" aud "}"
#define SHOP_SECRET "hT5vB1nM8qZ4xK7cJ2wR9pL6dF3gS0yA"

struct world {
	char dir[64];
	struct auth *auth;
	EVP_PKEY *rsa, *rsa_other, *p256, *p384;
	struct buf rsa_pem, p256_pem;
};

enum signer {
	SIGN_SECRET,
	SIGN_SHOP,
	SIGN_OTHER_SECRET,
	SIGN_EMPTY_KEY,
	SIGN_HS384,
	SIGN_HS512,
	SIGN_RSA_PEM_AS_SECRET,
	SIGN_EC_PEM_AS_SECRET,
	SIGN_RSA,
	SIGN_RSA_OTHER,
	SIGN_RSA_SHA512,
	SIGN_EC,
	SIGN_EC_DER,
	SIGN_P384,
	SIGN_ZEROS,
	SIGN_NOTHING,   /* "header.claims." */
	SIGN_TWO_PARTS, /* "header.claims" */
};

static void sign(const struct world *w, struct buf *t, enum signer signer)
{
	static const unsigned char zeros[64];
	switch (signer) {
	case SIGN_SECRET: forge_sign_hmac(t, EVP_sha256(), FORGE_SECRET, strlen(FORGE_SECRET)); break;
	case SIGN_SHOP: forge_sign_hmac(t, EVP_sha256(), SHOP_SECRET, strlen(SHOP_SECRET)); break;
	case SIGN_OTHER_SECRET: forge_sign_hmac(t, EVP_sha256(), "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6", 32); break;
	case SIGN_EMPTY_KEY: forge_sign_hmac(t, EVP_sha256(), "", 0); break;
	case SIGN_HS384: forge_sign_hmac(t, EVP_sha384(), FORGE_SECRET, strlen(FORGE_SECRET)); break;
	case SIGN_HS512: forge_sign_hmac(t, EVP_sha512(), FORGE_SECRET, strlen(FORGE_SECRET)); break;
	case SIGN_RSA_PEM_AS_SECRET: forge_sign_hmac(t, EVP_sha256(), w->rsa_pem.p, w->rsa_pem.n); break;
	case SIGN_EC_PEM_AS_SECRET: forge_sign_hmac(t, EVP_sha256(), w->p256_pem.p, w->p256_pem.n); break;
	case SIGN_RSA: forge_sign_rsa(t, w->rsa, EVP_sha256()); break;
	case SIGN_RSA_OTHER: forge_sign_rsa(t, w->rsa_other, EVP_sha256()); break;
	case SIGN_RSA_SHA512: forge_sign_rsa(t, w->rsa, EVP_sha512()); break;
	case SIGN_EC: forge_sign_ec(t, w->p256, EVP_sha256(), 32, true); break;
	case SIGN_EC_DER: forge_sign_ec(t, w->p256, EVP_sha256(), 32, false); break;
	case SIGN_P384: forge_sign_ec(t, w->p384, EVP_sha256(), 48, true); break;
	case SIGN_ZEROS: buf_addc(t, '.'), digest_b64url(t, zeros, sizeof(zeros)); break;
	case SIGN_NOTHING: buf_addc(t, '.'); break;
	case SIGN_TWO_PARTS: break;
	}
}

static int verify(const struct world *w, const char *header, const char *claims, enum signer signer, struct principal *who, struct err *err)
{
	struct buf token = BUF_INIT;
	forge_head(&token, header, claims);
	sign(w, &token, signer);
	assert_false(token.failed);
	int rc = auth_verify(w->auth, buf_str(&token), who, err);
	buf_release(&token);
	return rc;
}

/* ---- tokens that are refused ---- */

static const struct attack {
	const char *name, *header, *claims;
	enum signer signer;
} attacks[] = {
	/* algorithms and keys */
	{"alg none, no signature", "{\"alg\":\"none\"}", GOOD, SIGN_NOTHING},
	{"alg none, two parts", "{\"alg\":\"none\"}", GOOD, SIGN_TWO_PARTS},
	{"alg None, signed", "{\"alg\":\"None\"}", GOOD, SIGN_SECRET},
	{"alg NONE, zeros", "{\"alg\":\"NONE\"}", GOOD, SIGN_ZEROS},
	{"alg none, signed under an empty key", "{\"alg\":\"none\"}", GOOD, SIGN_EMPTY_KEY},
	{"HS256 under an empty key", HS, GOOD, SIGN_EMPTY_KEY},
	{"HS256 under another secret", HS, GOOD, SIGN_OTHER_SECRET},
	{"HS256 without signature", HS, GOOD, SIGN_NOTHING},
	{"HS256 in two parts", HS, GOOD, SIGN_TWO_PARTS},
	{"HS256 with zeros for a signature", HS, GOOD, SIGN_ZEROS},
	{"RS256 public key as HMAC secret", HS, GOOD, SIGN_RSA_PEM_AS_SECRET},
	{"RS256 public key as HMAC secret, alg RS256", RS, GOOD, SIGN_RSA_PEM_AS_SECRET},
	{"ES256 public key as HMAC secret", "{\"alg\":\"HS256\",\"kid\":\"ec\"}", GOOD, SIGN_EC_PEM_AS_SECRET},
	{"HS384", "{\"alg\":\"HS384\"}", GOOD, SIGN_HS384},
	{"HS512", "{\"alg\":\"HS512\"}", GOOD, SIGN_HS512},
	{"HS512 that says HS256", HS, GOOD, SIGN_HS512},
	{"HS256 that says HS512", "{\"alg\":\"HS512\"}", GOOD, SIGN_SECRET},
	{"RS512", "{\"alg\":\"RS512\"}", GOOD, SIGN_RSA_SHA512},
	{"RS512 that says RS256", RS, GOOD, SIGN_RSA_SHA512},
	{"RS256 under another key", RS, GOOD, SIGN_RSA_OTHER},
	{"RS256 with zeros for a signature", RS, GOOD, SIGN_ZEROS},
	{"PS256", "{\"alg\":\"PS256\"}", GOOD, SIGN_RSA},
	{"ES256 in DER", ES, GOOD, SIGN_EC_DER},
	{"ES256 of zeros", ES, GOOD, SIGN_ZEROS},
	{"ES256 on P-384", ES, GOOD, SIGN_P384},
	{"ES256 without its kid", "{\"alg\":\"ES256\"}", GOOD, SIGN_EC},
	{"ES384", "{\"alg\":\"ES384\",\"kid\":\"ec\"}", GOOD, SIGN_P384},
	{"alg in lower case", "{\"alg\":\"hs256\"}", GOOD, SIGN_SECRET},
	{"alg with a space", "{\"alg\":\"HS256 \"}", GOOD, SIGN_SECRET},
	{"alg missing", "{\"typ\":\"JWT\"}", GOOD, SIGN_SECRET},
	{"alg null", "{\"alg\":null}", GOOD, SIGN_SECRET},
	{"alg number", "{\"alg\":256}", GOOD, SIGN_SECRET},
	{"alg array", "{\"alg\":[\"HS256\"]}", GOOD, SIGN_SECRET},
	{"alg twice", "{\"alg\":\"none\",\"alg\":\"HS256\"}", GOOD, SIGN_SECRET},
	{"alg twice, once escaped", "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", GOOD, SIGN_SECRET},
	/* the header's other fields */
	{"kid unknown", "{\"alg\":\"HS256\",\"kid\":\"nobody\"}", GOOD, SIGN_SECRET},
	{"kid empty", "{\"alg\":\"HS256\",\"kid\":\"\"}", GOOD, SIGN_SECRET},
	{"kid number", "{\"alg\":\"HS256\",\"kid\":0}", GOOD, SIGN_SECRET},
	{"kid null", "{\"alg\":\"HS256\",\"kid\":null}", GOOD, SIGN_SECRET},
	{"kid is a path", "{\"alg\":\"HS256\",\"kid\":\"../../../../dev/null\"}", GOOD, SIGN_EMPTY_KEY},
	{"kid is SQL", "{\"alg\":\"HS256\",\"kid\":\"x' UNION SELECT 'k\"}", GOOD, SIGN_EMPTY_KEY},
	{"kid is a Redis key", "{\"alg\":\"HS256\",\"kid\":\"bull:notifications:1\"}", GOOD, SIGN_EMPTY_KEY},
	{"kid with NUL", "{\"alg\":\"HS256\",\"kid\":\"shop\\u0000x\"}", SHOP_CLAIMS, SIGN_SHOP},
	{"kid of another algorithm", "{\"alg\":\"RS256\",\"kid\":\"ec\"}", GOOD, SIGN_RSA},
	{"kid of another's secret", "{\"alg\":\"HS256\",\"kid\":\"shop\"}", SHOP_CLAIMS, SIGN_SECRET},
	{"own key without its kid", HS, SHOP_CLAIMS, SIGN_SHOP},
	{"jku", "{\"alg\":\"HS256\",\"jku\":\"http://169.254.169.254/\"}", GOOD, SIGN_SECRET},
	{"x5u", "{\"alg\":\"HS256\",\"x5u\":\"http://evil.example/\"}", GOOD, SIGN_SECRET},
	{"jwk", "{\"alg\":\"RS256\",\"jwk\":{\"kty\":\"RSA\"}}", GOOD, SIGN_RSA_OTHER},
	{"x5c", "{\"alg\":\"RS256\",\"x5c\":[\"MIIB\"]}", GOOD, SIGN_RSA_OTHER},
	{"crit", "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", GOOD, SIGN_SECRET},
	{"zip", "{\"alg\":\"HS256\",\"zip\":\"DEF\"}", GOOD, SIGN_SECRET},
	{"typ JWE", "{\"alg\":\"HS256\",\"typ\":\"JWE\"}", GOOD, SIGN_SECRET},
	{"typ number", "{\"alg\":\"HS256\",\"typ\":1}", GOOD, SIGN_SECRET},
	/* JSON */
	{"header is an array", "[\"HS256\"]", GOOD, SIGN_SECRET},
	{"header is no JSON", "alg=HS256", GOOD, SIGN_SECRET},
	{"header with a byte behind", "{\"alg\":\"HS256\"}x", GOOD, SIGN_SECRET},
	{"header with a byte order mark", "\xef\xbb\xbf{\"alg\":\"HS256\"}", GOOD, SIGN_SECRET},
	{"header not UTF-8", "{\"alg\":\"HS256\",\"kid\":\"\xff\"}", GOOD, SIGN_SECRET},
	{"claims are a string", HS, "\"ann\"", SIGN_SECRET},
	{"claims are null", HS, "null", SIGN_SECRET},
	{"claims too deep", HS, WITH("\"x\":[[[[[[[[1]]]]]]]]"), SIGN_SECRET},
	{"claims cut off", HS, "{\"sub\":\"ann\",\"roles\":[\"admin\"],\"exp\":@+600", SIGN_SECRET},
	{"claims with a comment", HS, WITH("/**/\"x\":1"), SIGN_SECRET},
	/* time */
	{"no exp", HS, "{\"sub\":\"ann\",\"roles\":[\"producer\"]}", SIGN_SECRET},
	{"expired", HS, EXP("@-1"), SIGN_SECRET},
	{"expired this second", HS, EXP("@+0"), SIGN_SECRET},
	{"expired long ago", HS, EXP("1"), SIGN_SECRET},
	{"exp string", HS, EXP("\"99999999999\""), SIGN_SECRET},
	{"exp real", HS, EXP("9999999999.5"), SIGN_SECRET},
	{"exp with exponent", HS, EXP("1e12"), SIGN_SECRET},
	{"exp negative", HS, EXP("-1"), SIGN_SECRET},
	{"exp null", HS, EXP("null"), SIGN_SECRET},
	{"exp true", HS, EXP("true"), SIGN_SECRET},
	{"exp past 2^63", HS, EXP("9223372036854775808"), SIGN_SECRET},
	{"exp past 2^64", HS, EXP("18446744073709551700"), SIGN_SECRET},
	{"exp past the year 9999", HS, EXP("253402300800"), SIGN_SECRET},
	{"exp twice", HS, WITH("\"exp\":1"), SIGN_SECRET},
	{"exp in an array", HS, EXP("[9999999999]"), SIGN_SECRET},
	{"nbf in the future", HS, WITH("\"nbf\":@+120"), SIGN_SECRET},
	{"nbf string", HS, WITH("\"nbf\":\"1\""), SIGN_SECRET},
	{"iat in the future", HS, WITH("\"iat\":@+120"), SIGN_SECRET},
	{"iat real", HS, WITH("\"iat\":1.5"), SIGN_SECRET},
	/* issuer, audience */
	{"iss wrong", SHOP, SHOP_WITH("\"shop\"", "[\"producer\"]", "\"https://evil.example\"", "\"sluice\""), SIGN_SHOP},
	{"iss longer", SHOP, SHOP_WITH("\"shop\"", "[\"producer\"]", "\"https://shop.example/\"", "\"sluice\""), SIGN_SHOP},
	{"iss array", SHOP, SHOP_WITH("\"shop\"", "[\"producer\"]", "[\"https://shop.example\"]", "\"sluice\""), SIGN_SHOP},
	{"iss missing", SHOP, "{\"sub\":\"till\",\"org\":\"shop\",\"roles\":[\"producer\"],\"exp\":@+600,\"aud\":\"sluice\"}", SIGN_SHOP},
	{"aud wrong", SHOP, SHOP_WITH("\"shop\"", "[\"producer\"]", "\"https://shop.example\"", "\"other\""), SIGN_SHOP},
	{"aud array without us", SHOP, SHOP_WITH("\"shop\"", "[\"producer\"]", "\"https://shop.example\"", "[\"a\",\"b\"]"), SIGN_SHOP},
	{"aud empty array", SHOP, SHOP_WITH("\"shop\"", "[\"producer\"]", "\"https://shop.example\"", "[]"), SIGN_SHOP},
	{"aud object", SHOP, SHOP_WITH("\"shop\"", "[\"producer\"]", "\"https://shop.example\"", "{\"sluice\":1}"), SIGN_SHOP},
	{"aud missing", SHOP, "{\"sub\":\"till\",\"org\":\"shop\",\"roles\":[\"producer\"],\"exp\":@+600,\"iss\":\"https://shop.example\"}", SIGN_SHOP},
	/* who and what */
	{"role above the key's", SHOP, SHOP_WITH("\"shop\"", "[\"admin\"]", "\"https://shop.example\"", "\"sluice\""), SIGN_SHOP},
	{"role above the key's, beside one", SHOP, SHOP_WITH("\"shop\"", "[\"producer\",\"worker\"]", "\"https://shop.example\"", "\"sluice\""), SIGN_SHOP},
	{"org of another", SHOP, SHOP_WITH("\"bank\"", "[\"producer\"]", "\"https://shop.example\"", "\"sluice\""), SIGN_SHOP},
	{"org missing where only shop may be", SHOP, "{\"sub\":\"till\",\"roles\":[\"producer\"],\"exp\":@+600,\"iss\":\"https://shop.example\",\"aud\":\"sluice\"}", SIGN_SHOP},
	{"role unknown", HS, ROLES("[\"root\"]"), SIGN_SECRET},
	{"role unknown beside a known one", HS, ROLES("[\"producer\",\"root\"]"), SIGN_SECRET},
	{"role in capitals", HS, ROLES("[\"Admin\"]"), SIGN_SECRET},
	{"role with a space", HS, ROLES("[\"admin \"]"), SIGN_SECRET},
	{"roles a string", HS, ROLES("\"admin\""), SIGN_SECRET},
	{"roles an object", HS, ROLES("{\"admin\":true}"), SIGN_SECRET},
	{"roles nested", HS, ROLES("[[\"admin\"]]"), SIGN_SECRET},
	{"roles empty", HS, ROLES("[]"), SIGN_SECRET},
	{"roles null", HS, ROLES("null"), SIGN_SECRET},
	{"roles missing", HS, "{\"sub\":\"ann\",\"role\":\"admin\",\"exp\":@+600}", SIGN_SECRET},
	{"roles twice", HS, WITH("\"roles\":[\"admin\"]"), SIGN_SECRET},
	{"roles twice, once escaped", HS, WITH("\"role\\u0073\":[\"admin\"]"), SIGN_SECRET},
	{"sub missing", HS, "{\"roles\":[\"producer\"],\"exp\":@+600}", SIGN_SECRET},
	{"sub empty", HS, SUB("\"\""), SIGN_SECRET},
	{"sub number", HS, SUB("1"), SIGN_SECRET},
	{"sub with a newline", HS, SUB("\"ann\\nadmin\""), SIGN_SECRET},
	{"sub with NUL", HS, SUB("\"ann\\u0000\""), SIGN_SECRET},
	{"sub of 129 bytes", HS,
	 SUB("\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
	     "789\""), SIGN_SECRET},
	{"org with a slash", HS, WITH("\"org\":\"a/b\""), SIGN_SECRET},
	{"org two dots", HS, WITH("\"org\":\"..\""), SIGN_SECRET},
	{"org with a dot first", HS, WITH("\"org\":\".sluice-store\""), SIGN_SECRET},
	{"org with a colon", HS, WITH("\"org\":\"a:b\""), SIGN_SECRET},
	{"org empty", HS, WITH("\"org\":\"\""), SIGN_SECRET},
	{"org null", HS, WITH("\"org\":null"), SIGN_SECRET},
	{"org array", HS, WITH("\"org\":[\"default\"]"), SIGN_SECRET},
	{"org of 65 bytes", HS, WITH("\"org\":\"01234567890123456789012345678901234567890123456789012345678901234\""), SIGN_SECRET},
};

static void test_attacks(void **state)
{
	const struct world *w = *state;
	assert_true(ARRAY_LEN(attacks) >= 60);
	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		const struct attack *x = &attacks[i];
		struct principal who = {.sub = "untouched"};
		struct err err = {0};
		for (int again = 0; again < 2; again++) { /* a refusal must not be remembered as anything else */
			int rc = verify(w, x->header, x->claims, x->signer, &who, &err);
			if (rc != ERR_DENIED)
				fail_msg("%s: %d, not ERR_DENIED", x->name, rc);
		}
		assert_string_equal(who.sub, "untouched");
		assert_true(err.text[0] && !strpbrk(err.text, "\"\\\r\n")); /* fit for a quoted string of a header */
	}
}

/* ---- forgeries of the text itself: a good token, changed ---- */

static void add_padding(struct buf *t) { buf_addc(t, '='); }
static void add_part(struct buf *t) { buf_addz(t, ".e30"); }
static void add_dot(struct buf *t) { buf_addc(t, '.'); }
static void add_newline(struct buf *t) { buf_addc(t, '\n'); }
static void add_space(struct buf *t) { buf_addc(t, ' '); }
static void add_nul(struct buf *t) { buf_add(t, "\0x", 2); }
static void empty_all(struct buf *t) { buf_clear(t); }
static void only_dots(struct buf *t) { buf_clear(t), buf_addz(t, ".."); }
static void empty_signature_object(struct buf *t) { buf_clear(t), buf_addz(t, ".e30."); }
static void one_part(struct buf *t) { t->n = (size_t)((char *)memchr(t->p, '.', t->n) - t->p); }
static void drop_header(struct buf *t) { buf_drop(t, (size_t)((char *)memchr(t->p, '.', t->n) - t->p)); }
static void cut_one(struct buf *t) { t->n--; }
static void flip_bit(struct buf *t) { t->p[t->n - 5] = t->p[t->n - 5] == 'A' ? 'B' : 'A'; }
static void standard_base64(struct buf *t) { t->p[t->n - 5] = '+'; }
static void junk_in_claims(struct buf *t) { *((char *)memchr(t->p, '.', t->n) + 3) = '*'; }
static void high_byte(struct buf *t) { t->p[3] = (char)0xff; }

/* The last digit of a 32-byte signature carries two bits that are not its own. */
static void loose_bits(struct buf *t)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	t->p[t->n - 1] = alphabet[(strchr(alphabet, t->p[t->n - 1]) - alphabet) | 1];
}

static void too_long(struct buf *t)
{
	while (t->n <= 4096)
		buf_addc(t, 'A');
}

static void huge_nesting(struct buf *t)
{
	struct buf deep = BUF_INIT;
	for (int i = 0; i < 1500; i++)
		buf_addc(&deep, '[');
	buf_clear(t);
	digest_b64url(t, deep.p, deep.n);
	buf_addz(t, ".e30.AAAA");
	buf_release(&deep);
}

static const struct {
	const char *name;
	void (*change)(struct buf *t);
} changes[] = {
	{"padding", add_padding}, {"a fourth part", add_part}, {"a dot more", add_dot}, {"a newline", add_newline}, {"a space", add_space},
	{"NUL and a byte", add_nul}, {"empty", empty_all}, {"dots only", only_dots}, {"empty header and signature", empty_signature_object},
	{"one part", one_part}, {"no header", drop_header}, {"a digit less", cut_one}, {"a bit flipped", flip_bit},
	{"base64's own alphabet", standard_base64}, {"junk inside", junk_in_claims}, {"a high byte", high_byte}, {"loose bits", loose_bits},
	{"too long", too_long}, {"1500 brackets", huge_nesting},
};

static void test_changed_text(void **state)
{
	const struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct buf token = BUF_INIT;
		struct principal who;
		struct err err = {0};
		forge_head(&token, HS, GOOD);
		sign(w, &token, SIGN_SECRET);
		assert_int_equal(auth_verify(w->auth, buf_str(&token), &who, &err), 0); /* so that the good one is remembered */
		changes[i].change(&token);
		assert_false(token.failed);
		int rc = auth_verify(w->auth, buf_str(&token), &who, &err);
		if (rc != ERR_DENIED)
			fail_msg("%s: %d, not ERR_DENIED", changes[i].name, rc);
		buf_release(&token);
	}
}

/* ---- tokens that are let in ---- */

static const struct {
	const char *name, *header, *claims;
	enum signer signer;
	const char *sub, *org;
	role_set roles;
} good[] = {
	{"HS256", HS, GOOD, SIGN_SECRET, "ann", "default", ROLE_PRODUCER},
	{"HS256 without typ", "{\"alg\":\"HS256\"}", GOOD, SIGN_SECRET, "ann", "default", ROLE_PRODUCER},
	{"typ in lower case", "{\"typ\":\"jwt\",\"alg\":\"HS256\"}", GOOD, SIGN_SECRET, "ann", "default", ROLE_PRODUCER},
	{"RS256", RS, GOOD, SIGN_RSA, "ann", "default", ROLE_PRODUCER},
	{"RS256 with a thumbprint", "{\"alg\":\"RS256\",\"x5t\":\"abc\"}", GOOD, SIGN_RSA, "ann", "default", ROLE_PRODUCER},
	{"ES256", ES, ROLES("[\"admin\",\"worker\"]"), SIGN_EC, "ann", "default", ROLE_ADMIN | ROLE_WORKER},
	{"all roles", HS, ROLES("[\"admin\",\"operator\",\"viewer\",\"producer\",\"worker\"]"), SIGN_SECRET, "ann", "default",
	 ROLE_ADMIN | ROLE_OPERATOR | ROLE_VIEWER | ROLE_PRODUCER | ROLE_WORKER},
	{"an org", HS, WITH("\"org\":\"Shop-1.eu_x\""), SIGN_SECRET, "ann", "Shop-1.eu_x", ROLE_PRODUCER},
	{"other claims", HS, WITH("\"email\":\"a@b.example\",\"n\":1.5,\"deep\":{\"a\":[1]}"), SIGN_SECRET, "ann", "default", ROLE_PRODUCER},
	{"a maker's clock that is a little ahead", HS, WITH("\"nbf\":@+30,\"iat\":@+30"), SIGN_SECRET, "ann", "default", ROLE_PRODUCER},
	{"a sub beyond ASCII", HS, SUB("\"J\xc3\xbcrgen \\u00e9\""), SIGN_SECRET, "J\xc3\xbcrgen \xc3\xa9", "default", ROLE_PRODUCER},
	{"a bounded key", SHOP, SHOP_CLAIMS, SIGN_SHOP, "till", "shop", ROLE_PRODUCER},
	{"aud array", SHOP, SHOP_WITH("\"shop\"", "[\"producer\"]", "\"https://shop.example\"", "[\"x\",\"sluice\"]"), SIGN_SHOP, "till", "shop",
	 ROLE_PRODUCER},
};

static void test_good_tokens(void **state)
{
	const struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		for (int again = 0; again < 2; again++) {
			struct principal who;
			struct err err = {0};
			if (verify(w, good[i].header, good[i].claims, good[i].signer, &who, &err) != 0)
				fail_msg("%s: %s", good[i].name, err.text);
			assert_string_equal(who.sub, good[i].sub);
			assert_string_equal(who.org, good[i].org);
			assert_int_equal(who.roles, good[i].roles);
			assert_true(who.expires_s > clock_wall_ms() / 1000);
		}
}

struct caller {
	struct thread thread;
	const struct world *w;
	struct str token;
	unsigned wrong;
};

static void call_often(void *arg)
{
	struct caller *c = arg;
	for (int i = 0; i < 200; i++) {
		struct principal who;
		c->wrong += auth_verify(c->w->auth, c->token, &who, NULL) != 0 || strcmp(who.sub, "ann") != 0;
	}
}

static void test_many_threads(void **state)
{
	struct world *w = *state;
	struct caller callers[4] = {0};
	struct buf token = BUF_INIT;
	forge_head(&token, HS, WITH("\"jti\":\"threads\""));
	sign(w, &token, SIGN_SECRET);
	for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
		callers[i].w = w;
		callers[i].token = buf_str(&token);
		assert_int_equal(thread_start(&callers[i].thread, "caller", call_often, &callers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
		thread_join(&callers[i].thread);
		assert_int_equal(callers[i].wrong, 0);
	}
	buf_release(&token);
}

/* ---- the world: one secret, one RSA key, and a file with an EC key and a bounded secret ---- */

static void write_in(const struct world *w, const char *name, struct str text)
{
	char path[128];
	struct err err = {0};
	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	if (fs_write_file(path, text, 0600, &err) < 0)
		fail_msg("%s", err.text);
}

static int set_up(void **state)
{
	static struct world w;
	snprintf(w.dir, sizeof(w.dir), "/tmp/test_auth.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	w.rsa = EVP_RSA_gen(2048);
	w.rsa_other = EVP_RSA_gen(2048);
	w.p256 = EVP_EC_gen("P-256");
	w.p384 = EVP_EC_gen("P-384");
	forge_pem(&w.rsa_pem, w.rsa, false);
	forge_pem(&w.p256_pem, w.p256, false);
	write_in(&w, "rsa.pem", buf_str(&w.rsa_pem));
	write_in(&w, "ec.pem", buf_str(&w.p256_pem));
	write_in(&w, "keys.json",
		 STR("[{\"kid\":\"ec\",\"alg\":\"ES256\",\"keyFile\":\"ec.pem\",\"roles\":[\"admin\",\"worker\",\"producer\"],\"orgs\":\"*\"},"
		     "{\"kid\":\"shop\",\"alg\":\"HS256\",\"key\":\"" SHOP_SECRET "\",\"roles\":[\"producer\"],\"orgs\":[\"shop\"],"
		     "\"iss\":\"https://shop.example\",\"aud\":\"sluice\"}]"));
	char rsa[128], keys[128];
	struct err err = {0};
	snprintf(rsa, sizeof(rsa), "%s/rsa.pem", w.dir);
	snprintf(keys, sizeof(keys), "%s/keys.json", w.dir);
	struct auth_options o = {.secret = STR(FORGE_SECRET), .public_key_file = rsa, .keys_file = keys};
	w.auth = auth_new(&o, &err);
	if (!w.auth)
		fail_msg("%s", err.text);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	static const char *const files[] = {"rsa.pem", "ec.pem", "keys.json"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/%s", w->dir, files[i]);
		unlink(path);
	}
	rmdir(w->dir);
	auth_free(w->auth);
	EVP_PKEY_free(w->rsa);
	EVP_PKEY_free(w->rsa_other);
	EVP_PKEY_free(w->p256);
	EVP_PKEY_free(w->p384);
	buf_release(&w->rsa_pem);
	buf_release(&w->p256_pem);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attacks),
		cmocka_unit_test(test_changed_text),
		cmocka_unit_test(test_good_tokens),
		cmocka_unit_test(test_many_threads),
	};
	return cmocka_run_group_tests_name("auth", tests, set_up, tear_down);
}
