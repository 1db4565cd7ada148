#include "lib/fetch/sign.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "lib/base/digest.h"
#include "lib/base/panic.h"

#define PREFIX STR("whsec_")
#define MAX_DIGITS (SIGN_KEY_MAX_BYTES / 3 * 4 + 4)

static int bad_secret(struct err *err)
{
	return err_set(err, ERR_INVALID, "the signing secret is not whsec_ and the base64 of %d to %d bytes", SIGN_KEY_MIN_BYTES,
		       SIGN_KEY_MAX_BYTES);
}

int sign_key_parse(struct sign_key *out, struct str secret, struct err *err)
{
	unsigned char bytes[MAX_DIGITS / 4 * 3];
	if (!str_starts(secret, PREFIX))
		return bad_secret(err);
	struct str digits = str_sub(secret, PREFIX.n, secret.n - PREFIX.n);
	if (digits.n == 0 || digits.n > MAX_DIGITS || digits.n % 4 != 0)
		return bad_secret(err);
	int n = EVP_DecodeBlock(bytes, (const unsigned char *)digits.p, (int)digits.n);
	for (size_t i = digits.n; n > 0 && i > 0 && digits.p[i - 1] == '='; i--)
		n--; /* EVP_DecodeBlock counts what the padding stands for */
	if (n < SIGN_KEY_MIN_BYTES || n > SIGN_KEY_MAX_BYTES) {
		OPENSSL_cleanse(bytes, sizeof(bytes));
		return bad_secret(err);
	}
	memcpy(out->bytes, bytes, (size_t)n);
	out->n = (size_t)n;
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return 0;
}

void sign_key_wipe(struct sign_key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}

static void sign_with(const struct sign_key *key, struct str signed_text, struct buf *out)
{
	unsigned char mac[SHA256_BYTES];
	unsigned n = sizeof(mac);
	bug_on(!HMAC(EVP_sha256(), key->bytes, (int)key->n, (const unsigned char *)signed_text.p, signed_text.n, mac, &n));
	buf_addz(out, "v1,");
	digest_b64(out, mac, n);
}

void sign_webhook(const struct sign_key *keys, size_t n_keys, struct str id, int64_t timestamp_s, struct str body, struct buf *out)
{
	struct buf text = BUF_INIT;
	buf_adds(&text, id);
	buf_addf(&text, ".%" PRId64 ".", timestamp_s);
	buf_adds(&text, body);
	out->failed = out->failed || text.failed;
	for (size_t i = 0; i < n_keys && !text.failed; i++) {
		if (i > 0)
			buf_addc(out, ' ');
		sign_with(&keys[i], buf_str(&text), out);
	}
	buf_release(&text);
}
