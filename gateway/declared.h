/* The declared queues as the settings name them, and the schemas that come of them. Any thread. */
#ifndef SLUICE_GATEWAY_DECLARED_H
#define SLUICE_GATEWAY_DECLARED_H

#include "gateway/openapi/schemas.h"
#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/config/config.h"
#include "processors/runtime/declaration.h"

/* Release with declarations_release after success. */
int declared_load(struct declarations *d, const struct config *cfg, struct err *err) MUST_CHECK;

/* The program's schemas, with each queue's payload as "payload-<queue>". *d must outlive them; schemas_free. NULL on failure. */
struct schemas *declared_schemas(const struct declarations *d, struct err *err);
/* After declarations_adopt: the payloads that are in force now take the place of those before. */
int declared_schemas_again(struct schemas *s, const struct declarations *d, struct err *err) MUST_CHECK;

#endif
