/* The queues of a gateway as a table: what `sluice queues` prints and `sluice top` shows. */
#ifndef SLUICE_GATEWAY_CLI_QUEUE_LIST_H
#define SLUICE_GATEWAY_CLI_QUEUE_LIST_H

#include "gateway/cli/client.h"
#include "gateway/cli/sheet.h"

enum queue_order { QUEUE_BY_NAME, QUEUE_BY_WAITING, QUEUE_BY_ACTIVE, QUEUE_BY_FAILED, QUEUE_BY_RATE, QUEUE_ORDERS };

/* "name", "waiting", …; the end is NULL. */
extern const char *const queue_order_words[];

struct queue_totals {
	size_t queues;
	int64_t waiting, active, delayed, failed;
};

/* Asks for all queues. As client_ask. */
enum cli_exit queue_list_ask(struct client *c, struct reply *reply) MUST_CHECK;

/* Makes the table of such an answer: the largest first, then by name. What it needs comes from the arena. totals may be NULL. */
void queue_list_table(const struct reply *reply, enum queue_order order, struct arena *memory, struct sheet *s, struct queue_totals *totals);

/* "paused", "limited", "no worker", "ok": the queue's worst trouble in one word. */
const char *queue_state(const struct reply *reply, uint32_t queue);

#endif
