#include "lib/config/config.h"

#include "lib/base/err.h"
#include "lib/base/fs.h"
#include "lib/base/panic.h"
#include "lib/config/envfile.h"
#include "lib/config/options.h"
#include "lib/config/rows.h"

#define FILE_MAX ((size_t)1 << 20)
#define OURS "SLUICE_"
#define FILE_SUFFIX "_FILE"

/* What the sources say of one name; value NULL: nothing. */
struct said {
	const char *value;
	enum config_origin origin;
};

struct loader {
	struct config *cfg;
	struct buf *problems;
	const char *env_file;
	enum config_origin origin; /* of the source that is being read */
	struct said values[CONFIG_KEYS];
	struct said files[CONFIG_KEYS]; /* NAME_FILE of secrets */
	bool no_memory;
};

static const char *origin_text(const struct loader *l, enum config_origin origin)
{
	if (origin == CONFIG_FROM_FILE)
		return l->env_file;
	return origin == CONFIG_FROM_ENVIRONMENT ? "the environment" : "the command line";
}

/* Kubernetes tells every pod of every Service in these forms; for a Service called sluice they begin with our own letters:
 * SLUICE_SERVICE_HOST=10.0.0.1, SLUICE_PORT=tcp://10.0.0.1:80, SLUICE_PORT_80_TCP_PROTO=tcp. */
static bool is_service_link(struct str name, const char *value)
{
	static const char port[] = "_PORT_";
	const char *numbered = memmem(name.p, name.n, port, strlen(port));
	size_t digit = numbered ? (size_t)(numbered - name.p) + strlen(port) : name.n;
	return memmem(name.p, name.n, "_SERVICE_", 9) || (str_ends(name, STR("_PORT")) && strstr(value, "://")) ||
	       (digit < name.n && name.p[digit] >= '0' && name.p[digit] <= '9');
}

static void report_unknown(struct loader *l, struct str name)
{
	const char *names[CONFIG_KEYS + 1] = {NULL};
	for (size_t i = 0; i < CONFIG_KEYS; i++)
		names[i] = config_rows[i].name;
	char typed[64];
	(void)snprintf(typed, sizeof(typed), "%.*s", STR_ARG(name));
	const char *nearest = options_nearest(typed, names);
	buf_addf(l->problems, "%s (from %s) is no setting", typed, origin_text(l, l->origin));
	if (nearest)
		buf_addf(l->problems, "; did you mean %s?\n", nearest);
	else
		buf_addz(l->problems, ".\n");
}

static struct said *place_of(struct loader *l, struct str name)
{
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		struct str known = str_from(config_rows[i].name);
		if (str_eq(name, known))
			return &l->values[i];
		if (config_rows[i].type == CONFIG_SECRET && name.n == known.n + strlen(FILE_SUFFIX) && str_starts(name, known) &&
		    str_ends(name, STR(FILE_SUFFIX)))
			return &l->files[i];
	}
	return NULL;
}

static void hear(struct loader *l, struct str name, const char *value)
{
	struct said *place = place_of(l, name);
	if (place && value[0])
		*place = (struct said){value, l->origin};
	if (!place && str_starts(name, STR(OURS)) && !is_service_link(name, value))
		report_unknown(l, name);
}

static void hear_line(void *arg, const char *name, const char *value)
{
	hear(arg, str_from(name), value);
}

static void hear_list(struct loader *l, char *const *pairs, enum config_origin origin)
{
	l->origin = origin;
	for (; pairs && *pairs; pairs++) {
		struct str rest = str_from(*pairs);
		struct str name = str_cut(&rest, '=');
		if (rest.p)
			hear(l, name, rest.p);
	}
}

static void hear_env_file(struct loader *l, const char *path)
{
	struct buf text = BUF_INIT;
	struct err err = {0};
	l->origin = CONFIG_FROM_FILE;
	int rc = path ? fs_read_file(path, FILE_MAX, &text, &err) : ERR_NOT_FOUND;
	if (rc == 0)
		l->no_memory |= envfile_read(path, buf_str(&text), &l->cfg->memory, hear_line, l, l->problems) < 0;
	else if (rc != ERR_NOT_FOUND)
		buf_addf(l->problems, "%s.\n", err.text);
	buf_release(&text);
}

int config_read_secret(const char *path, struct buf *out, struct err *err)
{
	size_t before = out->n;
	int rc = fs_read_file(path, FILE_MAX, out, err);
	if (rc < 0)
		return rc;
	if (out->n > before && out->p[out->n - 1] == '\n')
		out->n -= out->n > before + 1 && out->p[out->n - 2] == '\r' ? 2 : 1;
	if (out->n == before)
		return err_set(err, ERR_INVALID, "%s is empty", path);
	if (memchr(out->p + before, '\0', out->n - before))
		return err_set(err, ERR_INVALID, "%s contains a NUL byte", path);
	return 0;
}

/* The content of the file that NAME_FILE names; NULL after a problem. */
static const char *secret_of_file(struct loader *l, size_t key, const char *path)
{
	struct buf text = BUF_INIT;
	struct err err = {0};
	const char *secret = NULL;
	if (config_read_secret(path, &text, &err) < 0) {
		buf_addf(l->problems, "%s" FILE_SUFFIX ": %s.\n", config_rows[key].name, err.text);
	} else {
		secret = arena_dupz(&l->cfg->memory, buf_str(&text));
		l->cfg->file[key] = arena_dupz(&l->cfg->memory, str_from(path));
		l->no_memory |= !secret || !l->cfg->file[key];
	}
	buf_release(&text);
	return secret;
}

/* The value in force as text; NULL: the default. */
static const char *decide(struct loader *l, size_t key)
{
	const struct said *value = &l->values[key];
	const struct said *file = &l->files[key];
	if (value->value && file->value && value->origin == file->origin) {
		buf_addf(l->problems, "%s and %s" FILE_SUFFIX " are both set; set one of them.\n", config_rows[key].name, config_rows[key].name);
		return NULL;
	}
	bool by_file = file->value && (!value->value || file->origin > value->origin);
	const struct said *chosen = by_file ? file : value;
	if (!chosen->value)
		return NULL;
	l->cfg->origin[key] = chosen->origin;
	return by_file ? secret_of_file(l, key, file->value) : value->value;
}

/* The value as far as it fits into a line for people. */
static void add_shown(struct buf *b, struct str value)
{
	for (size_t i = 0; i < value.n && i < 200; i++)
		buf_addc(b, (char)((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f ? '?' : value.p[i]));
}

static void report_value(struct loader *l, const struct config_row *row, const char *text, enum config_origin origin)
{
	buf_addf(l->problems, "%s (from %s) ", row->name, origin_text(l, origin));
	if (row->type == CONFIG_SECRET) {
		buf_addz(l->problems, "is not valid");
	} else {
		buf_addz(l->problems, "is \"");
		add_shown(l->problems, str_from(text));
		buf_addc(l->problems, '"');
	}
	buf_addz(l->problems, "; allowed: ");
	config_allowed(row, l->problems);
	buf_addz(l->problems, ".\n");
}

static void settle(struct loader *l, size_t key)
{
	const struct config_row *row = &config_rows[key];
	int rc = config_parse(row, row->preset, l->cfg);
	bug_on(rc == ERR_INVALID);
	const char *text = rc < 0 ? NULL : decide(l, key);
	if (text)
		rc = config_parse(row, text, l->cfg);
	if (rc == ERR_INVALID)
		report_value(l, row, text, l->cfg->origin[key]);
	l->no_memory |= rc == ERR_NOMEM;
}

/* Without a scheme, or with one in capitals, cookies would go without Secure. */
static bool is_web_address(struct str s)
{
	return str_starts(s, STR("https://")) || str_starts(s, STR("http://"));
}

/* What concerns more than one key, or one alone and no other of its type. */
static void settle_together(struct loader *l)
{
	struct config *c = l->cfg;
	if (c->redis_url[0] && c->redis_host[0])
		buf_addz(l->problems, "REDIS_URL and REDIS_HOST are both set; set one of them.\n");
	if (c->redis_sentinels.n && (c->redis_url[0] || c->redis_host[0]))
		buf_addz(l->problems, "REDIS_SENTINELS tell where Redis is; set neither REDIS_URL nor REDIS_HOST beside them.\n");
	if (!c->redis_tls_cert_file[0] != !c->redis_tls_key_file[0])
		buf_addz(l->problems, "REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE belong together; set both or neither.\n");
	if (c->public_url[0] && !is_web_address(str_from(c->public_url)))
		buf_addz(l->problems, "SLUICE_PUBLIC_URL is no address that begins with https:// or http://.\n");
	if (!c->documents_dir[0])
		c->documents_dir = arena_printf(&c->memory, "%s/documents", c->data_dir);
	l->no_memory |= !c->documents_dir;
}

int config_load(struct config *cfg, const struct config_sources *from, struct buf *problems)
{
	*cfg = (struct config){0};
	arena_init(&cfg->memory, 0);
	struct loader l = {.cfg = cfg, .problems = problems, .env_file = from->env_file};
	size_t before = problems->n;
	hear_env_file(&l, from->env_file); /* each source overwrites those before it */
	hear_list(&l, from->environment, CONFIG_FROM_ENVIRONMENT);
	hear_list(&l, from->overrides, CONFIG_FROM_COMMAND_LINE);
	for (size_t i = 0; i < CONFIG_KEYS; i++)
		settle(&l, i);
	if (!l.no_memory)
		settle_together(&l);
	if (l.no_memory || problems->failed)
		return ERR_NOMEM;
	return l.problems->n > before ? ERR_INVALID : 0;
}

void config_release(struct config *cfg)
{
	arena_release(&cfg->memory);
	*cfg = (struct config){0};
}
