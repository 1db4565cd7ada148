#include "gateway/cli/queue_list.h"

const char *const queue_order_words[] = {
	[QUEUE_BY_NAME] = "name",     [QUEUE_BY_WAITING] = "waiting", [QUEUE_BY_ACTIVE] = "active",
	[QUEUE_BY_FAILED] = "failed", [QUEUE_BY_RATE] = "rate",       [QUEUE_ORDERS] = NULL,
};

/* Short, so that a terminal of 80 columns shows them all. */
static const struct sheet_column columns[] = {
	{"QUEUE", false, 40}, {"STATE", false, 0}, {"WAIT", true, 0},  {"ACTIVE", true, 0}, {"DELAY", true, 0}, {"FAIL", true, 0},
	{"DONE", true, 0},    {"IN/s", true, 0},   {"OUT/s", true, 0}, {"OLDEST", true, 0}, {"WORK", true, 0},
};

struct line {
	struct str name;
	const char *state;
	int64_t waiting, active, delayed, failed, completed, oldest_ms, workers;
	double in, out;
	double key; /* that it is sorted by, the largest first */
};

/* -1: BullMQ's are not known, and nobody else is there. */
static int64_t workers_of(const struct reply *reply, uint32_t queue)
{
	uint32_t workers = jdoc_get(&reply->doc, queue, "workers");
	int64_t here = reply_number(reply, workers, "own") + reply_number(reply, workers, "http"), others = reply_number(reply, workers, "bullmq");
	return others < 0 ? (here > 0 ? here : -1) : here + others;
}

/* Prioritized jobs wait as well. */
static int64_t waiting_of(const struct reply *reply, uint32_t queue)
{
	uint32_t counts = jdoc_get(&reply->doc, queue, "counts");
	return reply_number(reply, counts, "waiting") + reply_number(reply, counts, "prioritized");
}

const char *queue_state(const struct reply *reply, uint32_t queue)
{
	if (reply_flag(reply, queue, "paused"))
		return "paused";
	if (reply_flag(reply, queue, "rateLimited"))
		return "limited";
	return workers_of(reply, queue) == 0 && waiting_of(reply, queue) > 0 ? "no worker" : "ok";
}

static double key_of(const struct line *l, enum queue_order order)
{
	const double keys[QUEUE_ORDERS] = {
		[QUEUE_BY_WAITING] = (double)l->waiting,
		[QUEUE_BY_ACTIVE] = (double)l->active,
		[QUEUE_BY_FAILED] = (double)l->failed,
		[QUEUE_BY_RATE] = l->in > l->out ? l->in : l->out,
	};
	return keys[order];
}

static struct line read_line(const struct reply *reply, uint32_t queue, enum queue_order order, struct arena *memory)
{
	uint32_t counts = jdoc_get(&reply->doc, queue, "counts"), rates = jdoc_get(&reply->doc, queue, "rates");
	struct line l = {
		.name = jdoc_string(&reply->doc, jdoc_get(&reply->doc, queue, "name"), memory),
		.state = queue_state(reply, queue),
		.waiting = waiting_of(reply, queue),
		.active = reply_number(reply, counts, "active"),
		.delayed = reply_number(reply, counts, "delayed"),
		.failed = reply_number(reply, counts, "failed"),
		.completed = reply_number(reply, counts, "completed"),
		.oldest_ms = reply_number(reply, queue, "oldestWaitingAgeMs"),
		.workers = workers_of(reply, queue),
		.in = reply_rate(reply, rates, "in"),
		.out = reply_rate(reply, rates, "out"),
	};
	l.key = key_of(&l, order);
	return l;
}

static int compare(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	if (x->key < y->key || x->key > y->key)
		return x->key < y->key ? 1 : -1;
	int order = memcmp(x->name.p, y->name.p, x->name.n < y->name.n ? x->name.n : y->name.n);
	return order ? order : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

static void add_line(struct sheet *s, const struct line *l)
{
	sheet_text(s, l->name);
	sheet_text(s, str_from(l->state));
	sheet_number(s, l->waiting);
	sheet_number(s, l->active);
	sheet_number(s, l->delayed);
	sheet_number(s, l->failed);
	sheet_number(s, l->completed);
	sheet_rate(s, l->in);
	sheet_rate(s, l->out);
	sheet_span(s, l->oldest_ms);
	sheet_number(s, l->workers);
}

enum cli_exit queue_list_ask(struct client *c, struct reply *reply)
{
	struct buf path = BUF_INIT;
	client_path(&path, NULL, NULL, "");
	return client_ask(c, "GET", &path, STR_NONE, reply);
}

void queue_list_table(const struct reply *reply, enum queue_order order, struct arena *memory, struct sheet *s, struct queue_totals *totals)
{
	const struct jdoc *doc = &reply->doc;
	uint32_t items = jdoc_get(doc, JDOC_ROOT, "items");
	size_t count = jdoc_type(doc, items) == J_ARRAY ? doc->nodes[items].count : 0, n = 0;
	struct line *lines = arena_array(memory, count + 1, sizeof(*lines));
	struct queue_totals all = {0};
	sheet_init(s, memory, columns, ARRAY_LEN(columns));
	s->failed = !lines;
	for (uint32_t q = jdoc_first(doc, items); lines && q != JDOC_NONE; q = jdoc_next(doc, items, q)) {
		struct line *l = &lines[n];
		*l = read_line(reply, q, order, memory);
		if (!l->name.p)
			continue;
		n++;
		all.waiting += l->waiting;
		all.active += l->active;
		all.delayed += l->delayed;
		all.failed += l->failed;
	}
	if (n)
		qsort(lines, n, sizeof(*lines), compare);
	for (size_t i = 0; i < n; i++)
		add_line(s, &lines[i]);
	all.queues = n;
	if (totals)
		*totals = all;
}
