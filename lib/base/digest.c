#include "lib/base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdatomic.h>

#include "lib/base/err.h"
#include "lib/base/panic.h"

/* Looking an algorithm up costs as much as a short digest, so it is done once. */
static const EVP_MD *sha256(void)
{
	static EVP_MD *_Atomic known;
	EVP_MD *md = atomic_load_explicit(&known, memory_order_acquire);
	if (md)
		return md;
	EVP_MD *fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
	bug_on(!fetched);
	if (atomic_compare_exchange_strong_explicit(&known, &md, fetched, memory_order_acq_rel, memory_order_acquire))
		return fetched;
	EVP_MD_free(fetched); /* another thread was first */
	return md;
}

void digest_sha256(struct str in, unsigned char out[SHA256_BYTES])
{
	bug_on(!EVP_Digest(in.n ? in.p : "", in.n, out, NULL, sha256(), NULL));
}

static void add_part(EVP_MD_CTX *ctx, struct str part)
{
	unsigned char length[8];
	for (size_t i = 0; i < sizeof(length); i++)
		length[i] = (unsigned char)((uint64_t)part.n >> (56 - 8 * i));
	bug_on(!EVP_DigestUpdate(ctx, length, sizeof(length)));
	bug_on(part.n && !EVP_DigestUpdate(ctx, part.p, part.n));
}

void digest_sha256_parts(const struct str *parts, size_t n, unsigned char out[SHA256_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bug_on(!ctx || !EVP_DigestInit_ex(ctx, sha256(), NULL));
	for (size_t i = 0; i < n; i++)
		add_part(ctx, parts[i]);
	bug_on(!EVP_DigestFinal_ex(ctx, out, NULL));
	EVP_MD_CTX_free(ctx);
}

void digest_hex(const unsigned char *in, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		unsigned char byte = in[i]; /* read first: `in` may be the upper half of `out` */
		out[2 * i] = digits[byte >> 4];
		out[2 * i + 1] = digits[byte & 15];
	}
	out[2 * n] = '\0';
}

bool digest_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

static const char plain_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Three bytes become four digits; a last group of n < 3 bytes becomes n + 1 digits. */
static void encode(struct buf *out, const unsigned char *p, size_t n, const char *alphabet, bool pad)
{
	buf_reserve(out, n / 3 * 4 + 4);
	while (n) {
		size_t have = n < 3 ? n : 3;
		unsigned char bytes[3] = {0};
		memcpy(bytes, p, have);
		uint32_t group = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
		char digits[4];
		for (size_t i = 0; i < 4; i++)
			digits[i] = i <= have ? alphabet[group >> (18 - 6 * i) & 63] : '=';
		buf_add(out, digits, pad ? 4 : have + 1);
		p += have;
		n -= have;
	}
}

void digest_b64url(struct buf *out, const void *in, size_t n)
{
	encode(out, in, n, url_alphabet, false);
}

void digest_b64(struct buf *out, const void *in, size_t n)
{
	encode(out, in, n, plain_alphabet, true);
}

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int digest_b64url_decode(struct buf *out, struct str in)
{
	if (in.n % 4 == 1)
		return ERR_INVALID;
	buf_reserve(out, in.n / 4 * 3 + 3);
	uint32_t bits = 0;
	int have = 0;
	for (size_t i = 0; i < in.n; i++) {
		int v = digit_value(in.p[i]);
		if (v < 0)
			return ERR_INVALID;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_addc(out, (char)(bits >> have & 0xff));
		}
	}
	if (bits & ((1U << have) - 1))
		return ERR_INVALID;
	return out->failed ? ERR_NOMEM : 0;
}
