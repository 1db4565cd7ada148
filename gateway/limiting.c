#include "gateway/limiting.h"

#include "lib/bullmq/msgpack.h"

struct bq_limiter limiter_in_force(const struct bq_facts *f, const struct declaration *decl)
{
	struct bq_limiter none = {0};

	return f->limiter.max > 0 ? f->limiter : decl ? decl->terms->limiter : none;
}

/* Whoever limits by hand writes a number that is above any limit. */
bool is_limited(const struct bq_facts *f, const struct declaration *decl)
{
	int64_t max = limiter_in_force(f, decl).max;

	return f->limit_ends_ms > 0 && f->limit_used >= (max > 0 ? max : MAX_SAFE_INTEGER);
}
