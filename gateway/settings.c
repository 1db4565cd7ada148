#include "gateway/settings.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "lib/pg/pgchild.h"

bool settings_redis_embedded(const struct config *cfg)
{
	return !*cfg->redis_url && !*cfg->redis_host && cfg->redis_sentinels.n == 0;
}

static int put(char *into, size_t size, const char *name, const char *value, struct err *err)
{
	size_t n = strlen(value);
	if (n >= size)
		return err_set(err, ERR_INVALID, "%s is longer than %zu bytes", name, size - 1);
	memcpy(into, value, n + 1);
	return 0;
}

static int address_of_parts(const struct config *cfg, struct raddr *out, struct err *err)
{
	struct raddr addr = {.port = (int)cfg->redis_port, .db = (int)cfg->redis_db, .tls = cfg->redis_tls};
	int rc = put(addr.host, sizeof(addr.host), "REDIS_HOST", cfg->redis_host, err);
	if (rc == 0)
		rc = put(addr.user, sizeof(addr.user), "REDIS_USERNAME", cfg->redis_username, err);
	if (rc == 0)
		rc = put(addr.password, sizeof(addr.password), "REDIS_PASSWORD", cfg->redis_password, err);
	if (rc == 0)
		*out = addr;
	return rc;
}

/* The URL's own parameters win over the REDIS_TLS_… settings. */
static int add_tls_files(const struct config *cfg, struct raddr *addr, struct err *err)
{
	int rc = 0;
	if (!addr->tls_ca_file[0])
		rc = put(addr->tls_ca_file, sizeof(addr->tls_ca_file), "REDIS_TLS_CA_FILE", cfg->redis_tls_ca_file, err);
	if (rc < 0 || addr->tls_cert_file[0])
		return rc;
	rc = put(addr->tls_cert_file, sizeof(addr->tls_cert_file), "REDIS_TLS_CERT_FILE", cfg->redis_tls_cert_file, err);
	if (rc == 0)
		rc = put(addr->tls_key_file, sizeof(addr->tls_key_file), "REDIS_TLS_KEY_FILE", cfg->redis_tls_key_file, err);
	return rc;
}

int settings_redis_address(const struct config *cfg, struct raddr *out, struct err *err)
{
	struct raddr addr;
	struct err why = {0};
	int rc = *cfg->redis_url ? raddr_parse(&addr, str_from(cfg->redis_url), &why) : address_of_parts(cfg, &addr, &why);
	if (rc < 0)
		return err_set(err, rc, "%s%s", *cfg->redis_url ? "REDIS_URL: " : "", why.text);
	rc = addr.tls ? add_tls_files(cfg, &addr, err) : 0;
	if (rc == 0)
		*out = addr;
	return rc;
}

/* host, host:port or [IPv6]:port. */
static int sentinel_address(const struct config *cfg, const char *text, struct raddr *out, struct err *err)
{
	struct raddr addr;
	struct buf url = BUF_INIT;
	struct err why = {0};
	buf_addf(&url, "%s://%s", cfg->redis_tls ? "rediss" : "redis", text);
	int rc = url.failed ? ERR_NOMEM : raddr_parse(&addr, buf_str(&url), &why);
	buf_release(&url);
	if (rc < 0 || strpbrk(text, "@/?"))
		return err_set(err, ERR_INVALID, "REDIS_SENTINELS: \"%.100s\" is no host:port", text);
	const char *behind = strrchr(text, ']');
	if (!strchr(behind ? behind : text, ':'))
		addr.port = RSENTINEL_PORT;
	rc = put(addr.user, sizeof(addr.user), "REDIS_SENTINEL_USERNAME", cfg->redis_sentinel_username, err);
	if (rc == 0)
		rc = put(addr.password, sizeof(addr.password), "REDIS_SENTINEL_PASSWORD", cfg->redis_sentinel_password, err);
	if (rc == 0 && addr.tls)
		rc = add_tls_files(cfg, &addr, err);
	if (rc == 0)
		*out = addr;
	return rc;
}

static int start_asker(const struct config *cfg, struct log *log, struct rsentinel **asker, struct err *err)
{
	struct rsentinel_options o = {.n = cfg->redis_sentinels.n, .log = log};
	if (o.n > RSENTINEL_MAX)
		return err_set(err, ERR_INVALID, "REDIS_SENTINELS: %d at most", RSENTINEL_MAX);
	int rc = put(o.name, sizeof(o.name), "REDIS_SENTINEL_MASTER", cfg->redis_sentinel_master, err);
	for (size_t i = 0; rc == 0 && i < o.n; i++)
		rc = sentinel_address(cfg, cfg->redis_sentinels.items[i], &o.sentinels[i], err);
	if (rc == 0 && !(*asker = rsentinel_start(&o, err)))
		rc = ERR_NOMEM;
	OPENSSL_cleanse(&o, sizeof(o));
	return rc;
}

int settings_redis_reach(const struct config *cfg, struct log *log, struct raddr *out, struct rsentinel **asker, struct err *err)
{
	*asker = NULL;
	int rc = settings_redis_address(cfg, out, err);
	if (rc < 0 || cfg->redis_sentinels.n == 0)
		return rc;
	rc = start_asker(cfg, log, asker, err);
	if (rc == 0)
		out->master = rsentinel_master(*asker);
	return rc;
}

enum settings_store settings_store(const struct config *cfg)
{
	if (cfg->records == CONFIG_SWITCH_OFF)
		return STORE_NONE;
	if (*cfg->database_url)
		return STORE_GIVEN;
	/* Asked for and not installed: starting it says what to do. */
	return cfg->records == CONFIG_SWITCH_ON || pgchild_is_installed() ? STORE_EMBEDDED : STORE_NONE;
}

struct pg_options settings_pg(const struct config *cfg, const char *url)
{
	static const enum pg_prepare preparing[] = {
		[CONFIG_SWITCH_AUTO] = PG_PREPARE_AUTO, [CONFIG_SWITCH_ON] = PG_PREPARE_ON, [CONFIG_SWITCH_OFF] = PG_PREPARE_OFF};
	return (struct pg_options){
		.url = url,
		.prepare = preparing[cfg->pg_prepare],
		.readers = (int)cfg->pg_readers,
		.connect_timeout_ms = cfg->pg_connect_timeout_ms,
		.schema = cfg->migrate ? PG_SCHEMA_MIGRATE : PG_SCHEMA_DEMAND,
	};
}

struct auth_options settings_auth(const struct config *cfg, struct str secret)
{
	return (struct auth_options){
		.secret = secret,
		.public_key_file = cfg->jwt_public_key_file,
		.keys_file = cfg->jwt_keys_file,
		.issuer = cfg->jwt_issuer,
		.audience = cfg->jwt_audience,
	};
}

int settings_program_dir(struct buf *out, struct err *err)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path));
	if (n <= 0 || n == (ssize_t)sizeof(path))
		return err_errno(err, "/proc/self/exe cannot be read");
	while (n > 0 && path[n - 1] != '/')
		n--;
	buf_add(out, path, (size_t)n);
	return 0;
}
