/* Tokens. The first byte chooses: the rest is the token itself; or the claims of a token whose signature is right, so that what comes after the
 * signature is reached too; or the header of one. */
#include <stdint.h>

#include "lib/auth/auth.h"
#include "tests/unit/forge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct auth *fuzzed_auth(void)
{
	static struct auth *a; /* made once: keys do not change between inputs */
	struct auth_options o = {.secret = STR(FORGE_SECRET), .audience = "sluice"};
	if (!a)
		a = auth_new(&o, NULL);
	bug_on(!a);
	return a;
}

static void check_answer(int rc, const struct principal *who, const struct err *err)
{
	bug_on(rc != 0 && rc != ERR_DENIED);
	bug_on(rc == 0 && (!who->sub[0] || !who->org[0] || !who->roles || who->roles >> ROLE_COUNT));
	bug_on(rc == 0 && who->expires_s <= clock_wall_ms() / 1000 - 1);
	bug_on(rc != 0 && (!err->text[0] || strchr(err->text, '"')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct auth *a = fuzzed_auth();
	struct str rest = {(const char *)data + 1, size - 1};
	struct buf token = BUF_INIT;
	static const char header[] = "{\"alg\":\"HS256\"}", claims[] = "{\"sub\":\"a\",\"roles\":[\"admin\"],\"exp\":9999999999,\"aud\":\"sluice\"}";
	if (data[0] % 3 == 0) {
		buf_adds(&token, rest);
	} else {
		bool vary_header = data[0] % 3 == 1;
		digest_b64url(&token, vary_header ? rest.p : header, vary_header ? rest.n : sizeof(header) - 1);
		buf_addc(&token, '.');
		digest_b64url(&token, vary_header ? claims : rest.p, vary_header ? sizeof(claims) - 1 : rest.n);
		forge_sign_hmac(&token, EVP_sha256(), FORGE_SECRET, strlen(FORGE_SECRET));
	}
	struct principal who = {0};
	struct err err = {0};
	int rc = auth_verify(a, buf_str(&token), &who, &err);
	check_answer(rc, &who, &err);
	buf_release(&token);
	return 0;
}
