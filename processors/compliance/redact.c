#include "processors/compliance/redact.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "lib/base/panic.h"

#define MAX_VALUE_BYTES 16384
#define MAX_STARS 16
#define LEAST_HIDDEN 5

static void hash_one(struct finding *f, struct str text, struct str key, struct str org, char *value)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned mac_n = 0;
	size_t n = 0;
	memcpy(value, org.p, org.n);
	n += org.n;
	value[n++] = '\0';
	value[n++] = (char)f->entity;
	n += finding_normalize(str_sub(text, f->start, f->end - f->start), value + n, MAX_VALUE_BYTES - n);
	bug_on(!HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)value, n, mac, &mac_n) || mac_n < sizeof(f->hash));
	memcpy(f->hash, mac, sizeof(f->hash));
}

void findings_hash(struct findings *f, struct str text, struct str key, struct str org)
{
	char value[MAX_VALUE_BYTES];
	bug_on(org.n > 256);
	for (size_t i = 0; i < f->n; i++)
		hash_one(&f->items[i], text, key, org, value);
	OPENSSL_cleanse(value, sizeof(value));
}

void findings_paginate(struct findings *f, struct str text, const int64_t *offsets, size_t n)
{
	uint32_t page = 1;
	size_t at = 0; /* of the text, where form feeds have been counted */
	for (size_t i = 0; i < f->n; i++) {
		size_t start = f->items[i].start;
		while (n > 0 && page < n && (size_t)offsets[page] <= start)
			page++;
		for (; n == 0 && at < start; at++)
			page += text.p[at] == '\f';
		f->items[i].page = page;
	}
}

static bool is_sign(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

size_t finding_sample(const struct finding *f, struct str text, char out[SAMPLE_SIZE])
{
	const struct entity_info *e = &entity_infos[f->entity];
	struct str value = str_sub(text, f->start, f->end - f->start);
	size_t signs = 0, seen = 0, stars = 0, n = 0;
	for (size_t i = 0; i < value.n; i++)
		signs += is_sign(value.p[i]) || value.p[i] == '*';
	bool show = signs >= (size_t)(e->head + e->tail) + LEAST_HIDDEN;
	for (size_t i = 0; i < value.n && n < SAMPLE_SIZE; i++) {
		char c = value.p[i];
		if (!is_sign(c) && c != '*')
			continue;
		seen++;
		bool shown = show && (unsigned char)c < 0x80 && (seen <= e->head || seen + e->tail > signs);
		if (shown)
			out[n++] = c;
		else if (stars++ < MAX_STARS)
			out[n++] = '*';
	}
	return n;
}
