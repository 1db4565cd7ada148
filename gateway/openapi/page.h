/* The text of /openapi.json, which another one may replace while it is read. Any thread. */
#ifndef SLUICE_GATEWAY_OPENAPI_PAGE_H
#define SLUICE_GATEWAY_OPENAPI_PAGE_H

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"

struct api_page;

struct api_page *api_page_new(void); /* NULL: no memory */
void api_page_free(struct api_page *p);
/* Takes the text over; *text is empty afterwards. */
void api_page_show(struct api_page *p, struct buf *text);
/* .p NULL without memory. */
struct str api_page_copy(struct api_page *p, struct arena *a) MUST_CHECK;

#endif
