#include "lib/redis/transport.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/redis/transport_tls.h"

#define KEEPALIVE_IDLE_S 15
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_PROBES 3

enum phase { PHASE_CLOSED, PHASE_CONNECTING, PHASE_HANDSHAKE, PHASE_OPEN };

struct transport {
	struct raddr addr;
	SSL_CTX *tls; /* NULL without TLS */
	SSL *ssl;
	int fd;
	enum phase phase;
	enum tls_want read_want, write_want;
	struct addrinfo *found, *next; /* TCP only */
	uint64_t place;                /* the master's, when this began to connect */
	int64_t deadline;              /* of the whole */
	int64_t address_deadline;      /* of the address being tried */
};

struct transport *transport_new(const struct raddr *addr, struct err *err)
{
	struct transport *t = calloc(1, sizeof(*t));
	if (!t) {
		err_set(err, ERR_NOMEM, "Redis transport");
		return NULL;
	}
	t->addr = *addr;
	t->fd = -1;
	if (addr->tls && !(t->tls = tls_context(addr, err))) {
		free(t);
		return NULL;
	}
	return t;
}

static void close_socket(struct transport *t)
{
	SSL_free(t->ssl);
	t->ssl = NULL;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	t->phase = PHASE_CLOSED;
	t->read_want = t->write_want = TLS_WANT_NOTHING;
}

void transport_close(struct transport *t)
{
	close_socket(t);
	if (t->found)
		freeaddrinfo(t->found);
	t->found = t->next = NULL;
}

void transport_free(struct transport *t)
{
	if (!t)
		return;
	transport_close(t);
	SSL_CTX_free(t->tls);
	OPENSSL_cleanse(t->addr.password, sizeof(t->addr.password));
	free(t);
}

int transport_fd(const struct transport *t)
{
	return t->fd;
}

int64_t transport_deadline(const struct transport *t)
{
	return t->address_deadline < t->deadline ? t->address_deadline : t->deadline;
}

static short want_events(enum tls_want want, short otherwise)
{
	static const short events[] = {[TLS_WANT_READ] = POLLIN, [TLS_WANT_WRITE] = POLLOUT};
	return want == TLS_WANT_NOTHING ? otherwise : events[want];
}

short transport_events(const struct transport *t, bool want_write)
{
	if (t->phase == PHASE_CONNECTING)
		return POLLOUT;
	if (t->phase == PHASE_HANDSHAKE)
		return want_events(t->read_want, POLLIN);
	short events = want_events(t->read_want, POLLIN);
	return want_write ? (short)(events | want_events(t->write_want, POLLOUT)) : events;
}

static void set_tcp_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
	};
	/* A kernel that lacks one of them still carries bytes. */
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

/* Opens a socket and begins to connect it: 0, else ERR_UNAVAILABLE. */
static int start_socket(struct transport *t, int family, const struct sockaddr *sa, socklen_t n, struct err *err)
{
	struct err detail = {0};
	t->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0) {
		err_errno(&detail, "socket");
		return err_set(err, ERR_UNAVAILABLE, "%s", detail.text);
	}
	if (family != AF_UNIX)
		set_tcp_options(t->fd);
	t->phase = PHASE_CONNECTING;
	if (connect(t->fd, sa, n) == 0 || errno == EINPROGRESS)
		return 0;
	/* EAGAIN of a Unix socket: its backlog is full. Later is soon enough. */
	err_errno(&detail, "connect");
	close_socket(t);
	return err_set(err, ERR_UNAVAILABLE, "%s", detail.text);
}

static int start_unix(struct transport *t, struct err *err)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	_Static_assert(sizeof(sun.sun_path) >= sizeof(t->addr.unix_path), "a parsed path fits");
	memcpy(sun.sun_path, t->addr.unix_path, sizeof(t->addr.unix_path));
	t->address_deadline = t->deadline;
	return start_socket(t, AF_UNIX, (const struct sockaddr *)&sun, sizeof(sun), err);
}

/* Goes on to the next address that can be tried; ERR_UNAVAILABLE when there is none, *err untouched then. */
static int start_next_address(struct transport *t, struct err *err)
{
	int rc = ERR_UNAVAILABLE;
	while (rc < 0 && t->next) {
		const struct addrinfo *ai = t->next;
		int64_t left = 0, now = clock_mono_ms();
		for (const struct addrinfo *a = ai; a; a = a->ai_next)
			left++;
		t->address_deadline = now + (t->deadline - now) / left;
		t->next = ai->ai_next;
		rc = start_socket(t, ai->ai_family, ai->ai_addr, ai->ai_addrlen, err);
	}
	return rc;
}

static int start_tcp(struct transport *t, struct err *err)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	char port[12];
	snprintf(port, sizeof(port), "%d", t->addr.port);
	int rc = getaddrinfo(t->addr.host, port, &hints, &t->found);
	if (rc != 0) {
		t->found = NULL;
		return err_set(err, ERR_UNAVAILABLE, "the name %.100s: %s", t->addr.host, gai_strerror(rc));
	}
	t->next = t->found;
	return start_next_address(t, err);
}

/* Asks where the master is, where there is one to be asked for. */
static int find_place(struct transport *t, struct err *err)
{
	struct rmaster_place place;
	int rc = t->addr.master ? rmaster_where(t->addr.master, &place, err) : 0;
	if (rc < 0 || !t->addr.master)
		return rc;
	_Static_assert(sizeof(t->addr.host) >= sizeof(place.host), "a told host fits");
	memcpy(t->addr.host, place.host, sizeof(place.host));
	t->addr.port = place.port;
	t->place = place.number;
	return 0;
}

const struct raddr *transport_addr(const struct transport *t)
{
	return &t->addr;
}

int transport_check_place(const struct transport *t, struct err *err)
{
	if (t->phase == PHASE_CLOSED || !t->addr.master || !rmaster_has_moved(t->addr.master, t->place))
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "the sentinels name another master");
}

int transport_begin(struct transport *t, int64_t deadline_mono_ms, struct err *err)
{
	struct err detail = {0};
	transport_close(t);
	t->deadline = deadline_mono_ms;
	int rc = find_place(t, &detail);
	if (rc == 0)
		rc = t->addr.unix_path[0] ? start_unix(t, &detail) : start_tcp(t, &detail);
	if (rc == 0)
		return transport_advance(t, err);
	transport_close(t);
	return err_set(err, rc, "%s", detail.text);
}

/* 1: connected; 0: not yet; ERR_UNAVAILABLE. */
static int check_connected(struct transport *t, struct err *err)
{
	struct pollfd p = {.fd = t->fd, .events = POLLOUT};
	int failure = 0;
	socklen_t n = sizeof(failure);
	if (poll(&p, 1, 0) <= 0)
		return 0;
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &failure, &n) < 0)
		failure = errno;
	if (failure == 0)
		return 1;
	errno = failure;
	struct err detail = {0};
	err_errno(&detail, "connect");
	return err_set(err, ERR_UNAVAILABLE, "%s", detail.text);
}

static int advance_socket(struct transport *t, struct err *err)
{
	int rc = 1;
	if (t->phase == PHASE_CONNECTING) {
		rc = check_connected(t, err);
		if (rc <= 0)
			return rc;
		t->phase = PHASE_HANDSHAKE;
		if (t->tls && !(t->ssl = tls_session(t->tls, t->fd, &t->addr, err)))
			return ERR_UNAVAILABLE;
	}
	if (t->phase == PHASE_HANDSHAKE && t->ssl)
		rc = tls_handshake(t->ssl, &t->read_want, err);
	if (rc == 1)
		t->phase = PHASE_OPEN;
	return rc;
}

int transport_advance(struct transport *t, struct err *err)
{
	struct err detail = {0};
	int rc = advance_socket(t, &detail);
	if (rc == 0 && clock_mono_ms() >= transport_deadline(t))
		rc = err_set(&detail, ERR_TIMEOUT, "no connection within the time allowed");
	if (rc >= 0)
		return rc;
	close_socket(t);
	if (start_next_address(t, &detail) == 0)
		return 0;
	transport_close(t);
	return err_set(err, rc, "%s", detail.text);
}

ssize_t transport_read(struct transport *t, void *p, size_t n, struct err *err)
{
	if (t->ssl)
		return tls_read(t->ssl, p, n, &t->read_want, err);
	ssize_t got = recv(t->fd, p, n, 0);
	if (got > 0)
		return got;
	if (got == 0)
		return err_set(err, ERR_IO, "Redis closed the connection");
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return err_errno(err, "Redis");
}

ssize_t transport_write(struct transport *t, const void *p, size_t n, struct err *err)
{
	if (t->ssl)
		return tls_write(t->ssl, p, n, &t->write_want, err);
	ssize_t put = send(t->fd, p, n, MSG_NOSIGNAL);
	if (put >= 0)
		return put;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return err_errno(err, "Redis");
}

bool transport_has_buffered(const struct transport *t)
{
	return t->ssl && SSL_pending(t->ssl) > 0; /* SSL_has_pending also counts half a record, which reading does not use up */
}
