#include "gateway/cli/terminal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_BELOW "\033[J"
#define ROWS_DEFAULT 24
#define COLUMNS_DEFAULT 80

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH};

bool terminal_here(const char *term)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static void put(struct str bytes)
{
	while (bytes.n) {
		ssize_t n = write(STDOUT_FILENO, bytes.p, bytes.n);
		if (n < 0 && errno != EINTR)
			return; /* the terminal is gone; its hang-up says so */
		if (n > 0)
			bytes = str_sub(bytes, (size_t)n, bytes.n - (size_t)n);
	}
}

/* Keys one by one and unseen; the terminal's own signals stay. */
static void enter(const struct terminal *t)
{
	struct termios raw = t->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	put(STR(ENTER));
}

static void leave(const struct terminal *t)
{
	put(STR(LEAVE));
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
}

static int watch(int epoll, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

int terminal_open(struct terminal *t, struct err *err)
{
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(watched); i++)
		sigaddset(&set, watched[i]);
	*t = (struct terminal){.events = -1, .signals = -1};
	if (tcgetattr(STDIN_FILENO, &t->before) < 0)
		return err_errno(err, "the terminal cannot be read");
	(void)pthread_sigmask(SIG_BLOCK, &set, &t->mask_before);
	t->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	t->events = epoll_create1(EPOLL_CLOEXEC);
	if (t->signals < 0 || t->events < 0 || watch(t->events, t->signals) < 0 || watch(t->events, STDIN_FILENO) < 0) {
		int rc = err_errno(err, "the terminal cannot be watched");
		close(t->signals);
		close(t->events);
		(void)pthread_sigmask(SIG_SETMASK, &t->mask_before, NULL);
		return rc;
	}
	enter(t);
	return 0;
}

void terminal_close(struct terminal *t)
{
	leave(t);
	close(t->events);
	close(t->signals);
	(void)pthread_sigmask(SIG_SETMASK, &t->mask_before, NULL);
}

/* As every program does that is told to stop for a while. */
static void stop_for_a_while(const struct terminal *t)
{
	leave(t);
	(void)raise(SIGSTOP);
	enter(t);
}

static enum terminal_event take_signals(const struct terminal *t)
{
	struct signalfd_siginfo info;
	enum terminal_event event = TERMINAL_TIME;
	while (read(t->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP)
			return TERMINAL_END;
		if (info.ssi_signo == SIGTSTP)
			stop_for_a_while(t);
		event = TERMINAL_CHANGED;
	}
	return event;
}

/* Bytes of the first key: ESC, [ or O, parameters, a letter; else one. */
static size_t key_length(struct str typed)
{
	size_t n = 2;
	if (typed.n < 3 || typed.p[0] != '\033' || (typed.p[1] != '[' && typed.p[1] != 'O'))
		return 1;
	while (n < typed.n && (typed.p[n] < '@' || typed.p[n] > '~'))
		n++;
	return n < typed.n ? n + 1 : n;
}

static enum terminal_event next_key(struct terminal *t, char *key)
{
	size_t n = key_length((struct str){t->typed, t->n_typed});
	char last = t->typed[n - 1];
	*key = n == 1 ? last : last == 'A' ? 'k' : last == 'B' ? 'j' : '\0';
	t->n_typed -= n;
	memmove(t->typed, t->typed + n, t->n_typed);
	return TERMINAL_KEY;
}

static enum terminal_event take_keys(struct terminal *t, char *key)
{
	ssize_t n = read(STDIN_FILENO, t->typed, sizeof(t->typed));
	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN) ? TERMINAL_TIME : TERMINAL_END;
	t->n_typed = (size_t)n;
	return next_key(t, key);
}

enum terminal_event terminal_wait(struct terminal *t, int timeout_ms, char *key)
{
	struct epoll_event e;
	if (t->n_typed)
		return next_key(t, key);
	int n = epoll_wait(t->events, &e, 1, timeout_ms);
	if (n <= 0)
		return TERMINAL_TIME;
	return e.data.fd == t->signals ? take_signals(t) : take_keys(t, key);
}

void terminal_size(size_t *rows, size_t *columns)
{
	struct winsize size = {0};
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*rows = size.ws_row ? size.ws_row : ROWS_DEFAULT;
	*columns = size.ws_col ? size.ws_col : COLUMNS_DEFAULT;
}

void terminal_draw(struct str frame)
{
	put(STR(HOME));
	put(frame);
	put(STR(CLEAR_BELOW));
}
