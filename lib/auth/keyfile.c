#include "lib/auth/keyfile.h"

#include <openssl/crypto.h>

#include "lib/auth/pem.h"
#include "lib/auth/secret.h"
#include "lib/base/fs.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define MATERIAL_MAX_BYTES ((size_t)64 << 10)
#define KID_MAX_BYTES 128

/* One entry while it is read. */
struct entry {
	struct keyfile *f;
	struct keys *keys;
	struct key *key;
	unsigned number; /* from 1, for messages */
	struct err *err;
};

static int fault(const struct entry *e, const char *what)
{
	return err_set(e->err, ERR_INVALID, "JWT_KEYS_FILE: entry %u%s%.*s: %s", e->number, e->key->kid.p ? ", kid " : "",
		       STR_ARG(e->key->kid), what);
}

/* A string that is not empty, kept with the keys; .p NULL for anything else. */
static struct str kept_string(const struct entry *e, uint32_t node)
{
	struct str s = jdoc_string(&e->f->doc, node, &e->f->scratch);
	return s.p && s.n ? (struct str){arena_dupz(&e->keys->memory, s), s.n} : STR_NONE;
}

static int read_kid(struct entry *e, uint32_t node)
{
	struct str kid = kept_string(e, node);
	if (!kid.p || kid.n > KID_MAX_BYTES)
		return fault(e, "kid must be a string of 1 to 128 bytes");
	for (size_t i = 0; i < e->keys->n; i++)
		if (e->keys->items[i].kid.p && str_eq(e->keys->items[i].kid, kid))
			return fault(e, "its kid stands there twice");
	e->key->kid = kid;
	return 0;
}

static int read_alg(struct entry *e, uint32_t node)
{
	struct str word = jdoc_string(&e->f->doc, node, &e->f->scratch);
	for (unsigned i = 0; i < KEY_ALGS; i++)
		if (word.p && str_is(word, key_alg_word(i))) {
			e->key->alg = i;
			return 0;
		}
	return fault(e, "alg must be HS256, RS256 or ES256");
}

static int read_issuer(struct entry *e, uint32_t node)
{
	e->key->issuer = kept_string(e, node);
	return e->key->issuer.p ? 0 : fault(e, "iss must be a string");
}

static int read_audience(struct entry *e, uint32_t node)
{
	e->key->audience = kept_string(e, node);
	return e->key->audience.p ? 0 : fault(e, "aud must be a string");
}

static int read_roles(struct entry *e, uint32_t node)
{
	const struct jdoc *doc = &e->f->doc;
	if (jdoc_type(doc, node) != J_ARRAY)
		return fault(e, "roles must be an array of role names");
	for (uint32_t c = jdoc_first(doc, node); c != JDOC_NONE; c = jdoc_next(doc, node, c)) {
		struct str word = jdoc_string(doc, c, &e->f->scratch);
		role_set role = word.p ? role_parse(word) : 0;
		if (!role)
			return fault(e, "roles names a role that does not exist (sluice dump roles lists them)");
		e->key->roles |= role;
	}
	return e->key->roles ? 0 : fault(e, "roles must name at least one role");
}

static int read_orgs(struct entry *e, uint32_t node)
{
	const struct jdoc *doc = &e->f->doc;
	if (str_is(jdoc_raw(doc, node), "\"*\"")) {
		e->key->every_org = true;
		return 0;
	}
	uint32_t count = jdoc_type(doc, node) == J_ARRAY ? doc->nodes[node].count : 0;
	struct str *orgs = count ? arena_array(&e->keys->memory, count, sizeof(*orgs)) : NULL;
	if (!orgs)
		return fault(e, "orgs must be \"*\" or an array of organizations");
	e->key->orgs = orgs;
	for (uint32_t c = jdoc_first(doc, node); c != JDOC_NONE; c = jdoc_next(doc, node, c)) {
		struct str org = kept_string(e, c);
		if (!org.p || !auth_org_ok(org))
			return fault(e, "orgs holds what is no organization's name");
		orgs[e->key->n_orgs++] = org;
	}
	return 0;
}

/* The path that keyFile names, in the keys file's own folder unless it is absolute; NULL without memory. */
static char *material_path(const struct entry *e, struct str name)
{
	const char *keys_file = e->f->options->keys_file;
	const char *slash = strrchr(keys_file, '/');
	if (!slash || name.p[0] == '/')
		return arena_dupz(&e->f->scratch, name);
	return arena_printf(&e->f->scratch, "%.*s/%.*s", (int)(slash - keys_file), keys_file, STR_ARG(name));
}

static int check_material(struct entry *e, struct str text)
{
	struct err why = {0};
	enum key_alg found;
	if (e->key->alg == KEY_HS256) {
		const char *weakness = secret_weakness(text);
		if (weakness) {
			err_set(&why, ERR_INVALID, "its key %s", weakness);
			return fault(e, why.text);
		}
		e->key->material = (struct str){arena_dupz(&e->keys->memory, text), text.n};
		return e->key->material.p ? 0 : err_set(e->err, ERR_NOMEM, "out of memory");
	}
	if (pem_read_public(text, &e->keys->memory, &found, &e->key->material, &why) < 0) {
		struct err whole = {0};
		err_set(&whole, ERR_INVALID, "its key %s", why.text);
		return fault(e, whole.text);
	}
	return found == e->key->alg ? 0 : fault(e, "its key's type does not fit its alg");
}

/* A file's last newline is not part of a secret. */
static struct str without_newline(struct str s)
{
	if (s.n && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

static int read_material_file(struct entry *e, struct str name)
{
	const char *path = material_path(e, name);
	if (!path)
		return err_set(e->err, ERR_NOMEM, "out of memory");
	struct buf text = BUF_INIT;
	struct err why = {0};
	int rc = fs_read_file(path, MATERIAL_MAX_BYTES, &text, &why);
	rc = rc < 0 ? fault(e, why.text) : check_material(e, without_newline(buf_str(&text)));
	if (text.p)
		OPENSSL_cleanse(text.p, text.n);
	buf_release(&text);
	return rc;
}

/* After the table, since what a key must be depends on alg. */
static int read_material(struct entry *e, uint32_t object)
{
	struct str text = jdoc_string(&e->f->doc, jdoc_get(&e->f->doc, object, "key"), &e->f->scratch);
	struct str file = jdoc_string(&e->f->doc, jdoc_get(&e->f->doc, object, "keyFile"), &e->f->scratch);
	if ((text.p != NULL) == (file.p != NULL))
		return fault(e, "exactly one of key and keyFile must be given, as a string");
	if (file.p)
		return file.n ? read_material_file(e, file) : fault(e, "keyFile is empty");
	return check_material(e, text);
}

static int skip(struct entry *e, uint32_t node)
{
	(void)e;
	(void)node;
	return 0;
}

static const struct {
	const char *name;
	bool required;
	int (*read)(struct entry *e, uint32_t node);
} fields[] = {
	{"kid", true, read_kid},       {"alg", true, read_alg}, {"key", false, skip},        {"keyFile", false, skip},
	{"iss", false, read_issuer},   {"aud", false, read_audience}, {"roles", true, read_roles}, {"orgs", true, read_orgs},
};

static bool field_known(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (str_is(name, fields[i].name))
			return true;
	return false;
}

static int check_names(struct entry *e, uint32_t object)
{
	const struct jdoc *doc = &e->f->doc;
	if (jdoc_type(doc, object) != J_OBJECT)
		return fault(e, "must be an object");
	for (uint32_t c = jdoc_first(doc, object); c != JDOC_NONE; c = jdoc_next(doc, object, c))
		if (!field_known(jdoc_key(doc, c, &e->f->scratch)))
			return fault(e, "only kid, alg, key, keyFile, iss, aud, roles and orgs are known");
	return 0;
}

static int read_entry(struct entry *e, uint32_t object)
{
	e->key->issuer = e->f->options->issuer && *e->f->options->issuer ? str_from(e->f->options->issuer) : STR_NONE;
	e->key->audience = e->f->options->audience && *e->f->options->audience ? str_from(e->f->options->audience) : STR_NONE;
	int rc = check_names(e, object);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(fields); i++) {
		uint32_t node = jdoc_get(&e->f->doc, object, fields[i].name);
		if (node != JDOC_NONE)
			rc = fields[i].read(e, node);
		else if (fields[i].required)
			rc = fault(e, "kid, alg, roles and orgs are required");
	}
	if (rc == 0)
		rc = read_material(e, object);
	if (rc == 0 && !e->key->every_org && (e->key->roles & ROLES_EVERY_ORG))
		rc = fault(e, "admin, operator and viewer see every organization, so they need orgs \"*\"");
	return rc;
}

int keyfile_open(struct keyfile *f, const struct auth_options *o, struct err *err)
{
	f->options = o;
	arena_init(&f->scratch, 0);
	struct err why = {0};
	int rc = fs_read_file(o->keys_file, FILE_MAX_BYTES, &f->text, &why);
	if (rc < 0)
		return err_set(err, rc, "JWT_KEYS_FILE: %s", why.text);
	struct jdoc_fault where = {0};
	rc = jdoc_parse(&f->doc, &f->scratch, buf_str(&f->text), &JDOC_LIMITS, &where);
	if (rc < 0)
		return err_set(err, rc, "JWT_KEYS_FILE: %s at byte %u", where.reason ? where.reason : err_sentence(rc), where.offset);
	if (jdoc_type(&f->doc, JDOC_ROOT) != J_ARRAY)
		return err_set(err, ERR_INVALID, "JWT_KEYS_FILE: must hold an array of keys");
	f->count = f->doc.nodes[JDOC_ROOT].count;
	return 0;
}

int keyfile_read(struct keyfile *f, struct keys *k, struct err *err)
{
	unsigned number = 0;
	for (uint32_t c = jdoc_first(&f->doc, JDOC_ROOT); c != JDOC_NONE; c = jdoc_next(&f->doc, JDOC_ROOT, c)) {
		struct entry e = {f, k, &k->items[k->n], ++number, err};
		int rc = read_entry(&e, c);
		if (rc < 0)
			return rc;
		k->n++;
	}
	return 0;
}

void keyfile_close(struct keyfile *f)
{
	if (f->text.p)
		OPENSSL_cleanse(f->text.p, f->text.n);
	buf_release(&f->text);
	arena_release(&f->scratch);
}
