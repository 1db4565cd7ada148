#include <openssl/crypto.h>

#include "lib/auth/key.h"
#include "lib/auth/keyfile.h"
#include "lib/auth/pem.h"
#include "lib/auth/secret.h"
#include "lib/base/fs.h"

#define ROLES_ALL ((role_set)((1u << ROLE_COUNT) - 1))
#define PEM_MAX_BYTES ((size_t)64 << 10)

static const struct {
	const char *word;
	size_t signature_bytes;
} algs[KEY_ALGS] = {
	[KEY_HS256] = {"HS256", 32},
	[KEY_RS256] = {"RS256", 0},
	[KEY_ES256] = {"ES256", 64},
};

const char *key_alg_word(enum key_alg alg)
{
	return algs[alg].word;
}

size_t key_alg_signature_bytes(enum key_alg alg)
{
	return algs[alg].signature_bytes;
}

static struct str str_or_none(const char *z)
{
	return z && *z ? str_from(z) : STR_NONE;
}

/* A key without kid may claim everything. */
static struct key *next_kidless(struct keys *k, const struct auth_options *o)
{
	struct key *key = &k->items[k->n];
	*key = (struct key){
		.roles = ROLES_ALL, .every_org = true, .issuer = str_or_none(o->issuer), .audience = str_or_none(o->audience)};
	return key;
}

static int add_secret(struct keys *k, const struct auth_options *o, struct err *err)
{
	const char *weakness = secret_weakness(o->secret);
	if (weakness)
		return err_set(err, ERR_INVALID, "JWT_SECRET %s; make one with: openssl rand -base64 48", weakness);
	struct key *key = next_kidless(k, o);
	key->alg = KEY_HS256;
	key->material = (struct str){arena_dupz(&k->memory, o->secret), o->secret.n};
	if (!key->material.p)
		return err_set(err, ERR_NOMEM, "out of memory");
	k->n++;
	return 0;
}

static int add_public_key(struct keys *k, const struct auth_options *o, struct err *err)
{
	struct key *key = next_kidless(k, o);
	struct buf text = BUF_INIT;
	struct err why = {0};
	int rc = fs_read_file(o->public_key_file, PEM_MAX_BYTES, &text, &why);
	if (rc < 0)
		err_set(err, rc, "JWT_PUBLIC_KEY_FILE: %s", why.text);
	else if ((rc = pem_read_public(buf_str(&text), &k->memory, &key->alg, &key->material, &why)) < 0)
		err_set(err, rc, "JWT_PUBLIC_KEY_FILE %s %s", o->public_key_file, why.text);
	else
		k->n++;
	buf_release(&text);
	return rc;
}

/* file: NULL when JWT_KEYS_FILE is unset. */
static int read_all(struct keys *k, const struct auth_options *o, struct keyfile *file, struct err *err)
{
	k->items = arena_array(&k->memory, 2 + (file ? file->count : 0), sizeof(struct key));
	if (!k->items)
		return err_set(err, ERR_NOMEM, "out of memory");
	int rc = o->secret.n ? add_secret(k, o, err) : 0;
	if (rc == 0 && o->public_key_file && *o->public_key_file)
		rc = add_public_key(k, o, err);
	if (rc == 0 && file)
		rc = keyfile_read(file, k, err);
	if (rc == 0 && k->n == 0)
		rc = err_set(err, ERR_INVALID, "no key to verify tokens with: set JWT_SECRET, JWT_PUBLIC_KEY_FILE or JWT_KEYS_FILE");
	return rc;
}

int keys_load(struct keys *k, const struct auth_options *o, struct err *err)
{
	*k = (struct keys){0};
	arena_init(&k->memory, 0);
	bool from_file = o->keys_file && *o->keys_file;
	struct keyfile file = {0};
	int rc = from_file ? keyfile_open(&file, o, err) : 0;
	if (rc == 0)
		rc = read_all(k, o, from_file ? &file : NULL, err);
	keyfile_close(&file);
	return rc;
}

void keys_release(struct keys *k)
{
	for (size_t i = 0; i < k->n; i++)
		OPENSSL_cleanse((char *)k->items[i].material.p, k->items[i].material.n);
	arena_release(&k->memory);
	*k = (struct keys){0};
}

const struct key *keys_find(const struct keys *k, struct str kid, struct str alg)
{
	for (size_t i = 0; i < k->n; i++) {
		const struct key *key = &k->items[i];
		bool same_kid = kid.p && key->kid.p ? str_eq(key->kid, kid) : kid.p == key->kid.p;
		if (same_kid && str_is(alg, key_alg_word(key->alg)))
			return key;
	}
	return NULL;
}

bool key_allows_org(const struct key *key, struct str org)
{
	if (key->every_org)
		return true;
	for (size_t i = 0; i < key->n_orgs; i++)
		if (str_eq(key->orgs[i], org))
			return true;
	return false;
}

bool auth_sub_ok(struct str sub)
{
	if (sub.n == 0 || sub.n > AUTH_SUB_MAX || !str_is_utf8(sub))
		return false;
	for (size_t i = 0; i < sub.n; i++)
		if ((unsigned char)sub.p[i] < 0x20 || sub.p[i] == 0x7f)
			return false;
	return true;
}

static bool org_byte_ok(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool auth_org_ok(struct str org)
{
	if (org.n == 0 || org.n > AUTH_ORG_MAX || strchr("._-", org.p[0]))
		return false;
	for (size_t i = 0; i < org.n; i++)
		if (!org_byte_ok(org.p[i]))
			return false;
	return true;
}
