#include "gateway/http/wire.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/lobby.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/lock.h"

#define CIVETWEB_STACK_BYTES ((size_t)102400) /* -DUSE_STACK_SIZE of Debian's build */
#define HIGHEST_LISTENER 1024 /* it is opened at start, when few descriptors are in use */
#define LINGER_MS 1000
#define BACKLOG_MS 1000
#define TCP_FLAGS_AT 13 /* in the header (RFC 9293 3.1), where the filter of a TCP socket begins */
#define TCP_SYN 0x02
#define LINGER_BYTES (256 << 10)

#define WAIT_MS 2000     /* civetweb waits for input in pieces of this, so that it sees when it is to stop */
#define SEND_PIECE_MS 250 /* for sendfile(2) on a socket that blocks */
#define AHEAD_BYTES 2048  /* most requests have less */

static _Thread_local struct {
	int fd;
	bool filled; /* the last recv took all that there was room for */
	struct str received; /* what the last recv brought */
	int64_t deadline_ms;
	int64_t allowed; /* bytes that recv may still bring */
	struct lobby *lobby; /* NULL: not the accepting thread */
	int served; /* the connection's socket, once a request has come by it; else -1 */
	bool blocks;
	bool is_ahead; /* poll has read this, or has met the end: */
	size_t n_ahead;
	char ahead[AHEAD_BYTES];
} watch = {.fd = -1, .allowed = WIRE_ALLOW_ALL, .served = -1};

/* Declared by assembler name: the C name may be an inline function of the fortified headers. */
ssize_t wire_recv(int fd, void *into, size_t n, int flags) __asm__("recv");
int wire_accept(int fd, struct sockaddr *peer, socklen_t *size) __asm__("accept");
int wire_poll(struct pollfd *p, nfds_t n, int timeout_ms) __asm__("poll");
int wire_setstacksize(pthread_attr_t *attr, size_t n) __asm__("pthread_attr_setstacksize");

/* ---- waiting and reading in one ----
 * Between two requests of a connection civetweb waits in poll(2) and then reads by recv(2). A socket that blocks as long as poll would does both in
 * one call of the kernel: our poll reads, and our recv hands out what was read. */

static bool is_served(int fd)
{
	return fd == watch.served && fd >= 0;
}

static bool is_read_ahead(int fd)
{
	return watch.is_ahead && is_served(fd);
}

static void forget_ahead(void)
{
	watch.is_ahead = false;
	watch.n_ahead = 0;
}

/* From the second wait on: a connection of one request is not worth it. */
static bool does_block(int fd)
{
	struct timeval wait = {.tv_sec = WAIT_MS / 1000}, piece = {.tv_usec = SEND_PIECE_MS * 1000L};

	if (!watch.blocks)
		watch.blocks = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
			       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &piece, sizeof(piece)) == 0 && fcntl(fd, F_SETFL, 0) == 0;
	return watch.blocks;
}

/* A process that is stopped and continued, frozen or traced is interrupted where it waits for a socket with a time limit (signal(7)). */
static ssize_t wait_and_read(int fd)
{
	ssize_t got = -1;

	do
		got = recvfrom(fd, watch.ahead, sizeof(watch.ahead), 0, NULL, NULL);
	while (got < 0 && errno == EINTR);
	return got;
}

static int read_ahead(struct pollfd *p)
{
	ssize_t got = watch.is_ahead ? (ssize_t)watch.n_ahead : wait_and_read(p->fd);

	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		p->revents = 0;
		return 0;
	}
	watch.is_ahead = true;
	watch.n_ahead = got > 0 ? (size_t)got : 0;
	p->revents = POLLIN;
	return 1;
}

/* What was read ahead, and what else there is when that was all there was room for. */
static ssize_t take_ahead(char *into, size_t most)
{
	bool was_full = watch.n_ahead == sizeof(watch.ahead);
	size_t n = watch.n_ahead < most ? watch.n_ahead : most;

	memcpy(into, watch.ahead, n);
	watch.n_ahead -= n;
	memmove(watch.ahead, watch.ahead + n, watch.n_ahead);
	watch.is_ahead = watch.n_ahead > 0;
	if (!was_full || n == most)
		return (ssize_t)n;
	ssize_t more = recvfrom(watch.served, into + n, most - n, MSG_DONTWAIT, NULL, NULL);
	return (ssize_t)n + (more > 0 ? more : 0);
}

static ssize_t receive(int fd, void *into, size_t n, int flags)
{
	return is_read_ahead(fd) ? take_ahead(into, n) : recvfrom(fd, into, n, flags, NULL, NULL);
}

ssize_t wire_recv(int fd, void *into, size_t n, int flags)
{
	if (watch.served >= 0 && !is_served(fd))
		return recvfrom(fd, into, n, flags, NULL, NULL); /* Redis', which its callers read from */
	watch.fd = fd;
	watch.filled = false;
	if (watch.deadline_ms && clock_mono_ms() >= watch.deadline_ms) {
		errno = ETIMEDOUT;
		return -1;
	}
	if (watch.allowed <= 0) {
		errno = ECONNRESET;
		return -1;
	}
	size_t most = (uint64_t)watch.allowed < n ? (size_t)watch.allowed : n;
	ssize_t got = receive(fd, into, most, flags);
	if (got > 0 && watch.allowed != WIRE_ALLOW_ALL)
		watch.allowed -= got;
	watch.filled = got > 0 && (size_t)got == n;
	watch.received = got > 0 ? (struct str){into, (size_t)got} : STR_NONE;
	return got;
}

int wire_accept(int fd, struct sockaddr *peer, socklen_t *size)
{
	return watch.lobby ? lobby_hand_over(watch.lobby, peer, size) : accept4(fd, peer, size, 0);
}

/* timeout_ms < 0: for ever. */
static int wait_for(struct pollfd *p, nfds_t n, int64_t timeout_ms)
{
	struct timespec left = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	return ppoll(p, n, timeout_ms < 0 ? NULL : &left, NULL);
}

/* Once the deadline has passed there is something to read: our recv's refusal. */
static int wait_while_watched(struct pollfd *p, int timeout_ms)
{
	int64_t left = watch.deadline_ms - clock_mono_ms();
	if (timeout_ms >= 0 && timeout_ms < left)
		return wait_for(p, 1, timeout_ms);
	int rc = wait_for(p, 1, left > 0 ? left : 0);
	if (rc == 0)
		p->revents = POLLIN;
	return rc == 0 ? 1 : rc;
}

int wire_poll(struct pollfd *p, nfds_t n, int timeout_ms)
{
	if (watch.lobby) {
		p->revents = lobby_wait(watch.lobby, p->fd, timeout_ms) ? POLLIN : 0;
		return p->revents ? 1 : 0;
	}
	if (n != 1 || !is_served(p->fd) || (p->events & ~POLLERR) != POLLIN)
		return wait_for(p, n, timeout_ms);
	if (watch.is_ahead || (timeout_ms == WAIT_MS && !watch.deadline_ms && does_block(p->fd)))
		return read_ahead(p);
	return watch.deadline_ms ? wait_while_watched(p, timeout_ms) : wait_for(p, 1, timeout_ms);
}

int wire_setstacksize(pthread_attr_t *attr, size_t n)
{
	int (*real)(pthread_attr_t *, size_t);
	*(void **)&real = dlsym(RTLD_NEXT, "pthread_attr_setstacksize");
	return real ? real(attr, n == CIVETWEB_STACK_BYTES ? THREAD_STACK_BYTES : n) : ENOSYS;
}

void wire_begin(void)
{
	watch.deadline_ms = 0;
	watch.allowed = WIRE_ALLOW_ALL;
	watch.served = -1;
	watch.blocks = false;
	forget_ahead();
}

void wire_watch(int64_t deadline_mono_ms)
{
	watch.deadline_ms = deadline_mono_ms;
}

void wire_allow(int64_t bytes)
{
	watch.allowed = bytes;
}

void wire_accept_from(struct lobby *lobby)
{
	watch.lobby = lobby;
}

struct str wire_received(void)
{
	struct str received = watch.received;
	watch.received = STR_NONE;
	return received;
}

int64_t wire_take(int fd, void *into, size_t n)
{
	ssize_t got = receive(fd, into, n, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	return got > 0 ? got : ERR_IO;
}

void wire_await_input(int fd, int64_t deadline_mono_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left = deadline_mono_ms - clock_mono_ms();
	if (left > 0 && !is_read_ahead(fd))
		(void)poll(&p, 1, (int)(left < INT_MAX ? left : INT_MAX));
}

bool wire_filled(void)
{
	return watch.filled;
}

int wire_socket(int peer_port)
{
	struct sockaddr_in peer = {0};
	socklen_t size = sizeof(peer);
	if (watch.fd < 0 || getpeername(watch.fd, (struct sockaddr *)&peer, &size) < 0)
		return -1;
	watch.served = peer.sin_family == AF_INET && ntohs(peer.sin_port) == peer_port ? watch.fd : -1;
	return watch.served;
}

/* How long a peer may take. */
struct pace {
	int64_t deadline_ms;
	int64_t stalled_ms; /* unless it takes something by then */
	int unsent;         /* bytes that it had not taken when it was looked at last */
};

/* Waits until the socket takes more. */
static int await_room(int fd, struct pace *pace)
{
	if (errno == EINTR)
		return 0;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		return ERR_IO;
	int64_t now = clock_mono_ms();
	int unsent = 0;
	if (!pace->stalled_ms || ioctl(fd, SIOCOUTQ, &unsent) < 0 || unsent != pace->unsent)
		pace->stalled_ms = now + WIRE_STALL_MS;
	pace->unsent = unsent;
	int64_t left = (pace->stalled_ms < pace->deadline_ms ? pace->stalled_ms : pace->deadline_ms) - now;
	if (left <= 0)
		return ERR_TIMEOUT;
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	return poll(&p, 1, (int)(left < 1000 ? left : 1000)) < 0 && errno != EINTR ? ERR_IO : 0;
}

static void advance(struct iovec **iov, int *n, size_t sent)
{
	while (*n && sent >= (*iov)->iov_len) {
		sent -= (*iov)->iov_len;
		++*iov;
		--*n;
	}
	if (*n) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + sent;
		(*iov)->iov_len -= sent;
	}
}

int wire_push(int fd, struct iovec **iov, int *n)
{
	advance(iov, n, 0);
	while (*n) {
		struct msghdr m = {.msg_iov = *iov, .msg_iovlen = (size_t)*n};
		ssize_t sent = *n == 1 ? send(fd, (*iov)->iov_base, (*iov)->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
				       : sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EINTR)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 1 : ERR_IO;
		if (sent > 0)
			advance(iov, n, (size_t)sent);
	}
	return 0;
}

int wire_send(int fd, struct iovec *iov, int n, int64_t deadline_mono_ms)
{
	struct pace pace = {.deadline_ms = deadline_mono_ms};
	int rc = wire_push(fd, &iov, &n);
	while (rc > 0) {
		rc = await_room(fd, &pace);
		if (rc == 0)
			rc = wire_push(fd, &iov, &n);
	}
	return rc;
}

int wire_send_file(int fd, int file, int64_t n, int64_t deadline_mono_ms)
{
	struct pace pace = {.deadline_ms = deadline_mono_ms};
	while (n > 0) {
		ssize_t sent = sendfile(fd, file, NULL, (size_t)n);
		if (sent > 0) {
			n -= sent;
			continue;
		}
		if (sent == 0)
			return ERR_IO; /* the file has become shorter */
		int rc = await_room(fd, &pace);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void wire_linger(int fd)
{
	char sink[4096];
	int64_t deadline = clock_mono_ms() + LINGER_MS;
	shutdown(fd, SHUT_WR);
	forget_ahead(); /* else poll would never wait */
	for (size_t total = 0; total < LINGER_BYTES;) {
		int64_t left = deadline - clock_mono_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return;
		ssize_t got = recvfrom(fd, sink, sizeof(sink), MSG_DONTWAIT, NULL, NULL);
		if (got <= 0)
			return;
		total += (size_t)got;
	}
}

static bool is_at_port(int fd, unsigned port)
{
	struct sockaddr_in here = {0};
	socklen_t size = sizeof(here);
	return getsockname(fd, (struct sockaddr *)&here, &size) == 0 && here.sin_family == AF_INET && ntohs(here.sin_port) == port;
}

int wire_listener(unsigned port)
{
	for (int fd = 0; fd < HIGHEST_LISTENER; fd++) {
		int listens = 0;
		socklen_t n = sizeof(listens);
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens && is_at_port(fd, port))
			return fd;
	}
	return -1;
}

void wire_shut_connections(unsigned port)
{
	long end = sysconf(_SC_OPEN_MAX);
	for (int fd = 0; fd < end; fd++)
		if (is_at_port(fd, port))
			shutdown(fd, SHUT_RD);
}

/* Connections that the kernel has completed, but nobody has accepted, would be reset by the end of the listener. So the kernel is told to
 * complete no more (who calls now calls again a second later, and is refused), and the accepting thread is given the time to take them. */
static void empty_backlog(int listener)
{
	static const struct sock_filter no_syn[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TCP_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {ARRAY_LEN(no_syn), (struct sock_filter *)(uintptr_t)no_syn};
	struct pollfd p = {.fd = listener, .events = POLLIN};
	int64_t deadline = clock_mono_ms() + BACKLOG_MS;

	(void)setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)); /* refused in some sandboxes: then as good as it goes */
	while (poll(&p, 1, 0) > 0 && clock_mono_ms() < deadline)
		clock_sleep_ms(1);
}

void wire_stop_listening(int fd)
{
	empty_backlog(fd);
	shutdown(fd, SHUT_RD);
}

bool wire_peer_gone(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
