/* Counts a text: characters, words, and where each page begins. Pages are divided by form feeds; one at the very end begins no new page.
 * Any thread. */
#ifndef SLUICE_PROCESSORS_DOCUMENT_TEXT_STATS_H
#define SLUICE_PROCESSORS_DOCUMENT_TEXT_STATS_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

struct text_stats {
	int64_t chars, words, pages;
};

/* text: UTF-8. A word is what stands between ASCII white space. offsets gets pages.json:
 * {"schema":1,"unit":"byte","offsets":[0,…]}, with at most max_pages of them. */
struct text_stats text_stats(struct str text, int64_t max_pages, struct buf *offsets);

#endif
