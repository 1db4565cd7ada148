/* A dry run's way out: what would be sent becomes a file in DATA_DIR/outbox, {channel}-{id}.eml, .json or .form. Any thread. */
#ifndef SLUICE_PROCESSORS_NOTIFICATION_OUTBOX_H
#define SLUICE_PROCESSORS_NOTIFICATION_OUTBOX_H

#include "processors/notification/notifier.h"

/* Sets a->provider_id to the file's name. */
void outbox_put(const struct notifier *n, const struct channel *c, const struct notice *m, struct str to, struct attempt *a);

#endif
