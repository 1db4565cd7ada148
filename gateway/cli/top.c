/* `sluice top`: all queues of a gateway, live on a terminal, plain lines elsewhere. */
#include "gateway/cli/printable.h"
#include "gateway/cli/queue_list.h"
#include "gateway/cli/terminal.h"
#include "lib/base/clock.h"

#define INTERVAL_DEFAULT_S 2
#define INTERVAL_MAX_S 3600
#define END_OF_LINE "\033[K\n"
#define REVERSE "\033[7m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"
#define LINES_AROUND 4 /* two above the table, its titles, one below it */

struct top {
	struct client c;
	struct terminal terminal;
	int64_t interval_ms;
	enum queue_order order;
	size_t first; /* row at the top */
	struct reply shown; /* the last good answer */
	bool has_shown;
	struct buf trouble; /* why there is no newer one; empty: there is */
	bool cancelled;     /* the last time it was asked, a key or a signal came */
};

/* Afterwards there is a newer answer, or t->trouble says why not, or it was cancelled. */
static enum cli_exit refresh(struct top *t)
{
	struct reply reply;
	enum cli_exit exit = queue_list_ask(&t->c, &reply);
	t->cancelled = reply.cancelled;
	if (!t->cancelled)
		buf_clear(&t->trouble);
	if (!t->cancelled && exit != CLI_OK)
		buf_addz(&t->trouble, reply.why);
	if (exit == CLI_OK && t->has_shown)
		reply_release(&t->shown);
	if (exit == CLI_OK) {
		t->shown = reply;
		t->has_shown = true;
	} else {
		reply_release(&reply);
	}
	return exit;
}

/* ---- a frame ---- */

static void add_title(const struct top *t, const struct queue_totals *all, struct buf *out)
{
	char at[CLOCK_RFC3339_SIZE];
	clock_rfc3339(reply_number(&t->shown, JDOC_ROOT, "at"), at);
	const char *some = reply_flag(&t->shown, JDOC_ROOT, "complete") ? "" : " (not all)";
	buf_addf(out, "sluice top  %.19sZ  %zu queues%s  %lld waiting  %lld active  %lld delayed  %lld failed", at, all->queues, some, (long long)all->waiting,
		 (long long)all->active, (long long)all->delayed, (long long)all->failed);
}

/* `text` is printable and is taken over. */
static void add_line(struct buf *out, struct buf *text, const char *how, size_t columns)
{
	buf_addz(out, how);
	(void)printable_fit(out, buf_str(text), columns);
	buf_addz(out, *how ? PLAIN END_OF_LINE : END_OF_LINE);
	buf_release(text);
}

static void add_rows(struct top *t, const struct sheet *s, size_t room, size_t columns, struct buf *out)
{
	size_t rows = sheet_rows(s), last = rows > room ? rows - room : 0;
	t->first = t->first < last ? t->first : last;
	for (size_t i = 0; i < room && t->first + i < rows; i++) {
		struct buf row = BUF_INIT;
		sheet_row(s, t->first + i, &row);
		add_line(out, &row, "", columns);
	}
}

static void add_keys(const struct top *t, size_t columns, struct buf *out)
{
	struct buf keys = BUF_INIT;
	buf_addf(&keys, "q leave  o order: %s  j k scroll  r refresh", queue_order_words[t->order]);
	(void)printable_fit(out, buf_str(&keys), columns);
	buf_addz(out, "\033[K");
	buf_release(&keys);
}

/* A window of few lines shows the first of them, instead of rolling. */
static struct str first_lines(struct str frame, size_t lines)
{
	struct str rest = frame;
	while (lines-- > 0 && rest.p)
		(void)str_cut(&rest, '\n');
	return rest.p ? (struct str){frame.p, (size_t)(rest.p - frame.p) - 1} : frame;
}

static void draw(struct top *t)
{
	size_t rows, columns;
	struct arena memory;
	struct queue_totals all;
	struct sheet s;
	struct buf frame = BUF_INIT, title = BUF_INIT, trouble = BUF_INIT, head = BUF_INIT;
	arena_init(&memory, 0);
	terminal_size(&rows, &columns);
	queue_list_table(&t->shown, t->order, &memory, &s, &all);
	add_title(t, &all, &title);
	buf_adds(&trouble, buf_str(&t->trouble));
	sheet_head(&s, &head);
	add_line(&frame, &title, BOLD, columns);
	add_line(&frame, &trouble, BOLD, columns);
	add_line(&frame, &head, REVERSE, columns);
	add_rows(t, &s, rows > LINES_AROUND ? rows - LINES_AROUND : 0, columns, &frame);
	add_keys(t, columns, &frame);
	if (!frame.failed)
		terminal_draw(first_lines(buf_str(&frame), rows));
	buf_release(&frame);
	arena_release(&memory);
}

/* ---- keys ---- */

static bool leave(struct top *t)
{
	(void)t;
	return false;
}

static bool next_order(struct top *t)
{
	t->order = (t->order + 1) % QUEUE_ORDERS;
	t->first = 0;
	return true;
}

static bool down(struct top *t)
{
	t->first++;
	return true;
}

static bool up(struct top *t)
{
	t->first -= t->first > 0;
	return true;
}

static const struct {
	char key;
	bool asks; /* for newer figures */
	bool (*press)(struct top *t); /* false: leave; NULL: nothing else */
} keys[] = {{'q', false, leave}, {'Q', false, leave}, {'o', false, next_order}, {'j', false, down}, {'k', false, up}, {'r', true, NULL}};

/* False: leave. *ask_at: when the gateway is asked next. */
static bool press(struct top *t, char key, int64_t *ask_at)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (keys[i].key != key)
			continue;
		if (keys[i].asks)
			*ask_at = clock_mono_ms();
		return !keys[i].press || keys[i].press(t);
	}
	return true;
}

/* ---- the two ways of showing ---- */

/* A key or a signal while the gateway is asked ends the asking (see terminal.h) and is looked at first; then the gateway is asked anew. */
static int64_t ask_again(struct top *t)
{
	(void)refresh(t);
	return clock_mono_ms() + (t->cancelled ? 0 : t->interval_ms);
}

static void watch(struct top *t)
{
	int64_t ask_at = clock_mono_ms() + t->interval_ms;
	bool on = true;
	while (on) {
		char key = 0;
		draw(t);
		int64_t left = ask_at - clock_mono_ms();
		enum terminal_event event = terminal_wait(&t->terminal, left > 0 ? (int)left : 0, &key);
		on = event != TERMINAL_END && (event != TERMINAL_KEY || press(t, key, &ask_at));
		if (event == TERMINAL_TIME && clock_mono_ms() >= ask_at)
			ask_at = ask_again(t);
	}
}

static enum cli_exit show_on_terminal(struct top *t)
{
	struct err err = {0};
	enum cli_exit exit = refresh(t);
	if (exit != CLI_OK)
		return (void)cli_fail("%s", t->trouble.p), exit;
	if (terminal_open(&t->terminal, &err) < 0)
		return cli_fail("%s", err.text);
	t->c.cancel_fd = t->terminal.events;
	watch(t);
	terminal_close(&t->terminal);
	return CLI_OK;
}

static enum cli_exit print_once(struct top *t)
{
	struct queue_totals all;
	struct sheet s;
	struct buf out = BUF_INIT;
	enum cli_exit exit = refresh(t);
	if (exit != CLI_OK)
		return (void)cli_fail("%s", t->trouble.p), exit;
	queue_list_table(&t->shown, t->order, &t->shown.memory, &s, &all);
	add_title(t, &all, &out);
	buf_addc(&out, '\n');
	sheet_print(&s, &out);
	return cli_print(&out);
}

static enum cli_exit print_plain(struct top *t, int64_t count)
{
	enum cli_exit exit = print_once(t);
	for (int64_t i = 1; exit == CLI_OK && (count == 0 || i < count); i++) {
		clock_sleep_ms(t->interval_ms);
		putchar('\n');
		exit = print_once(t);
	}
	return exit;
}

/* ---- the command ---- */

static int find_order(const char *word)
{
	for (int i = 0; i < QUEUE_ORDERS; i++)
		if (strcmp(queue_order_words[i], word) == 0)
			return i;
	return -1;
}

static const char *environment_of(const struct cli *cli, const char *name)
{
	for (char *const *e = cli->environment; *e; e++) {
		struct str rest = str_from(*e);
		if (str_is(str_cut(&rest, '='), name))
			return rest.p;
	}
	return NULL;
}

static enum cli_exit run(const struct cli *cli, struct top *t, const struct client_options *common, int64_t count)
{
	enum cli_exit exit = client_open(&t->c, cli, common);
	if (exit == CLI_OK && count < 0 && terminal_here(environment_of(cli, "TERM")))
		exit = show_on_terminal(t);
	else if (exit == CLI_OK)
		exit = print_plain(t, count < 0 ? 1 : count);
	client_close(&t->c);
	if (t->has_shown)
		reply_release(&t->shown);
	buf_release(&t->trouble);
	return exit;
}

enum cli_exit cmd_top(const struct cli *cli, int argc, char **argv)
{
	struct client_options common = {0};
	const char *order = queue_order_words[QUEUE_BY_NAME];
	int64_t interval_s = INTERVAL_DEFAULT_S, count = -1;
	const struct option_row rows[] = {
		{"interval", OPTION_INT, &interval_s, "SECONDS", "between two looks (2)"},
		{"order", OPTION_STRING, &order, "ORDER", "name, waiting, active, failed or rate"},
		{"count", OPTION_INT, &count, "N", "print so many looks as plain lines, 0: without end (1 where there is no terminal)"},
		CLIENT_OPTIONS(common),
		{0},
	};
	const struct option_words values[] = {{"ORDER", queue_order_words}, {0}};
	const struct options o = {
		.usage = "sluice top [options]",
		.about = "Watch the queues of a running gateway. Keys: q leaves, o changes the order, j and k or the arrows scroll, r looks again.",
		.rows = rows,
		.values = values,
	};
	int arguments;
	enum cli_exit exit;
	if (!cli_options(cli, &o, &common.help, argc, argv, &arguments, &exit))
		return exit;
	int found = find_order(order);
	if (found < 0)
		return cli_misuse("--order is name, waiting, active, failed or rate");
	if (interval_s < 1 || interval_s > INTERVAL_MAX_S)
		return cli_misuse("--interval is a number of seconds from 1 to %d", INTERVAL_MAX_S);
	struct top t = {.interval_ms = interval_s * 1000, .order = (enum queue_order)found};
	return run(cli, &t, &common, count);
}
