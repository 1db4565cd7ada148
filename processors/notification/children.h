/* A notification that waited for other jobs tells what became of them. The processor's thread. */
#ifndef SLUICE_PROCESSORS_NOTIFICATION_CHILDREN_H
#define SLUICE_PROCESSORS_NOTIFICATION_CHILDREN_H

#include "processors/notification/notifier.h"
#include "processors/runtime/context.h"

/* Appends a line per child to the message's text; without children it stays as it is. TROUBLE_NONE, CHILDREN_UNAVAILABLE or NO_MEMORY. */
enum trouble children_tell(struct job_context *ctx, struct notice *m);

/* One child's line, without its end. */
void children_write_line(const struct bq_child *child, struct arena *a, struct buf *out);

#endif
