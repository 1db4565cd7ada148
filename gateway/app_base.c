#include "gateway/app_base.h"

#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "gateway/declared.h"
#include "gateway/openapi/openapi.h"
#include "gateway/openapi/page.h"
#include "gateway/sample.h"
#include "gateway/settings.h"
#include "gateway/version.h"
#include "lib/base/fs.h"
#include "lib/base/secret_file.h"
#include "lib/docstore/docstore.h"
#include "lib/fetch/fetch.h"
#include "lib/metrics/metrics.h"
#include "processors/runtime/tally.h"
#include "revision.h"

int app_no_memory(struct err *err)
{
	return err_set(err, ERR_NOMEM, "out of memory");
}

/* ---- log: held back until the address is known ---------------------------------------------------------------------------- */

static enum log_format format_for(const struct config *cfg, int fd)
{
	static const enum log_format formats[] = {[CONFIG_LOG_JSON] = LOG_FORMAT_JSON, [CONFIG_LOG_TEXT] = LOG_FORMAT_TEXT};
	if (cfg->log_format == CONFIG_LOG_AUTO)
		return isatty(fd) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
	return formats[cfg->log_format];
}

int log_start(struct app *a, struct err *err)
{
	a->log_format = format_for(a->cfg, STDOUT_FILENO);
	a->services.log = log_new(STDOUT_FILENO, (enum log_level)a->cfg->log_level, a->log_format);
	if (!a->services.log)
		return app_no_memory(err);
	log_hold(a->services.log);
	return 0;
}

void log_stop(struct app *a)
{
	log_free(a->services.log);
}

/* ---- metrics ---------------------------------------------------------------------------------------------------------------- */

int metrics_start(struct app *a, struct err *err)
{
	a->services.metrics = metrics_new();
	if (!a->services.metrics)
		return app_no_memory(err);
	metrics_set(a->services.metrics, M_BUILD_INFO, 1, (struct str[]){STR(SLUICE_VERSION), STR(SLUICE_REVISION), STR(__VERSION__)});
	metrics_set(a->services.metrics, M_REDIS_UP, 0, NULL);
	return 0;
}

void metrics_stop(struct app *a)
{
	metrics_free(a->services.metrics);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------- */

static void wipe(struct buf *secret)
{
	if (secret->p)
		OPENSSL_cleanse(secret->p, secret->n);
	buf_release(secret);
}

/* The secret of tokens without a kid: the setting's, by its file as that is now, else the one made at the first start. */
static int read_secret(const struct config *cfg, struct buf *secret, struct err *err)
{
	int rc = 0;
	if (cfg->file[CONFIG_KEY_jwt_secret])
		rc = config_read_secret(cfg->file[CONFIG_KEY_jwt_secret], secret, err);
	else if (*cfg->jwt_secret)
		buf_addz(secret, cfg->jwt_secret);
	else
		rc = secret_file_ensure(cfg->data_dir, SECRET_FILE_TOKENS, secret, err);
	return rc == 0 && secret->failed ? app_no_memory(err) : rc;
}

int keys_start(struct app *a, struct err *err)
{
	struct buf secret = BUF_INIT;
	int rc = read_secret(a->cfg, &secret, err);
	struct auth_options o = settings_auth(a->cfg, buf_str(&secret));
	if (rc == 0 && !(a->services.auth = auth_new(&o, err)))
		rc = ERR_INVALID;
	wipe(&secret);
	return rc;
}

int keys_reload(struct app *a, struct err *err)
{
	struct buf secret = BUF_INIT;
	int rc = read_secret(a->cfg, &secret, err);
	struct auth_options o = settings_auth(a->cfg, buf_str(&secret));
	if (rc == 0)
		rc = auth_reload(a->services.auth, &o, err);
	wipe(&secret);
	return rc;
}

void keys_stop(struct app *a)
{
	auth_free(a->services.auth);
}

/* ---- queues and schemas ------------------------------------------------------------------------------------------------------ */

int queues_start(struct app *a, struct err *err)
{
	int rc = declared_load(&a->queues, a->cfg, err);
	if (rc < 0)
		return rc;
	a->services.tallies = tallies_new(a->services.metrics, &a->queues);
	if (!a->services.tallies) {
		declarations_release(&a->queues);
		return app_no_memory(err);
	}
	a->services.queues = &a->queues;
	a->services.prefix = a->cfg->bullmq_prefix;
	return 0;
}

void queues_stop(struct app *a)
{
	tallies_free(a->services.tallies);
	declarations_release(&a->queues);
}

int schemas_start(struct app *a, struct err *err)
{
	a->schemas = declared_schemas(&a->queues, err);
	if (!a->schemas)
		return ERR_INVALID;
	a->services.openapi = api_page_new();
	int rc = a->services.openapi ? openapi_show(a, err) : app_no_memory(err);
	if (rc < 0)
		schemas_stop(a);
	return rc;
}

int openapi_show(struct app *a, struct err *err)
{
	struct buf text = BUF_INIT;
	int rc = openapi_write(&ROUTES, a->schemas, SLUICE_VERSION, &text, err);
	if (rc == 0 && text.failed)
		rc = app_no_memory(err);
	if (rc == 0)
		api_page_show(a->services.openapi, &text);
	buf_release(&text);
	return rc;
}

void schemas_stop(struct app *a)
{
	api_page_free(a->services.openapi);
	schemas_free(a->schemas);
}

/* ---- documents ---------------------------------------------------------------------------------------------------------------- */

int documents_start(struct app *a, struct err *err)
{
	struct docstore_options o = {
		.dir = a->cfg->documents_dir, .max_bytes = a->cfg->doc_max_bytes, .max_age_s = a->cfg->doc_max_age_ms / 1000};
	int rc = fs_make_dirs(o.dir, 0700, err);
	if (rc < 0)
		return rc;
	a->services.documents = docstore_open(&o, err);
	if (!a->services.documents)
		return ERR_IO;
	if (o.max_age_s > 0 && !(a->sweeper = sweeper_start(a->services.documents, a->services.log, err))) {
		docstore_close(a->services.documents);
		return ERR_NOMEM;
	}
	if (a->cfg->sample_document)
		sample_store(a->services.documents, a->services.log);
	return 0;
}

void documents_stop(struct app *a)
{
	sweeper_stop(a->sweeper);
	docstore_close(a->services.documents);
}

/* ---- outbound requests --------------------------------------------------------------------------------------------------------- */

/* Each request reads them; a file that holds none would fail them all, one by one. */
static int check_authorities(const char *file, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	bool good = store && X509_STORE_load_file(store, file);
	X509_STORE_free(store);
	ERR_clear_error();
	return good ? 0 : err_set(err, ERR_INVALID, "SLUICE_FETCH_CA_FILE: %s is no file of certificates (PEM)", file);
}

int fetch_start(struct app *a, struct err *err)
{
	struct err why = {0};
	int rc = *a->cfg->fetch_ca_file ? check_authorities(a->cfg->fetch_ca_file, err) : 0;
	if (rc < 0)
		return rc;
	const struct fetcher_options o = {
		.allow = a->cfg->fetch_allow.items,
		.n_allow = a->cfg->fetch_allow.n,
		.ca_file = a->cfg->fetch_ca_file,
		.user_agent = "sluice/" SLUICE_VERSION,
	};
	a->fetcher = fetcher_new(&o, &why);
	return a->fetcher ? 0 : err_set(err, why.code, "SLUICE_FETCH_ALLOW: %s", why.text);
}

void fetch_stop(struct app *a)
{
	fetcher_free(a->fetcher);
}
