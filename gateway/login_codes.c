#include "gateway/login_codes.h"

#include <stdlib.h>

#include "lib/base/digest.h"
#include "lib/base/id.h"
#include "lib/base/lock.h"

struct login_code {
	char text[LOGIN_CODE_SIZE]; /* "": free */
	int64_t until_mono_ms;
	struct principal who;
};

struct login_codes {
	struct lock mu;
	/* protected by mu */
	struct login_code codes[LOGIN_CODES];
	unsigned next;
};

struct login_codes *login_codes_new(void)
{
	struct login_codes *l = calloc(1, sizeof(*l));
	if (l)
		lock_init(&l->mu);
	return l;
}

void login_codes_free(struct login_codes *l)
{
	if (!l)
		return;
	lock_release(&l->mu);
	free(l);
}

void login_codes_make(struct login_codes *l, const struct principal *who, int64_t now_mono_ms, char code[LOGIN_CODE_SIZE])
{
	id_random_hex(code, (LOGIN_CODE_SIZE - 1) / 2);
	lock_take(&l->mu);
	struct login_code *slot = &l->codes[l->next++ % LOGIN_CODES];
	*slot = (struct login_code){.until_mono_ms = now_mono_ms + LOGIN_CODE_MS, .who = *who};
	memcpy(slot->text, code, LOGIN_CODE_SIZE);
	lock_give(&l->mu);
}

bool login_codes_take(struct login_codes *l, struct str code, int64_t now_mono_ms, struct principal *who)
{
	bool good = false;
	if (code.n != LOGIN_CODE_SIZE - 1)
		return false;
	lock_take(&l->mu);
	for (unsigned i = 0; i < LOGIN_CODES && !good; i++) {
		struct login_code *slot = &l->codes[i];
		if (!slot->text[0] || !digest_equal(slot->text, code.p, code.n))
			continue;
		good = now_mono_ms < slot->until_mono_ms;
		*who = slot->who;
		*slot = (struct login_code){0};
	}
	lock_give(&l->mu);
	return good;
}
