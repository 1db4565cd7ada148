/* What the routes about queues write in the same way. A request's thread. */
#ifndef SLUICE_GATEWAY_ROUTES_QUEUES_H
#define SLUICE_GATEWAY_ROUTES_QUEUES_H

#include "gateway/routes/access.h"
#include "gateway/watch.h"

/* The state that a word names; BQ_STATE_UNKNOWN: none. */
enum bq_state state_of_word(struct str word);

/* How the queue stands now. */
int queue_facts(struct request *r, const struct queue_ref *q, struct bq_facts *f, struct err *err) MUST_CHECK;

/* Does the body say the queue's name in `confirm`? For what cannot be undone; false: the response is written. */
bool confirmed_or_reply(struct request *r, struct response *res, struct str queue) MUST_CHECK;

/* In whole hundredths; null when it is not known. */
void write_rate(struct jwrite *w, const char *key, double rate);
/* The declaration in the words of the file that SLUICE_QUEUES names, with the built-in defaults filled in; null for NULL. */
void write_declaration(struct jwrite *w, const char *key, const struct declaration *d);
/* A number that is null when it is negative. */
void write_optional(struct jwrite *w, const char *key, int64_t v);

#endif
