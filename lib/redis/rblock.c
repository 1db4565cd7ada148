#include "lib/redis/rblock.h"

#include <stdlib.h>

#include "lib/base/clock.h"

#define UNBLOCK_TIMEOUT_MS 2000
#define OPEN_TIMEOUT_MS 1000
#define REOPEN_PAUSE_MS 200
#define TYPES_TIMEOUT_MS 2000
#define GRACE_MS 3000 /* without an answer for so much longer than it may block, the connection is dead */

struct rblock_key {
	struct rblock_key *next;
	int64_t until_mono_ms; /* of foreign ones */
	struct str key;
};

int rblock_init(struct rblock *b, const struct raddr *addr, const struct rblock_kind *kind, struct rmux *mux, struct log *log, struct err *err)
{
	*b = (struct rblock){.conn = rconn_new(addr, kind->client, err), .mux = mux, .log = log, .kind = kind};
	arena_init(&b->arena, 0);
	return b->conn ? 0 : ERR_NOMEM;
}

static void forget_foreign(struct rblock *b, int64_t until_mono_ms)
{
	for (struct rblock_key **at = &b->foreign, *k; (k = *at);) {
		if (k->until_mono_ms > until_mono_ms) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		free(k);
	}
}

void rblock_release(struct rblock *b)
{
	rconn_free(b->conn);
	b->conn = NULL;
	forget_foreign(b, INT64_MAX);
	arena_release(&b->arena);
}

bool rblock_open(struct rblock *b, bool *anew)
{
	struct err err = {0};

	*anew = !rconn_is_open(b->conn);
	if (!*anew || rconn_open(b->conn, clock_mono_ms() + OPEN_TIMEOUT_MS, &err) == 0)
		return true;
	clock_sleep_ms(REOPEN_PAUSE_MS);
	return false;
}

void rblock_close(struct rblock *b)
{
	rconn_close(b->conn);
}

void rblock_wake(struct rblock *b)
{
	rconn_wake(b->conn);
}

void rblock_choose(struct rblock *b)
{
	atomic_store(&b->stale, false);
	b->chosen = NULL;
	arena_reset(&b->arena);
	if (b->foreign)
		forget_foreign(b, clock_mono_ms());
}

bool rblock_takes(struct rblock *b, struct str key)
{
	for (const struct rblock_key *k = b->foreign; k; k = k->next)
		if (str_eq(k->key, key))
			return false;
	struct rblock_key *chosen = arena_alloc(&b->arena, sizeof(*chosen));
	if (!chosen)
		return false;
	*chosen = (struct rblock_key){.next = b->chosen, .key = arena_dup(&b->arena, key)};
	if (chosen->key.p)
		b->chosen = chosen;
	return chosen->key.p != NULL;
}

/* ---- what is refused ---- */

static void note_foreign(struct rblock *b, struct str key, struct str type)
{
	struct rblock_key *k = malloc(sizeof(*k) + key.n);

	LOG(b->log, LOG_ERROR, "foreign_key", log_str("key", key), log_str("type", type), log_strz("client", b->kind->client));
	if (!k)
		return;
	*k = (struct rblock_key){.next = b->foreign, .until_mono_ms = clock_mono_ms() + RBLOCK_FOREIGN_MS, .key = {memcpy(k + 1, key.p, key.n), key.n}};
	b->foreign = k;
}

/* Which of the keys it was. */
static void find_foreign(struct rblock *b)
{
	struct rcmd cmd = RCMD_INIT;
	struct rreplies replies;
	size_t i = 0;

	for (const struct rblock_key *k = b->chosen; k; k = k->next) {
		rcmd_begin(&cmd, 2);
		rcmd_argz(&cmd, "TYPE");
		rcmd_arg(&cmd, k->key);
	}
	int rc = b->chosen ? rconn_command(b->conn, &cmd, clock_mono_ms() + TYPES_TIMEOUT_MS, &replies, NULL) : ERR_NOT_FOUND;
	rcmd_release(&cmd);
	if (rc < 0)
		return;
	for (const struct rblock_key *k = b->chosen; k; k = k->next, i++) {
		struct str type = rreply_str(replies.items[i]);
		if (type.p && !str_is(type, "none") && !str_is(type, b->kind->type))
			note_foreign(b, k->key, type);
	}
	rreplies_release(&replies);
}

static void heed_refusal(struct rblock *b, const struct err *why)
{
	const struct rblock_key *before = b->foreign;

	if (str_starts(str_from(why->text), STR("WRONGTYPE")))
		find_foreign(b);
	if (b->foreign != before)
		return;
	LOG(b->log, LOG_WARN, "blocking_refused", log_strz("client", b->kind->client), log_err(why));
	clock_sleep_ms(REOPEN_PAUSE_MS);
}

/* ---- blocking ---- */

bool rblock_is_stale(const struct rblock *b)
{
	return atomic_load(&b->stale);
}

bool rblock_call(struct rblock *b, const struct rcmd *cmd, int64_t block_ms, struct rreplies *out)
{
	struct err err = {0};

	atomic_store(&b->blocked_as, rconn_client_id(b->conn));
	if (rblock_is_stale(b)) /* refreshed between choosing and here, when there was nothing to unblock yet */
		rblock_refresh(b);
	int rc = rconn_command(b->conn, cmd, clock_mono_ms() + block_ms + GRACE_MS, out, &err);
	atomic_store(&b->blocked_as, 0);
	if (rc < 0 && rc != ERR_STOPPING)
		LOG(b->log, LOG_WARN, "blocking_connection_lost", log_strz("client", b->kind->client), log_err(&err));
	if (rc < 0)
		return false;
	rc = rreply_error(out->items[0], &err);
	if (rc < 0) {
		rreplies_release(out);
		heed_refusal(b, &err);
	}
	return rc == 0;
}

/* 0: the client was not blocked: the UNBLOCK overtook its command, so it goes out again while the owner is still in there. */
static void unblock_answered(void *arg, int rc, const struct rreplies *replies, const struct err *err UNUSED)
{
	struct rblock *b = arg;
	int64_t unblocked = 1;

	if (rc == 0 && rreply_int(replies->items[0], &unblocked) && !unblocked && rblock_is_stale(b))
		rblock_refresh(b);
}

void rblock_refresh(struct rblock *b)
{
	struct rcmd cmd = RCMD_INIT;

	atomic_store(&b->stale, true);
	int64_t client = atomic_load(&b->blocked_as);
	if (client <= 0)
		return;
	rcmd_begin(&cmd, 3);
	rcmd_argz(&cmd, "CLIENT");
	rcmd_argz(&cmd, "UNBLOCK");
	rcmd_argi(&cmd, client);
	rmux_send(b->mux, &cmd, clock_mono_ms() + UNBLOCK_TIMEOUT_MS, unblock_answered, b);
	rcmd_release(&cmd);
}
