/* Redis URLs: whatever is accepted can be shown, fits, and says nothing of the password. */
#include <stdint.h>

#include "lib/base/panic.h"
#include "lib/redis/raddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct raddr *a)
{
	char text[RADDR_SHOW_SIZE];
	raddr_show(a, text);
	bug_on(!memchr(text, '\0', sizeof(text)));
	bug_on(!a->unix_path[0] == !a->host[0]);
	bug_on(a->host[0] && (a->port < 1 || a->port > 65535));
	bug_on(a->db < 0);
	bug_on(a->tls_skip_name && !a->tls);
	bug_on(!a->tls_cert_file[0] != !a->tls_key_file[0]);
	/* Written again, a network address says the same. */
	struct raddr again;
	if (a->host[0] && !a->tls_skip_name)
		bug_on(raddr_parse(&again, str_from(text), NULL) < 0 || strcmp(again.host, a->host) != 0 || again.port != a->port ||
		       again.db != a->db || again.tls != a->tls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct raddr a;
	struct err err = {0};
	int rc = raddr_parse(&a, (struct str){(const char *)data, size}, &err);
	bug_on(rc != 0 && (rc != ERR_INVALID || !err.text[0]));
	if (rc == 0)
		check_accepted(&a);
	return 0;
}
