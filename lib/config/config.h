/* The settings: one table (config.def), read once at start.
 *
 *     struct config cfg;
 *     struct buf problems = BUF_INIT;
 *     struct config_sources from = {.overrides = overrides, .environment = environ, .env_file = ".env"};
 *     if (config_load(&cfg, &from, &problems) < 0) ... print problems.p, exit 2
 *     ... cfg.port, cfg.redis_url ...
 *     config_release(&cfg);
 *
 * A value comes from the command line, else the environment, else the .env file, else the table's default; an empty one counts as unset.
 * Every secret may instead be named by a file (NAME_FILE): its content without one newline (LF or CR LF) at the end. A loaded config is only read:
 * any thread. */
#ifndef SLUICE_CONFIG_CONFIG_H
#define SLUICE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

/* The values of ENUM fields: the positions of their words in config.def. That of log_level is an enum log_level (lib/log/log.h). */
enum config_role { CONFIG_ROLE_API, CONFIG_ROLE_WORKER, CONFIG_ROLE_ALL };
enum config_log_format { CONFIG_LOG_JSON, CONFIG_LOG_TEXT, CONFIG_LOG_AUTO };
enum config_switch { CONFIG_SWITCH_AUTO, CONFIG_SWITCH_ON, CONFIG_SWITCH_OFF };
enum config_sandbox { CONFIG_SANDBOX_STRICT, CONFIG_SANDBOX_BEST_EFFORT };

struct config_list {
	const char *const *items;
	size_t n;
};

enum config_key {
#define X(field, type, name, preset, allowed, flags, group, help) CONFIG_KEY_##field,
#include "lib/config/config.def"
#undef X
	CONFIG_KEYS
};

enum config_origin { CONFIG_FROM_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_ENVIRONMENT, CONFIG_FROM_COMMAND_LINE };

#define CONFIG_C_STRING const char * /* never NULL; "" when unset */
#define CONFIG_C_SECRET const char *
#define CONFIG_C_INT int64_t
#define CONFIG_C_BOOL bool
#define CONFIG_C_ENUM int
#define CONFIG_C_DURATION int64_t /* milliseconds */
#define CONFIG_C_BYTES int64_t
#define CONFIG_C_JSON const char * /* the text of an object, as it was given */
#define CONFIG_C_LIST struct config_list
#define CONFIG_C_RATE int64_t /* per second; 0 = off */

struct config {
#define X(field, type, name, preset, allowed, flags, group, help) CONFIG_C_##type field;
#include "lib/config/config.def"
#undef X
	enum config_origin origin[CONFIG_KEYS];
	const char *file[CONFIG_KEYS]; /* of a secret that NAME_FILE names; else NULL */
	struct arena memory; /* of the strings above */
};

/* Lists of "NAME=value" that end with NULL; any of the three may be NULL. Nothing of them is kept. */
struct config_sources {
	char *const *overrides;   /* from the command line */
	char *const *environment; /* the process's environ */
	const char *env_file;     /* read when it exists: KEY=value lines, quotes, # comments */
};

/* 0, else ERR_INVALID or ERR_NOMEM with one line in problems for each thing that is wrong: every key is looked at. Names that begin with
 * SLUICE_ and are none of the table's are wrong too, except those that Kubernetes makes for a Service called sluice (SLUICE_SERVICE_HOST,
 * SLUICE_PORT_…). *cfg is fit for config_release in either case. */
int config_load(struct config *cfg, const struct config_sources *from, struct buf *problems) MUST_CHECK;
void config_release(struct config *cfg);

/* Appends what the file at `path` holds now, by the rules for secrets. err does not name the setting. */
int config_read_secret(const char *path, struct buf *out, struct err *err) MUST_CHECK;

/* The table for people, as --help shows it. */
void config_help(struct buf *out);
/* The table as JSON: [{name, type, default, allowed, secret, deploy, group, help}]. */
void config_dump(struct buf *out);
/* The values in force as JSON: [{name, value, origin}]; a secret is "***", or null when unset. */
void config_show(const struct config *cfg, struct buf *out);

#endif
