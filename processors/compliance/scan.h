/* Finds personal, payment, health and secret data in a text, and the phrases that rules ask for.
 *
 *     struct scanner *s = scanner_new(SCANNER_AUTO, phrases, n, &err);          takes a fraction of a second: not while starting
 *     struct findings found = {0};
 *     const struct scan_options o = {.least_percent = 50, .max_findings = 50000};
 *     if (scanner_run(s, text, &o, &found, &err) == 0) …  found.items[0 … found.n-1], by their place
 *     findings_release(&found);
 *
 * A cheap pattern says where to look (engine.h); code of ours then reads around that place, checks form, checksum and the words
 * near by, and scores (confirm.h). The answer does not depend on the engine. A scanner is used by any number of threads. */
#ifndef SLUICE_PROCESSORS_COMPLIANCE_SCAN_H
#define SLUICE_PROCESSORS_COMPLIANCE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "processors/compliance/entity.h"

enum scanner_engine { SCANNER_AUTO, SCANNER_VECTORSCAN, SCANNER_PCRE2 };

#define FINDING_HASH_BYTES 16

struct finding {
	uint32_t start, end;  /* bytes */
	uint16_t entity;      /* enum entity */
	uint16_t phrase;      /* of ENTITY_PHRASE: its index */
	uint8_t percent;      /* the score */
	bool masked;          /* the value was made unreadable by its writer */
	const char *validated; /* what was checked, such as "luhn", or NULL; static */
	struct str context;   /* the word near by that counted, or STR_NONE; static */
	uint32_t page;        /* from 1; set by the caller of the scanner */
	unsigned char hash[FINDING_HASH_BYTES]; /* the same value has the same; set by the caller of the scanner */
};

struct findings {
	struct finding *items;
	size_t n, capacity;
	bool truncated; /* there are more than max_findings */
};

struct scan_options {
	unsigned least_percent;
	size_t max_findings;
	bool (*stop)(void *arg); /* asked now and then; NULL: never */
	void *arg;
};

struct scanner;

/* phrases: lower case words divided by single spaces; a space stands for any white space, and upper case is the same. They are copied. */
struct scanner *scanner_new(enum scanner_engine engine, const struct str *phrases, size_t n, struct err *err);
void scanner_free(struct scanner *s);
const char *scanner_engine_name(const struct scanner *s);
const char *scanner_engine_version(const struct scanner *s);

/* text: UTF-8, under 4 GiB. 0, ERR_NOMEM, ERR_LIMIT, or ERR_STOPPING when stop said so. */
int scanner_run(struct scanner *s, struct str text, const struct scan_options *o, struct findings *out, struct err *err) MUST_CHECK;
void findings_release(struct findings *f);

/* What identifies a value however it is written: letters and digits, in lower case. Into out, at most `size` bytes; how many. */
size_t finding_normalize(struct str value, char *out, size_t size);

#endif
