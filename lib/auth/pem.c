#include "lib/auth/pem.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

#define RSA_LEAST_BITS 2048 /* RFC 7518 3.3 */

static EVP_PKEY *parse(struct str text)
{
	BIO *in = text.n <= INT32_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
	EVP_PKEY *key = in ? PEM_read_bio_PUBKEY(in, NULL, NULL, NULL) : NULL;
	BIO_free(in);
	ERR_clear_error();
	return key;
}

static bool is_p256(const EVP_PKEY *key)
{
	char group[64];
	size_t n = 0;
	return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &n) &&
	       OBJ_txt2nid(group) == NID_X9_62_prime256v1;
}

static int find_alg(const EVP_PKEY *key, enum key_alg *alg, struct err *err)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		if (EVP_PKEY_get_bits(key) < RSA_LEAST_BITS)
			return err_set(err, ERR_INVALID, "has fewer than %d bits", RSA_LEAST_BITS);
		*alg = KEY_RS256;
		return 0;
	case EVP_PKEY_EC:
		if (!is_p256(key))
			return err_set(err, ERR_INVALID, "is on another curve than P-256, the only one of ES256");
		*alg = KEY_ES256;
		return 0;
	default:
		return err_set(err, ERR_INVALID, "is neither RSA nor EC");
	}
}

static int write_alone(EVP_PKEY *key, struct arena *a, struct str *pem, struct err *err)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n = out && PEM_write_bio_PUBKEY(out, key) ? BIO_get_mem_data(out, &text) : 0;
	pem->p = n > 0 ? arena_dupz(a, (struct str){text, (size_t)n}) : NULL;
	pem->n = (size_t)n;
	BIO_free(out);
	return pem->p ? 0 : err_set(err, ERR_NOMEM, "cannot be kept: out of memory");
}

int pem_read_public(struct str text, struct arena *a, enum key_alg *alg, struct str *pem, struct err *err)
{
	EVP_PKEY *key = parse(text);
	if (!key)
		return err_set(err, ERR_INVALID, "is no PEM public key (\"-----BEGIN PUBLIC KEY-----\"); "
						 "openssl pkey -pubout makes one from a private key");
	int rc = find_alg(key, alg, err);
	if (rc == 0)
		rc = write_alone(key, a, pem, err);
	EVP_PKEY_free(key);
	return rc;
}
