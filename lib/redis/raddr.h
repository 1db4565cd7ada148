/* Where a Redis is and how to sign in there. Any thread.
 *
 *     redis://[user:password@]host[:port][/db]            also ?db=n; host may be [IPv6]
 *     rediss://…?verify=full|ca&ca=FILE&cert=FILE&key=FILE  (TLS; verify=ca checks the chain but not the host name)
 *     unix://[user:password@]/path?db=n */
#ifndef SLUICE_REDIS_RADDR_H
#define SLUICE_REDIS_RADDR_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/redis/rmaster.h"

struct raddr {
	char host[256];      /* empty for a Unix socket, and where sentinels tell */
	char unix_path[108]; /* empty for TCP */
	char user[128];
	char password[512];
	int port;
	int db;
	bool tls;
	bool tls_skip_name; /* rediss://…?verify=ca : the chain is checked, the host name is not */
	char tls_ca_file[256]; /* empty: the system's store */
	char tls_cert_file[256], tls_key_file[256]; /* client certificate, both or neither */
	struct rmaster *master; /* tells host and port, whenever a connection begins; NULL: they stand here. Outlives all copies */
};

/* Parses a URL; percent-escapes in user, password and paths are decoded; unknown query names are refused. *out is
 * untouched on failure, and the error never repeats any part of the URL. ERR_INVALID. */
int raddr_parse(struct raddr *out, struct str url, struct err *err) MUST_CHECK;
/* "redis://host:6379/0", without user and password: fit for logs. The master of a group is "redis://name/0". */
#define RADDR_SHOW_SIZE 400
void raddr_show(const struct raddr *a, char out[RADDR_SHOW_SIZE]);

#endif
