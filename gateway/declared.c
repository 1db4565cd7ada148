#include "gateway/declared.h"

#include <stdio.h>

#include "processors/registry.h"

int declared_load(struct declarations *d, const struct config *cfg, struct err *err)
{
	return declarations_load(d, str_from(cfg->bullmq_prefix), *cfg->queues_file ? cfg->queues_file : NULL,
				 str_from(cfg->default_job_options), (unsigned)cfg->workers, processor_find, err);
}

typedef int add_fn(struct schemas *s, struct str name, const struct schema *schema, struct err *err);

static int add_payloads(struct schemas *s, const struct declarations *d, add_fn *add, struct err *err)
{
	char name[sizeof("payload-") + BQ_QUEUE_NAME_MAX];
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < d->count; i++) {
		const struct declaration *q = d->items[i];
		int n = snprintf(name, sizeof(name), "payload-%.*s", STR_ARG(q->name));
		const struct schema *payload = q->terms->payload;
		if (payload)
			rc = add(s, (struct str){name, (size_t)n}, payload, err);
	}
	return rc;
}

struct schemas *declared_schemas(const struct declarations *d, struct err *err)
{
	struct schemas *s = schemas_new(err);
	if (s && add_payloads(s, d, schemas_add, err) < 0) {
		schemas_free(s);
		return NULL;
	}
	return s;
}

int declared_schemas_again(struct schemas *s, const struct declarations *d, struct err *err)
{
	return add_payloads(s, d, schemas_replace, err);
}
