/* What several settings say together. Any thread. */
#ifndef SLUICE_GATEWAY_SETTINGS_H
#define SLUICE_GATEWAY_SETTINGS_H

#include <stdbool.h>

#include "lib/auth/auth.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/config/config.h"
#include "lib/pg/pg.h"
#include "lib/redis/raddr.h"
#include "lib/redis/rsentinel.h"

/* None of REDIS_URL, REDIS_HOST and REDIS_SENTINELS is set. */
bool settings_redis_embedded(const struct config *cfg);
/* Where the external Redis is, as far as the settings say it: behind REDIS_SENTINELS host and port are open. ERR_INVALID. */
int settings_redis_address(const struct config *cfg, struct raddr *out, struct err *err) MUST_CHECK;
/* The same, with *asker behind the address where there are REDIS_SENTINELS, else NULL: rsentinel_stop ends it when nothing of the address is
 * used any more. log may be NULL. ERR_INVALID, ERR_NOMEM. */
int settings_redis_reach(const struct config *cfg, struct log *log, struct raddr *out, struct rsentinel **asker, struct err *err) MUST_CHECK;

/* Where records are kept. */
enum settings_store { STORE_NONE, STORE_EMBEDDED, STORE_GIVEN };
enum settings_store settings_store(const struct config *cfg);
/* How to speak with it; url is DATABASE_URL's or the embedded one's, and must outlive the options. */
struct pg_options settings_pg(const struct config *cfg, const char *url);

/* The keys that tokens are verified and made with. `secret` is JWT_SECRET's value or that of its file, and must outlive the options. */
struct auth_options settings_auth(const struct config *cfg, struct str secret);

/* The folder of this program, with a slash at the end. ERR_IO. */
int settings_program_dir(struct buf *out, struct err *err) MUST_CHECK;

#endif
