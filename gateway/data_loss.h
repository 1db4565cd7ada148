/* Has Redis lost jobs? Each queue counts the ids that it has given out; a Redis process that took another's place and counts less has not
 * got what that one had: it was started without its data, or from an older copy. Ids are then given out a second time.
 *
 *     struct data_loss *l = data_loss_new(queues);
 *     data_loss_ask(l, &cmd);                                     among other commands of one call
 *     if (data_loss_read(l, facts.run_id, &replies, first, &what)) ... what.text says it
 *
 * Within the life of one Redis process a smaller count is somebody's wish (a queue was obliterated). One thread at a time. */
#ifndef SLUICE_GATEWAY_DATA_LOSS_H
#define SLUICE_GATEWAY_DATA_LOSS_H

#include "processors/runtime/declaration.h"

struct data_loss;

struct data_loss *data_loss_new(const struct declarations *queues); /* NULL: no memory */
void data_loss_free(struct data_loss *l);                           /* NULL: nothing */

/* Appends a command for each declared queue; their replies stand from items[first] on. */
void data_loss_ask(struct data_loss *l, struct rcmd *cmd);
/* true: something was lost since the last look; *what has a sentence that names one of the queues. */
bool data_loss_read(struct data_loss *l, const char *run_id, const struct rreplies *replies, size_t first, struct err *what);

#endif
