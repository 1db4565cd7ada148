/* Workers by the names of their connections. */
#include "lib/base/digest.h"
#include "lib/bullmq/bq_impl.h"
#include "lib/bullmq/inspect.h"

/* One " field=value" of a line of CLIENT LIST; .p NULL: it has none. */
static struct str field(struct str line, const char *name)
{
	while (line.p) {
		struct str value = str_cut(&line, ' ');
		struct str key = str_cut(&value, '=');

		if (value.p && str_is(key, name))
			return value;
	}
	return STR_NONE;
}

static int64_t number(struct str line, const char *name)
{
	int64_t v;
	struct str text = field(line, name);

	return text.p && str_to_i64(text, &v) == 0 ? v : 0;
}

/* The queue's name in plain base64; .p NULL: it is none. */
static struct str decode(struct str text, struct arena *a)
{
	struct buf url = BUF_INIT, plain = BUF_INIT;
	struct str name = STR_NONE;

	while (text.n > 0 && text.p[text.n - 1] == '=')
		text.n--;
	for (size_t i = 0; i < text.n; i++)
		buf_addc(&url, text.p[i] == '+' ? '-' : text.p[i] == '/' ? '_' : text.p[i]);
	if (digest_b64url_decode(&plain, buf_str(&url)) == 0 && bq_queue_name_ok(buf_str(&plain)))
		name = arena_dup(a, buf_str(&plain));
	buf_release(&url);
	buf_release(&plain);
	return name;
}

/* "P:<queue>" or "P:<queue>:w:<name>"; queue events (":qe") and others are no workers. */
static bool read_name(struct bq_client *c, struct str prefix, struct str text, struct arena *a)
{
	if (!str_starts(text, prefix) || text.n <= prefix.n + 1 || text.p[prefix.n] != ':')
		return false;
	struct str rest = str_sub(text, prefix.n + 1, text.n - prefix.n - 1);
	struct str queue = str_cut(&rest, ':');
	if (rest.p && (rest.n < 2 || !str_starts(rest, STR("w:"))))
		return false;
	c->name = rest.p ? arena_dup(a, str_sub(rest, 2, rest.n - 2)) : STR_NONE;
	c->queue = decode(queue, a);
	c->plain = !c->queue.p;
	if (c->plain && bq_queue_name_ok(queue))
		c->queue = arena_dup(a, queue);
	return c->queue.p;
}

static int read_list(struct bq_clients *out, struct str prefix, struct str list, struct arena *a, struct err *err)
{
	size_t lines = 0;

	for (size_t i = 0; i < list.n; i++)
		lines += list.p[i] == '\n';
	out->items = arena_array(a, lines + 1, sizeof(*out->items));
	if (!out->items)
		return err_set(err, ERR_NOMEM, "no memory for the workers");
	while (list.p && out->n <= lines) {
		struct str line = str_trim(str_cut(&list, '\n'));
		struct bq_client *c = &out->items[out->n];
		struct str name = field(line, "name"), address = field(line, "addr");

		if (!name.p || !read_name(c, prefix, name, a))
			continue;
		c->address = arena_dup(a, address.p ? address : STR(""));
		if (!c->address.p)
			return err_set(err, ERR_NOMEM, "no memory for the workers");
		c->age_s = number(line, "age");
		c->idle_s = number(line, "idle");
		out->n++;
	}
	return 0;
}

int bq_clients(struct bq *bq, struct str prefix, struct arena *a, struct bq_clients *out, int64_t deadline, struct err *err)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	int rc;

	*out = (struct bq_clients){0};
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "CLIENT");
	rcmd_argz(&cmd, "LIST");
	rc = bq_call(bq, &cmd, deadline, &replies, err);
	if (rc < 0)
		return rc;
	if (rreply_error(replies.items[0], NULL) < 0)
		out->refused = true;
	else
		rc = read_list(out, prefix, rreply_str(replies.items[0]), a, err);
	rreplies_release(&replies);
	return rc;
}
