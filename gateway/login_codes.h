/* Codes that sign a browser in, once: each stands for a caller for ten minutes, or until it is used.
 *
 * They live in this process only, at most LOGIN_CODES of them; a new one takes the place of the oldest. Any thread. */
#ifndef SLUICE_GATEWAY_LOGIN_CODES_H
#define SLUICE_GATEWAY_LOGIN_CODES_H

#include "lib/auth/auth.h"

#define LOGIN_CODES 16
#define LOGIN_CODE_SIZE 33
#define LOGIN_CODE_MS 600000

struct login_codes;

struct login_codes *login_codes_new(void); /* NULL: no memory */
void login_codes_free(struct login_codes *l);

void login_codes_make(struct login_codes *l, const struct principal *who, int64_t now_mono_ms, char code[LOGIN_CODE_SIZE]);
/* true: the code was good, stands for *who, and is used up. */
bool login_codes_take(struct login_codes *l, struct str code, int64_t now_mono_ms, struct principal *who) MUST_CHECK;

#endif
