#include "gateway/openapi/page.h"

#include <stdlib.h>

#include "lib/base/lock.h"

struct api_page {
	struct lock mu;
	struct buf text; /* protected by mu */
};

struct api_page *api_page_new(void)
{
	struct api_page *p = calloc(1, sizeof(*p));
	if (p)
		lock_init(&p->mu);
	return p;
}

void api_page_free(struct api_page *p)
{
	if (!p)
		return;
	buf_release(&p->text);
	lock_release(&p->mu);
	free(p);
}

void api_page_show(struct api_page *p, struct buf *text)
{
	lock_take(&p->mu);
	struct buf before = p->text;
	p->text = *text;
	lock_give(&p->mu);
	*text = BUF_INIT;
	buf_release(&before);
}

struct str api_page_copy(struct api_page *p, struct arena *a)
{
	lock_take(&p->mu);
	struct str copy = arena_dup(a, buf_str(&p->text));
	lock_give(&p->mu);
	return copy;
}
