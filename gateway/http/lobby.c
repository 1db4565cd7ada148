#include "gateway/http/lobby.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define EVENTS 64
#define ACCEPTS_PER_TURN 64
#define PAUSE_MS 100        /* without descriptors, until accepting is tried again */
#define CLOSING_MS 20       /* the accepting thread looks so often whether it is to end */
#define RESERVE_PART 16     /* one in so many threads is kept for urgent questions */
#define FORGET_READS 64

enum place { PLACE_NONE, PLACE_HEAD, PLACE_READY, PLACE_URGENT, PLACES };

struct guest {
	int fd;
	enum place place;
	struct sockaddr_in peer;
	int64_t deadline;
	size_t seen;   /* bytes that were looked at in vain */
	size_t wanted; /* bytes; 0: not known yet */
	bool urgent;
	struct guest *prev, *next;
};

struct guests {
	struct guest *head, *tail;
};

struct lobby {
	/* set before use */
	struct lobby_options o;
	int epoll, wake;
	/* the accepting thread */
	struct guest *all;
	unsigned known;           /* of them have been used; the others are memory that nobody has touched */
	struct guests at[PLACES]; /* each in the order of its deadlines */
	int listener;             /* -1: not known yet */
	int64_t paused_until;     /* 0: accepting */
	char *peek;               /* o.head_bytes */
	/* any thread */
	_Atomic int held;  /* connections that were handed over and have not ended */
	_Atomic int count; /* that are here */
	_Atomic bool crowded, closing;
};

/* Threads that are kept for urgent questions. */
static unsigned reserve(const struct lobby *l)
{
	unsigned part = l->o.threads / RESERVE_PART;
	return part ? part : 1;
}

/* ---- guests ---- */

static void leave(struct lobby *l, struct guest *g)
{
	struct guests *list = &l->at[g->place];
	*(g->prev ? &g->prev->next : &list->head) = g->next;
	*(g->next ? &g->next->prev : &list->tail) = g->prev;
}

static void enter(struct lobby *l, struct guest *g, enum place place)
{
	struct guests *list = &l->at[place];
	g->place = place;
	g->next = NULL;
	g->prev = list->tail;
	*(list->tail ? &list->tail->next : &list->head) = g;
	list->tail = g;
}

static void move(struct lobby *l, struct guest *g, enum place place)
{
	leave(l, g);
	enter(l, g, place);
}

/* Closing with unread input would take the answer with it. */
static void say_and_close(int fd, struct str answer)
{
	char sink[4096];
	if (answer.n && send(fd, answer.p, answer.n, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
		shutdown(fd, SHUT_WR);
		for (int i = 0; i < FORGET_READS && recvfrom(fd, sink, sizeof(sink), MSG_DONTWAIT, NULL, NULL) > 0; i++)
			continue;
	}
	close(fd);
}

static void dismiss(struct lobby *l, struct guest *g, struct str answer)
{
	say_and_close(g->fd, answer);
	move(l, g, PLACE_NONE);
	atomic_fetch_sub(&l->count, 1);
	atomic_fetch_sub(l->o.accepted, 1);
}

static struct str tell(struct lobby *l, enum lobby_event event)
{
	return l->o.on_event(l->o.arg, event);
}

/* Who has waited longest for its request goes: false when nobody waits for one. */
static bool make_room(struct lobby *l)
{
	struct guest *oldest = l->at[PLACE_HEAD].head;
	if (oldest)
		dismiss(l, oldest, tell(l, LOBBY_GAVE_WAY));
	return oldest != NULL;
}

static void make_ready(struct lobby *l, struct guest *g)
{
	g->deadline = clock_mono_ms() + l->o.timeout_ms;
	move(l, g, g->urgent ? PLACE_URGENT : PLACE_READY);
}

static bool has_all(struct lobby *l, struct guest *g, struct str bytes)
{
	int there = 0;
	if (!g->wanted) {
		g->wanted = lobby_bytes_wanted(bytes, g->seen);
		g->seen = bytes.n;
		g->urgent = g->wanted && lobby_is_urgent(bytes);
	}
	if (g->wanted && g->wanted <= bytes.n)
		return true;
	if (!g->wanted)
		return bytes.n == l->o.head_bytes;
	return ioctl(g->fd, FIONREAD, &there) == 0 && (size_t)there >= g->wanted;
}

static void look(struct lobby *l, struct guest *g, bool ended)
{
	ssize_t n = recvfrom(g->fd, l->peek, l->o.head_bytes, MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		dismiss(l, g, STR(""));
	else if (has_all(l, g, (struct str){l->peek, (size_t)n}) || ended)
		make_ready(l, g);
}

/* ---- accepting ---- */

/* NULL: everybody here waits for a thread. */
static struct guest *find_place(struct lobby *l)
{
	if (!l->at[PLACE_NONE].head && l->known < l->o.room)
		enter(l, &l->all[l->known++], PLACE_NONE);
	if (!l->at[PLACE_NONE].head)
		(void)make_room(l);
	return l->at[PLACE_NONE].head;
}

static void take_in(struct lobby *l, int fd, const struct sockaddr_in *peer)
{
	struct guest *g = find_place(l);
	struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = g};
	if (!g) {
		say_and_close(fd, tell(l, LOBBY_NO_THREAD));
		return;
	}
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
		tell(l, LOBBY_NO_DESCRIPTORS);
		close(fd);
		return;
	}
	g->fd = fd;
	g->peer = *peer;
	g->deadline = clock_mono_ms() + l->o.timeout_ms;
	g->seen = g->wanted = 0;
	g->urgent = false;
	move(l, g, PLACE_HEAD);
	atomic_fetch_add(&l->count, 1);
	atomic_fetch_add(l->o.accepted, 1);
	look(l, g, false);
}

static void listen_for(struct lobby *l, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = &l->listener};
	(void)epoll_ctl(l->epoll, EPOLL_CTL_MOD, l->listener, &e); /* fails when it has been closed: nothing comes any more */
}

static void run_out(struct lobby *l)
{
	tell(l, LOBBY_NO_DESCRIPTORS);
	if (make_room(l))
		return;
	l->paused_until = clock_mono_ms() + PAUSE_MS;
	listen_for(l, 0);
}

static void accept_some(struct lobby *l)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_in peer = {0};
		socklen_t size = sizeof(peer);
		int fd = accept4(l->listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
		if (fd >= 0)
			take_in(l, fd, &peer);
		else if (errno == EINVAL || errno == EBADF)
			(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->listener, NULL); /* it listens no more */
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			run_out(l);
		if (fd < 0)
			return;
	}
}

static void begin_to_listen(struct lobby *l, int listener)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = &l->listener};
	int flags = fcntl(listener, F_GETFL);
	if (l->listener == listener || flags < 0)
		return;
	(void)fcntl(listener, F_SETFL, flags | O_NONBLOCK); /* who was waiting to be accepted may have gone */
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, listener, &e) == 0)
		l->listener = listener;
}

/* ---- waiting ---- */

/* The next one for whom there is a thread; NULL: there is none. */
static struct guest *next_ready(struct lobby *l)
{
	unsigned held = (unsigned)atomic_load(&l->held);
	struct guest *urgent = l->at[PLACE_URGENT].head, *ready = l->at[PLACE_READY].head;
	if (urgent && held < l->o.threads)
		return urgent;
	return held + reserve(l) < l->o.threads ? ready : NULL;
}

static void expire(struct lobby *l, int64_t now)
{
	static const enum lobby_event events[PLACES] = {[PLACE_HEAD] = LOBBY_SLOW, [PLACE_READY] = LOBBY_NO_THREAD, [PLACE_URGENT] = LOBBY_NO_THREAD};
	for (int p = PLACE_HEAD; p < PLACES; p++) {
		struct guest *g;
		while ((g = l->at[p].head) && g->deadline <= now) {
			struct str answer = g->seen ? tell(l, events[p]) : STR("");
			dismiss(l, g, answer);
		}
	}
	if (l->paused_until && l->paused_until <= now) {
		l->paused_until = 0;
		listen_for(l, EPOLLIN);
	}
}

static int64_t next_deadline(const struct lobby *l, int64_t until)
{
	for (int p = PLACE_HEAD; p < PLACES; p++)
		if (l->at[p].head && l->at[p].head->deadline < until)
			until = l->at[p].head->deadline;
	return l->paused_until && l->paused_until < until ? l->paused_until : until;
}

static void heed(struct lobby *l, const struct epoll_event *e)
{
	uint64_t count;
	struct guest *g = e->data.ptr;
	if (e->data.ptr == &l->listener)
		accept_some(l);
	else if (e->data.ptr == l)
		(void)!read(l->wake, &count, sizeof(count)); /* looked at by next_ready */
	else if (g->place == PLACE_HEAD)
		look(l, g, e->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

static void sleep_and_heed(struct lobby *l, int64_t until)
{
	struct epoll_event events[EVENTS];
	int64_t now = clock_mono_ms(), left = next_deadline(l, until) - now;
	int n = epoll_wait(l->epoll, events, EVENTS, left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
	for (int i = 0; i < n; i++)
		heed(l, &events[i]);
	expire(l, clock_mono_ms());
}

bool lobby_wait(struct lobby *l, int listener, int timeout_ms)
{
	bool closing = atomic_load(&l->closing);
	int64_t until = clock_mono_ms() + (closing && timeout_ms > CLOSING_MS ? CLOSING_MS : timeout_ms);
	begin_to_listen(l, listener);
	while (!next_ready(l)) {
		atomic_store(&l->crowded, l->at[PLACE_READY].head || l->at[PLACE_URGENT].head);
		if (next_ready(l)) /* a thread that became free meanwhile may not have seen that somebody waits */
			break;
		if (clock_mono_ms() >= until || atomic_load(&l->closing) != closing)
			return false;
		sleep_and_heed(l, until);
	}
	return true;
}

int lobby_hand_over(struct lobby *l, struct sockaddr *peer, socklen_t *size)
{
	struct guest *g = next_ready(l);
	if (!g) {
		errno = EAGAIN;
		return -1;
	}
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, g->fd, NULL);
	if (*size > sizeof(g->peer))
		*size = sizeof(g->peer);
	memcpy(peer, &g->peer, *size);
	move(l, g, PLACE_NONE);
	atomic_fetch_sub(&l->count, 1);
	atomic_fetch_add(&l->held, 1);
	return g->fd;
}

/* ---- any thread ---- */

static void wake(struct lobby *l)
{
	uint64_t one = 1;
	(void)!write(l->wake, &one, sizeof(one)); /* a full counter is a wake-up as well */
}

void lobby_thread_free(struct lobby *l)
{
	atomic_fetch_sub(&l->held, 1);
	if (atomic_load(&l->crowded))
		wake(l);
}

bool lobby_is_crowded(const struct lobby *l)
{
	unsigned held = (unsigned)atomic_load_explicit(&l->held, memory_order_relaxed);
	return atomic_load_explicit(&l->crowded, memory_order_relaxed) || held + reserve(l) > l->o.threads;
}

int lobby_count(const struct lobby *l)
{
	return atomic_load(&l->count);
}

void lobby_close(struct lobby *l)
{
	atomic_store(&l->closing, true);
	wake(l);
}

/* ---- the owner ---- */

static int prepare(struct lobby *l, struct err *err)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
	l->all = calloc(l->o.room, sizeof(*l->all));
	l->peek = malloc(l->o.head_bytes);
	if (!l->all || !l->peek)
		return err_set(err, ERR_NOMEM, "no memory for connections that wait");
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->epoll < 0 || l->wake < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &e) < 0)
		return err_errno(err, "epoll");
	return 0;
}

struct lobby *lobby_new(const struct lobby_options *o, struct err *err)
{
	struct lobby *l = calloc(1, sizeof(*l));
	if (!l) {
		err_set(err, ERR_NOMEM, "no memory for connections that wait");
		return NULL;
	}
	l->o = *o;
	l->listener = l->epoll = l->wake = -1;
	if (prepare(l, err) == 0)
		return l;
	lobby_free(l);
	return NULL;
}

void lobby_free(struct lobby *l)
{
	if (!l)
		return;
	for (int p = PLACE_HEAD; p < PLACES; p++)
		while (l->at[p].head)
			dismiss(l, l->at[p].head, STR(""));
	if (l->epoll >= 0)
		close(l->epoll);
	if (l->wake >= 0)
		close(l->wake);
	free(l->peek);
	free(l->all);
	free(l);
}
