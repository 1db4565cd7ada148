#include "gateway/routes/creation.h"

#include "gateway/http/route.h"
#include "lib/base/digest.h"
#include "lib/config/config.h"
#include "lib/metrics/metrics.h"

#define IDEMPOTENCY_KEY_MAX 255

void creation_options(struct request *r, const struct declaration *decl, struct bq_opts *o)
{
	const struct services *s = app_services(r->app);

	if (decl)
		bq_opts_merge(o, &decl->defaults);
	bq_opts_merge(o, &s->queues->defaults);
	o->org = str_from(r->who.org);
	o->sub = str_from(r->who.sub);
	if (o->dedup_id.p)
		o->dedup_id = str_from(arena_printf(r->arena, "%s:%.*s", r->who.org, STR_ARG(o->dedup_id)));
}

bool creation_key_or_reply(struct request *r, struct response *res, struct str *out)
{
	struct str key = request_header(r, "Idempotency-Key");

	*out = STR_NONE;
	if (!key.p)
		return true;
	key = str_trim(key);
	if (key.n >= 2 && key.p[0] == '"' && key.p[key.n - 1] == '"')
		key = str_sub(key, 1, key.n - 2);
	if (key.n < 1 || key.n > IDEMPOTENCY_KEY_MAX) {
		response_problem(r, res, PROBLEM_BAD_REQUEST, "Idempotency-Key must have 1 to %d characters", IDEMPOTENCY_KEY_MAX);
		return false;
	}
	*out = key;
	return true;
}

struct idempotency creation_idempotency(struct request *r, const struct bq_queue *q, struct str key, struct str body, size_t index)
{
	struct idempotency idem = {.key = STR_NONE, .fingerprint = STR_NONE};
	unsigned char sum[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];

	if (!key.p)
		return idem;
	struct str position = str_from(index ? arena_printf(r->arena, "%zu", index) : "");
	digest_sha256_parts((struct str[]){str_from(r->who.org), str_from(r->route->id), key, position}, 4, sum);
	digest_hex(sum, SHA256_BYTES, hex);
	idem.key = str_from(arena_printf(r->arena, "%.*sidem:%s", STR_ARG(q->keys[BQ_KEY_BASE]), hex));
	digest_sha256_parts((struct str[]){body, r->query}, 2, sum);
	digest_hex(sum, SHA256_BYTES, hex);
	idem.fingerprint = arena_dup(r->arena, str_from(hex));
	idem.ttl_ms = app_services(r->app)->config->idempotency_ttl_s * 1000;
	return idem;
}

void creation_count(const struct services *s, const struct bq_queue *q, const struct bq_added *added)
{
	metrics_add(s->metrics, added->created && !added->replayed ? M_JOBS_ENQUEUED : M_JOBS_DEDUPLICATED, 1, (struct str[]){q->name});
	if (added->replayed)
		metrics_add(s->metrics, M_IDEMPOTENCY_REPLAYS, 1, (struct str[]){STR("replayed")});
}
