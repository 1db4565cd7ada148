#include "processors/webhook/settings.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "lib/base/fs.h"
#include "lib/fetch/fetch.h"
#include "lib/json/jdoc.h"

#define DEFAULT_TIMEOUT_MS 15000
#define SECRET_FILE_MAX 1024

/* Secrets with blanks or line ends between them. */
static int read_keys(struct hook_settings *h, struct str text, struct err *err)
{
	size_t at = 0;

	while (at < text.n) {
		size_t from = at += strspn(text.p + at, " \t\r\n");
		at += strcspn(text.p + at, " \t\r\n");
		if (at == from)
			break;
		if (h->n_keys == HOOK_SECRETS_MAX)
			return err_set(err, ERR_INVALID, "more than %d secrets", HOOK_SECRETS_MAX);
		int rc = sign_key_parse(&h->keys[h->n_keys], str_sub(text, from, at - from), err);
		if (rc < 0)
			return rc;
		h->n_keys++;
	}
	return h->n_keys ? 0 : err_set(err, ERR_INVALID, "the secret is empty");
}

static int read_key_file(struct hook_settings *h, const char *path, struct err *err)
{
	struct buf text = BUF_INIT;
	int rc = fs_read_file(path, SECRET_FILE_MAX, &text, err);

	if (rc == 0)
		rc = read_keys(h, buf_str(&text), err);
	if (text.p)
		OPENSSL_cleanse(text.p, text.n);
	buf_release(&text);
	return rc;
}

static int read_secret(struct hook_settings *h, const struct jdoc *doc, struct err *err)
{
	uint32_t secret = jdoc_get(doc, JDOC_ROOT, "secret"), file = jdoc_get(doc, JDOC_ROOT, "secretFile");

	if (secret != JDOC_NONE && file != JDOC_NONE)
		return err_set(err, ERR_INVALID, "secret and secretFile are both given");
	if (secret == JDOC_NONE && file == JDOC_NONE)
		return 0;
	const char *text = arena_dupz(&h->arena, jdoc_string(doc, secret != JDOC_NONE ? secret : file, &h->arena));
	if (!text)
		return err_set(err, ERR_NOMEM, "out of memory");
	return secret != JDOC_NONE ? read_keys(h, str_from(text), err) : read_key_file(h, text, err);
}

static int read_settings(struct hook_settings *h, struct str json, struct err *err)
{
	struct jdoc doc;
	struct jdoc_fault fault;

	if (!json.p)
		return err_set(err, ERR_INVALID, "the declaration needs \"webhook\": {\"url\": …}");
	json = arena_dup(&h->arena, json);
	if (!json.p || jdoc_parse(&doc, &h->arena, json, &JDOC_LIMITS, &fault) < 0)
		return err_set(err, ERR_NOMEM, "out of memory"); /* it was scanned with the whole declaration */
	h->url = jdoc_string(&doc, jdoc_get(&doc, JDOC_ROOT, "url"), &h->arena);
	if (jdoc_int(&doc, jdoc_get(&doc, JDOC_ROOT, "timeout"), &h->timeout_ms) < 0)
		h->timeout_ms = DEFAULT_TIMEOUT_MS;
	int rc = fetch_url_check(h->url, err);
	return rc < 0 ? rc : read_secret(h, &doc, err);
}

int hook_settings_new(struct str json, void **settings, struct err *err)
{
	struct hook_settings *h = calloc(1, sizeof(*h));

	if (!h)
		return err_set(err, ERR_NOMEM, "out of memory");
	arena_init(&h->arena, 0);
	int rc = read_settings(h, json, err);
	if (rc < 0)
		hook_settings_free(h);
	else
		*settings = h;
	return rc;
}

void hook_settings_free(void *settings)
{
	struct hook_settings *h = settings;

	for (size_t i = 0; i < h->n_keys; i++)
		sign_key_wipe(&h->keys[i]);
	arena_release(&h->arena);
	free(h);
}
