/* What opens a system. */
#include "lib/base/attr.h"
#include "lib/base/digest.h"
#include "processors/compliance/checks.h"
#include "processors/compliance/confirm.h"

#define MAX_KEY_BYTES 8192
#define MAX_TOKEN_BYTES 4096
#define LEAST_ENTROPY 3.0 /* bits for each byte; words of a language have about 2.5 in so short a text */

static bool is_b64url(char c)
{
	return is_alnum(c) || c == '-' || c == '_';
}

/* From the dashes of BEGIN to those of END, or to where the text breaks off. */
void confirm_private_key(struct scan *s, const struct trigger *t, size_t end)
{
	static const char begin[] = "-----BEGIN ", finish[] = "-----END ";
	size_t label = end - t->width, from = label > 24 ? label - 24 : 0;
	const char *head = NULL;
	for (const char *p = s->text.p + from; (p = memmem(p, (size_t)(s->text.p + label - p), begin, sizeof(begin) - 1)); p++)
		head = p;
	if (!head)
		return;
	size_t most = s->text.n - end < MAX_KEY_BYTES ? s->text.n - end : MAX_KEY_BYTES;
	const char *tail = memmem(s->text.p + end, most, finish, sizeof(finish) - 1);
	size_t stop = tail ? (size_t)(tail - s->text.p) : end;
	scan_report(s, &(struct candidate){.entity = ENTITY_PRIVATE_KEY, .start = (size_t)(head - s->text.p), .end = stop, .proof = PROOF_STRONG, .validated = "pem"});
}

static size_t segment(const struct scan *s, size_t i)
{
	size_t from = i;
	while (is_b64url(at(s, i)) && i - from < MAX_TOKEN_BYTES)
		i++;
	return i - from;
}

/* Three segments (RFC 7515), of which the first is an object with an "alg". */
void confirm_jwt(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end - t->width, head = segment(s, start), at_payload = start + head + 1;
	if (is_b64url(before(s, start)) || at(s, start + head) != '.')
		return;
	size_t payload = segment(s, at_payload), at_tail = at_payload + payload + 1;
	size_t tail = at(s, at_payload + payload) == '.' ? segment(s, at_tail) : 0;
	if (payload < 4 || tail < 16)
		return;
	struct buf header = BUF_INIT;
	bool ok = digest_b64url_decode(&header, str_sub(s->text, start, head)) == 0 && memmem(header.p, header.n, "\"alg\"", 5);
	buf_release(&header);
	if (ok)
		scan_report(s, &(struct candidate){.entity = ENTITY_JWT, .start = start, .end = at_tail + tail, .proof = PROOF_STRONG, .validated = "jose-header"});
}

/* The keys of well-known services begin alike. */
void confirm_token(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end - t->width, stop = start;
	while (is_b64url(at(s, stop)) && stop - start < 256)
		stop++;
	if (stop - start >= t->least && entropy_bits(str_sub(s->text, start, stop - start)) >= LEAST_ENTROPY)
		scan_report(s, &(struct candidate){.entity = ENTITY_CLOUD_KEY, .start = start, .end = stop, .validated = "prefix"});
}

/* What people write where a secret will stand. */
static bool is_placeholder(struct str v)
{
	static const char *const words[] = {"example", "changeme", "change_me", "placeholder", "your_", "your-", "xxxx", "****", "1234567", "password",
					    "redacted", "dummy", "sample", "insert", "${", "{{", "<", "%s", "process.env", "getenv"};
	char text[129];
	size_t n = v.n < sizeof(text) - 1 ? v.n : sizeof(text) - 1;
	for (size_t i = 0; i < n; i++)
		text[i] = lower(v.p[i]);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (memmem(text, n, words[i], strlen(words[i])))
			return true;
	return false;
}

static bool looks_random(struct str v)
{
	bool digit = false, letter = false;
	for (size_t i = 0; i < v.n; i++) {
		digit |= is_digit(v.p[i]);
		letter |= is_alpha(v.p[i]);
	}
	return digit && letter && entropy_bits(v) >= LEAST_ENTROPY;
}

/* key = value, with a value that nobody would say aloud. */
void confirm_assignment(struct scan *s, const struct trigger *t, size_t end)
{
	size_t start = end;
	(void)t;
	while (start - end < 4 && at(s, start) && strchr(" \t\"'=>", at(s, start)))
		start++;
	size_t stop = start;
	while (stop - start < 129 && at(s, stop) > ' ' && !strchr("\"',;", at(s, stop)))
		stop++;
	struct str value = str_sub(s->text, start, stop - start);
	if (value.n >= 8 && value.n <= 128 && looks_random(value) && !is_placeholder(value))
		scan_report(s, &(struct candidate){.entity = ENTITY_GENERIC_SECRET, .start = start, .end = stop, .validated = "entropy"});
}
