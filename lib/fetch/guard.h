/* Which addresses an outbound connection may go to: the public Internet, and what the operator's rules allow.
 *
 * A rule is one of
 *     10.1.0.0/16          [fd00::]/8          every port of these addresses
 *     127.0.0.1:8080       [::1]:8080          one port of one address; a prefix length may stand before the port
 *     hooks.internal:8080                      the port of a URL that spells the host so, wherever the name leads
 * Without a port, all ports. A guard is only read once it is made: any thread. */
#ifndef SLUICE_FETCH_GUARD_H
#define SLUICE_FETCH_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct guard_rule;

struct guard {
	struct guard_rule *rules;
	size_t n_rules;
};

/* 0, ERR_INVALID or ERR_NOMEM; then there is nothing to release. */
int guard_init(struct guard *g, const char *const *rules, size_t n, struct err *err) MUST_CHECK;
void guard_release(struct guard *g);

/* Does a rule name this host (as the URL spells it) and port? */
bool guard_allows_host(const struct guard *g, struct str host, unsigned port);
/* May a connection go to this address? What is neither IPv4 nor IPv6 may not. */
bool guard_allows(const struct guard *g, const struct sockaddr *to);

/* Global unicast by the registries of RFC 6890 and its successors; IPv4 inside IPv6 (mapped, NAT64, 6to4) is judged as IPv4. */
bool guard_is_global(const struct sockaddr *to);

#endif
