/* The address book: what a user's addresses are, by the user's id and the job's organization.
 *
 * In Redis (SLUICE_NOTIFY_DIRECTORY=redis), a hash per user with the fields email, phone, slack, push and webhook:
 *     {prefix}:notify:user:{userId}               of the organization "default"
 *     {prefix}:notify:org:{org}:user:{userId}     of another one
 * In a file (file:PATH), read for every job, so that a change counts at once:
 *     {"users": {"u1": {"email": "u1@example.org"}}, "orgs": {"acme": {"users": {…}}}}
 * A value is one address, or a JSON array of addresses. Any thread. */
#ifndef SLUICE_PROCESSORS_NOTIFICATION_DIRECTORY_H
#define SLUICE_PROCESSORS_NOTIFICATION_DIRECTORY_H

#include "processors/notification/notifier.h"

#define DIRECTORY_MAX_ADDRESSES 10

struct addresses {
	struct str items[DIRECTORY_MAX_ADDRESSES]; /* in the job's arena */
	unsigned count;
};

/* TROUBLE_NONE, RECIPIENT_NOT_FOUND, NO_ADDRESS (the user is known), INVALID_ADDRESS (the entry is no list of addresses), LOOKUP_UNAVAILABLE. */
enum trouble directory_find(const struct notifier *n, const struct notice *m, const char *field, struct addresses *out);

#endif
