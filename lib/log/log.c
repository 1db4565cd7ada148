#include "lib/log/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/lock.h"
#include "lib/base/panic.h"
#include "lib/json/jwrite.h"

#define VALUE_MAX ((size_t)2048)
#define TIME_AT 11 /* where the time of day begins in an RFC 3339 text */
#define TIME_N 12

#define LAG_MS 100 /* what a line waits for a reader that lags */

struct log {
	/* set before start */
	enum log_format format;
	enum log_level level;
	int fd;
	bool owns_fd;
	bool is_socket;
	/* any thread */
	_Atomic bool torn; /* the last line went out in part: the next one begins a new line */
	_Atomic bool stuck; /* the reader has not read for LAG_MS: nobody waits for it until it does */
	_Atomic uint64_t dropped;
	_Atomic bool holds; /* set before start, cleared under mu */
	struct lock mu;
	struct buf held;
};

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};
static const char *const level_labels[] = {"DEBUG", "INFO ", "WARN ", "ERROR", "OFF  "};
static const struct str secret_names[] = {STR("password"), STR("secret"), STR("token"), STR("authorization"), STR("cookie")};

/* The same pipe under an open file description of our own: O_NONBLOCK set on fd itself would be seen by every program that shares it. */
static int open_nonblocking(int fd)
{
	char path[32];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

/* What fd is decides how lines are written without ever blocking. */
static void look_at(struct log *l, int fd)
{
	struct stat st = {0};
	(void)fstat(fd, &st);
	int own = S_ISFIFO(st.st_mode) ? open_nonblocking(fd) : -1;
	l->fd = own >= 0 ? own : fd;
	l->owns_fd = own >= 0;
	l->is_socket = S_ISSOCK(st.st_mode);
}

struct log *log_new(int fd, enum log_level level, enum log_format format)
{
	struct log *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->format = format;
	l->level = level;
	l->held = BUF_INIT;
	lock_init(&l->mu);
	look_at(l, fd);
	return l;
}

void log_free(struct log *l)
{
	if (!l)
		return;
	log_let_go(l);
	if (l->owns_fd)
		(void)close(l->fd);
	lock_release(&l->mu);
	free(l);
}

bool log_enabled(const struct log *l, enum log_level level)
{
	return l && level < LOG_OFF && level >= l->level;
}

uint64_t log_dropped(const struct log *l)
{
	return atomic_load_explicit(&l->dropped, memory_order_relaxed);
}

/* Asked for every field of every line: most names end in another letter. */
static bool is_secret(const char *name)
{
	struct str s = str_from(name);
	for (size_t i = 0; s.n && i < ARRAY_LEN(secret_names); i++) {
		struct str word = secret_names[i];
		bool same_end = (s.p[s.n - 1] | 0x20) == word.p[word.n - 1];
		if (same_end && s.n >= word.n && str_ieq(str_sub(s, s.n - word.n, word.n), word))
			return true;
	}
	return false;
}

/* At most VALUE_MAX bytes, and no half of a UTF-8 character at the end. */
static struct str cut(struct str s)
{
	if (s.n <= VALUE_MAX)
		return s;
	size_t n = VALUE_MAX;
	while (n > VALUE_MAX - 3 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return str_sub(s, 0, n);
}

static bool is_left_out(const struct log_field *f)
{
	return f->kind == LOG_F_STR && !f->s.p;
}

static void json_value(struct jwrite *w, const struct log_field *f)
{
	if (is_secret(f->name))
		jw_strz(w, "***");
	else if (f->kind == LOG_F_INT)
		jw_int(w, f->i);
	else if (f->kind == LOG_F_BOOL)
		jw_bool(w, f->i != 0);
	else if (f->kind == LOG_F_JSON && f->s.n <= VALUE_MAX)
		jw_raw(w, f->s);
	else
		jw_str(w, cut(f->s)); /* JSON that had to be cut is only a string */
}

static void json_line(struct buf *b, const char *ts, enum log_level level, const char *event, const struct log_field *fields)
{
	struct jwrite w = jwrite_into(b);
	jw_open(&w, '{');
	jw_kstrz(&w, "ts", ts);
	jw_kstrz(&w, "level", level_names[level]);
	jw_kstrz(&w, "event", event);
	for (const struct log_field *f = fields; f->kind != LOG_F_END; f++) {
		if (is_left_out(f))
			continue;
		jw_key(&w, f->name);
		json_value(&w, f);
	}
	jw_close(&w, '}');
	buf_addc(b, '\n');
}

/* Needs no quotes in a text line. */
static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isgraph((unsigned char)s.p[i]) || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\')
			return false;
	return s.n > 0;
}

/* JSON handed over by a caller may be laid out over lines; a log line is one. */
static void add_on_one_line(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_addc(b, (char)((unsigned char)s.p[i] < ' ' ? ' ' : s.p[i]));
}

static void text_value(struct buf *b, const struct log_field *f)
{
	struct jwrite w = jwrite_into(b);
	if (is_secret(f->name))
		buf_addz(b, "***");
	else if (f->kind == LOG_F_INT)
		buf_addi(b, f->i);
	else if (f->kind == LOG_F_BOOL)
		buf_addz(b, f->i ? "true" : "false");
	else if (f->kind == LOG_F_JSON)
		add_on_one_line(b, cut(f->s));
	else if (is_plain(cut(f->s)))
		buf_adds(b, cut(f->s));
	else
		jw_str(&w, cut(f->s));
}

static void text_line(struct buf *b, const char *ts, enum log_level level, const char *event, const struct log_field *fields)
{
	buf_add(b, ts + TIME_AT, TIME_N);
	buf_addf(b, " %s %s", level_labels[level], event);
	for (const struct log_field *f = fields; f->kind != LOG_F_END; f++) {
		if (is_left_out(f))
			continue;
		buf_addf(b, " %s=", f->name);
		text_value(b, f);
	}
	buf_addc(b, '\n');
}

/* One write, so that lines of several threads and processes never mix. EAGAIN: there is no room. */
static ssize_t write_once(const struct log *l, struct str line)
{
	if (l->is_socket)
		return send(l->fd, line.p, line.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	struct pollfd room = {.fd = l->fd, .events = POLLOUT};
	if (!l->owns_fd && (poll(&room, 1, 0) <= 0 || !(room.revents & POLLOUT))) {
		errno = EAGAIN;
		return -1;
	}
	ssize_t n;
	do {
		n = write(l->fd, line.p, line.n);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* A reader that only lags is waited for, since lines are evidence; one that has stopped reading must not stop the program: it costs one
 * wait, and then its lines. */
static bool await_room(struct log *l)
{
	struct pollfd room = {.fd = l->fd, .events = POLLOUT};
	if (atomic_load_explicit(&l->stuck, memory_order_relaxed))
		return false;
	if (poll(&room, 1, LAG_MS) != 0)
		return true;
	atomic_store_explicit(&l->stuck, true, memory_order_relaxed);
	return false;
}

static bool write_line(struct log *l, struct str line)
{
	bool torn = atomic_exchange_explicit(&l->torn, false, memory_order_relaxed);
	if (!torn)
		line = str_sub(line, 1, line.n - 1); /* every line is built behind a newline of its own */
	ssize_t n = write_once(l, line);
	while (n < 0 && errno == EAGAIN && await_room(l))
		n = write_once(l, line);
	if (n >= 0 && atomic_load_explicit(&l->stuck, memory_order_relaxed))
		atomic_store_explicit(&l->stuck, false, memory_order_relaxed);
	if (n == (ssize_t)line.n)
		return true;
	if (n > 0 || torn)
		atomic_store_explicit(&l->torn, true, memory_order_relaxed);
	return false;
}

/* false: nothing is held any more. */
static bool keep(struct log *l, struct str lines)
{
	lock_take(&l->mu);
	bool holds = atomic_load_explicit(&l->holds, memory_order_relaxed);
	if (holds && l->held.n) /* one newline between two */
		lines = str_sub(lines, 1, lines.n - 1);
	if (holds)
		buf_adds(&l->held, lines);
	lock_give(&l->mu);
	return holds;
}

static void write_lines(struct log *l, const struct buf *lines, unsigned count)
{
	if (!lines->failed && atomic_load_explicit(&l->holds, memory_order_acquire) && keep(l, buf_str(lines)))
		return;
	if (lines->failed || !write_line(l, buf_str(lines)))
		atomic_fetch_add_explicit(&l->dropped, count, memory_order_relaxed);
}

void log_hold(struct log *l)
{
	atomic_store(&l->holds, true);
}

/* As many whole lines as a pipe takes at once, or one, with the newline before them. */
static struct str next_piece(struct str held)
{
	size_t n = held.n < PIPE_BUF ? held.n : PIPE_BUF;
	const char *end = memrchr(held.p + 1, '\n', n - 1);
	if (!end)
		end = memchr(held.p + 1, '\n', held.n - 1);
	return (struct str){held.p, (size_t)(end - held.p) + 1};
}

static unsigned lines_in(struct str piece)
{
	unsigned n = 0;
	for (size_t i = 1; i < piece.n; i++)
		n += piece.p[i] == '\n';
	return n;
}

void log_let_go(struct log *l)
{
	lock_take(&l->mu);
	for (struct str rest = buf_str(&l->held); rest.n > 1;) {
		struct str piece = next_piece(rest);
		if (!write_line(l, piece))
			atomic_fetch_add_explicit(&l->dropped, lines_in(piece), memory_order_relaxed);
		rest = str_sub(rest, piece.n - 1, rest.n - piece.n + 1);
	}
	if (l->held.failed)
		atomic_fetch_add_explicit(&l->dropped, 1, memory_order_relaxed);
	buf_release(&l->held);
	atomic_store_explicit(&l->holds, false, memory_order_release);
	lock_give(&l->mu);
}

static void add_line(struct log *l, struct buf *b, enum log_level level, const char *event, const struct log_field *fields)
{
	char ts[CLOCK_RFC3339_SIZE];
	clock_rfc3339(clock_wall_ms(), ts);
	if (l->format == LOG_FORMAT_JSON)
		json_line(b, ts, level, event, fields);
	else
		text_line(b, ts, level, event, fields);
}

/* ---- lines of one thread, together ---- */

static _Thread_local struct {
	struct log *l; /* NULL: lines go out one by one */
	unsigned depth, count;
	struct buf lines;
} batch;

static void write_batch(void)
{
	if (batch.count)
		write_lines(batch.l, &batch.lines, batch.count);
	buf_release(&batch.lines);
	batch.count = 0;
}

/* What a pipe takes as a whole may not be exceeded: a line that does not fit begins the next write. */
static void gather(enum log_level level, const char *event, const struct log_field *fields)
{
	size_t before = batch.lines.n;
	if (before == 0)
		buf_addc(&batch.lines, '\n');
	add_line(batch.l, &batch.lines, level, event, fields);
	if (batch.lines.n > PIPE_BUF && before) {
		struct buf full = batch.lines;
		full.n = before;
		write_lines(batch.l, &full, batch.count);
		buf_drop(&batch.lines, before - 1);
		batch.lines.p[0] = '\n';
		batch.count = 0;
	}
	batch.count++;
}

void log_batch_begin(struct log *l)
{
	if (batch.depth++ == 0)
		batch.l = l;
}

void log_batch_end(struct log *l)
{
	bug_on(batch.l != l || batch.depth == 0);
	if (--batch.depth > 0)
		return;
	write_batch();
	batch.l = NULL;
}

void log_write(struct log *l, enum log_level level, const char *event, const struct log_field *fields)
{
	if (!log_enabled(l, level))
		return;
	if (l == batch.l) {
		gather(level, event, fields);
		return;
	}
	struct buf b = BUF_INIT;
	buf_addc(&b, '\n');
	add_line(l, &b, level, event, fields);
	write_lines(l, &b, 1);
	buf_release(&b);
}
