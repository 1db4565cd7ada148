#include "lib/fetch/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>

/* An address as 16 bytes; IPv4 stands in its mapped form ::ffff:a.b.c.d, so that there is one comparison. */
struct address {
	unsigned char bytes[16];
	unsigned port;
};

struct guard_rule {
	bool by_name;
	unsigned char bytes[16];
	unsigned prefix; /* bits, of the mapped form */
	unsigned port;   /* 0: all */
	char host[256];
};

#define MAPPED_PREFIX 96

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & (0xff << (8 - rest) & 0xff)) == 0;
}

static bool is_ipv4(const unsigned char bytes[16])
{
	return memcmp(bytes, mapped, sizeof(mapped)) == 0;
}

static bool take_address(const struct sockaddr *from, struct address *out)
{
	if (from->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, from, sizeof(in));
		memcpy(out->bytes, mapped, sizeof(mapped));
		memcpy(out->bytes + sizeof(mapped), &in.sin_addr, 4);
		out->port = ntohs(in.sin_port);
		return true;
	}
	if (from->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, from, sizeof(in6));
		memcpy(out->bytes, &in6.sin6_addr, 16);
		out->port = ntohs(in6.sin6_port);
		return true;
	}
	return false;
}

/* ---- the registries ---- */

struct block {
	unsigned char bytes[16];
	unsigned char prefix;
};

/* IANA's IPv4 special-purpose addresses that are not globally reachable, and multicast. */
static const struct block not_global4[] = {
	{{0}, 8},             /* this network */
	{{10}, 8},            /* private */
	{{100, 64}, 10},      /* shared: carrier NAT, also clouds' metadata */
	{{127}, 8},           /* loopback */
	{{169, 254}, 16},     /* link-local, metadata services */
	{{172, 16}, 12},      /* private */
	{{192, 0, 0}, 24},    /* protocol assignments */
	{{192, 0, 2}, 24},    /* documentation */
	{{192, 88, 99}, 24},  /* 6to4 relays */
	{{192, 168}, 16},     /* private */
	{{198, 18}, 15},      /* benchmarks */
	{{198, 51, 100}, 24}, /* documentation */
	{{203, 0, 113}, 24},  /* documentation */
	{{224}, 4},           /* multicast */
	{{240}, 4},           /* reserved, broadcast */
};

/* Global unicast IPv6 is 2000::/3; these blocks inside it are not. */
static const struct block not_global6[] = {
	{{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments, with Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x3f, 0xff}, 20},             /* documentation */
};

/* Prefixes behind which an IPv4 address stands at the given byte. */
static const struct embedding {
	unsigned char bytes[16];
	unsigned char prefix, at;
} embeddings[] = {
	{{[10] = 0xff, [11] = 0xff}, 96, 12}, /* mapped */
	{{0x00, 0x64, 0xff, 0x9b}, 96, 12},   /* NAT64 */
	{{0x20, 0x02}, 16, 2},                /* 6to4 */
};

static bool in_blocks(const unsigned char *bytes, const struct block *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (same_prefix(bytes, blocks[i].bytes, blocks[i].prefix))
			return true;
	return false;
}

static bool is_global(const unsigned char bytes[16])
{
	for (size_t i = 0; i < ARRAY_LEN(embeddings); i++)
		if (same_prefix(bytes, embeddings[i].bytes, embeddings[i].prefix))
			return !in_blocks(bytes + embeddings[i].at, not_global4, ARRAY_LEN(not_global4));
	return bytes[0] >> 5 == 1 && !in_blocks(bytes, not_global6, ARRAY_LEN(not_global6));
}

bool guard_is_global(const struct sockaddr *to)
{
	struct address a;
	return take_address(to, &a) && is_global(a.bytes);
}

/* ---- rules ---- */

static int bad_rule(struct str rule, struct err *err)
{
	return err_set(err, ERR_INVALID, "\"%.*s\" is no address, address/bits or host, with or without :port", STR_ARG(rule));
}

static int read_number(struct str s, uint64_t max, unsigned *out)
{
	uint64_t v;
	if (str_to_u64(s, &v) < 0 || v > max)
		return ERR_INVALID;
	*out = (unsigned)v;
	return 0;
}

/* The rule's parts: host, /bits and :port, as far as they stand there. */
static bool split(struct str rule, struct str *host, struct str *bits, struct str *port)
{
	*bits = *port = STR_NONE;
	struct str rest = rule;
	if (rule.n > 0 && rule.p[0] == '[') {
		const char *end = memchr(rule.p, ']', rule.n);
		if (!end)
			return false;
		*host = str_sub(rule, 1, (size_t)(end - rule.p) - 1);
		rest = str_sub(rule, host->n + 2, rule.n - host->n - 2);
	} else {
		size_t n = 0;
		while (n < rule.n && rule.p[n] != '/' && rule.p[n] != ':')
			n++;
		*host = str_sub(rule, 0, n);
		rest = str_sub(rule, n, rule.n - n);
	}
	if (rest.n > 0 && rest.p[0] == '/') {
		rest = str_sub(rest, 1, rest.n - 1);
		*bits = rest;
		*bits = str_cut(&rest, ':');
		*port = rest;
		return true;
	}
	if (rest.n > 0 && rest.p[0] == ':')
		*port = str_sub(rest, 1, rest.n - 1);
	return rest.n == 0 || rest.p[0] == ':';
}

static bool is_host_name(struct str host)
{
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && c != '-' && c != '.' && c != '_')
			return false;
	}
	return host.n > 0;
}

static int read_rule(struct guard_rule *r, struct str rule, struct err *err)
{
	struct str host, bits, port;
	unsigned char v4[4];
	if (!split(rule, &host, &bits, &port) || host.n == 0 || host.n >= sizeof(r->host))
		return bad_rule(rule, err);
	memcpy(r->host, host.p, host.n);
	if (port.p && (read_number(port, 65535, &r->port) < 0 || r->port == 0))
		return bad_rule(rule, err);
	unsigned width = 128;
	if (inet_pton(AF_INET, r->host, v4) == 1) {
		memcpy(r->bytes, mapped, sizeof(mapped));
		memcpy(r->bytes + sizeof(mapped), v4, 4);
		width = 32;
	} else if (inet_pton(AF_INET6, r->host, r->bytes) != 1) {
		r->by_name = true;
		return bits.p || !is_host_name(host) ? bad_rule(rule, err) : 0;
	}
	unsigned n = width;
	if (bits.p && read_number(bits, width, &n) < 0)
		return bad_rule(rule, err);
	r->prefix = width == 32 ? MAPPED_PREFIX + n : n;
	return 0;
}

int guard_init(struct guard *g, const char *const *rules, size_t n, struct err *err)
{
	*g = (struct guard){.rules = calloc(n ? n : 1, sizeof(*g->rules)), .n_rules = n};
	if (!g->rules)
		return err_set(err, ERR_NOMEM, "no memory for the rules of outbound addresses");
	for (size_t i = 0; i < n; i++) {
		int rc = read_rule(&g->rules[i], str_trim(str_from(rules[i])), err);
		if (rc < 0) {
			guard_release(g);
			return rc;
		}
	}
	return 0;
}

void guard_release(struct guard *g)
{
	free(g->rules);
	*g = (struct guard){0};
}

bool guard_allows_host(const struct guard *g, struct str host, unsigned port)
{
	for (size_t i = 0; i < g->n_rules; i++) {
		const struct guard_rule *r = &g->rules[i];
		if (r->by_name && str_ieq(host, str_from(r->host)) && (r->port == 0 || r->port == port))
			return true;
	}
	return false;
}

static bool rule_fits(const struct guard_rule *r, const struct address *a)
{
	return !r->by_name && same_prefix(a->bytes, r->bytes, r->prefix) && (r->port == 0 || r->port == a->port) &&
	       (r->prefix >= MAPPED_PREFIX || !is_ipv4(a->bytes) || is_ipv4(r->bytes));
}

bool guard_allows(const struct guard *g, const struct sockaddr *to)
{
	struct address a;
	if (!take_address(to, &a))
		return false;
	for (size_t i = 0; i < g->n_rules; i++)
		if (rule_fits(&g->rules[i], &a))
			return true;
	return is_global(a.bytes);
}
