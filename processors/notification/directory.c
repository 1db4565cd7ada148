#include "processors/notification/directory.h"

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/json/jdoc.h"

#define MAX_FILE_BYTES ((size_t)8 << 20)

static const struct jdoc_limits value_limits = {.max_depth = 2, .max_nodes = DIRECTORY_MAX_ADDRESSES + 1};
static const struct jdoc_limits file_limits = {.max_depth = 8, .max_nodes = 200000};

static enum trouble add(struct addresses *out, struct str s)
{
	if (!s.p || out->count == DIRECTORY_MAX_ADDRESSES)
		return TROUBLE_INVALID_ADDRESS;
	for (unsigned i = 0; i < out->count; i++)
		if (str_eq(out->items[i], s))
			return TROUBLE_NONE;
	out->items[out->count++] = s;
	return TROUBLE_NONE;
}

static enum trouble add_node(const struct notice *m, const struct jdoc *doc, uint32_t node, struct addresses *out)
{
	if (jdoc_type(doc, node) == J_STRING)
		return add(out, jdoc_string(doc, node, m->arena));
	if (jdoc_type(doc, node) != J_ARRAY)
		return TROUBLE_INVALID_ADDRESS;
	enum trouble t = jdoc_first(doc, node) == JDOC_NONE ? TROUBLE_NO_ADDRESS : TROUBLE_NONE;
	for (uint32_t c = jdoc_first(doc, node); t == TROUBLE_NONE && c != JDOC_NONE; c = jdoc_next(doc, node, c))
		t = add(out, jdoc_string(doc, c, m->arena));
	return t;
}

/* ---- in Redis ---- */

static void user_key(const struct notifier *n, const struct notice *m, struct buf *key)
{
	if (str_is(m->org, "default"))
		buf_addf(key, "%s:notify:user:", n->config->bullmq_prefix);
	else
		buf_addf(key, "%s:notify:org:%.*s:user:", n->config->bullmq_prefix, STR_ARG(m->org));
	buf_adds(key, m->user_id);
}

static enum trouble read_value(const struct notice *m, struct str value, struct addresses *out)
{
	struct jdoc doc;
	value = arena_dup(m->arena, value);
	if (!value.p)
		return TROUBLE_NO_MEMORY;
	if (value.n == 0)
		return TROUBLE_NO_ADDRESS;
	if (value.p[0] != '[')
		return add(out, value);
	if (jdoc_parse(&doc, m->arena, value, &value_limits, NULL) < 0)
		return TROUBLE_INVALID_ADDRESS;
	return add_node(m, &doc, JDOC_ROOT, out);
}

static enum trouble read_replies(const struct notice *m, const struct rreplies *r, struct addresses *out)
{
	int64_t known = 0;
	if (rreply_error(r->items[0], NULL) < 0 || rreply_error(r->items[1], NULL) < 0)
		return TROUBLE_LOOKUP_UNAVAILABLE;
	if (!rreply_is_nil(r->items[0]))
		return read_value(m, rreply_str(r->items[0]), out);
	return rreply_int(r->items[1], &known) && known ? TROUBLE_NO_ADDRESS : TROUBLE_RECIPIENT_NOT_FOUND;
}

static enum trouble find_in_redis(const struct notifier *n, const struct notice *m, const char *field, struct addresses *out)
{
	struct buf key = BUF_INIT;
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	struct err err = {0};
	user_key(n, m, &key);
	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "HGET");
	rcmd_arg(&cmd, buf_str(&key));
	rcmd_argz(&cmd, field);
	rcmd_begin(&cmd, 2);
	rcmd_argz(&cmd, "EXISTS");
	rcmd_arg(&cmd, buf_str(&key));
	enum trouble t = TROUBLE_LOOKUP_UNAVAILABLE;
	if (!key.failed && rmux_call(n->redis, &cmd, clock_mono_ms() + n->config->redis_timeout_ms, &replies, &err) == 0) {
		t = read_replies(m, &replies, out);
		rreplies_release(&replies);
	}
	rcmd_release(&cmd);
	buf_release(&key);
	return t;
}

/* ---- in a file ---- */

static enum trouble find_in_text(const struct notice *m, struct str text, const char *field, struct addresses *out)
{
	struct jdoc doc;
	struct str copy = arena_dup(m->arena, text);
	if (!copy.p || jdoc_parse(&doc, m->arena, copy, &file_limits, NULL) < 0)
		return TROUBLE_LOOKUP_UNAVAILABLE;
	uint32_t at = JDOC_ROOT;
	if (!str_is(m->org, "default"))
		at = jdoc_find(&doc, jdoc_get(&doc, at, "orgs"), m->org);
	uint32_t user = jdoc_find(&doc, jdoc_get(&doc, at, "users"), m->user_id);
	if (user == JDOC_NONE)
		return TROUBLE_RECIPIENT_NOT_FOUND;
	uint32_t value = jdoc_get(&doc, user, field);
	return value == JDOC_NONE ? TROUBLE_NO_ADDRESS : add_node(m, &doc, value, out);
}

static enum trouble find_in_file(const struct notifier *n, const struct notice *m, const char *field, struct addresses *out)
{
	struct buf text = BUF_INIT;
	struct err err = {0};
	enum trouble t = TROUBLE_LOOKUP_UNAVAILABLE;
	if (fs_read_file(n->directory_file, MAX_FILE_BYTES, &text, &err) == 0)
		t = find_in_text(m, buf_str(&text), field, out);
	if (t == TROUBLE_LOOKUP_UNAVAILABLE)
		LOG(n->log, LOG_WARN, "address_book_unreadable", log_strz("error", err.text[0] ? err.text : "it is not JSON of the right form"));
	buf_release(&text);
	return t;
}

enum trouble directory_find(const struct notifier *n, const struct notice *m, const char *field, struct addresses *out)
{
	*out = (struct addresses){0};
	return n->directory_file ? find_in_file(n, m, field, out) : find_in_redis(n, m, field, out);
}
