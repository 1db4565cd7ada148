/* The body of an answer that may become large while it is gathered: text up to a limit, then a file without a name.
 *
 *     struct spool s;
 *     spool_init(&s, folder);
 *     append to s.text;  rc = spool_flush(&s, &err);       as often as there is something
 *     rc = spool_finish(&s, res, &err);                    the response has it now
 *     spool_release(&s);                                   in any case
 *
 * One thread at a time. */
#ifndef SLUICE_GATEWAY_HTTP_SPOOL_H
#define SLUICE_GATEWAY_HTTP_SPOOL_H

#include "gateway/http/request.h"

struct spool {
	struct buf text;    /* what is not in the file */
	const char *folder; /* where the file is made, outlives this */
	int fd;             /* -1: no file yet */
	int64_t bytes;      /* in the file */
};

void spool_init(struct spool *s, const char *folder);
/* Moves the text into the file when there is much of it. ERR_IO, ERR_NOMEM. */
int spool_flush(struct spool *s, struct err *err) MUST_CHECK;
int spool_finish(struct spool *s, struct response *res, struct err *err) MUST_CHECK;
void spool_release(struct spool *s);

#endif
