/* Outbound addresses and rules: whatever a rule says, it never lets out more than it names, and a mapped address is judged as the one in it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>

#include "lib/base/panic.h"
#include "lib/fetch/fetch.h"
#include "lib/fetch/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const struct guard *g, const uint8_t bytes[6])
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	memcpy(&in.sin_addr, bytes, 4);
	memcpy(&in.sin_port, bytes + 4, 2);
	in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(in6.sin6_addr.s6_addr + 12, bytes, 4);
	in6.sin6_port = in.sin_port;
	const struct sockaddr *v4 = (const struct sockaddr *)&in, *v6 = (const struct sockaddr *)&in6;
	bug_on(guard_is_global(v4) != guard_is_global(v6));
	bug_on(guard_allows(g, v4) != guard_allows(g, v6));
	bug_on(guard_is_global(v4) && !guard_allows(g, v4));
	bug_on(guard_is_global(v4) && (bytes[0] == 127 || bytes[0] == 10 || bytes[0] == 0 || bytes[0] >= 224));
}

/* The first six bytes are an address and a port, the rest is a rule and, once more, a URL. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[1024];
	const char *rule = text;
	struct guard g;
	struct err err = {0};
	if (size < 6 || size - 6 >= sizeof(text))
		return 0;
	memcpy(text, data + 6, size - 6);
	text[size - 6] = '\0';
	if (guard_init(&g, &rule, 1, &err) == 0) {
		check_address(&g, data);
		guard_release(&g);
	} else {
		bug_on(!err.text[0]);
	}
	bug_on(guard_init(&g, NULL, 0, &err) < 0);
	check_address(&g, data);
	guard_release(&g);
	struct err why = {0};
	bug_on(fetch_url_check((struct str){(const char *)data + 6, size - 6}, &why) < 0 && !why.text[0]);
	return 0;
}
