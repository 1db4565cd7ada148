/* Which keys and secrets are refused, what is remembered for how long, and that what is made is taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/auth/auth.h"
#include "lib/auth/cache.h"
#include "lib/auth/secret.h"
#include "lib/base/fs.h"
#include "tests/unit/forge.h"

static struct auth *make(const char *secret, struct err *err)
{
	struct auth_options o = {.secret = str_from(secret)};
	return auth_new(&o, err);
}

static void test_weak_secrets(void **state)
{
	(void)state;
	static const char *const weak[] = {
		"s",
		"secret",
		"changeme",
		"dev_secret",
		"your-secret-key",
		"your-jwt-secret-here",
		"0123456789abcdef0123456789abcde", /* 31 bytes */
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"0123456789012345678901234567890123456789",
		"abcabcabdabcabcabdabcabcabdabcabcabd",
		"a-string-secret-at-least-256-bits-long",
		"your-256-bit-secret-your-256-bit-secret!",
		"Change_Me_In_Production_1234567890",
		"your-super-secret-jwt-key-with-at-least-32-characters",
		"this-is-a-secret-for-development-00",
		"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
	};
	for (size_t i = 0; i < ARRAY_LEN(weak); i++) {
		struct err err = {0};
		if (make(weak[i], &err))
			fail_msg("taken: %s", weak[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, "JWT_SECRET"));
		if (strlen(weak[i]) > 8)
			assert_null(strstr(err.text, weak[i])); /* never repeated */
	}
	assert_null(secret_weakness(STR(FORGE_SECRET)));
	assert_null(secret_weakness(STR("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")));
	assert_null(secret_weakness(STR("3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=")));
}

static void test_no_key_at_all(void **state)
{
	(void)state;
	struct err err = {0};
	assert_null(make("", &err));
	assert_non_null(strstr(err.text, "JWT_KEYS_FILE"));
}

/* ---- key files ---- */

struct folder {
	char dir[64];
};

static const char *path_in(const struct folder *f, const char *name)
{
	static char path[160];
	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return path;
}

static void write_in(const struct folder *f, const char *name, struct str text)
{
	struct err err = {0};
	if (fs_write_file(path_in(f, name), text, 0600, &err) < 0)
		fail_msg("%s", err.text);
}

static void write_key(const struct folder *f, const char *name, EVP_PKEY *key, bool private_half)
{
	struct buf pem = BUF_INIT;
	forge_pem(&pem, key, private_half);
	write_in(f, name, buf_str(&pem));
	buf_release(&pem);
	EVP_PKEY_free(key);
}

static const char *const key_files[] = {"rsa1024.pem", "p384.pem", "ed25519.pem", "private.pem", "rsa.pem", "junk.pem", "keys.json", "secret.txt"};

static int make_folder(void **state)
{
	static struct folder f;
	snprintf(f.dir, sizeof(f.dir), "/tmp/test_auth_keys.XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	write_key(&f, "rsa1024.pem", EVP_RSA_gen(1024), false);
	write_key(&f, "p384.pem", EVP_EC_gen("P-384"), false);
	write_key(&f, "ed25519.pem", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), false);
	write_key(&f, "private.pem", EVP_RSA_gen(2048), true);
	write_key(&f, "rsa.pem", EVP_RSA_gen(2048), false);
	write_in(&f, "junk.pem", STR("not a key"));
	write_in(&f, "secret.txt", STR(FORGE_SECRET "\n"));
	*state = &f;
	return 0;
}

static int remove_folder(void **state)
{
	const struct folder *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(key_files); i++)
		unlink(path_in(f, key_files[i]));
	rmdir(f->dir);
	return 0;
}

static void test_public_key_files(void **state)
{
	static const char *const refused[] = {"rsa1024.pem", "p384.pem", "ed25519.pem", "private.pem", "junk.pem", "absent.pem"};
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct err err = {0};
		struct auth_options o = {.public_key_file = path_in(*state, refused[i])};
		if (auth_new(&o, &err))
			fail_msg("taken: %s", refused[i]);
		assert_non_null(strstr(err.text, "JWT_PUBLIC_KEY_FILE"));
	}
	struct err err = {0};
	struct auth_options o = {.public_key_file = path_in(*state, "rsa.pem")};
	struct auth *a = auth_new(&o, &err);
	assert_non_null(a);
	struct principal who = {.sub = "ann", .org = "default", .roles = ROLE_ADMIN};
	struct buf token = BUF_INIT;
	assert_int_equal(auth_issue(a, &who, 60, &token, &err), ERR_WRONG_STATE); /* nothing to sign with */
	buf_release(&token);
	auth_free(a);
}

#define KEY(fields) "[{" fields "}]"
#define SECRET_KEY "\"key\":\"" FORGE_SECRET "\""

static const struct {
	const char *text, *said; /* said: a part of the message; NULL: the file is taken */
} key_texts[] = {
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":[\"shop\"]"), NULL},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\",\"keyFile\":\"secret.txt\",\"roles\":[\"admin\"],\"orgs\":\"*\""), NULL},
	{KEY("\"kid\":\"a\",\"alg\":\"RS256\",\"keyFile\":\"rsa.pem\",\"roles\":[\"admin\"],\"orgs\":\"*\""), NULL},
	{"{}", "array"},
	{"[", "byte"},
	{"[]", "no key"},
	{"[1]", "object"},
	{"", "JWT_KEYS_FILE"},
	{KEY("\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\""), "required"},
	{KEY("\"kid\":\"a\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\""), "required"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"orgs\":\"*\""), "required"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"]"), "required"},
	{KEY("\"kid\":\"a\",\"alg\":\"none\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\""), "alg must be"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS512\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\""), "alg must be"},
	{KEY("\"kid\":\"\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\""), "kid"},
	{KEY("\"kid\":7,\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\""), "kid"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\",\"roles\":[\"producer\"],\"orgs\":\"*\""), "exactly one"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"keyFile\":\"secret.txt\",\"roles\":[\"producer\"],\"orgs\":\"*\""), "exactly one"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\",\"key\":\"\",\"roles\":[\"producer\"],\"orgs\":\"*\""), "shorter"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\",\"key\":\"changeme\",\"roles\":[\"producer\"],\"orgs\":\"*\""), "shorter"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\",\"keyFile\":\"absent.txt\",\"roles\":[\"producer\"],\"orgs\":\"*\""), "absent.txt"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\",\"keyFile\":\"rsa.pem\",\"roles\":[\"producer\"],\"orgs\":\"*\""), "PEM"},
	{KEY("\"kid\":\"a\",\"alg\":\"ES256\",\"keyFile\":\"rsa.pem\",\"roles\":[\"producer\"],\"orgs\":\"*\""), "does not fit"},
	{KEY("\"kid\":\"a\",\"alg\":\"ES256\",\"keyFile\":\"p384.pem\",\"roles\":[\"producer\"],\"orgs\":\"*\""), "P-256"},
	{KEY("\"kid\":\"a\",\"alg\":\"RS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\""), "PEM"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[],\"orgs\":\"*\""), "at least one role"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":\"admin\",\"orgs\":\"*\""), "array"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"root\"],\"orgs\":\"*\""), "does not exist"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":[]"), "orgs"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"shop\""), "orgs"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":[\"../x\"]"), "orgs"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"viewer\"],\"orgs\":[\"shop\"]"), "see every organization"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\",\"iss\":1"), "iss"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\",\"aud\":[]"), "aud"},
	{KEY("\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\",\"role\":\"x\""), "known"},
	{"[{\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\"},"
	 "{\"kid\":\"a\",\"alg\":\"HS256\"," SECRET_KEY ",\"roles\":[\"producer\"],\"orgs\":\"*\"}]", "twice"},
};

static void test_keys_files(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(key_texts); i++) {
		write_in(*state, "keys.json", str_from(key_texts[i].text));
		struct err err = {0};
		struct auth_options o = {.keys_file = path_in(*state, "keys.json")};
		struct auth *a = auth_new(&o, &err);
		if (!key_texts[i].said && !a)
			fail_msg("refused: %s: %s", key_texts[i].text, err.text);
		if (key_texts[i].said && (a || !strstr(err.text, key_texts[i].said)))
			fail_msg("%s: %s", key_texts[i].text, a ? "taken" : err.text);
		assert_null(strstr(err.text, FORGE_SECRET));
		auth_free(a);
	}
}

/* ---- making tokens ---- */

static void test_issue(void **state)
{
	(void)state;
	struct auth_options o = {.secret = STR(FORGE_SECRET), .issuer = "https://jobs.example", .audience = "sluice"};
	struct err err = {0};
	struct auth *a = auth_new(&o, &err);
	assert_non_null(a);
	struct principal who = {.sub = "ann \"the\" <admin>", .org = "shop", .roles = ROLE_ADMIN | ROLE_WORKER}, back;
	struct buf token = BUF_INIT;
	assert_int_equal(auth_issue(a, &who, 3600, &token, &err), 0);
	assert_int_equal(auth_verify(a, buf_str(&token), &back, &err), 0);
	assert_string_equal(back.sub, who.sub);
	assert_string_equal(back.org, "shop");
	assert_int_equal(back.roles, who.roles);
	int64_t left = back.expires_s - clock_wall_ms() / 1000;
	assert_true(left > 3590 && left <= 3600);
	/* Another that demands something else does not take it. */
	struct auth *other = make(FORGE_SECRET, &err);
	assert_int_equal(auth_verify(other, buf_str(&token), &back, &err), 0);
	auth_free(other);
	o.audience = "billing";
	other = auth_new(&o, &err);
	assert_int_equal(auth_verify(other, buf_str(&token), &back, &err), ERR_DENIED);
	auth_free(other);
	buf_release(&token);
	auth_free(a);
}

static void test_issue_refuses(void **state)
{
	(void)state;
	struct err err = {0};
	struct auth *a = make(FORGE_SECRET, &err);
	static const struct {
		struct principal who;
		int64_t ttl_s;
	} wrong[] = {
		{{.sub = "", .org = "default", .roles = ROLE_ADMIN}, 60},
		{{.sub = "a\nb", .org = "default", .roles = ROLE_ADMIN}, 60},
		{{.sub = "\xff", .org = "default", .roles = ROLE_ADMIN}, 60},
		{{.sub = "ann", .org = "", .roles = ROLE_ADMIN}, 60},
		{{.sub = "ann", .org = "../x", .roles = ROLE_ADMIN}, 60},
		{{.sub = "ann", .org = "default", .roles = 0}, 60},
		{{.sub = "ann", .org = "default", .roles = 1u << ROLE_COUNT}, 60},
		{{.sub = "ann", .org = "default", .roles = ROLE_ADMIN}, 0},
		{{.sub = "ann", .org = "default", .roles = ROLE_ADMIN}, AUTH_TTL_MAX_S + 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct buf token = BUF_INIT;
		assert_int_equal(auth_issue(a, &wrong[i].who, wrong[i].ttl_s, &token, &err), ERR_INVALID);
		assert_int_equal(token.n, 0);
		buf_release(&token);
	}
	auth_free(a);
}

/* ---- the memory of verified tokens ---- */

static void hash_of(unsigned number, unsigned char hash[SHA256_BYTES])
{
	digest_sha256((struct str){(const char *)&number, sizeof(number)}, hash);
}

static void test_cache_times(void **state)
{
	(void)state;
	struct cache *c = cache_new();
	unsigned char hash[SHA256_BYTES], other[SHA256_BYTES];
	struct principal who = {.sub = "ann", .expires_s = 1000}, out;
	hash_of(1, hash);
	hash_of(2, other);
	int64_t now = 990500; /* 9.5 s before the token's end */
	cache_put(c, hash, now, &who);
	assert_true(cache_get(c, hash, now, &out));
	assert_string_equal(out.sub, "ann");
	assert_false(cache_get(c, other, now, &out));
	assert_true(cache_get(c, hash, 999999, &out));
	assert_false(cache_get(c, hash, 1000000, &out)); /* the end */
	who.expires_s = 5000;
	cache_put(c, other, now, &who);
	assert_true(cache_get(c, other, now + CACHE_KEEP_MS - 1, &out));
	assert_false(cache_get(c, other, now + CACHE_KEEP_MS, &out)); /* verified anew once a minute */
	cache_free(c);
}

static void test_cache_is_bounded(void **state)
{
	(void)state;
	struct cache *c = cache_new();
	struct principal who = {.expires_s = INT64_C(4000000000)}, out;
	unsigned char hash[SHA256_BYTES];
	unsigned kept = 0;
	for (unsigned i = 0; i < 20000; i++) {
		hash_of(i, hash);
		cache_put(c, hash, 1000 + (int64_t)i, &who);
		assert_true(cache_get(c, hash, 1000 + (int64_t)i, &out)); /* the newest is always there */
	}
	for (unsigned i = 0; i < 20000; i++) {
		hash_of(i, hash);
		kept += cache_get(c, hash, 21000, &out);
	}
	assert_true(kept > 0 && kept <= 2048);
	cache_free(c);
}

static void test_roles(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	for (unsigned i = 0; i < ROLE_COUNT; i++)
		assert_int_equal(role_parse(str_from(role_word(i))), 1u << i);
	assert_null(role_word(ROLE_COUNT));
	assert_int_equal(role_parse(STR("")), 0);
	assert_int_equal(role_parse(STR("Admin")), 0);
	role_dump(&out);
	assert_non_null(strstr(out.p, "{\"role\":\"admin\",\"may\":\"everything\"}"));
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weak_secrets), cmocka_unit_test(test_no_key_at_all), cmocka_unit_test(test_public_key_files),
		cmocka_unit_test(test_keys_files),   cmocka_unit_test(test_issue),         cmocka_unit_test(test_issue_refuses),
		cmocka_unit_test(test_cache_times),  cmocka_unit_test(test_cache_is_bounded), cmocka_unit_test(test_roles),
	};
	return cmocka_run_group_tests_name("auth keys", tests, make_folder, remove_folder);
}
