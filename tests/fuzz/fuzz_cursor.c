/* Where a listener goes on. The first byte says how many queues, the rest is the cursor: what is read of it is written the same. */
#include <stdint.h>

#include "gateway/realtime/cursor.h"
#include "lib/base/panic.h"

#define QUEUES_MAX 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct cursor *a, const struct cursor *b)
{
	for (size_t i = 0; i < a->n; i++)
		bug_on(event_id_compare(a->at[i], b->at[i]) != 0);
}

static void check_read(const struct cursor *c, struct cursor *again)
{
	struct buf text = BUF_INIT;
	cursor_write(c, &text);
	bug_on(text.failed || cursor_read(again, buf_str(&text)) < 0);
	check_same(c, again);
	buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct str queues[QUEUES_MAX] = {STR("a"), STR("b"), STR("c.d"), STR("e-f"), STR("g")};
	struct cursor c, again, other;
	struct arena a;
	if (size < 1)
		return 0;
	size_t n = 1 + data[0] % QUEUES_MAX;
	struct str text = {(const char *)data + 1, size - 1};
	arena_init(&a, 0);
	bug_on(cursor_init(&c, queues, n, &a) < 0 || cursor_init(&again, queues, n, &a) < 0);
	bug_on(cursor_init(&other, queues + 1, n < QUEUES_MAX ? n : n - 1, &a) < 0);
	if (cursor_read(&c, text) == 0) {
		check_read(&c, &again);
		bug_on(n > 1 && cursor_read(&other, text) == 0);
	} else {
		check_same(&c, &again);
	}
	arena_release(&a);
	return 0;
}
