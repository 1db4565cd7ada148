/* Makes tokens of any kind, right and wrong, with OpenSSL alone: nothing of what is tested here has a hand in it. */
#ifndef SLUICE_TESTS_UNIT_FORGE_H
#define SLUICE_TESTS_UNIT_FORGE_H

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/digest.h"
#include "lib/base/panic.h"

#define FORGE_SECRET "Zq7pX2mWk9Lr4TdVb8NsYc3HgFj6Ea5Uq1Rt"

/* Appends the template with every "@+60" or "@-5" replaced by that many seconds from now. */
static inline void forge_times(struct buf *out, const char *text)
{
	long long now = (long long)(clock_wall_ms() / 1000);
	while (*text) {
		if (text[0] == '@' && (text[1] == '+' || text[1] == '-')) {
			char *end;
			long long offset = strtoll(text + 1, &end, 10);
			buf_addi(out, now + offset);
			text = end;
		} else {
			buf_addc(out, *text++);
		}
	}
}

/* "<base64url(header)>.<base64url(claims)>" */
static inline void forge_head(struct buf *out, const char *header, const char *claims)
{
	struct buf filled = BUF_INIT;
	forge_times(&filled, claims);
	digest_b64url(out, header, strlen(header));
	buf_addc(out, '.');
	digest_b64url(out, filled.p ? filled.p : "", filled.n);
	buf_release(&filled);
}

static inline void forge_sign_hmac(struct buf *token, const EVP_MD *md, const void *key, size_t n_key)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n_mac = 0;
	bug_on(!HMAC(md, n_key ? key : "", (int)n_key, (const unsigned char *)token->p, token->n, mac, &n_mac));
	buf_addc(token, '.');
	digest_b64url(token, mac, n_mac);
}

static inline void forge_sign_rsa(struct buf *token, EVP_PKEY *key, const EVP_MD *md)
{
	unsigned char sig[1024];
	size_t n = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bug_on(EVP_DigestSignInit(ctx, NULL, md, NULL, key) != 1);
	bug_on(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)token->p, token->n) != 1);
	EVP_MD_CTX_free(ctx);
	buf_addc(token, '.');
	digest_b64url(token, sig, n);
}

/* JWS wants r and s side by side; OpenSSL gives DER, which is itself one of the forgeries (raw = false). */
static inline void forge_sign_ec(struct buf *token, EVP_PKEY *key, const EVP_MD *md, int half, bool raw)
{
	unsigned char der[256], both[132];
	size_t n = sizeof(der);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bug_on(EVP_DigestSignInit(ctx, NULL, md, NULL, key) != 1);
	bug_on(EVP_DigestSign(ctx, der, &n, (const unsigned char *)token->p, token->n) != 1);
	EVP_MD_CTX_free(ctx);
	buf_addc(token, '.');
	if (!raw) {
		digest_b64url(token, der, n);
		return;
	}
	const unsigned char *at = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);
	bug_on(!sig);
	bug_on(BN_bn2binpad(ECDSA_SIG_get0_r(sig), both, half) != half || BN_bn2binpad(ECDSA_SIG_get0_s(sig), both + half, half) != half);
	ECDSA_SIG_free(sig);
	digest_b64url(token, both, (size_t)half * 2);
}

/* PEM text of the public half (or of the private one), NUL-terminated. */
static inline void forge_pem(struct buf *out, EVP_PKEY *key, bool private_half)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	bug_on(private_half ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1 : PEM_write_bio_PUBKEY(bio, key) != 1);
	long n = BIO_get_mem_data(bio, &text);
	buf_add(out, text, (size_t)n);
	BIO_free(bio);
}

#endif
