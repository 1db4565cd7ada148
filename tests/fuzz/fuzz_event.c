/* Entries of event streams, which any program may write: what clients are told of them is one line of JSON, and bounded. */
#include <jansson.h>
#include <stdint.h>

#include "gateway/realtime/event.h"
#include "lib/base/panic.h"
#include "lib/redis/rparse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* For clients, which may read NULs and whose numbers may be large. */
static void check_json(struct str text)
{
	json_error_t error;
	json_t *json = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	bug_on(!json && json_error_code(&error) != json_error_numeric_overflow);
	bug_on(json && strcmp(json_string_value(json_object_get(json, "queue")), "orders") != 0);
	json_decref(json);
}

static void check_entry(struct event_reader *er, const redisReply *entry)
{
	struct event head, e;
	if (!event_head(entry, &head)) {
		bug_on(event_read(er, STR("orders"), entry, &e));
		return;
	}
	bug_on(head.type < 0 || head.type >= EVENT_TYPE_COUNT);
	if (!event_read(er, STR("orders"), entry, &e))
		return;
	bug_on(event_id_compare(e.id, head.id) != 0 || e.type != head.type || !str_eq(e.job_id, head.job_id));
	bug_on(e.json.n > EVENT_JSON_MAX || memchr(e.json.p, '\n', e.json.n) || memchr(e.json.p, '\r', e.json.n));
	check_json(e.json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct event_reader er;
	struct rparse p;
	redisReply *entry = NULL;
	if (size == 0 || size > RPARSE_PIECE_BYTES)
		return 0;
	event_reader_init(&er);
	bug_on(rparse_init(&p) < 0);
	if (rparse_feed(&p, (const char *)data, size, NULL) == 0)
		while (rparse_next(&p, &entry, NULL) > 0) {
			check_entry(&er, entry);
			rreply_free(entry);
		}
	rparse_release(&p);
	event_reader_release(&er);
	return 0;
}
