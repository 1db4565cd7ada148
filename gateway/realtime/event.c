#include "gateway/realtime/event.h"

#include "lib/base/err.h"
#include "lib/json/jdoc.h"
#include "lib/json/jwrite.h"

#define TEXT_MAX 1024     /* of a field that is text; escaped it is six times as long at most */
#define PROGRESS_MAX 4096

/* ---- ids ---- */

int event_id_read(struct str text, struct event_id *out)
{
	struct str ms = str_cut(&text, '-');

	if (!text.p || str_to_u64(ms, &out->ms) < 0 || str_to_u64(text, &out->seq) < 0)
		return ERR_INVALID;
	return 0;
}

struct str event_id_text(struct event_id id, char room[EVENT_ID_SIZE])
{
	int n = snprintf(room, EVENT_ID_SIZE, "%llu-%llu", (unsigned long long)id.ms, (unsigned long long)id.seq);

	return (struct str){room, (size_t)n};
}

int event_id_compare(struct event_id a, struct event_id b)
{
	if (a.ms != b.ms)
		return a.ms < b.ms ? -1 : 1;
	return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

bool event_id_is_none(struct event_id id)
{
	return id.ms == 0 && id.seq == 0;
}

/* ---- streams ---- */

void event_stream_ask(struct rcmd *cmd, struct str key)
{
	rcmd_begin(cmd, 3);
	rcmd_argz(cmd, "XINFO");
	rcmd_argz(cmd, "STREAM");
	rcmd_arg(cmd, key);
}

bool event_stream_is_whole(const redisReply *reply)
{
	int64_t length = -1, added = -2;

	for (size_t i = 0; rreply_at(reply, i); i += 2) {
		struct str name = rreply_str(rreply_at(reply, i));
		int64_t *into = str_is(name, "length") ? &length : str_is(name, "entries-added") ? &added : NULL;
		if (into && !rreply_int(rreply_at(reply, i + 1), into))
			return false;
	}
	return length == added;
}

/* ---- types ---- */

static const char *const WORDS[EVENT_TYPE_COUNT] = {
#define X(id, word) [EVENT_##id] = word,
	EVENT_TYPES(X)
#undef X
	[EVENT_OTHER] = "other",
};

const char *event_word(enum event_type t)
{
	return WORDS[t];
}

enum event_type event_type_of(struct str word)
{
	unsigned t = 0;

	while (t < EVENT_TYPE_COUNT && !str_is(word, WORDS[t]))
		t++;
	return (enum event_type)t;
}

/* ---- entries ---- */

static struct str field(const redisReply *entry, const char *name)
{
	const redisReply *fields = rreply_at(entry, 1);

	for (size_t i = 0; rreply_at(fields, i); i += 2)
		if (str_is(rreply_str(rreply_at(fields, i)), name))
			return rreply_str(rreply_at(fields, i + 1));
	return STR_NONE;
}

bool event_head(const redisReply *entry, struct event *out)
{
	struct str id = rreply_str(rreply_at(entry, 0)), word = field(entry, "event");

	*out = (struct event){.job_id = field(entry, "jobId")};
	if (!id.p || event_id_read(id, &out->id) < 0)
		return false;
	out->type = word.p ? event_type_of(word) : EVENT_OTHER;
	if (out->type == EVENT_TYPE_COUNT)
		out->type = EVENT_OTHER;
	return true;
}

static void write_text(struct event_reader *er UNUSED, struct jwrite *w, struct str value)
{
	size_t n = value.n;

	if (n > TEXT_MAX)
		for (n = TEXT_MAX; n > 0 && ((unsigned char)value.p[n] & 0xc0) == 0x80;) /* not inside a character */
			n--;
	jw_str(w, str_sub(value, 0, n));
}

static void write_number(struct event_reader *er UNUSED, struct jwrite *w, struct str value)
{
	int64_t v;

	if (str_to_i64(value, &v) == 0)
		jw_int(w, v);
	else
		jw_null(w);
}

/* Any JSON; what is none was written by no BullMQ client. */
static void write_progress(struct event_reader *er, struct jwrite *w, struct str value)
{
	struct jdoc doc;
	bool usable = value.n <= PROGRESS_MAX && !memchr(value.p, '\n', value.n) && !memchr(value.p, '\r', value.n) &&
		      jdoc_parse(&doc, &er->arena, value, &JDOC_LIMITS, NULL) == 0;

	if (usable)
		jw_raw(w, value);
	else
		jw_null(w);
}

/* What is shown of an entry: BullMQ's field, our name for it. */
static const struct {
	const char *field, *name;
	void (*write)(struct event_reader *er, struct jwrite *w, struct str value);
} SHOWN[] = {
	{"name", "name", write_text},
	{"prev", "prev", write_text},
	{"delay", "delay", write_number},
	{"failedReason", "failedReason", write_text},
	{"data", "progress", write_progress},
	{"attemptsMade", "attemptsMade", write_number},
	{"count", "count", write_number},
	{"deduplicationId", "deduplicationId", write_text},
	{"deduplicatedJobId", "deduplicatedJobId", write_text},
};

/* The object is too long only when every byte of its texts had to be escaped: then it goes without them. */
static void write_json(struct event_reader *er, struct str queue, const redisReply *entry, const struct event *e, bool whole)
{
	struct jwrite w = jwrite_into(&er->json);
	struct str word = field(entry, "event");

	jw_open(&w, '{');
	jw_kstr(&w, "queue", queue);
	jw_key(&w, "event");
	write_text(er, &w, word.p ? word : STR("other"));
	jw_kstr(&w, "jobId", e->job_id.n <= TEXT_MAX ? e->job_id : STR_NONE);
	jw_kint(&w, "at", (int64_t)e->id.ms);
	for (size_t i = 0; whole && i < ARRAY_LEN(SHOWN); i++) {
		struct str value = field(entry, SHOWN[i].field);

		if (!value.p || (e->type == EVENT_OTHER && SHOWN[i].write == write_progress))
			continue;
		jw_key(&w, SHOWN[i].name);
		SHOWN[i].write(er, &w, value);
	}
	jw_close(&w, '}');
}

bool event_read(struct event_reader *er, struct str queue, const redisReply *entry, struct event *out)
{
	if (!event_head(entry, out))
		return false;
	for (unsigned whole = 2; whole-- > 0;) {
		buf_clear(&er->json);
		arena_reset(&er->arena);
		write_json(er, queue, entry, out, whole);
		if (er->json.n <= EVENT_JSON_MAX)
			break;
	}
	out->json = buf_str(&er->json);
	return !er->json.failed && out->json.n <= EVENT_JSON_MAX;
}

void event_reader_init(struct event_reader *er)
{
	arena_init(&er->arena, 0);
	er->json = BUF_INIT;
}

void event_reader_release(struct event_reader *er)
{
	arena_release(&er->arena);
	buf_release(&er->json);
}
