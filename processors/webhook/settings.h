/* Where a queue's jobs are delivered: the object "webhook" of its declaration. Immutable once read: any thread. */
#ifndef SLUICE_PROCESSORS_WEBHOOK_SETTINGS_H
#define SLUICE_PROCESSORS_WEBHOOK_SETTINGS_H

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/err.h"
#include "lib/fetch/sign.h"

#define HOOK_SECRETS_MAX 4

struct hook_settings {
	struct str url;
	struct sign_key keys[HOOK_SECRETS_MAX];
	size_t n_keys;      /* 0: deliveries are not signed */
	int64_t timeout_ms; /* of one delivery */
	struct arena arena;
};

/* json: {"url", "secret" or "secretFile", "timeout"}. The secret's file is read now. ERR_INVALID, ERR_IO, ERR_NOMEM; the text tells no secret. */
int hook_settings_new(struct str json, void **settings, struct err *err) MUST_CHECK;
void hook_settings_free(void *settings);

#endif
